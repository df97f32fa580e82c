//! The way out: unrouted, drained, stopped, removed.

use super::{Plan, View};
use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Instance};
use crate::step::{Step, Waiting};
use crate::target::{DRAINING_AT_ONCE, Readiness, Target, UPGRADED_DRAIN};
use crate::time::Timestamp;

/// Takes every instance on its way out one step further, if it may go.
pub(super) fn go_on(view: &View<'_>, plan: &mut Plan) {
    let going = view.observed.instances.iter().filter(|instance| !instance.phase.is_alive()).count();
    let hold_stops = going < DRAINING_AT_ONCE && is_starting_one(view);
    for instance in view.observed.instances.iter().filter(|instance| !instance.phase.is_alive() && !instance.busy) {
        let name = instance.name.clone();
        let gone = matches!(instance.container, ContainerSeen::Missing | ContainerSeen::Exited { .. });
        match instance.phase {
            // A stop is a stop with its full grace, however often we were killed in the middle of it.
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

/// Its address may be given again afterwards, so nothing may point at it any more.
fn remove(view: &View<'_>, instance: &Instance, plan: &mut Plan) {
    if !view.observed.may_be_routed(instance) {
        plan.steps.push(Step::Remove { instance: instance.name.clone() });
    }
}

/// The engine is at work on an instance that people wait for, or about to be. One that only has to stay up for a while
/// leaves the engine alone meanwhile, and so does the next, which waits for it.
fn is_starting_one(view: &View<'_>) -> bool {
    let coming = || view.observed.instances.iter().filter(|instance| instance.phase.is_coming());
    let stays_up = |target: &Target| matches!(target.timing.readiness, Readiness::StaysUp(_));
    let only_stays_up = |it: &Instance| it.phase == InstancePhase::Starting && view.target_of(it).is_some_and(stays_up);
    let one_stays_up = coming().any(only_stays_up);
    let waits = |it: &Instance| one_stays_up && it.phase == InstancePhase::Created && !it.busy && view.is_ahead(it);
    coming().any(|it| !only_stays_up(it) && !waits(it))
}

/// A stop is held back while a start is under way, so that what is new serves sooner; never past the drain's own limit.
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

/// Requests get the whole limit; when only upgraded connections are left, theirs is shorter.
fn drained_at(instance: &Instance) -> Timestamp {
    let limit = instance.stop_times.drain;
    let limit = if instance.open.requests == 0 { limit.min(UPGRADED_DRAIN) } else { limit };
    instance.since.plus(limit)
}
