//! One answer of the API about a deployment, as far as it is told.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Snapshot {
    pub id: String,
    pub phase: String,
    #[serde(default)]
    pub cause: String,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    #[serde(default)]
    progress: Progress,
    #[serde(default)]
    pub boatyard: Extension,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Progress {
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Step {
    name: String,
    status: String,
    #[serde(default)]
    steps: Vec<Step>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    reason: Option<Reason>,
    component_name: Option<String>,
    message_base: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Reason {
    #[serde(default)]
    pub message: String,
}

/// What Boatyard adds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Extension {
    pub number: u64,
    pub kind: String,
    pub rolled_back: bool,
    pub waiting: Vec<String>,
    pub record: Record,
    pub images: std::collections::BTreeMap<String, Image>,
    pub failure: Option<Failure>,
    pub log_tail: Vec<String>,
    pub superseded_by: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Record {
    pub roll_began: Option<DateTime<Utc>>,
    pub rollback_abandoned: bool,
    pub served: Option<Served>,
    pub unchanged: Vec<Unchanged>,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Served {
    pub requests: u64,
    pub open_at_start: u64,
    pub failed: u64,
    pub requests_cut: u64,
    pub uploads_cut: u64,
    pub upgraded_cut: u64,
    pub slowest_ms: u64,
    pub at_least: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Unchanged {
    pub component: String,
    pub image: String,
    pub environment_hash: String,
    pub revision: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Image {
    pub built: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Failure {
    pub component: Option<String>,
    pub code: String,
    pub message: String,
}

/// A step without steps below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// "web: building service".
    pub what: String,
    pub status: Status,
    pub started: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Pending,
    Running,
    Success,
    Error,
}

impl Snapshot {
    /// From the object under `deployment`. Errors: it is not one.
    pub fn read(deployment: &Value) -> anyhow::Result<Self> {
        serde_json::from_value(deployment.clone())
            .map_err(|error| anyhow::anyhow!("the API sent no deployment: {error}"))
    }

    /// Nothing more will happen to it.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase.as_str(), "ACTIVE" | "SUPERSEDED" | "ERROR" | "CANCELED")
    }

    /// It came to serve, even if a newer one serves by now.
    pub fn has_served(&self) -> bool {
        let leaves = self.leaves();
        self.phase == "ACTIVE" || (!leaves.is_empty() && leaves.iter().all(|it| it.status == Status::Success))
    }

    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        for top in &self.progress.steps {
            collect(top, &top.name, &mut leaves);
        }
        leaves
    }
}

fn collect(step: &Step, top: &str, leaves: &mut Vec<Leaf>) {
    if !step.steps.is_empty() {
        step.steps.iter().for_each(|below| collect(below, top, leaves));
        return;
    }
    // An app without components has an empty step of this name.
    if step.name == "components" {
        return;
    }
    let status = match step.status.as_str() {
        "RUNNING" => Status::Running,
        "SUCCESS" => Status::Success,
        "ERROR" => Status::Error,
        _ => Status::Pending,
    };
    leaves.push(Leaf {
        what: what(step, top),
        status,
        started: step.started_at,
        ended: step.ended_at,
        reason: step.reason.as_ref().map(|it| it.message.clone()).filter(|it| !it.is_empty()),
    });
}

fn what(step: &Step, top: &str) -> String {
    let words = match (&step.message_base, step.name.as_str(), top) {
        (Some(base), ..) => base.to_lowercase(),
        (None, "initialize", "build") => "preparing to build".into(),
        (None, "initialize", _) => "preparing to deploy".into(),
        (None, "finalize", _) => "finishing".into(),
        (None, name, _) => name.to_owned(),
    };
    match &step.component_name {
        Some(component) => format!("{component}: {words}"),
        None => words,
    }
}

#[cfg(test)]
pub mod samples {
    use super::*;
    use serde_json::json;

    /// A deployment of one service with these statuses of its leaves: build, deploy, wait.
    pub fn deployment(phase: &str, build: &str, deploy: &str, wait: &str) -> Value {
        let leaf = |name: &str, base: &str, status: &str| {
            let mut leaf = json!({ "name": name, "component_name": "web", "message_base": base, "status": status });
            if status != "PENDING" {
                leaf["started_at"] = "2026-03-01T10:00:00Z".into();
            }
            if status == "SUCCESS" || status == "ERROR" {
                leaf["ended_at"] = "2026-03-01T10:00:03.200Z".into();
            }
            leaf
        };
        json!({
            "id": "d-42", "phase": phase, "cause": "app spec updated",
            "created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-01T10:00:04.200Z",
            "progress": { "steps": [
                { "name": "build", "status": build, "steps": [
                    { "name": "components", "status": build, "steps": [leaf("web", "Building service", build)] } ] },
                { "name": "deploy", "status": wait, "steps": [
                    { "name": "components", "status": wait, "steps": [
                        { "name": "web", "status": wait, "component_name": "web", "steps": [
                            leaf("deploy", "Deploying service", deploy), leaf("wait", "Waiting for service", wait) ] } ] } ] },
            ] },
            "boatyard": { "number": 42, "kind": "deploy", "record": { "roll_began": "2026-03-01T10:00:01Z" } },
        })
    }

    pub fn snapshot(phase: &str, build: &str, deploy: &str, wait: &str) -> Snapshot {
        Snapshot::read(&deployment(phase, build, deploy, wait)).expect("a deployment")
    }
}

#[cfg(test)]
mod tests {
    use super::samples::snapshot;
    use super::*;

    #[test]
    fn leaves_are_told_by_component_and_step() {
        let leaves = snapshot("DEPLOYING", "SUCCESS", "RUNNING", "PENDING").leaves();
        let told: Vec<_> = leaves.iter().map(|it| (it.what.as_str(), it.status)).collect();
        let expected = [
            ("web: building service", Status::Success),
            ("web: deploying service", Status::Running),
            ("web: waiting for service", Status::Pending),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_served_has_served_even_if_a_newer_one_does_now() {
        assert!(snapshot("SUPERSEDED", "SUCCESS", "SUCCESS", "SUCCESS").has_served());
        assert!(!snapshot("SUPERSEDED", "ERROR", "PENDING", "PENDING").has_served());
    }
}
