//! The way out: unrouted, drained, stopped, removed.

use super::{Plan, View};
use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Instance};
use crate::step::{Step, Waiting};
use crate::target::{Target, UPGRADED_DRAIN};
use crate::time::Timestamp;

/// Takes every instance on its way out one step further, if it may go.
pub(super) fn go_on(view: &View<'_>, plan: &mut Plan) {
    for instance in view.observed.instances.iter().filter(|instance| !instance.phase.is_alive() && !instance.busy) {
        let name = instance.name.clone();
        let gone = matches!(instance.container, ContainerSeen::Missing | ContainerSeen::Exited { .. });
        match instance.phase {
            // A stop is a stop with its full grace, however often we were killed in the middle of it.
            InstancePhase::Stopping if !gone => {
                plan.steps.push(Step::Stop { instance: name, grace: grace(view, instance) })
            }
            InstancePhase::Stopping | InstancePhase::Stopped => remove(view, instance, plan),
            _ if view.observed.may_be_routed(instance) => {}
            _ if gone => remove(view, instance, plan),
            _ => drain(view, instance, plan),
        }
    }
}

/// Its address may be given again afterwards, so nothing may point at it any more.
fn remove(view: &View<'_>, instance: &Instance, plan: &mut Plan) {
    if !view.observed.may_be_routed(instance) {
        plan.steps.push(Step::Remove { instance: instance.name.clone() });
    }
}

fn drain(view: &View<'_>, instance: &Instance, plan: &mut Plan) {
    let limit = view.target_of(instance).map_or(Target::DRAIN, |target| target.timing.drain);
    let deadline = drained_at(instance, limit);
    if view.now >= deadline || (instance.open.requests == 0 && instance.open.upgraded == 0) {
        plan.steps.push(Step::Stop { instance: instance.name.clone(), grace: grace(view, instance) });
    } else {
        plan.waiting.push(Waiting::ForDrain {
            component: instance.component.clone(),
            slot: instance.slot,
            instance: instance.name.clone(),
            open: instance.open,
            deadline,
        });
    }
}

/// Requests get the whole limit; when only upgraded connections are left, theirs is shorter.
fn drained_at(instance: &Instance, limit: std::time::Duration) -> Timestamp {
    let limit = if instance.open.requests == 0 { limit.min(UPGRADED_DRAIN) } else { limit };
    instance.since.plus(limit)
}

fn grace(view: &View<'_>, instance: &Instance) -> std::time::Duration {
    view.target_of(instance).map_or(Target::GRACE, |target| target.timing.grace)
}
