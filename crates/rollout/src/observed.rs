//! What is there: our records joined with what engine, probes and ingress report.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::health::ProbeFailure;
use crate::ids::{ComponentName, InstanceName, RevisionId};
use crate::instance::InstancePhase;
use crate::target::{ComponentKind, StopTimes};
use crate::time::Timestamp;

/// One look at an app's instances.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Every instance on record that is not removed yet.
    pub instances: Vec<Instance>,
    /// The routes that the ingress has acknowledged; `None` while it has not been heard of since we started.
    pub routes: Option<Routes>,
    /// Slots whose last tries to repair an instance failed.
    pub retry_backoffs: Vec<RetryBackoff>,
}

/// Which instances get a component's requests.
pub type Routes = BTreeMap<ComponentName, BTreeSet<InstanceName>>;

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its container's name.
    pub name: InstanceName,
    /// Whose instance it is.
    pub component: ComponentName,
    /// Only services are routed. Kept with the instance, since its component may be gone from the spec.
    pub kind: ComponentKind,
    /// Which of the component's instances, from 0.
    pub slot: u32,
    /// What it runs.
    pub revision: RevisionId,
    /// The restart generation it was made for.
    pub generation: u64,
    /// How long its drain and its stop may take.
    pub stop_times: StopTimes,
    /// Where it stands, as we wrote it down.
    pub phase: InstancePhase,
    /// When it got there.
    pub since: Timestamp,
    /// What the engine says.
    pub container: ContainerSeen,
    /// What the probe says.
    pub probe: ProbeSeen,
    /// Why its newest health check did not pass; `None` when it passed, or was not asked yet.
    pub probe_failure: Option<ProbeFailure>,
    /// Its open work, as the ingress counts it.
    pub open: Open,
    /// The engine will start it again by itself: it was promoted.
    pub kept_alive: bool,
    /// An act on it is under way: nothing else may be begun.
    pub busy: bool,
    /// The engine refused to create or start it, in its own words; trying again would not help.
    pub refused: Option<String>,
    /// The engine was asked to stop or remove it, and has not done it yet.
    pub stop_attempt: Option<StopAttempt>,
}

/// A stop or a removal that takes its time. Time in which the engine did not answer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopAttempt {
    /// When it was first asked for.
    pub since: Timestamp,
    /// When the newest try failed; `None` while the first one is under way.
    pub failed: Option<Timestamp>,
}

/// A container as the engine's list shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerSeen {
    /// The engine has no such container.
    Missing,
    /// Exists, was not started.
    Created,
    /// Runs.
    Running,
    /// Runs, but not at its address on the app's network: off the network, or at another address.
    Disconnected,
    /// Frozen by hand.
    Paused,
    /// Its process ended; the engine will not start it again by itself.
    Exited {
        /// Exit code, where the engine shows it.
        code: Option<i64>,
    },
    /// Its process ended and the engine is about to start it again.
    Restarting,
    /// The engine has not answered: nothing is known, nothing is concluded.
    Unknown,
}

/// The probe's verdict, thresholds applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbeSeen {
    /// No verdict yet.
    #[default]
    Unknown,
    /// Passes.
    Passing,
    /// Fails.
    Failing,
}

/// Open requests and upgraded connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Open {
    /// Requests whose answer is not whole.
    pub requests: u64,
    /// Upgraded connections (websockets).
    pub upgraded: u64,
}

/// A slot whose repair failed: tried again later, each time after a longer while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBackoff {
    /// The component.
    pub component: ComponentName,
    /// The slot.
    pub slot: u32,
    /// Failures in a row.
    pub failures: u32,
    /// When the last one was.
    pub last: Timestamp,
    /// Why, in one sentence.
    pub reason: String,
}

impl Observed {
    /// May still get requests. While the ingress has not been heard of, everything may: nothing is stopped on a guess.
    pub fn may_be_routed(&self, instance: &Instance) -> bool {
        self.routes.is_none() || self.is_acknowledged(instance)
    }

    /// In the routes that the ingress acknowledged.
    pub fn is_acknowledged(&self, instance: &Instance) -> bool {
        let routes = self.routes.as_ref();
        routes.and_then(|routes| routes.get(&instance.component)).is_some_and(|names| names.contains(&instance.name))
    }
}
