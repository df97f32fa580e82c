//! A container that does not end holds nobody up.

use super::*;
use crate::observed::Ending;
use crate::plan::{Standing, plan, standing, stuck};
use crate::step::Waiting;
use crate::target::DRAINING_AT_ONCE;

const SECOND: u64 = 1_000;

/// Asked to go so many seconds ago; the newest try failed so many seconds ago.
fn ending(name: &str, phase: InstancePhase, since: u64, failed: Option<u64>) -> Instance {
    let ago = |seconds: u64| Timestamp(NOW.0 - seconds * SECOND);
    Instance {
        name: name.into(),
        ending: Some(Ending { since: ago(since), failed: failed.map(ago) }),
        ..instance("web", 0, "old", phase)
    }
}

fn serves() -> Instance {
    instance("web", 0, "new", InstancePhase::Ready)
}

#[test]
fn a_rollout_waits_for_a_stop_no_longer_than_its_grace_and_thirty_seconds() {
    for (phase, since, expected) in [
        (InstancePhase::Stopping, 149, Standing::Serving),
        (InstancePhase::Stopping, 150, Standing::Done),
        (InstancePhase::Stopped, 59, Standing::Serving),
        (InstancePhase::Stopped, 60, Standing::Done),
    ] {
        for busy in [false, true] {
            let observed = there(vec![serves(), Instance { busy, ..ending("web-x", phase, since, None) }]);
            assert_eq!(standing(&[wants("web", 1)], &observed, NOW), expected, "{phase:?} for {since} s, busy {busy}");
            let told: Vec<_> = stuck(&[wants("web", 1)], &observed, NOW).into_iter().map(|it| &it.name).collect();
            assert_eq!(told.is_empty(), expected == Standing::Serving);
        }
    }
}

#[test]
fn what_is_stuck_is_asked_again_after_as_long_as_it_has_been_stuck() {
    // Abandoned after 150 s, the newest try failed just now.
    for (since, rests) in [(151, 10), (165, 15), (250, 100), (900, 300)] {
        let observed = there(vec![serves(), ending("web-x", InstancePhase::Stopping, since, Some(0))]);
        let seen = |at: Timestamp| plan(&[wants("web", 1)], &observed, at);
        let again_at = Timestamp(NOW.0 + rests * SECOND);
        let before = seen(Timestamp(again_at.0 - 1));
        assert_eq!(before.steps, [], "{since}");
        let (component, instance) = ("web".into(), "web-x".into());
        assert_eq!(before.waiting, [Waiting::ForStuck { component, slot: 0, instance, again_at: Some(again_at) }]);
        assert_eq!(before.look_again_at(), Some(again_at));
        assert_eq!(seen(again_at).steps, [stop("web-x")], "{since}");
    }
}

#[test]
fn a_process_that_ended_after_all_is_removed() {
    let gone = Instance {
        container: ContainerSeen::Exited { code: None },
        ..ending("web-x", InstancePhase::Stopping, 500, Some(400))
    };
    let observed = there(vec![serves(), gone]);
    assert_eq!(plan(&[wants("web", 1)], &observed, NOW).steps, [Step::Remove { instance: "web-x".into() }]);
}

#[test]
fn a_try_under_way_is_not_begun_again() {
    let busy = Instance { busy: true, ..ending("web-x", InstancePhase::Stopping, 500, Some(400)) };
    let plan = plan(&[wants("web", 1)], &there(vec![serves(), busy]), NOW);
    assert_eq!((plan.steps.len(), plan.look_again_at()), (0, None));
}

#[test]
fn what_is_stuck_takes_no_room_from_what_drains_nor_does_silence_about_it_stop_the_others() {
    let of = |at| Instance {
        container: ContainerSeen::Unknown,
        ..ending(&format!("web-x{at}"), InstancePhase::Stopping, 500, Some(1))
    };
    let mut instances: Vec<_> = (0..DRAINING_AT_ONCE).map(of).collect();
    instances.extend([serves(), instance("web", 0, "old", InstancePhase::Ready)]);
    assert_eq!(plan(&[wants("web", 1)], &there(instances), NOW).steps, [drain("web-0-old")]);
}
