//! An app's status.

use serde::{Deserialize, Serialize};

use crate::command;
use crate::deployment::Deployment;

/// An app with the deployments that its status depends on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct App {
    /// The deployment that serves.
    pub active_deployment: Option<Deployment>,
    /// The deployment that is being built or rolled out.
    pub in_progress_deployment: Option<Deployment>,
    /// The deployment that waits for the one in progress.
    pub pending_deployment: Option<Deployment>,
    /// The rollback that waits for a commit or a revert.
    pub pinned_deployment: Option<Deployment>,
    /// What Boatyard adds to App Platform's fields.
    pub boatyard: AppDetails,
}

/// What Boatyard adds to App Platform's fields of an app.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppDetails {
    /// Instances of services and workers.
    pub instances: InstanceCounts,
    /// What the app waits for, one sentence each.
    pub waiting: Vec<String>,
}

/// How many instances serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceCounts {
    /// Instances that serve.
    pub ready: u64,
    /// Instances that the active deployment asks for.
    pub wanted: u64,
}

impl App {
    /// The phase of the deployment that is in progress, else of the pending one, else of the active one.
    pub fn phase(&self) -> &str {
        let deployments = [&self.in_progress_deployment, &self.pending_deployment, &self.active_deployment];
        let phase = deployments.into_iter().flatten().map(|it| it.phase.as_str()).find(|it| !it.is_empty());
        phase.unwrap_or("NOT DEPLOYED")
    }

    /// What a pin means and how it ends; `None` if the app is not pinned to a rollback.
    pub fn pinned_line(&self, app: &str) -> Option<String> {
        let pinned = self.pinned_deployment.as_ref()?;
        Some(format!(
            "{app} is pinned to deployment {} ({}): new deployments are refused until the rollback is committed or reverted. \
             Keep it: {}. Undo it: {}",
            pinned.boatyard.number,
            pinned.cause,
            command::rollback_commit(app),
            command::rollback_revert(app)
        ))
    }

    /// The phase, and how many instances serve if some are missing.
    pub fn status(&self) -> String {
        let (phase, InstanceCounts { ready, wanted }) = (self.phase(), self.boatyard.instances);
        match (phase, ready, wanted) {
            ("ACTIVE", 0, 1..) => format!("{phase} (no instance serves)"),
            ("ACTIVE", ready, wanted) if ready < wanted => format!("{phase} ({ready} of {wanted} instances serve)"),
            _ => phase.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn app(ready: u64) -> App {
        let active = json!({ "id": "d-1", "phase": "ACTIVE" });
        let app = json!({ "active_deployment": active, "boatyard": { "instances": { "ready": ready, "wanted": 2 } } });
        serde_json::from_value(app).expect("an app")
    }

    #[test]
    fn the_status_of_an_active_app_counts_missing_instances() {
        let statuses = [0, 1, 2].map(|ready| app(ready).status());
        assert_eq!(statuses, ["ACTIVE (no instance serves)", "ACTIVE (1 of 2 instances serve)", "ACTIVE"]);
        assert_eq!(app(0).phase(), "ACTIVE");
    }

    #[test]
    fn a_pinned_app_names_the_rollback_and_both_ends_of_it() {
        assert_eq!(app(2).pinned_line("shop"), None);
        let pinned =
            json!({ "id": "d-4", "phase": "ACTIVE", "cause": "rollback to deployment 1", "boatyard": { "number": 4 } });
        let pinned = serde_json::from_value(pinned).expect("a deployment");
        let line = App { pinned_deployment: Some(pinned), ..app(2) }.pinned_line("shop").expect("it is pinned");
        let parts =
            ["deployment 4 (rollback to deployment 1)", "apps rollback commit shop", "apps rollback revert shop"];
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }

    #[test]
    fn a_deployment_in_progress_determines_the_phase() {
        let building = Deployment { phase: "BUILDING".into(), ..Deployment::default() };
        assert_eq!(App { in_progress_deployment: Some(building), ..app(2) }.phase(), "BUILDING");
        assert_eq!(App::default().phase(), "NOT DEPLOYED");
    }
}
