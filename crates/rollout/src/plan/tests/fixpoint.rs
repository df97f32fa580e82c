//! From any state, repeated planning and acting reaches the targets, and enough instances serve all the way.

use proptest::prelude::*;

use super::*;
use crate::observed::StopAttempt;
use crate::plan::{RolloutStatus, rollout_status};
use crate::simulate::{Turn, World};
use crate::target::DRAINING_AT_ONCE;

const COMPONENTS: [&str; 3] = ["web", "api", "jobs"];
/// More turns than any of these worlds needs; a plan that never settles fails the test at this limit.
const TURNS: usize = 2_000;

fn any_instance() -> impl Strategy<Value = Instance> {
    let phase = prop::sample::select(InstancePhase::ALL.to_vec());
    let container = prop_oneof![
        6 => Just(None),
        1 => Just(Some(ContainerSeen::Missing)),
        1 => Just(Some(ContainerSeen::Exited { code: Some(1) })),
        1 => Just(Some(ContainerSeen::Paused)),
        1 => Just(Some(ContainerSeen::Restarting)),
    ];
    let probe = prop::sample::select(vec![ProbeSeen::Unknown, ProbeSeen::Passing, ProbeSeen::Failing]);
    (0..COMPONENTS.len(), 0u32..4, 0usize..2, 0u64..3, phase, container, probe, any::<bool>(), 0u64..3).prop_map(
        |(component, slot, revision, generation, phase, container, probe, busy, requests)| {
            let mut it = instance(COMPONENTS[component], slot, ["old", "new"][revision], phase);
            it.kind = if component == 2 { ComponentKind::Worker } else { ComponentKind::Service };
            it.generation = generation;
            it.probe = probe;
            it.busy = busy;
            it.open.requests = requests;
            // Some stopping instances are stuck.
            if phase >= InstancePhase::Stopping && requests == 2 {
                it.stop_attempt = Some(StopAttempt { since: Timestamp(NOW.0 - 500_000), failed: Some(NOW) });
            }
            // A container that was never created cannot be in another state.
            if let Some(container) = container.filter(|_| phase > InstancePhase::Created) {
                it.container = container;
            }
            it
        },
    )
}

fn any_observed() -> impl Strategy<Value = Observed> {
    (prop::collection::vec(any_instance(), 0..12), any::<bool>(), any::<bool>()).prop_map(
        |(mut instances, acknowledged, all)| {
            for (index, it) in instances.iter_mut().enumerate() {
                it.name = format!("{}-{index}", it.name).as_str().into();
            }
            let mut observed = there(instances);
            if all {
                // The ingress still serves older routes, which may contain any recorded instance.
                let mut routes = Routes::new();
                for it in observed.instances.iter().filter(|it| it.kind == ComponentKind::Service) {
                    routes.entry(it.component.clone()).or_default().insert(it.name.clone());
                }
                observed.routes = Some(routes);
            }
            if !acknowledged {
                observed.routes = None;
            }
            observed
        },
    )
}

fn any_targets() -> impl Strategy<Value = Vec<Target>> {
    prop::collection::vec((0u32..4, 1u64..3, 0u64..2), 0..=3).prop_map(|wishes| {
        let of = |(index, (count, generation, below)): (usize, (u32, u64, u64))| {
            let make = if index == 2 { worker } else { wants };
            let min_generation = generation.saturating_sub(below);
            Target { generation, min_generation, ..make(COMPONENTS[index], count) }
        };
        wishes.into_iter().enumerate().map(of).collect()
    })
}

fn fits(targets: &[Target], instance: &Instance) -> bool {
    targets.iter().any(|it| it.component == instance.component && crate::plan::fits(it, instance))
}

fn serving(observed: &Observed, component: &str) -> usize {
    let serves = |it: &&Instance| it.component.as_str() == component && it.phase == InstancePhase::Ready;
    observed.instances.iter().filter(serves).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn every_world_settles_at_its_targets(observed in any_observed(), targets in any_targets()) {
        let mut world = World::new(observed, NOW);
        let mut turns = 0;
        while world.turn(&targets).is_some() {
            turns += 1;
            prop_assert!(turns < TURNS, "not settled: {:#?}", crate::plan::plan(&targets, &world.observed, world.now));
        }
        prop_assert_eq!(rollout_status(&targets, &world.observed, world.now), RolloutStatus::Complete);
    }

    /// No step reduces the number of ready instances below the target, or below the number before it if that was lower.
    #[test]
    fn no_planned_step_reduces_capacity(observed in any_observed(), targets in any_targets()) {
        let mut world = World::new(observed, NOW);
        for _ in 0..TURNS {
            let before: Vec<_> = targets.iter().map(|it| serving(&world.observed, it.component.as_str())).collect();
            let Some(turn) = world.turn(&targets) else { break };
            let Turn::Did(step) = turn else { continue };
            // These steps only record a loss that already happened.
            if matches!(step, Step::MarkUnready { .. } | Step::Remove { .. }) { continue }
            for (target, before) in targets.iter().zip(before) {
                let after = serving(&world.observed, target.component.as_str());
                prop_assert!(after >= before.min(target.count as usize), "{step:?} took {before} to {after}");
            }
        }
    }

    /// Routes contain only instances that passed a probe, and no routed instance is stopped or removed.
    #[test]
    fn no_instance_that_may_get_requests_is_stopped(observed in any_observed(), targets in any_targets()) {
        let mut world = World::new(observed, NOW);
        for _ in 0..TURNS {
            let seen = world.observed.clone();
            let Some(turn) = world.turn(&targets) else { break };
            match turn {
                Turn::Did(Step::Route { routes }) => {
                    for name in routes.values().flatten() {
                        let it = seen.instances.iter().find(|it| it.name == *name);
                        prop_assert!(it.is_some_and(|it| it.phase.has_served()), "{name} is routed and never was ready");
                    }
                }
                Turn::Did(Step::Stop { instance, .. }) => {
                    let it = seen.instances.iter().find(|it| it.name == instance).unwrap();
                    let out = it.phase == InstancePhase::Starting || it.phase == InstancePhase::Stopping;
                    prop_assert!(out || !seen.may_be_routed(it), "{instance} may still get requests");
                }
                _ => {}
            }
            let draining = world.observed.instances.iter().filter(|it| it.phase == InstancePhase::Draining).count();
            let before = seen.instances.iter().filter(|it| it.phase == InstancePhase::Draining).count();
            prop_assert!(draining <= before.max(DRAINING_AT_ONCE));
        }
    }

    /// A replacement of a serving instance does not start while another instance of its component starts before it.
    #[test]
    fn replacements_start_one_after_the_other(observed in any_observed(), targets in any_targets()) {
        let mut world = World::new(observed, NOW);
        for _ in 0..TURNS {
            let seen = world.observed.clone();
            let Some(turn) = world.turn(&targets) else { break };
            let Turn::Did(Step::Start { instance }) = turn else { continue };
            let started = seen.instances.iter().find(|it| it.name == instance).unwrap();
            let beside = || seen.instances.iter().filter(|it| it.component == started.component);
            let replaces = beside().any(|it| it.slot == started.slot && it.phase.has_served());
            let first = beside().filter(|it| fits(&targets, it) && it.phase.is_coming()).map(|it| it.slot).min();
            prop_assert!(!replaces || first >= Some(started.slot), "{instance} was started out of turn: {seen:#?}");
        }
    }

    /// A revision that never becomes ready does not affect serving instances: the old ones stay.
    #[test]
    fn a_broken_revision_leaves_the_old_instances_serving(count in 1u32..4, slots in 1u32..4) {
        let olds = (0..slots).map(|slot| instance("web", slot, "old", InstancePhase::Ready)).collect();
        let mut world = World::new(there(olds), NOW);
        world.broken.insert("new".into());
        for _ in 0..50 {
            world.turn(&[wants("web", count)]);
        }
        prop_assert!(!world.given_up.is_empty());
        prop_assert!(serving(&world.observed, "web") >= count.min(slots) as usize);
    }
}

#[test]
fn a_plan_for_a_thousand_instances_stays_small() {
    // This test does not measure time: the plan itself must stay small with any number of instances.
    let olds: Vec<_> = (0..1_000).map(|slot| instance("web", slot, "old", InstancePhase::Ready)).collect();
    let plan = crate::plan::plan(&[wants("web", 1_000)], &there(olds), NOW);
    assert_eq!(plan.steps, vec![add("web", 0)]);
}
