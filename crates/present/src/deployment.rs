//! A human-readable view of a deployment.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::progress::{Progress, Status};
use crate::record::Record;
use crate::time;

/// The fields of a deployment that Boatyard shows to users. App Platform's clients get more fields from the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// The id.
    pub id: String,
    /// App Platform's phase: `BUILDING`.
    pub phase: String,
    /// Why it was started: "app spec updated".
    #[serde(default)]
    pub cause: String,
    /// When it was accepted.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
    /// When its phase last changed.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub phase_last_updated_at: Option<DateTime<Utc>>,
    /// The tree of steps.
    #[serde(default)]
    pub progress: Progress,
    /// What Boatyard adds to App Platform's fields.
    #[serde(default)]
    pub boatyard: DeploymentDetails,
}

/// What Boatyard adds to App Platform's fields of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentDetails {
    /// 1, 2, 3 … within the app.
    pub number: u64,
    /// Boatyard's stage, finer than the phase: `rolling_back`.
    pub stage: String,
    /// `deploy`, `restart`, `rebuild`, `rollback` or `revert`.
    pub kind: String,
    /// The rollout failed and the previous version was restored, or is being restored.
    pub rolled_back: bool,
    /// What it waits for, one sentence each.
    pub waiting: Vec<String>,
    /// What happened during the rollout.
    pub record: Record,
    /// Images by component.
    pub images: BTreeMap<String, Image>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The last log lines of the instance or job that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
    /// Id of the deployment that replaced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// Name of the token of the request that started it: `admin`, or that of a created token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Image of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// The engine's id.
    pub id: String,
    /// The tag under which the engine keeps it.
    pub reference: String,
    /// Commit of the source; null for a prebuilt image.
    pub commit: Option<String>,
    /// Whether it was built for this deployment rather than reused.
    pub built: bool,
    /// A human-readable sentence.
    pub note: String,
}

/// Why a deployment failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The component that failed, if one did.
    pub component: Option<String>,
    /// Machine-readable code: `BuildFailed`.
    pub code: String,
    /// Human-readable message: what happened, what still serves, and what to do.
    pub message: String,
}

impl Deployment {
    /// Whether it has ended, successfully or not.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "ACTIVE" | "SUPERSEDED" | "ERROR" | "CANCELED")
    }

    /// When its last step ended, or it reached its last phase without steps; `None` while it is in progress. A deployment
    /// that served until another one replaced it ended when it began to serve.
    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        let last_step = self.progress.leaves().into_iter().filter_map(|it| it.ended).max();
        last_step.or(self.phase_last_updated_at).filter(|_| self.has_ended())
    }

    /// How long it took, in milliseconds; `None` while it is in progress.
    pub fn took(&self) -> Option<i64> {
        Some((self.ended_at()? - self.created_at?).num_milliseconds().max(0))
    }

    /// Why it was started, and by which created token: "app spec updated, by ci". The admin token is not mentioned.
    pub fn cause_with_token(&self) -> String {
        match self.boatyard.token.as_deref().filter(|name| *name != "admin") {
            Some(name) => format!("{}, by {name}", self.cause),
            None => self.cause.clone(),
        }
    }

    /// Whether it became active, even if a newer deployment is active now.
    pub fn has_served(&self) -> bool {
        let leaves = self.progress.leaves();
        self.phase == "ACTIVE" || (!leaves.is_empty() && leaves.iter().all(|it| it.status == Status::Success))
    }
}

#[cfg(test)]
mod tests {
    use crate::samples::deployment;

    #[test]
    fn a_cause_names_a_created_token() {
        let mut deployment = deployment("ACTIVE", "SUCCESS", "SUCCESS", "SUCCESS");
        assert_eq!(deployment.cause_with_token(), "app spec updated", "by an older version");
        for (token, cause) in [("admin", "app spec updated"), ("ci", "app spec updated, by ci")] {
            deployment.boatyard.token = Some(token.to_owned());
            assert_eq!(deployment.cause_with_token(), cause);
        }
    }

    #[test]
    fn a_deployment_ended_with_its_last_step_and_not_when_another_one_replaced_it() {
        let ended = |it: &super::Deployment| it.ended_at().map(crate::rfc3339);
        let mut replaced = deployment("SUPERSEDED", "SUCCESS", "SUCCESS", "SUCCESS");
        replaced.phase_last_updated_at = "2026-03-02T10:00:00Z".parse().ok();
        assert_eq!(ended(&replaced).as_deref(), Some("2026-03-01T10:00:03.200Z"));
        replaced.progress.steps.clear();
        assert_eq!(ended(&replaced).as_deref(), Some("2026-03-02T10:00:00.000Z"));
        assert_eq!(ended(&deployment("DEPLOYING", "SUCCESS", "RUNNING", "PENDING")), None);
    }

    #[test]
    fn a_deployment_has_served_even_if_a_newer_one_is_active() {
        assert!(deployment("SUPERSEDED", "SUCCESS", "SUCCESS", "SUCCESS").has_served());
        assert!(!deployment("SUPERSEDED", "ERROR", "PENDING", "PENDING").has_served());
    }
}
