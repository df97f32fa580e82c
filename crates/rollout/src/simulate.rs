//! A model in which every step succeeds. It shows where a plan leads without touching anything.
//!
//! `--dry-run` prints its journal; the planner's tests run it from random states until it settles.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::{InstanceName, RevisionId};
use crate::instance::{InstanceEvent, InstancePhase};
use crate::observed::{ContainerSeen, Instance, Observed, Open, ProbeSeen, RetryBackoff};
use crate::plan::{Plan, plan};
use crate::step::Step;
use crate::target::Target;
use crate::time::Timestamp;

/// The model.
#[derive(Debug, Clone)]
pub struct World {
    /// The simulated state.
    pub observed: Observed,
    /// The model's clock; it advances only when no step can be done.
    pub now: Timestamp,
    /// Revisions whose instances never pass a probe.
    pub broken: BTreeSet<RevisionId>,
    /// Instances that the plan gave up.
    pub given_up: Vec<InstanceName>,
    made: u64,
}

impl World {
    /// A world that starts from this state.
    pub fn new(observed: Observed, now: Timestamp) -> Self {
        Self { observed, now, broken: BTreeSet::new(), given_up: Vec::new(), made: 0 }
    }

    /// Does the next step, or advances the clock until something changes. `None`: the world has settled.
    pub fn turn(&mut self, targets: &[Target]) -> Option<Turn> {
        let plan = plan(targets, &self.observed, self.now);
        if let Some(step) = plan.next().cloned() {
            self.apply(targets, &step);
            return Some(Turn::Did(step));
        }
        (!plan.is_settled()).then(|| {
            self.pass_time(&plan);
            Turn::Waited(plan)
        })
    }

    /// Takes turns until the world settles or `limit` turns have passed. Returns the steps.
    pub fn settle(&mut self, targets: &[Target], limit: usize) -> Vec<Step> {
        let turns = std::iter::from_fn(|| self.turn(targets)).take(limit);
        turns.filter_map(|turn| if let Turn::Did(step) = turn { Some(step) } else { None }).collect()
    }

    /// Applies one step, which always succeeds.
    pub fn apply(&mut self, targets: &[Target], step: &Step) {
        match step {
            Step::Add { .. } => self.add(targets, step),
            Step::Route { routes } => self.observed.routes = Some(routes.clone()),
            Step::GiveUp { instance, .. } => {
                self.set_back(instance);
                self.given_up.push(instance.clone());
                let runs = |it: &Instance| it.container == ContainerSeen::Running;
                self.observed.instances.retain(|it| it.name != *instance || runs(it));
                self.with(instance, |it| it.phase = InstancePhase::Stopping);
            }
            Step::Remove { instance } => self.observed.instances.retain(|it| it.name != *instance),
            Step::Create { instance } => self.change(instance, ContainerSeen::Created, Some(InstanceEvent::Created)),
            Step::Start { instance } => self.change(instance, ContainerSeen::Running, Some(InstanceEvent::Started)),
            Step::MarkReady { instance } => self.change(instance, ContainerSeen::Running, Some(InstanceEvent::Passed)),
            Step::MarkUnready { instance } => self.move_on(instance, InstanceEvent::Lost),
            Step::Drain { instance } => self.move_on(instance, InstanceEvent::DrainBegan),
            Step::Revive { instance } => self.change(instance, ContainerSeen::Running, None),
            Step::KeepAlive { instance } => self.with(instance, |it| it.kept_alive = true),
            Step::Stop { instance, .. } => {
                self.with(instance, |it| (it.phase, it.stop_attempt) = (InstancePhase::Stopped, None));
                self.change(instance, ContainerSeen::Exited { code: Some(0) }, None);
            }
        }
    }

    fn add(&mut self, targets: &[Target], step: &Step) {
        let Step::Add { component, slot, revision, generation } = step else { return };
        let target = targets
            .iter()
            .find(|target| target.component == *component)
            .expect("the planner adds instances only for targets");
        self.made += 1;
        self.observed.instances.push(Instance {
            name: InstanceName::new(format!("{component}-{slot}-new{}", self.made)),
            component: component.clone(),
            kind: target.kind,
            slot: *slot,
            revision: revision.clone(),
            generation: *generation,
            stop_times: target.timing.stop_times(),
            phase: InstancePhase::Created,
            since: self.now,
            container: ContainerSeen::Created,
            probe: ProbeSeen::Unknown,
            probe_failure: None,
            open: Open::default(),
            kept_alive: false,
            busy: false,
            refused: None,
            stop_attempt: None,
        });
    }

    fn change(&mut self, name: &InstanceName, seen: ContainerSeen, event: Option<InstanceEvent>) {
        self.with(name, |it| it.container = seen);
        if let Some(event) = event {
            self.move_on(name, event);
        }
    }

    fn move_on(&mut self, name: &InstanceName, event: InstanceEvent) {
        let now = self.now;
        self.with(name, |it| {
            it.phase = it.phase.next(event).expect("the planner plans only legal moves");
            it.since = now;
        });
    }

    fn with(&mut self, name: &InstanceName, change: impl FnOnce(&mut Instance)) {
        if let Some(instance) = self.observed.instances.iter_mut().find(|it| it.name == *name) {
            change(instance);
        }
    }

    fn set_back(&mut self, name: &InstanceName) {
        let Some(instance) = self.observed.instances.iter().find(|it| it.name == *name) else { return };
        let (component, slot, last) = (instance.component.clone(), instance.slot, self.now);
        match self.observed.retry_backoffs.iter_mut().find(|it| it.component == component && it.slot == slot) {
            Some(backoff) => (backoff.failures, backoff.last) = (backoff.failures + 1, last),
            None => self.observed.retry_backoffs.push(RetryBackoff {
                component,
                slot,
                failures: 1,
                last,
                reason: String::new(),
            }),
        }
    }

    /// Probes report, requests end, and the clock advances to the plan's next time to look.
    fn pass_time(&mut self, plan: &Plan) {
        let later = plan.look_again_at().unwrap_or(self.now);
        self.now = later.max(self.now.plus(Duration::from_millis(1)));
        for instance in &mut self.observed.instances {
            instance.busy = false;
            instance.open = Open::default();
            if instance.container == ContainerSeen::Restarting {
                instance.container = ContainerSeen::Running;
            }
            if instance.container == ContainerSeen::Running {
                let broken = self.broken.contains(&instance.revision) && instance.phase.is_coming();
                instance.probe = if broken { ProbeSeen::Failing } else { ProbeSeen::Passing };
            }
        }
    }
}

/// What happened in one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// A step was done.
    Did(Step),
    /// Time passed under this plan.
    Waited(Plan),
}
