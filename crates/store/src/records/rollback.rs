//! Rollbacks of an app to an earlier deployment, and their reverts.

use std::collections::BTreeMap;

use rollout::ids::{ComponentName, DeploymentId};
use serde::{Deserialize, Serialize};

use super::Image;

/// A return of the app to what served earlier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppRollback {
    pub action: RollbackAction,
    /// What it returns to. `None`: the versions that serve stay, because the rollback that is reverted never began.
    pub to: Option<ServedVersion>,
    /// The deployment's spec served together with exactly these images. So no job runs, and databases stay as they are.
    pub is_exact: bool,
    /// For a rollback: what a revert returns to. `None` if a newer spec was merged into it.
    pub before: Option<BeforeRollback>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackAction {
    Rollback,
    Revert,
}

/// Images that served together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServedVersion {
    /// The deployment that brought them.
    pub deployment: DeploymentId,
    /// The number of that deployment.
    pub number: u64,
    /// By component, each with its origin.
    pub images: BTreeMap<ComponentName, Image>,
}

/// An app before its rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeforeRollback {
    /// The newest spec, with secrets as `EV[…]`.
    pub spec: serde_json::Value,
    /// What served when the rollback began.
    pub version: ServedVersion,
    /// The spec served together with these images.
    pub is_exact: bool,
}
