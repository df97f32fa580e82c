//! Stuck instances: the engine was asked to stop or remove them and cannot. Rollouts do not wait for them, and the
//! planner asks the engine again from time to time.

use std::borrow::Cow;
use std::time::Duration;

use super::Plan;
use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Instance, Observed, StopAttempt};
use crate::step::{Step, Waiting};
use crate::time::Timestamp;

/// How long a stop may take beyond its grace before the instance counts as stuck.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// How long a removal may take before the instance counts as stuck: 60 s, because a slow disk needs time to delete a
/// file system.
const REMOVED_WITHIN: Duration = Duration::from_secs(60);
/// Shortest and longest pause between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Stuck instances. Neither a rollout nor a slot waits for them.
pub fn stuck(observed: &Observed, now: Timestamp) -> Vec<&Instance> {
    observed.instances.iter().filter(|it| abandoned_at(it).is_some_and(|at| now >= at)).collect()
}

/// The observed state without stuck instances.
pub(super) fn without<'a>(observed: &'a Observed, stuck: &[&Instance]) -> Cow<'a, Observed> {
    if stuck.is_empty() {
        return Cow::Borrowed(observed);
    }
    let mut rest = observed.clone();
    rest.instances.retain(|it| stuck.iter().all(|stuck| stuck.name != it.name));
    Cow::Owned(rest)
}

/// Asks the engine again, with a growing pause between attempts.
pub(super) fn try_again(stuck: &[&Instance], now: Timestamp, plan: &mut Plan) {
    for instance in stuck {
        let next = next_try(instance).filter(|at| now < *at);
        if next.is_some() || instance.busy {
            let (component, slot) = (instance.component.clone(), instance.slot);
            plan.waiting.push(Waiting::ForStuck { component, slot, instance: instance.name.clone(), again_at: next });
            continue;
        }
        let name = instance.name.clone();
        let gone = matches!(instance.container, ContainerSeen::Missing | ContainerSeen::Exited { .. });
        plan.steps.push(match instance.phase {
            InstancePhase::Stopping if !gone => Step::Stop { instance: name, grace: instance.stop_times.grace },
            _ => Step::Remove { instance: name },
        });
    }
}

fn abandoned_at(instance: &Instance) -> Option<Timestamp> {
    let StopAttempt { since, .. } = instance.stop_attempt?;
    Some(since.plus(match instance.phase {
        InstancePhase::Stopping => instance.stop_times.grace + STOPPED_WITHIN,
        _ => REMOVED_WITHIN,
    }))
}

/// The pause is as long as the instance has been stuck so far.
fn next_try(instance: &Instance) -> Option<Timestamp> {
    let failed = instance.stop_attempt?.failed?;
    let rest = failed.since(abandoned_at(instance)?);
    Some(failed.plus(rest.clamp(PAUSE.0, PAUSE.1)))
}
