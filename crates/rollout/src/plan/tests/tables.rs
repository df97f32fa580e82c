//! One row per situation: with these instances and these targets, the plan has these steps.

use std::time::Duration;

use super::*;
use crate::plan::{Plan, RolloutStatus, plan, rollout_status};
use crate::step::Waiting;
use crate::target::Readiness;
use InstancePhase as P;

struct Case {
    name: &'static str,
    targets: Vec<Target>,
    observed: Observed,
    steps: Vec<Step>,
}

fn case(name: &'static str, targets: Vec<Target>, observed: Observed, steps: Vec<Step>) -> Case {
    Case { name, targets, observed, steps }
}

fn check(cases: Vec<Case>) {
    for Case { name, targets, observed, steps } in cases {
        assert_eq!(plan(&targets, &observed, NOW).steps, steps, "{name}");
    }
}

fn old(slot: u32) -> Instance {
    instance("web", slot, "old", P::Ready)
}

fn new(slot: u32, phase: InstancePhase) -> Instance {
    instance("web", slot, "new", phase)
}

fn with(mut instance: Instance, change: impl FnOnce(&mut Instance)) -> Instance {
    change(&mut instance);
    instance
}

fn named(step: fn(crate::ids::InstanceName) -> Step, name: &str) -> Step {
    step(name.into())
}

fn start(instance: crate::ids::InstanceName) -> Step {
    Step::Start { instance }
}
fn create(instance: crate::ids::InstanceName) -> Step {
    Step::Create { instance }
}
fn ready(instance: crate::ids::InstanceName) -> Step {
    Step::MarkReady { instance }
}
fn unready(instance: crate::ids::InstanceName) -> Step {
    Step::MarkUnready { instance }
}
fn revive(instance: crate::ids::InstanceName) -> Step {
    Step::Revive { instance }
}
fn remove(instance: crate::ids::InstanceName) -> Step {
    Step::Remove { instance }
}

#[test]
fn instances_are_replaced_one_at_a_time_and_never_fall_below_the_target() {
    check(vec![
        case("nothing wanted, nothing there", vec![], there(vec![]), vec![]),
        case(
            "everything matches the target",
            vec![wants("web", 2)],
            there(vec![new(0, P::Ready), new(1, P::Ready)]),
            vec![],
        ),
        case(
            "two old instances: only the first gets a successor",
            vec![wants("web", 2)],
            there(vec![old(0), old(1)]),
            vec![add("web", 0)],
        ),
        case(
            "the successor is starting: no instance drains, and no other is created",
            vec![wants("web", 2)],
            there(vec![old(0), old(1), new(0, P::Created)]),
            vec![named(start, "web-0-new")],
        ),
        case(
            "the successor is ready: the old instance drains and the next successor is added",
            vec![wants("web", 2)],
            there(vec![old(0), old(1), new(0, P::Ready)]),
            vec![drain("web-0-old"), add("web", 1)],
        ),
        case(
            "scaled down: the surplus drains at once, since enough instances serve",
            vec![wants("web", 1)],
            there(vec![new(0, P::Ready), new(1, P::Ready)]),
            vec![drain("web-1-new")],
        ),
        case(
            "scaled down with a new revision: the surplus stays until the wanted instance is ready",
            vec![wants("web", 1)],
            there(vec![old(0), old(1)]),
            vec![add("web", 0)],
        ),
        case(
            "scaled up from zero: several instances start at once, four at most",
            vec![wants("web", 6)],
            there(vec![]),
            vec![add("web", 0), add("web", 1), add("web", 2), add("web", 3)],
        ),
        case("a component that is no longer in the spec drains", vec![], there(vec![old(0)]), vec![drain("web-0-old")]),
        case(
            "but not before the component that may have been renamed from it is routed",
            vec![wants("site", 1)],
            Observed {
                routes: Some(routes(&[("web", &["web-0-old"])])),
                ..there(vec![old(0), instance("site", 0, "new", P::Ready)])
            },
            vec![Step::Route { routes: routes(&[("site", &["site-0-new"]), ("web", &["web-0-old"])]) }],
        ),
    ]);
}

#[test]
fn components_roll_in_order_services_before_workers() {
    let api = |revision, phase| instance("api", 0, revision, phase);
    let targets = || vec![worker("jobs", 1), wants("web", 1), wants("api", 1)];
    check(vec![
        case(
            "the first service rolls first",
            targets(),
            there(vec![old(0), api("old", P::Ready)]),
            vec![add("web", 0)],
        ),
        case(
            "the second rolls when the first is complete, though an old instance still drains",
            targets(),
            there(vec![with(old(0), |it| it.phase = P::Draining), new(0, P::Ready), api("old", P::Ready)]),
            vec![stop("web-0-old"), add("api", 0)],
        ),
        case("workers roll last", targets(), there(vec![new(0, P::Ready), api("new", P::Ready)]), vec![add("jobs", 0)]),
    ]);
}

#[test]
fn the_next_container_is_created_while_one_instance_starts_and_waits_for_its_turn() {
    let two = || vec![old(0), old(1)];
    let beside = |olds: Vec<Instance>, news: Vec<Instance>| there([olds, news].concat());
    let busy = |it| with(it, |it| it.busy = true);
    let api = |revision, phase| instance("api", 0, revision, phase);
    let web_and_api = || vec![wants("web", 1), wants("api", 1)];
    let unserved = with(new(0, P::Starting), |it| it.probe = ProbeSeen::Unknown);
    check(vec![
        case(
            "an instance that starts",
            vec![wants("web", 2)],
            beside(two(), vec![busy(new(0, P::Created))]),
            vec![add("web", 1)],
        ),
        case(
            "an instance that is probed",
            vec![wants("web", 2)],
            beside(two(), vec![new(0, P::Starting)]),
            vec![add("web", 1)],
        ),
        case(
            "the container of the current instance first",
            vec![wants("web", 2)],
            beside(two(), vec![busy(new(0, P::Intended))]),
            vec![],
        ),
        case(
            "only one container ahead",
            vec![wants("web", 3)],
            beside(vec![old(0), old(1), old(2)], vec![new(0, P::Starting), new(1, P::Created)]),
            vec![],
        ),
        case(
            "it is its turn to start",
            vec![wants("web", 2)],
            beside(two(), vec![new(0, P::Ready), new(1, P::Created)]),
            vec![named(start, "web-1-new"), drain("web-0-old")],
        ),
        case(
            "also a container of the next component",
            web_and_api(),
            beside(vec![old(0), api("old", P::Ready)], vec![new(0, P::Starting)]),
            vec![add("api", 0)],
        ),
        case(
            "which starts once the replaced instance of the first component drains",
            web_and_api(),
            beside(vec![old(0), api("old", P::Ready)], vec![new(0, P::Ready), api("new", P::Created)]),
            vec![drain("web-0-old")],
        ),
        case(
            "an earlier slot that waits for a retry does not start beside it",
            vec![wants("web", 2)],
            beside(two(), vec![new(1, P::Starting)]),
            vec![],
        ),
        case(
            "pruned before its turn: created again",
            vec![wants("web", 2)],
            beside(
                two(),
                vec![new(0, P::Starting), with(new(1, P::Created), |it| it.container = ContainerSeen::Missing)],
            ),
            vec![named(remove, "web-1-new")],
        ),
        case("an empty slot is no replacement", web_and_api(), beside(vec![old(0)], vec![unserved]), vec![]),
        case(
            "no longer wanted: removed",
            vec![Target { revision: "old".into(), ..wants("web", 2) }],
            beside(two(), vec![new(1, P::Created)]),
            vec![named(remove, "web-1-new")],
        ),
    ]);
}

#[test]
fn a_generation_replaces_the_same_revision() {
    let target = Target { generation: 2, min_generation: 2, ..wants("web", 1) };
    let plan_now = plan(std::slice::from_ref(&target), &there(vec![new(0, P::Ready)]), NOW);
    let add = Step::Add { component: "web".into(), slot: 0, revision: "new".into(), generation: 2 };
    assert_eq!(plan_now.steps, vec![add]);

    // A restart failed half-way: the targets accept both replaced and unreplaced instances.
    let target = Target { min_generation: 1, count: 2, ..target };
    let replaced = with(new(0, P::Ready), |it| it.generation = 2);
    let plan_now = plan(&[target], &there(vec![replaced, new(1, P::Ready)]), NOW);
    assert!(plan_now.is_settled(), "{plan_now:?}");
}

#[test]
fn a_new_instance_becomes_ready_or_is_given_up() {
    let late = |seconds: u64| Timestamp(NOW.0 - seconds * 1_000);
    let starting = || new(0, P::Starting);
    let exited = |code| ContainerSeen::Exited { code: Some(code) };
    let web = || vec![wants("web", 1)];
    let not_ready = Reason::NotReady { within: Duration::from_secs(90), check: None, process_limit: None };
    let refused = Reason::Refused { message: "no such image".into() };
    check(vec![
        case("only recorded", web(), there(vec![new(0, P::Intended)]), vec![named(create, "web-0-new")]),
        case(
            "its probe passes",
            web(),
            there(vec![with(starting(), |it| it.probe = ProbeSeen::Passing)]),
            vec![named(ready, "web-0-new")],
        ),
        case("one second before its deadline", web(), there(vec![with(starting(), |it| it.since = late(89))]), vec![]),
        case(
            "after its deadline",
            web(),
            there(vec![with(starting(), |it| it.since = late(90))]),
            vec![give_up("web-0-new", not_ready)],
        ),
        case(
            "its process ended",
            web(),
            there(vec![with(starting(), |it| it.container = exited(3))]),
            vec![give_up("web-0-new", Reason::Exited { code: Some(3) })],
        ),
        case(
            "paused by hand",
            web(),
            there(vec![with(starting(), |it| it.container = ContainerSeen::Paused)]),
            vec![named(revive, "web-0-new")],
        ),
        case(
            "disconnected from the network",
            web(),
            there(vec![with(starting(), |it| it.container = ContainerSeen::Disconnected)]),
            vec![named(revive, "web-0-new")],
        ),
        case(
            "removed by hand",
            web(),
            there(vec![with(starting(), |it| it.container = ContainerSeen::Missing)]),
            vec![give_up("web-0-new", Reason::Gone)],
        ),
        case(
            "refused by the engine",
            web(),
            there(vec![with(new(0, P::Intended), |it| it.refused = Some("no such image".into()))]),
            vec![give_up("web-0-new", refused)],
        ),
        case("an action is in progress", web(), there(vec![with(new(0, P::Created), |it| it.busy = true)]), vec![]),
        case(
            "no longer wanted and never started: removed",
            web(),
            there(vec![new(0, P::Ready), instance("web", 0, "other", P::Created)]),
            vec![named(remove, "web-0-other")],
        ),
        case(
            "no longer wanted and running: stopped with its grace period",
            web(),
            there(vec![new(0, P::Ready), instance("web", 0, "other", P::Starting)]),
            vec![stop("web-0-other")],
        ),
        case(
            "no longer wanted, and its start is not recorded: a running process is not killed",
            web(),
            there(vec![
                new(0, P::Ready),
                with(instance("web", 0, "other", P::Created), |it| it.container = ContainerSeen::Running),
            ]),
            vec![stop("web-0-other")],
        ),
    ]);
}

/// Stop times are fixed when the instance is created. Neither a newer target nor removal of the component changes them.
#[test]
fn an_instance_keeps_its_drain_and_grace_when_the_targets_change() {
    let own = StopTimes { drain: Duration::from_secs(7), grace: Duration::from_secs(300) };
    let mut newer = wants("web", 1);
    newer.timing.drain = Duration::from_secs(1);
    newer.timing.grace = Duration::from_secs(2);
    for targets in [vec![], vec![newer], vec![wants("other", 1)]] {
        let leaving = |phase, requests| {
            with(instance("web", 0, "old", phase), |it| {
                it.stop_times = own;
                it.open.requests = requests;
            })
        };
        let replaced = |old| {
            let mut seen = there(vec![new(0, P::Ready), instance("other", 0, "new", P::Ready)]);
            seen.instances.push(old);
            seen.instances.retain(|it| {
                it.name.as_str() == "web-0-old" || targets.iter().any(|target| target.component == it.component)
            });
            seen
        };
        let stops = |plan: &Plan| plan.steps.iter().find(|it| matches!(it, Step::Stop { .. })).cloned();
        let expected = Some(Step::Stop { instance: "web-0-old".into(), grace: own.grace });
        assert_eq!(stops(&plan(&targets, &replaced(leaving(P::Stopping, 0)), NOW)), expected, "{targets:?}");
        assert_eq!(stops(&plan(&targets, &replaced(leaving(P::Starting, 0)), NOW)), expected, "{targets:?}");
        let drains = replaced(leaving(P::Draining, 1));
        assert_eq!(stops(&plan(&targets, &drains, Timestamp(NOW.0 + 6_999))), None, "{targets:?}");
        assert_eq!(stops(&plan(&targets, &drains, Timestamp(NOW.0 + 7_000))), expected, "{targets:?}");
    }
}

#[test]
fn a_worker_without_a_probe_is_ready_after_it_has_stayed_up() {
    let mut target = worker("jobs", 1);
    target.timing.readiness = Readiness::StaysUp(Duration::from_secs(1));
    let up_for = |ms| {
        there(vec![with(instance("jobs", 0, "new", P::Starting), |it| {
            it.kind = ComponentKind::Worker;
            it.since = Timestamp(NOW.0 - ms);
        })])
    };
    let early = plan(std::slice::from_ref(&target), &up_for(999), NOW);
    assert_eq!((early.steps.len(), early.look_again_at()), (0, Some(NOW.plus(Duration::from_millis(1)))));
    assert_eq!(plan(std::slice::from_ref(&target), &up_for(1_000), NOW).steps, vec![named(ready, "jobs-0-new")]);

    // A person paused it meanwhile: it may be brought back until its deadline.
    let mut frozen = up_for(1_000);
    frozen.instances[0].container = ContainerSeen::Paused;
    let plan_now = plan(std::slice::from_ref(&target), &frozen, NOW);
    assert_eq!(plan_now.steps, vec![named(revive, "jobs-0-new")]);
    frozen.instances[0].since = Timestamp(NOW.0 - 90_000);
    let reason = Reason::NotReady { within: Duration::from_secs(90), check: None, process_limit: None };
    assert_eq!(plan(&[target], &frozen, NOW).steps, vec![give_up("jobs-0-new", reason)]);
}

#[test]
fn a_worker_without_a_probe_recovers_by_staying_up() {
    let mut target = worker("jobs", 1);
    target.timing.readiness = Readiness::StaysUp(Duration::from_secs(1));
    let lost_for = |ms, container| {
        let jobs = with(instance("jobs", 0, "new", P::Unready), |it| {
            (it.kind, it.container, it.since) = (ComponentKind::Worker, container, Timestamp(NOW.0 - ms));
        });
        plan(std::slice::from_ref(&target), &there(vec![jobs]), NOW).steps
    };
    assert_eq!(lost_for(1_000, ContainerSeen::Running), vec![named(ready, "jobs-0-new")]);
    assert_eq!(lost_for(999, ContainerSeen::Running), vec![]);
    assert_eq!(lost_for(60_000, ContainerSeen::Restarting), vec![]);
}

#[test]
fn an_instance_that_failed_before_a_rollout_neither_blocks_nor_fails_it() {
    let ill = with(instance("api", 0, "new", P::Unready), |it| it.since = Timestamp(NOW.0 - 90_000));
    let targets = [wants("web", 1), wants("api", 1)];
    let status = |web, created_by_rollout: fn(&Instance) -> bool| {
        crate::plan::rollout_status_of(&targets, &there(vec![new(0, web), ill.clone()]), created_by_rollout, NOW)
    };
    let of_web = |it: &Instance| it.component.as_str() == "web";
    assert_eq!(status(P::Ready, of_web), RolloutStatus::Complete);
    assert_eq!(status(P::Starting, of_web), RolloutStatus::Progressing);
    assert_eq!(status(P::Ready, |_| true), RolloutStatus::Failed("api-0-new".into()));
}

#[test]
fn a_serving_instance_is_restored_after_accidents_and_manual_changes() {
    let web = || vec![wants("web", 1)];
    let seen = |container| there(vec![with(new(0, P::Ready), |it| it.container = container)]);
    let gone = || {
        let gone = |it: &mut Instance| (it.phase, it.container) = (P::Unready, ContainerSeen::Missing);
        there(vec![with(new(0, P::Ready), gone)])
    };
    let both = || vec![named(unready, "web-0-new"), named(revive, "web-0-new")];
    check(vec![
        case("stopped by hand", web(), seen(ContainerSeen::Exited { code: Some(0) }), both()),
        case("paused by hand", web(), seen(ContainerSeen::Paused), both()),
        case("disconnected by hand", web(), seen(ContainerSeen::Disconnected), both()),
        case(
            "crashed, the engine starts it again",
            web(),
            seen(ContainerSeen::Restarting),
            vec![named(unready, "web-0-new")],
        ),
        case(
            "removed by hand: out of the routes first",
            web(),
            seen(ContainerSeen::Missing),
            vec![named(unready, "web-0-new")],
        ),
        case(
            "its record stays while a table may name it: its address could be assigned again",
            web(),
            Observed { routes: Some(routes(&[("web", &["web-0-new"])])), ..gone() },
            vec![Step::Route { routes: Routes::new() }],
        ),
        case(
            "its record is deleted once unrouted, and its slot filled",
            web(),
            gone(),
            vec![named(remove, "web-0-new")],
        ),
        case(
            "its probe fails",
            web(),
            there(vec![with(new(0, P::Ready), |it| it.probe = ProbeSeen::Failing)]),
            vec![named(unready, "web-0-new")],
        ),
        case(
            "it recovers",
            web(),
            there(vec![with(new(0, P::Unready), |it| it.probe = ProbeSeen::Passing)]),
            vec![named(ready, "web-0-new")],
        ),
        case(
            "nothing is concluded from an engine's silence",
            web(),
            there(vec![with(new(0, P::Ready), |it| it.container = ContainerSeen::Unknown)]),
            vec![],
        ),
    ]);
}

#[test]
fn the_last_instance_stays_routed_though_its_probe_fails() {
    let failing = |slot| with(new(slot, P::Unready), |it| it.probe = ProbeSeen::Failing);
    let one_ready = there(vec![new(0, P::Ready), failing(1)]);
    assert_eq!(one_ready.routes, Some(routes(&[("web", &["web-0-new"])])));
    let none_ready = there(vec![failing(0), failing(1)]);
    assert_eq!(none_ready.routes, Some(routes(&[("web", &["web-0-new", "web-1-new"])])));
}

#[test]
fn an_instance_is_drained_then_stopped_then_removed() {
    let ago = |seconds: u64| Timestamp(NOW.0 - seconds * 1_000);
    let going = |phase, requests, upgraded, seconds| {
        with(old(0), |it| {
            (it.phase, it.since) = (phase, ago(seconds));
            it.open = Open { requests, upgraded };
        })
    };
    let beside = |it| there(vec![new(0, P::Ready), it]);
    let web = || vec![wants("web", 1)];
    let route = Step::Route { routes: routes(&[("web", &["web-0-new"])]) };
    let mut still_routed = beside(going(P::Draining, 0, 0, 0));
    still_routed.routes = Some(routes(&[("web", &["web-0-new", "web-0-old"])]));
    check(vec![
        case("the routes change first", web(), still_routed, vec![route]),
        case("open requests hold it", web(), beside(going(P::Draining, 1, 0, 59)), vec![]),
        case("not past its limit", web(), beside(going(P::Draining, 1, 0, 60)), vec![stop("web-0-old")]),
        case("nothing open: at once", web(), beside(going(P::Draining, 0, 0, 0)), vec![stop("web-0-old")]),
        case("websockets hold it", web(), beside(going(P::Draining, 0, 2, 14)), vec![]),
        case("but no longer than 15 s", web(), beside(going(P::Draining, 0, 2, 15)), vec![stop("web-0-old")]),
        case(
            "a stop cut short is done again in full",
            web(),
            beside(going(P::Stopping, 3, 0, 500)),
            vec![stop("web-0-old")],
        ),
        case(
            "stopped: removed",
            web(),
            beside(with(going(P::Stopped, 0, 0, 1), |it| it.container = ContainerSeen::Exited { code: None })),
            vec![named(remove, "web-0-old")],
        ),
    ]);
}

#[test]
fn a_drained_instance_is_stopped_after_the_engine_finishes_a_start() {
    let drained = |slot| with(old(slot), |it| it.phase = P::Draining);
    let web = || vec![wants("web", 2)];
    let mut staying_up = worker("jobs", 1);
    staying_up.timing.readiness = Readiness::StaysUp(Duration::from_secs(1));
    let working = instance("jobs", 0, "new", P::Starting);
    let busy = |it| with(it, |it| it.busy = true);
    let late = |it| with(it, |it| it.since = Timestamp(NOW.0 - 60_000));
    let beside = |going: Vec<Instance>| [vec![new(0, P::Ready), busy(new(1, P::Created))], going].concat();
    let all = (0..4).map(drained).collect();
    let api_ahead = || instance("api", 0, "new", P::Created);
    let api_old = || instance("api", 0, "old", P::Ready);
    check(vec![
        case("held while the next one starts", web(), there(beside(vec![drained(0)])), vec![]),
        case("not past its own limit", web(), there(beside(vec![late(drained(0))])), vec![stop("web-0-old")]),
        case(
            "not when too many are on their way out",
            web(),
            there(beside(all)),
            (0..4).map(|slot| stop(&format!("web-{slot}-old"))).collect(),
        ),
        case(
            "nor in the moment before the next one starts",
            vec![wants("web", 2), wants("api", 1)],
            there(vec![new(0, P::Ready), drained(0), new(1, P::Ready), busy(old(1)), api_ahead(), api_old()]),
            vec![],
        ),
        case(
            "not while a worker only has to stay up",
            vec![wants("web", 1), staying_up],
            there(vec![new(0, P::Ready), drained(0), working]),
            vec![stop("web-0-old")],
        ),
    ]);
}

#[test]
fn no_instance_is_stopped_before_the_ingress_answers() {
    let mut observed = there(vec![new(0, P::Ready), with(old(0), |it| it.phase = P::Draining)]);
    observed.routes = None;
    let plan_now = plan(&[wants("web", 1)], &observed, NOW);
    assert_eq!(plan_now.steps, vec![Step::Route { routes: routes(&[("web", &["web-0-new"])]) }]);
    assert!(plan_now.waiting.contains(&Waiting::ForIngress));
}

#[test]
fn at_most_four_drain_at_a_time() {
    let draining = |slot| {
        with(old(slot), |it| {
            it.phase = P::Draining;
            it.open.requests = 1;
        })
    };
    let mut instances: Vec<_> = (0..4).map(draining).collect();
    instances.extend((0..5).map(|slot| new(slot, P::Ready)));
    instances.push(old(4));
    let plan_now = plan(&[wants("web", 5)], &there(instances), NOW);
    assert_eq!(plan_now.steps, vec![]);
    assert!(plan_now.waiting.contains(&Waiting::ForRoomToDrain { draining: 4 }));
}

#[test]
fn a_failed_repair_is_retried_with_a_growing_delay() {
    use crate::observed::RetryBackoff;
    let waits = |failures, seconds_ago: u64| {
        let last = Timestamp(NOW.0 - seconds_ago * 1_000);
        let retry_backoffs =
            vec![RetryBackoff { component: "web".into(), slot: 0, failures, last, reason: "it crashed".into() }];
        plan(&[wants("web", 1)], &Observed { retry_backoffs, ..there(vec![]) }, NOW).steps.is_empty()
    };
    for (failures, pause) in [(1, 10), (2, 20), (3, 40), (5, 160), (6, 300), (60, 300)] {
        assert!(waits(failures, pause - 1), "{failures} failures: still waiting");
        assert!(!waits(failures, pause), "{failures} failures: tried again");
    }
}

#[test]
fn the_rollout_status_distinguishes_every_situation() {
    let web = [wants("web", 1)];
    let status = |observed: Observed| rollout_status(&web, &observed, NOW);
    assert_eq!(status(there(vec![new(0, P::Ready)])), RolloutStatus::Complete);
    assert_eq!(
        status(there(vec![new(0, P::Ready), with(old(0), |it| it.phase = P::Draining)])),
        RolloutStatus::Draining
    );
    assert_eq!(status(there(vec![new(0, P::Starting), old(0)])), RolloutStatus::Progressing);
    let mut unrouted = there(vec![new(0, P::Ready)]);
    unrouted.routes = Some(Routes::new());
    assert_eq!(status(unrouted), RolloutStatus::Progressing);
    let lost = with(new(0, P::Unready), |it| it.since = Timestamp(NOW.0 - 90_000));
    assert_eq!(status(there(vec![lost])), RolloutStatus::Failed("web-0-new".into()));
    assert_eq!(rollout_status(&[], &there(vec![]), NOW), RolloutStatus::Complete);
}

#[test]
fn waiting_messages_name_the_cause_and_the_remaining_time() {
    let drain = Waiting::ForDrain {
        component: "web".into(),
        slot: 0,
        instance: "x".into(),
        open: Open { requests: 2, upgraded: 0 },
        deadline: NOW.plus(Duration::from_secs(11)),
    };
    assert_eq!(drain.why(NOW), "waiting for web.0: 2 open requests, 11 s left");
}

#[test]
fn waiting_messages_use_the_terms_of_the_spec() {
    use crate::health::{ProbeFailure, ProbeFault};
    let refused =
        || Some(ProbeFailure { address: ([10, 0, 0, 5], 80).into(), request: None, fault: ProbeFault::Refused });
    let checked = with(new(0, P::Starting), |it| it.probe_failure = refused());
    let mut mill = worker("mill", 1);
    mill.timing.readiness = Readiness::StaysUp(Duration::from_secs(1));
    let starting = |component: &str| instance(component, 0, "new", P::Starting);
    let busy = |phase| with(new(0, phase), |it| it.busy = true);
    let cases = [
        (wants("web", 1), checked, "waiting for web.0 to pass its health check, 90 s left: 10.0.0.5:80 refused"),
        (mill, with(starting("mill"), |it| it.kind = ComponentKind::Worker), "waiting for mill.0 to stay up, 1 s left"),
        (
            wants("web", 1),
            with(new(0, P::Unready), |it| it.probe_failure = refused()),
            "waiting for web.0 to recover: 10.",
        ),
        (wants("web", 1), busy(P::Intended), "creating web.0"),
        (wants("web", 1), busy(P::Created), "starting web.0"),
        (wants("web", 1), busy(P::Stopping), "stopping web.0"),
        (wants("web", 1), busy(P::Stopped), "removing web.0"),
    ];
    for (target, instance, expected) in cases {
        let waiting = plan(&[target], &there(vec![instance]), NOW).waiting;
        let said: Vec<_> = waiting.iter().map(|it| it.why(NOW)).collect();
        assert!(said.iter().any(|it| it.starts_with(expected)), "{expected}: {said:?}");
    }
}

#[test]
fn the_reason_for_giving_up_includes_the_last_failed_check() {
    use crate::health::{ProbeFailure, ProbeFault};
    let check =
        ProbeFailure { address: ([10, 0, 0, 5], 80).into(), request: None, fault: ProbeFault::Status { code: 401 } };
    let late = with(new(0, P::Starting), |it| {
        it.since = Timestamp(NOW.0 - 90_000);
        it.probe_failure = Some(check.clone());
    });
    let steps = plan(&[wants("web", 1)], &there(vec![late]), NOW).steps;
    let reason = Reason::NotReady { within: Duration::from_secs(90), check: Some(check), process_limit: None };
    assert_eq!(steps, vec![give_up("web-0-new", reason.clone())]);
    assert_eq!(reason.to_string(), "did not pass its health check within 90 s: 10.0.0.5:80 answered with status 401");
}
