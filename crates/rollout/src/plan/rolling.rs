//! Replaces instances: the new one starts first, one at a time, and capacity never falls below the target. While one
//! instance starts, the engine creates the container of the next one, so that it can start without delay.

use super::{Plan, View};
use crate::instance::InstancePhase;
use crate::observed::{Instance, RetryBackoff};
use crate::step::{Step, Waiting};
use crate::target::{ComponentKind, DRAINING_AT_ONCE, FILLING_AT_ONCE, Target};
use crate::time::Timestamp;

/// Adds missing instances and drains replaced ones: services in their order, then workers; a component begins when
/// the one before it is complete.
pub(super) fn replace(view: &View<'_>, plan: &mut Plan) {
    let mut room = DRAINING_AT_ONCE.saturating_sub(count_draining(view));
    for target in view.in_order() {
        let_go_replaced(view, target, &mut room, plan);
        if view.first_incomplete == Some(&target.component) {
            add_missing(view, target, plan);
            make_next(view, plan);
            // A later component may lose instances only after all earlier components are complete.
            return;
        }
    }
    if new_ones_are_routed(view) {
        for instance in view.observed.instances.iter().filter(|instance| view.target_of(instance).is_none()) {
            if instance.phase.has_served() && !instance.busy {
                let_go(view, instance, &mut room, plan);
            }
        }
    }
}

/// A person may have renamed a component that is no longer wanted: it serves until the ingress acknowledges the routes
/// of the new one.
fn new_ones_are_routed(view: &View<'_>) -> bool {
    let mut services = view.observed.instances.iter().filter(|it| it.kind == ComponentKind::Service);
    services.all(|it| !view.is_current(it) || it.phase != InstancePhase::Ready || view.observed.is_acknowledged(it))
}

/// Runs before `add_missing`, so that one update of the routes both adds the new instance and removes the old one.
fn let_go_replaced<'a>(view: &View<'a>, target: &'a Target, room: &mut usize, plan: &mut Plan) {
    let instances = view.of(&target.component);
    let is_ready = |instance: &&&Instance| instance.phase == InstancePhase::Ready;
    let mut surplus = instances.iter().filter(is_ready).count().saturating_sub(target.count as usize);
    let all_are_ready =
        instances.iter().filter(is_ready).filter(|it| view.is_current(it)).count() >= target.count as usize;
    // Enough instances serve without it: its slot has a ready successor, or its slot is not wanted and every wanted
    // slot has one.
    let is_replaced = |old: &Instance| match old.slot < target.count {
        true => view.current_in(&target.component, old.slot).is_some_and(|it| it.phase == InstancePhase::Ready),
        false => all_are_ready,
    };
    for instance in instances.iter().filter(|instance| instance.phase.has_served() && !view.is_current(instance)) {
        // Draining an instance that is not ready costs no capacity.
        let cost = usize::from(instance.phase == InstancePhase::Ready);
        if !instance.busy && cost <= surplus && is_replaced(instance) {
            surplus -= cost;
            let_go(view, instance, room, plan);
        }
    }
}

/// Where an instance serves, the planner replaces one at a time; where none serves, several may start at once.
fn add_missing<'a>(view: &View<'a>, target: &'a Target, plan: &mut Plan) {
    let mut coming = view.of(&target.component).iter().filter(|instance| instance.phase.is_coming()).count();
    for slot in 0..target.count {
        let at_once = if view.is_served(&target.component, slot) { 1 } else { FILLING_AT_ONCE };
        if view.current_in(&target.component, slot).is_none() && coming < at_once && may_try(view, target, slot, plan) {
            coming += 1;
            plan.steps.push(add(target, slot));
        }
    }
}

/// Creates the container that starts after the current one. That saves time later, and costs the serving instances no
/// capacity.
fn make_next(view: &View<'_>, plan: &mut Plan) {
    let mut coming = view.observed.instances.iter().filter(|it| it.phase.is_coming() && view.is_current(it));
    let (Some(first), None) = (coming.next(), coming.next()) else { return };
    // Create the current instance's container first.
    let starts = first.phase == InstancePhase::Starting || first.phase == InstancePhase::Created && first.busy;
    if !starts || plan.steps.iter().any(|step| matches!(step, Step::Add { .. })) {
        return;
    }
    // Slots before it in the order wait for a retry, and start when no other instance does.
    let slots = view.in_order().flat_map(|target| (0..target.count).map(move |slot| (target, slot)));
    let is_first = |target: &Target, slot| target.component == first.component && slot == first.slot;
    let after_it = slots.skip_while(|(target, slot)| !is_first(target, *slot)).skip(1);
    let mut empty = after_it.filter(|(target, slot)| view.current_in(&target.component, *slot).is_none());
    let Some((target, slot)) = empty.next() else { return };
    // An empty slot waits for its component, since several empty slots may then start at once.
    if view.is_served(&target.component, slot) && may_try(view, target, slot, plan) {
        plan.steps.push(add(target, slot));
    }
}

fn add(target: &Target, slot: u32) -> Step {
    Step::Add {
        component: target.component.clone(),
        slot,
        revision: target.revision.clone(),
        generation: target.generation,
    }
}

/// The planner retries a slot whose repair failed after 10 s, doubling the delay up to 5 min.
fn may_try(view: &View<'_>, target: &Target, slot: u32, plan: &mut Plan) -> bool {
    let backoff = view.observed.retry_backoffs.iter().find(|it| it.component == target.component && it.slot == slot);
    match backoff.map(|it| (it.try_again_at(), &it.reason)) {
        Some((at, reason)) if view.now < at => {
            let (component, reason) = (target.component.clone(), reason.clone());
            plan.waiting.push(Waiting::ForRetry { component, slot, at, reason });
            false
        }
        _ => true,
    }
}

impl RetryBackoff {
    fn try_again_at(&self) -> Timestamp {
        let doublings = self.failures.saturating_sub(1).min(5);
        self.last.plus(std::time::Duration::from_secs((10u64 << doublings).min(300)))
    }
}

fn let_go(view: &View<'_>, instance: &Instance, room: &mut usize, plan: &mut Plan) {
    if *room > 0 {
        *room -= 1;
        plan.steps.push(Step::Drain { instance: instance.name.clone() });
    } else {
        plan.waiting.push(Waiting::ForRoomToDrain { draining: count_draining(view) });
    }
}

fn count_draining(view: &View<'_>) -> usize {
    let going = |instance: &&Instance| matches!(instance.phase, InstancePhase::Draining | InstancePhase::Stopping);
    view.observed.instances.iter().filter(going).count()
}
