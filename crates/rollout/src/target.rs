//! What is wanted of an app's services and workers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ComponentName, RevisionId};
use crate::queue::Restart;

/// What is wanted of one component: frozen with the deployment that wanted it, so that a restart can copy it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The component.
    pub component: ComponentName,
    /// Services are routed and roll before workers.
    pub kind: ComponentKind,
    /// How many instances.
    pub count: u32,
    /// What they run.
    pub revision: RevisionId,
    /// The restart generation given to new instances.
    pub generation: u64,
    /// Instances of this generation or a later one count as current. It is below `generation` only after a restart
    /// failed half-way: what was replaced stays, and so does what was not.
    pub min_generation: u64,
    /// Waits and limits of the revision.
    pub timing: Timing,
}

impl Target {
    /// Whether an instance of the component that runs this, of that generation, is what is wanted.
    pub fn wants(&self, revision: &RevisionId, generation: u64) -> bool {
        self.revision == *revision && generation >= self.min_generation
    }
}

/// The targets of a restart: those in force, with the chosen components to be replaced by copies of `generation`.
pub fn restarted(in_force: &[Target], restart: &Restart, generation: u64) -> Vec<Target> {
    let mut targets = in_force.to_vec();
    for target in targets.iter_mut().filter(|it| restart.names(&it.component)) {
        (target.generation, target.min_generation) = (generation, generation);
    }
    targets
}

/// The two kinds that have instances which serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// Gets requests.
    Service,
    /// Gets none.
    Worker,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// When a new instance counts as ready.
    pub readiness: Readiness,
    /// From its start to its first passed probe, at most.
    pub ready_within: Duration,
    /// For open requests of a draining instance. Default 60 s (`termination.drain_seconds`).
    pub drain: Duration,
    /// From TERM to KILL. Default 120 s (`termination.grace_period_seconds`).
    pub grace: Duration,
}

/// What makes a started instance ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// A probe from outside has to pass.
    Probe,
    /// The process has to stay up this long.
    StaysUp(Duration),
}

/// How long an instance may take to leave: fixed when the instance is made, so that no later change of the spec, and no
/// removal of its component, takes it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopTimes {
    /// For its open requests, from the moment when no new request reaches it.
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
    /// The times that an instance keeps for its way out.
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

/// Upgraded connections (websockets) hold a drain no longer than this: 15 s; they are open-ended by nature.
pub const UPGRADED_DRAIN: Duration = Duration::from_secs(15);

/// So many instances may drain while replacing goes on: 4; each holds its memory meanwhile.
pub const DRAINING_AT_ONCE: usize = 4;

/// So many instances may come up at once where nothing serves yet: 4, so that a small host is not swamped.
pub const FILLING_AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::wants;

    #[test]
    fn a_restart_raises_the_generation_of_what_it_names_and_nothing_else() {
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
