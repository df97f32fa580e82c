//! One attempt to make a spec real: its stages, the phase that clients see, and why it failed. What each stage waits for
//! is in `next_move`.

mod next_move;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::ComponentName;

pub use next_move::{Facts, Move, Part, next_move};

/// Where a deployment stands. More detailed than [`Phase`], which clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Accepted; waits for earlier deployments.
    Pending,
    /// Fetches sources, builds or pulls images.
    Building,
    /// All images are ready; waits until no other deployment of the app is rolling.
    Built,
    /// Databases start, then PRE_DEPLOY jobs run. No serving instance has changed yet.
    Preparing,
    /// Instances are replaced.
    Rolling,
    /// POST_DEPLOY jobs run.
    Finishing,
    /// The deployment failed after it replaced instances: the controller restores the previous targets.
    RollingBack,
    /// Serves traffic.
    Active,
    /// A newer deployment replaced it, either while it served or while it waited.
    Superseded,
    /// Failed; the version that served before still serves.
    Failed,
    /// A person canceled it.
    Canceled,
}

/// Deployment phases, with the names that App Platform's clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the words are the clients' own")]
pub enum Phase {
    PendingBuild,
    Building,
    PendingDeploy,
    Deploying,
    Active,
    Superseded,
    Error,
    Canceled,
}

/// What can happen to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The deployment may begin.
    Begun,
    /// The deployment may begin, and it is a restart: it copies the targets in force, and builds and prepares nothing.
    RestartBegun,
    /// Every component has an image, and targets are frozen.
    ImagesReady,
    /// No other deployment of the app is rolling.
    RolloutFree,
    /// Databases answer and PRE_DEPLOY jobs have succeeded.
    Prepared,
    /// Every instance is ready and routed, and every replaced instance is gone.
    Rolled,
    /// POST_DEPLOY jobs have succeeded.
    Succeeded,
    /// Something failed. If no instance was replaced yet, there is nothing to roll back.
    Broke,
    /// A restart failed before it created a container.
    Refused,
    /// A person canceled a restart before it created a container.
    Withdrawn,
    /// The previous targets serve again.
    RolledBack,
    /// The previous targets cannot be restored: the instances that serve now stay.
    Abandoned,
    /// A person canceled the deployment.
    CancelAsked,
    /// A newer deployment took its place.
    Displaced,
}

/// An event that the stage does not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a deployment that is {from:?} cannot see {event:?}")]
pub struct IllegalMove {
    /// The stage.
    pub from: Stage,
    /// The event that was reported.
    pub event: Event,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Building,
        Self::Built,
        Self::Preparing,
        Self::Rolling,
        Self::Finishing,
        Self::RollingBack,
        Self::Active,
        Self::Superseded,
        Self::Failed,
        Self::Canceled,
    ];

    /// The stage after `event`. Errors: [`IllegalMove`] for every pair that is not listed here.
    pub fn next(self, event: Event) -> Result<Self, IllegalMove> {
        use Event as E;
        use Stage as S;
        match (self, event) {
            (S::Pending, E::Begun) => Ok(S::Building),
            // Older versions took restarts through the stages in between.
            (S::Pending | S::Building | S::Built | S::Preparing, E::RestartBegun) => Ok(S::Rolling),
            (S::Building, E::ImagesReady) => Ok(S::Built),
            (S::Built, E::RolloutFree) => Ok(S::Preparing),
            (S::Preparing, E::Prepared) => Ok(S::Rolling),
            (S::Rolling, E::Rolled) => Ok(S::Finishing),
            (S::Finishing, E::Succeeded) => Ok(S::Active),
            (S::Pending | S::Building | S::Built | S::Preparing, E::Broke) => Ok(S::Failed),
            (S::Rolling | S::Finishing, E::Broke | E::CancelAsked) => Ok(S::RollingBack),
            (S::Rolling, E::Refused) => Ok(S::Failed),
            (S::Rolling, E::Withdrawn) => Ok(S::Canceled),
            (S::RollingBack, E::RolledBack | E::Abandoned) => Ok(S::Failed),
            (S::Pending | S::Building | S::Built | S::Preparing, E::CancelAsked) => Ok(S::Canceled),
            // A person canceled it while it rolled, and the rollback is complete.
            (S::RollingBack, E::CancelAsked) => Ok(S::Canceled),
            (S::Pending | S::Active, E::Displaced) => Ok(S::Superseded),
            (from, event) => Err(IllegalMove { from, event }),
        }
    }

    /// Final: the deployment does no more work.
    pub fn is_ended(self) -> bool {
        self >= Self::Active
    }

    /// Uses the app's builder.
    pub fn builds(self) -> bool {
        matches!(self, Self::Building)
    }

    /// Controls the app's instances: no other deployment of the app may roll.
    pub fn rolls(self) -> bool {
        matches!(self, Self::Preparing | Self::Rolling | Self::Finishing | Self::RollingBack)
    }

    /// The phase that clients see.
    pub fn phase(self) -> Phase {
        match self {
            Self::Pending => Phase::PendingBuild,
            Self::Building => Phase::Building,
            Self::Built => Phase::PendingDeploy,
            Self::Preparing | Self::Rolling | Self::Finishing | Self::RollingBack => Phase::Deploying,
            Self::Active => Phase::Active,
            Self::Superseded => Phase::Superseded,
            Self::Failed => Phase::Error,
            Self::Canceled => Phase::Canceled,
        }
    }
}

impl Phase {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingBuild => "PENDING_BUILD",
            Self::Building => "BUILDING",
            Self::PendingDeploy => "PENDING_DEPLOY",
            Self::Deploying => "DEPLOYING",
            Self::Active => "ACTIVE",
            Self::Superseded => "SUPERSEDED",
            Self::Error => "ERROR",
            Self::Canceled => "CANCELED",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a deployment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The component that failed, if the failure concerns one.
    pub component: Option<ComponentName>,
    /// A short code for programs, as App Platform's reasons have one.
    pub code: String,
    /// A sentence for people: what happened, what still serves, and what to do.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 14] = [
        Event::Begun,
        Event::RestartBegun,
        Event::ImagesReady,
        Event::RolloutFree,
        Event::Prepared,
        Event::Rolled,
        Event::Succeeded,
        Event::Broke,
        Event::Refused,
        Event::Withdrawn,
        Event::RolledBack,
        Event::Abandoned,
        Event::CancelAsked,
        Event::Displaced,
    ];

    #[test]
    fn stages_only_move_forward_and_final_stages_stay() {
        for from in Stage::ALL {
            for event in EVENTS {
                let Ok(to) = from.next(event) else { continue };
                assert!(to > from, "{from:?} --{event:?}--> {to:?}");
                assert!(!from.is_ended() || (from, to) == (Stage::Active, Stage::Superseded), "{from:?} moved");
            }
        }
    }

    #[test]
    fn every_open_stage_can_fail_and_only_those_that_replaced_instances_roll_back() {
        for from in Stage::ALL.into_iter().filter(|it| !it.is_ended() && *it != Stage::RollingBack) {
            let expected = if from >= Stage::Rolling { Stage::RollingBack } else { Stage::Failed };
            assert_eq!(from.next(Event::Broke), Ok(expected));
        }
    }
}
