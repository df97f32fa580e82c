//! The targets of an app's services and workers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ComponentName, RevisionId};
use crate::queue::Restart;

/// What one component should run. The deployment that creates a target freezes it, so that a restart can copy it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The component.
    pub component: ComponentName,
    /// Services are routed and roll before workers.
    pub kind: ComponentKind,
    /// Number of instances.
    pub count: u32,
    /// What they run.
    pub revision: RevisionId,
    /// The restart generation of new instances.
    pub generation: u64,
    /// Instances of this generation or a later one count as current. It is lower than `generation` only after a restart
    /// failed half-way: then both replaced and unreplaced instances stay.
    pub min_generation: u64,
    /// Timeouts and waits of the revision.
    pub timing: Timing,
}

impl Target {
    /// Whether an instance with this revision and generation matches the target.
    pub fn wants(&self, revision: &RevisionId, generation: u64) -> bool {
        self.revision == *revision && generation >= self.min_generation
    }

    /// Whether an instance with this revision and generation was created for the target. A later restart raises the
    /// generation, and its instances match the target, but were not created for it.
    pub fn created(&self, revision: &RevisionId, generation: u64) -> bool {
        self.wants(revision, generation) && generation <= self.generation
    }
}

/// The targets of a restart: those in force, where the chosen components get the new `generation`.
pub fn restarted(in_force: &[Target], restart: &Restart, generation: u64) -> Vec<Target> {
    let mut targets = in_force.to_vec();
    for target in targets.iter_mut().filter(|it| restart.names(&it.component)) {
        (target.generation, target.min_generation) = (generation, generation);
    }
    targets
}

/// The order in which a deployment replaces instances: services as in the spec, then workers.
pub fn rolling_order(targets: &[Target]) -> impl Iterator<Item = &Target> {
    let of = |kind: ComponentKind| targets.iter().filter(move |target| target.kind == kind);
    of(ComponentKind::Service).chain(of(ComponentKind::Worker))
}

/// The two kinds of components with serving instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// Receives requests.
    Service,
    /// Receives no requests.
    Worker,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// When a new instance counts as ready.
    pub readiness: Readiness,
    /// The longest time from an instance's start to its first passed probe.
    pub ready_within: Duration,
    /// Time limit for the open requests of a draining instance. Default 60 s (`termination.drain_seconds`).
    pub drain: Duration,
    /// From TERM to KILL. Default 120 s (`termination.grace_period_seconds`).
    pub grace: Duration,
}

/// What makes a started instance ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// A probe by the controller has to pass.
    Probe,
    /// The process has to stay up this long.
    StaysUp(Duration),
}

/// How long an instance may take to drain and stop. Fixed when the instance is created, so that neither a later spec
/// change nor removal of its component changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopTimes {
    /// Time limit for open requests, from the moment when no new request reaches the instance.
    pub drain: Duration,
    /// From the stop signal to KILL.
    pub grace: Duration,
}

impl Default for StopTimes {
    fn default() -> Self {
        Timing::default().stop_times()
    }
}

impl Timing {
    /// The stop times that a new instance gets.
    pub fn stop_times(&self) -> StopTimes {
        StopTimes { drain: self.drain, grace: self.grace }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            readiness: Readiness::Probe,
            ready_within: Duration::from_secs(90),
            drain: Duration::from_secs(60),
            grace: Duration::from_secs(120),
        }
    }
}

/// Upgraded connections (websockets) delay a drain by at most 15 s, because they may stay open without end.
pub const UPGRADED_DRAIN: Duration = Duration::from_secs(15);

/// How many instances may drain while replacing continues: 4, because each holds its memory meanwhile.
pub const DRAINING_AT_ONCE: usize = 4;

/// How many instances may start at once where none serves yet: 4, so that a small host is not overloaded.
pub const FILLING_AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::wants;

    #[test]
    fn instances_of_later_restarts_and_other_revisions_were_not_created_for_a_target() {
        let target = Target { generation: 5, min_generation: 3, ..wants("web", 2) };
        let (same, other) = (target.revision.clone(), RevisionId::new("other"));
        let created = |revision: &RevisionId| (2..=6).filter(|it| target.created(revision, *it)).collect::<Vec<_>>();
        assert_eq!(created(&same), [3, 4, 5]);
        assert_eq!(created(&other), Vec::<u64>::new());
        assert!(target.wants(&same, 6), "it serves in its place");
    }

    #[test]
    fn a_restart_raises_the_generation_of_the_named_components_only() {
        let in_force = [wants("web", 2), wants("api", 1)];
        let generations = |restart: &Restart| -> Vec<_> {
            restarted(&in_force, restart, 7).iter().map(|it| (it.generation, it.min_generation)).collect()
        };
        assert_eq!(generations(&Restart::All), [(7, 7), (7, 7)]);
        assert_eq!(generations(&Restart::Only(["api".into()].into())), [(1, 1), (7, 7)]);
        let kept = restarted(&in_force, &Restart::All, 7).into_iter().map(|it| (it.component, it.count, it.revision));
        assert!(kept.eq(in_force.iter().cloned().map(|it| (it.component, it.count, it.revision))));
    }
}
