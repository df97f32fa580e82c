//! How instances leave: unrouted, drained, stopped, removed.

use super::{Plan, View};
use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Instance};
use crate::step::{Step, Waiting};
use crate::target::{DRAINING_AT_ONCE, Readiness, Target, UPGRADED_DRAIN};
use crate::time::Timestamp;

/// Plans the next step, if it is due, for every instance that leaves.
pub(super) fn advance(view: &View<'_>, plan: &mut Plan) {
    let going = view.observed.instances.iter().filter(|instance| !instance.phase.is_alive()).count();
    let hold_stops = going < DRAINING_AT_ONCE && is_starting_one(view);
    for instance in view.observed.instances.iter().filter(|instance| !instance.phase.is_alive() && !instance.busy) {
        let name = instance.name.clone();
        let gone = matches!(instance.container, ContainerSeen::Missing | ContainerSeen::Exited { .. });
        match instance.phase {
            // After a restart of the controller, an interrupted stop begins again with its full grace.
            InstancePhase::Stopping if !gone => {
                plan.steps.push(Step::Stop { instance: name, grace: instance.stop_times.grace })
            }
            InstancePhase::Stopping | InstancePhase::Stopped => remove(view, instance, plan),
            _ if view.observed.may_be_routed(instance) => {}
            _ if gone => remove(view, instance, plan),
            _ => drain(view, instance, hold_stops, plan),
        }
    }
}

/// Another instance may get the address afterwards, so no route may contain it any more.
fn remove(view: &View<'_>, instance: &Instance, plan: &mut Plan) {
    if !view.observed.may_be_routed(instance) {
        plan.steps.push(Step::Remove { instance: instance.name.clone() });
    }
}

/// Whether the engine starts, or is about to start, an instance that the rollout waits for. A component without a
/// health check only has to stay up for a while: that needs no work of the engine, and neither does the next instance,
/// which waits for it.
fn is_starting_one(view: &View<'_>) -> bool {
    let coming = || view.observed.instances.iter().filter(|instance| instance.phase.is_coming());
    let stays_up = |target: &Target| matches!(target.timing.readiness, Readiness::StaysUp(_));
    let only_stays_up = |it: &Instance| it.phase == InstancePhase::Starting && view.target_of(it).is_some_and(stays_up);
    let one_stays_up = coming().any(only_stays_up);
    let waits = |it: &Instance| one_stays_up && it.phase == InstancePhase::Created && !it.busy && view.is_ahead(it);
    coming().any(|it| !only_stays_up(it) && !waits(it))
}

/// Delays a stop while a start is in progress, so that the new instance serves sooner. It never delays a stop beyond
/// the drain deadline.
fn drain(view: &View<'_>, instance: &Instance, hold_stops: bool, plan: &mut Plan) {
    let deadline = drained_at(instance);
    let is_empty = instance.open.requests == 0 && instance.open.upgraded == 0;
    if view.now < deadline && is_empty && hold_stops {
        let (component, slot) = (instance.component.clone(), instance.slot);
        plan.waiting.push(Waiting::ForQuiet { component, slot });
    } else if view.now >= deadline || is_empty {
        plan.steps.push(Step::Stop { instance: instance.name.clone(), grace: instance.stop_times.grace });
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

/// Requests get the full limit. When only upgraded connections are left, their shorter limit applies.
fn drained_at(instance: &Instance) -> Timestamp {
    let limit = instance.stop_times.drain;
    let limit = if instance.open.requests == 0 { limit.min(UPGRADED_DRAIN) } else { limit };
    instance.since.plus(limit)
}
