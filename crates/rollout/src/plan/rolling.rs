//! Replacing instances: the new one first, one at a time, never fewer than asked.

use super::{Plan, View};
use crate::instance::InstancePhase;
use crate::observed::{Instance, Setback};
use crate::step::{Step, Waiting};
use crate::target::{ComponentKind, DRAINING_AT_ONCE, FILLING_AT_ONCE, Target};
use crate::time::Timestamp;

/// Adds what is missing, lets go what has been replaced. Services in their order, then workers; a component is begun when
/// the one before it stands.
pub(super) fn replace(view: &View<'_>, plan: &mut Plan) {
    let mut room = DRAINING_AT_ONCE.saturating_sub(count_draining(view));
    for target in in_order(view.targets) {
        let stands = replace_component(view, target, &mut room, plan);
        if !stands {
            // A later component may lose what it no longer needs only after the earlier ones stand.
            return;
        }
    }
    for instance in view.observed.instances.iter().filter(|instance| view.target_of(instance).is_none()) {
        if instance.phase.has_served() && !instance.busy {
            let_go(view, instance, &mut room, plan);
        }
    }
}

/// Services as written, then workers.
fn in_order(targets: &[Target]) -> impl Iterator<Item = &Target> {
    let of = |kind: ComponentKind| targets.iter().filter(move |target| target.kind == kind);
    of(ComponentKind::Service).chain(of(ComponentKind::Worker))
}

/// Returns whether the component stands: every slot has a current instance that serves, and what it replaces is told to
/// go. Letting go comes first, so that the new routes gain one and lose one in the same table.
fn replace_component(view: &View<'_>, target: &Target, room: &mut usize, plan: &mut Plan) -> bool {
    let instances = view.of(&target.component);
    let mut stands = true;
    let ready = instances.iter().filter(|instance| instance.phase == InstancePhase::Ready).count();
    let mut surplus = ready.saturating_sub(target.count as usize);
    for instance in instances.iter().filter(|instance| instance.phase.has_served() && !view.is_current(instance)) {
        stands = false;
        // What is not ready takes no capacity with it when it goes.
        let cost = usize::from(instance.phase == InstancePhase::Ready);
        if !instance.busy && cost <= surplus && is_replaced(view, target, instance) {
            surplus -= cost;
            let_go(view, instance, room, plan);
        }
    }
    let mut coming = instances.iter().filter(|instance| instance.phase.is_coming()).count();
    for slot in 0..target.count {
        let in_slot = || instances.iter().filter(move |instance| instance.slot == slot);
        match in_slot().find(|instance| view.is_current(instance)) {
            // One that served and fails is repaired on its own, and holds up nobody's rollout.
            Some(current) if current.phase.has_served() => {}
            Some(_) => stands = false,
            None => {
                stands = false;
                // Where something serves, one is replaced at a time; where nothing does, several may come up at once.
                let served = in_slot().any(|instance| instance.phase.has_served());
                if coming < if served { 1 } else { FILLING_AT_ONCE } && may_try(view, target, slot, plan) {
                    coming += 1;
                    plan.steps.push(add(target, slot));
                }
            }
        }
    }
    stands
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
    let setback = view.observed.setbacks.iter().find(|it| it.component == target.component && it.slot == slot);
    match setback.map(Setback::try_again_at) {
        Some(at) if view.now < at => {
            plan.waiting.push(Waiting::ForRetry { component: target.component.clone(), slot, at });
            false
        }
        _ => true,
    }
}

impl Setback {
    fn try_again_at(&self) -> Timestamp {
        let doublings = self.failures.saturating_sub(1).min(5);
        self.last.plus(std::time::Duration::from_secs((10u64 << doublings).min(300)))
    }
}

/// Enough serves without it: its own slot's successor is ready, or its slot is not wanted any more and all that are
/// wanted have one.
fn is_replaced(view: &View<'_>, target: &Target, old: &Instance) -> bool {
    let mut ready =
        view.of(&target.component).iter().filter(|it| view.is_current(it) && it.phase == InstancePhase::Ready);
    if old.slot < target.count { ready.any(|it| it.slot == old.slot) } else { ready.count() >= target.count as usize }
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
