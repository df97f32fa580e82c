//! What happened to an instance during a deployment.

use rollout::ids::{ComponentName, DeploymentId, InstanceName, RevisionId};
use rollout::instance::InstancePhase;
use rollout::target::ComponentKind;
use rollout::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A transition of an instance. It stays on record after the instance is gone, as long as the deployment does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTransition {
    /// The deployment that was rolled out at that moment.
    pub deployment: DeploymentId,
    pub instance: InstanceName,
    pub component: ComponentName,
    pub kind: ComponentKind,
    pub slot: u32,
    pub revision: RevisionId,
    pub generation: u64,
    /// The deployment that created the instance.
    pub created_by: DeploymentId,
    pub transition: Transition,
    /// Since when the instance was in the phase in which this happened.
    pub since: Timestamp,
    pub at: Timestamp,
}

/// What can happen to an instance: it enters a phase, or one of three things that change no phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// The instance existed before the rollout began.
    Existed,
    Intended,
    Created,
    Starting,
    Ready,
    /// The ingress acknowledged a route table with the instance.
    Routed,
    Unready,
    Draining,
    Stopping,
    Stopped,
    /// The container was removed, or never created.
    Gone,
}

impl Transition {
    /// As the records and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Existed => "existed",
            Self::Intended => "intended",
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Routed => "routed",
            Self::Unready => "unready",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        }
    }
}

impl From<InstancePhase> for Transition {
    fn from(phase: InstancePhase) -> Self {
        match phase {
            InstancePhase::Intended => Self::Intended,
            InstancePhase::Created => Self::Created,
            InstancePhase::Starting => Self::Starting,
            InstancePhase::Ready => Self::Ready,
            InstancePhase::Unready => Self::Unready,
            InstancePhase::Draining => Self::Draining,
            InstancePhase::Stopping => Self::Stopping,
            InstancePhase::Stopped => Self::Stopped,
        }
    }
}
