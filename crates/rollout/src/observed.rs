//! The observed state: the controller's records joined with what the engine, the probes and the ingress report.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::health::ProbeFailure;
use crate::ids::{ComponentName, InstanceName, RevisionId};
use crate::instance::InstancePhase;
use crate::target::{ComponentKind, StopTimes};
use crate::time::Timestamp;

/// One snapshot of an app's instances.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Every recorded instance that is not removed yet.
    pub instances: Vec<Instance>,
    /// The routes that the ingress has acknowledged; `None` until the ingress answers for the first time after the
    /// controller starts.
    pub routes: Option<Routes>,
    /// Slots whose last attempts to repair an instance failed.
    pub retry_backoffs: Vec<RetryBackoff>,
}

/// The instances that receive each component's requests.
pub type Routes = BTreeMap<ComponentName, BTreeSet<InstanceName>>;

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The name of its container.
    pub name: InstanceName,
    /// The component that it belongs to.
    pub component: ComponentName,
    /// Only services are routed. Stored with the instance, because the spec may no longer contain the component.
    pub kind: ComponentKind,
    /// The slot of the component that it fills, from 0.
    pub slot: u32,
    /// What it runs.
    pub revision: RevisionId,
    /// The restart generation for which it was created.
    pub generation: u64,
    /// How long its drain and its stop may take.
    pub stop_times: StopTimes,
    /// Where it stands, as recorded.
    pub phase: InstancePhase,
    /// When it entered this phase.
    pub since: Timestamp,
    /// What the engine reports.
    pub container: ContainerSeen,
    /// What the probe reports.
    pub probe: ProbeSeen,
    /// Why the newest health check did not pass; `None` when it passed, or when no check ran yet.
    pub probe_failure: Option<ProbeFailure>,
    /// Its open requests and connections, as the ingress counts them.
    pub open: Open,
    /// The engine restarts it when its process ends: its restart policy is set.
    pub kept_alive: bool,
    /// An action on it is in progress: no other action may begin.
    pub busy: bool,
    /// The engine refused to create or start it, with the engine's message; another attempt would not help.
    pub refused: Option<String>,
    /// The engine was asked to stop or remove it and has not finished.
    pub stop_attempt: Option<StopAttempt>,
}

/// A stop or a removal that takes time. Time during which the engine does not answer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopAttempt {
    /// When the controller first asked for it.
    pub since: Timestamp,
    /// When the newest attempt failed; `None` while the first one is in progress.
    pub failed: Option<Timestamp>,
}

/// A container as the engine's list shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerSeen {
    /// The engine has no such container.
    Missing,
    /// Exists, and was not started.
    Created,
    /// Runs.
    Running,
    /// Runs, but without its address on the app's network: disconnected, or at another address.
    Disconnected,
    /// A person paused it.
    Paused,
    /// Its process ended; the engine will not restart it.
    Exited {
        /// Exit code, where the engine shows it.
        code: Option<i64>,
    },
    /// Its process ended, and the engine is about to restart it.
    Restarting,
    /// The engine has not answered. The planner concludes nothing from that.
    Unknown,
}

/// The probe's result, after thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbeSeen {
    /// No result yet.
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
    /// Requests whose response is not complete.
    pub requests: u64,
    /// Upgraded connections (websockets).
    pub upgraded: u64,
}

/// A slot whose repair failed. The planner tries again later, with a growing delay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBackoff {
    /// The component.
    pub component: ComponentName,
    /// The slot.
    pub slot: u32,
    /// Failures in a row.
    pub failures: u32,
    /// When the last failure happened.
    pub last: Timestamp,
    /// The cause, in one sentence.
    pub reason: String,
}

impl Observed {
    /// May still receive requests. Until the ingress answers, this is true of every instance, so that no routed
    /// instance is stopped on a guess.
    pub fn may_be_routed(&self, instance: &Instance) -> bool {
        self.routes.is_none() || self.is_acknowledged(instance)
    }

    /// The acknowledged routes contain it.
    pub fn is_acknowledged(&self, instance: &Instance) -> bool {
        let routes = self.routes.as_ref();
        routes.and_then(|routes| routes.get(&instance.component)).is_some_and(|names| names.contains(&instance.name))
    }
}
