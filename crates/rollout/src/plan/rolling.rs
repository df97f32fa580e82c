//! Replacing instances: the new one first, one at a time, never fewer than asked. While one starts, the container of the
//! next is made, so that it can start at once when its turn comes.

use super::{Plan, View};
use crate::instance::InstancePhase;
use crate::observed::{Instance, RetryBackoff};
use crate::step::{Step, Waiting};
use crate::target::{ComponentKind, DRAINING_AT_ONCE, FILLING_AT_ONCE, Target};
use crate::time::Timestamp;

/// Adds what is missing, lets go what has been replaced. Services in their order, then workers; a component is begun when
/// the one before it stands.
pub(super) fn replace(view: &View<'_>, plan: &mut Plan) {
    let mut room = DRAINING_AT_ONCE.saturating_sub(count_draining(view));
    for target in view.in_order() {
        let_go_replaced(view, target, &mut room, plan);
        if view.front == Some(&target.component) {
            add_missing(view, target, plan);
            make_next(view, plan);
            // A later component may lose what it no longer needs only after the earlier ones stand.
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

/// A component that is not wanted any more may have been renamed: until the new one's routes are acknowledged, it serves.
fn new_ones_are_routed(view: &View<'_>) -> bool {
    let mut services = view.observed.instances.iter().filter(|it| it.kind == ComponentKind::Service);
    services.all(|it| !view.is_current(it) || it.phase != InstancePhase::Ready || view.observed.is_acknowledged(it))
}

/// Comes before adding, so that the new routes gain one and lose one in the same table.
fn let_go_replaced<'a>(view: &View<'a>, target: &'a Target, room: &mut usize, plan: &mut Plan) {
    let instances = view.of(&target.component);
    let is_ready = |instance: &&&Instance| instance.phase == InstancePhase::Ready;
    let mut surplus = instances.iter().filter(is_ready).count().saturating_sub(target.count as usize);
    let all_are_ready =
        instances.iter().filter(is_ready).filter(|it| view.is_current(it)).count() >= target.count as usize;
    // Enough serves without it: its slot's successor is ready, or its slot is not wanted and all that are have one.
    let is_replaced = |old: &Instance| match old.slot < target.count {
        true => view.current_in(&target.component, old.slot).is_some_and(|it| it.phase == InstancePhase::Ready),
        false => all_are_ready,
    };
    for instance in instances.iter().filter(|instance| instance.phase.has_served() && !view.is_current(instance)) {
        // What is not ready takes no capacity with it when it goes.
        let cost = usize::from(instance.phase == InstancePhase::Ready);
        if !instance.busy && cost <= surplus && is_replaced(instance) {
            surplus -= cost;
            let_go(view, instance, room, plan);
        }
    }
}

/// Where something serves, one is replaced at a time; where nothing does, several may come up at once.
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

/// Makes the container that is to start after the one that starts now: that costs no time then, and nothing that serves
/// any capacity meanwhile.
fn make_next(view: &View<'_>, plan: &mut Plan) {
    let mut coming = view.observed.instances.iter().filter(|it| it.phase.is_coming() && view.is_current(it));
    let (Some(first), None) = (coming.next(), coming.next()) else { return };
    // Its own container comes first.
    let starts = first.phase == InstancePhase::Starting || first.phase == InstancePhase::Created && first.busy;
    if !starts || plan.steps.iter().any(|step| matches!(step, Step::Add { .. })) {
        return;
    }
    // Those before it in the order wait for a retry, and start when nothing else does.
    let slots = view.in_order().flat_map(|target| (0..target.count).map(move |slot| (target, slot)));
    let is_first = |target: &Target, slot| target.component == first.component && slot == first.slot;
    let after_it = slots.skip_while(|(target, slot)| !is_first(target, *slot)).skip(1);
    let mut empty = after_it.filter(|(target, slot)| view.current_in(&target.component, *slot).is_none());
    let Some((target, slot)) = empty.next() else { return };
    // What fills an empty place waits for its component's turn: it may come up beside others then.
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

/// A slot whose repair failed is tried again after 10 s, doubling to 5 min.
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
