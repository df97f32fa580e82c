//! Rollouts do not wait for a container that does not end.

use super::*;
use crate::observed::StopAttempt;
use crate::plan::{RolloutStatus, plan, rollout_status, stuck};
use crate::step::Waiting;
use crate::target::DRAINING_AT_ONCE;

const SECOND: u64 = 1_000;

/// An instance that the controller began to stop `since` seconds ago, with the newest attempt failed `failed` seconds
/// ago.
fn being_stopped(name: &str, phase: InstancePhase, since: u64, failed: Option<u64>) -> Instance {
    let ago = |seconds: u64| Timestamp(NOW.0 - seconds * SECOND);
    Instance {
        name: name.into(),
        stop_attempt: Some(StopAttempt { since: ago(since), failed: failed.map(ago) }),
        ..instance("web", 0, "old", phase)
    }
}

fn serves() -> Instance {
    instance("web", 0, "new", InstancePhase::Ready)
}

#[test]
fn a_rollout_waits_for_a_stop_at_most_its_grace_plus_thirty_seconds() {
    for (phase, since, expected) in [
        (InstancePhase::Stopping, 149, RolloutStatus::Draining),
        (InstancePhase::Stopping, 150, RolloutStatus::Complete),
        (InstancePhase::Stopped, 59, RolloutStatus::Draining),
        (InstancePhase::Stopped, 60, RolloutStatus::Complete),
    ] {
        for busy in [false, true] {
            let observed = there(vec![serves(), Instance { busy, ..being_stopped("web-x", phase, since, None) }]);
            assert_eq!(
                rollout_status(&[wants("web", 1)], &observed, NOW),
                expected,
                "{phase:?} for {since} s, busy {busy}"
            );
            let stuck: Vec<_> = stuck(&observed, NOW).into_iter().map(|it| &it.name).collect();
            assert_eq!(stuck.is_empty(), expected == RolloutStatus::Draining);
        }
    }
}

#[test]
fn a_rollout_waits_longer_for_an_instance_with_a_longer_grace() {
    let mut slow = being_stopped("web-x", InstancePhase::Stopping, 629, None);
    slow.stop_times.grace = Duration::from_secs(600);
    assert_eq!(rollout_status(&[wants("web", 1)], &there(vec![serves(), slow.clone()]), NOW), RolloutStatus::Draining);
    slow.stop_times.grace = Duration::from_secs(599);
    assert_eq!(rollout_status(&[wants("web", 1)], &there(vec![serves(), slow]), NOW), RolloutStatus::Complete);
}

#[test]
fn the_pause_before_the_next_stop_is_as_long_as_the_instance_has_been_stuck() {
    // Stuck after 150 s; the newest attempt failed just now.
    for (since, rests) in [(151, 10), (165, 15), (250, 100), (900, 300)] {
        let observed = there(vec![serves(), being_stopped("web-x", InstancePhase::Stopping, since, Some(0))]);
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
fn a_stuck_instance_is_removed_once_its_process_ends() {
    let gone = Instance {
        container: ContainerSeen::Exited { code: None },
        ..being_stopped("web-x", InstancePhase::Stopping, 500, Some(400))
    };
    let observed = there(vec![serves(), gone]);
    assert_eq!(plan(&[wants("web", 1)], &observed, NOW).steps, [Step::Remove { instance: "web-x".into() }]);
}

#[test]
fn an_attempt_in_progress_is_not_started_again() {
    let busy = Instance { busy: true, ..being_stopped("web-x", InstancePhase::Stopping, 500, Some(400)) };
    let plan = plan(&[wants("web", 1)], &there(vec![serves(), busy]), NOW);
    assert_eq!((plan.steps.len(), plan.look_again_at()), (0, None));
}

#[test]
fn stuck_instances_neither_count_as_draining_nor_block_others_when_their_state_is_unknown() {
    let of = |at| Instance {
        container: ContainerSeen::Unknown,
        ..being_stopped(&format!("web-x{at}"), InstancePhase::Stopping, 500, Some(1))
    };
    let mut instances: Vec<_> = (0..DRAINING_AT_ONCE).map(of).collect();
    instances.extend([serves(), instance("web", 0, "old", InstancePhase::Ready)]);
    assert_eq!(plan(&[wants("web", 1)], &there(instances), NOW).steps, [drain("web-0-old")]);
}
