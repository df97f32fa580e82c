//! From targets and observed state to the next steps.
//!
//! Every turn makes a new plan. All of its steps may begin now, and their order is the order in which to begin them.
//! The plan leaves out steps that cannot begin yet; `waiting` holds the reasons.

mod drain;
mod instances;
mod rolling;
mod routes;
mod stuck;
#[cfg(test)]
pub(crate) mod tests;

pub use routes::{new_rules_count, wanted as wanted_routes};
pub use stuck::stuck;

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ComponentName, InstanceName};
use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Instance, Observed};
use crate::step::{Step, Waiting};
use crate::target::{ComponentKind, Target, rolling_order};
use crate::time::Timestamp;

/// What to do now, and why not more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Steps to begin now, in this order.
    pub steps: Vec<Step>,
    /// Why the remaining steps wait.
    pub waiting: Vec<Waiting>,
}

impl Plan {
    /// The step to do next.
    pub fn next(&self) -> Option<&Step> {
        self.steps.first()
    }

    /// Nothing to do and nothing to wait for: exactly the wanted instances and routes exist.
    pub fn is_settled(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_empty()
    }

    /// When to plan again if no news arrives.
    pub fn look_again_at(&self) -> Option<Timestamp> {
        self.waiting.iter().filter_map(Waiting::until).min()
    }
}

/// The steps that bring an app's instances and routes to `targets`: services in their order, then workers. Empty
/// `targets` means that no instance may remain. Runs in linear time apart from sorting.
pub fn plan(targets: &[Target], observed: &Observed, now: Timestamp) -> Plan {
    let stuck = stuck::stuck(observed, now);
    let observed = &*stuck::without(observed, &stuck);
    let view = View::new(targets, observed, now);
    let mut plan = Plan::default();
    if observed.instances.iter().any(|instance| instance.container == ContainerSeen::Unknown) {
        plan.waiting.push(Waiting::ForEngine);
        return plan;
    }
    instances::advance(&view, &mut plan);
    routes::align(&view, &mut plan);
    drain::advance(&view, &mut plan);
    rolling::replace(&view, &mut plan);
    stuck::try_again(&stuck, now, &mut plan);
    plan
}

/// How far the instances are from the targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutStatus {
    /// Every wanted instance is ready, routed and restarted by the engine when it ends. No other instance is left,
    /// except stuck ones.
    Complete,
    /// Every wanted instance is ready and routed; replaced instances are still leaving.
    Draining,
    /// A wanted instance is not ready yet.
    Progressing,
    /// An instance of the new targets served, stopped serving, and did not recover in the time that a new instance
    /// gets.
    Failed(InstanceName),
}

/// Progress of the instances towards `targets`: what a deployment waits for.
pub fn rollout_status(targets: &[Target], observed: &Observed, now: Timestamp) -> RolloutStatus {
    rollout_status_of(targets, observed, |_| true, now)
}

/// Like [`rollout_status`], for a rollout that created only the instances for which `created_by_rollout` returns true.
/// If another instance served before and fails, the planner repairs it: the rollout neither waits for it nor fails because
/// of it.
pub fn rollout_status_of(
    targets: &[Target],
    observed: &Observed,
    created_by_rollout: impl Fn(&Instance) -> bool,
    now: Timestamp,
) -> RolloutStatus {
    let observed = &*stuck::without(observed, &stuck::stuck(observed, now));
    let is_left_out = |it: &Instance| it.phase == InstancePhase::Unready && !created_by_rollout(it);
    let view = View::new(targets, observed, now);
    let mut ready = 0;
    for instance in observed.instances.iter().filter(|instance| view.is_current(instance)) {
        let target = view.target_of(instance).expect("a current instance has a target");
        match instance.phase {
            InstancePhase::Ready if target.kind == ComponentKind::Worker || observed.is_acknowledged(instance) => {
                ready += 1
            }
            InstancePhase::Unready if is_left_out(instance) => ready += 1,
            InstancePhase::Unready if now >= instance.since.plus(target.timing.ready_within) => {
                return RolloutStatus::Failed(instance.name.clone());
            }
            _ => {}
        }
    }
    let wanted: usize = targets.iter().map(|target| target.count as usize).sum();
    let others = observed.instances.len() > wanted || observed.routes.is_none();
    let settled = observed.instances.iter().all(|it| it.kept_alive && !it.busy || is_left_out(it));
    match (ready == wanted, others || !settled) {
        (true, false) => RolloutStatus::Complete,
        (true, true) => RolloutStatus::Draining,
        (false, _) => RolloutStatus::Progressing,
    }
}

/// One slot of a component.
type Slot<'a> = (&'a ComponentName, u32);

/// Input that all parts of the planner share, grouped once.
struct View<'a> {
    targets: &'a [Target],
    observed: &'a Observed,
    now: Timestamp,
    by_component: BTreeMap<&'a ComponentName, Vec<&'a Instance>>,
    target_by_component: BTreeMap<&'a ComponentName, &'a Target>,
    /// The instance that fills each wanted slot, or is about to fill it.
    keepers: BTreeMap<Slot<'a>, &'a Instance>,
    /// Slots with an instance that serves or has served.
    served: BTreeSet<Slot<'a>>,
    /// The first component, in rolling order, whose rollout is not complete.
    first_incomplete: Option<&'a ComponentName>,
}

impl<'a> View<'a> {
    fn new(targets: &'a [Target], observed: &'a Observed, now: Timestamp) -> Self {
        let target_by_component: BTreeMap<_, _> = targets.iter().map(|target| (&target.component, target)).collect();
        let mut by_component: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut keepers: BTreeMap<Slot<'a>, &Instance> = BTreeMap::new();
        let mut served = BTreeSet::new();
        for instance in &observed.instances {
            let slot = (&instance.component, instance.slot);
            by_component.entry(&instance.component).or_default().push(instance);
            if instance.phase.has_served() {
                served.insert(slot);
            }
            if target_by_component.get(&instance.component).is_some_and(|target| fits(target, instance)) {
                let place = keepers.entry(slot).or_insert(instance);
                if worth(instance) > worth(place) {
                    *place = instance;
                }
            }
        }
        let mut view =
            Self { targets, observed, now, by_component, target_by_component, keepers, served, first_incomplete: None };
        view.first_incomplete =
            view.in_order().find(|target| !view.is_rolled_out(target)).map(|target| &target.component);
        view
    }

    fn in_order(&self) -> impl Iterator<Item = &'a Target> + use<'a> {
        rolling_order(self.targets)
    }

    /// Every slot has an up-to-date instance that serves, or served and is being repaired. All older instances are
    /// draining.
    fn is_rolled_out(&self, target: &Target) -> bool {
        let served = || self.of(&target.component).iter().filter(|instance| instance.phase.has_served());
        let current = served().filter(|instance| self.is_current(instance)).count();
        current == target.count as usize && served().count() == current
    }

    /// The target of an instance's component, if the spec still has the component.
    fn target_of(&self, instance: &Instance) -> Option<&'a Target> {
        self.target_by_component.get(&instance.component).copied()
    }

    /// The instances of a component.
    fn of(&self, component: &ComponentName) -> &[&'a Instance] {
        self.by_component.get(component).map_or(&[], Vec::as_slice)
    }

    /// The instance that fills a wanted slot, or is about to fill it.
    fn current_in(&self, component: &'a ComponentName, slot: u32) -> Option<&'a Instance> {
        self.keepers.get(&(component, slot)).copied()
    }

    /// Fills a wanted slot with the wanted revision, or is about to.
    fn is_current(&self, instance: &Instance) -> bool {
        self.keepers.get(&(&instance.component, instance.slot)).is_some_and(|keeper| keeper.name == instance.name)
    }

    /// An instance in this slot serves or has served.
    fn is_served(&self, component: &ComponentName, slot: u32) -> bool {
        self.served.contains(&(component, slot))
    }

    /// The instance replaces a serving one, and another instance must start first.
    fn is_ahead(&self, instance: &Instance) -> bool {
        let comes_before = |it: &&Instance| it.phase.is_coming() && it.slot < instance.slot && self.is_current(it);
        self.is_served(&instance.component, instance.slot)
            && (self.first_incomplete != Some(&instance.component)
                || self.of(&instance.component).iter().any(comes_before))
    }
}

fn fits(target: &Target, instance: &Instance) -> bool {
    instance.phase.is_alive() && target.wants(&instance.revision, instance.generation) && instance.slot < target.count
}

/// Rank of an instance that fits a slot; the highest one stays. A ready instance wins, then the later phase, then the
/// higher generation.
fn worth(instance: &Instance) -> (bool, InstancePhase, u64) {
    (instance.phase == InstancePhase::Ready, instance.phase, instance.generation)
}
