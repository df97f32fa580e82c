//! The tree of steps of a deployment.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::time;

/// The tree of steps, with counters of its leaves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are App Platform's")]
pub struct Progress {
    pub pending_steps: usize,
    pub running_steps: usize,
    pub success_steps: usize,
    pub error_steps: usize,
    pub total_steps: usize,
    pub steps: Vec<Step>,
}

/// One step, with the steps below it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// A component's name, or one of App Platform's step names, such as `initialize`.
    pub name: String,
    /// The status. That of a parent follows from the steps below it.
    pub status: Status,
    /// The steps below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// When the step started.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When the step ended.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Why the step has this status, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The component, for a step of a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
    /// "Building service", for a step of a component. Clients show it before the component's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_base: Option<String>,
}

/// Why a step has its status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reason {
    /// Machine-readable code: `PreBuiltImage`.
    pub code: String,
    /// Human-readable message.
    pub message: String,
}

/// Status of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are App Platform's")]
pub enum Status {
    Running,
    Success,
    Error,
    #[default]
    #[serde(other)]
    Pending,
}

/// A step without steps below it, in human-readable form.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// "web: building service".
    pub title: String,
    /// The status.
    pub status: Status,
    /// When it started.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// Why it has this status.
    pub reason: Option<String>,
}

impl Progress {
    /// `5/8 (errors: 1)`.
    pub fn summary(&self) -> String {
        let done = format!("{}/{}", self.success_steps, self.total_steps);
        match self.error_steps {
            0 => done,
            errors => format!("{done} (errors: {errors})"),
        }
    }

    /// All leaves, in order.
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        for top in &self.steps {
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
    leaves.push(Leaf {
        title: title(step, top),
        status: step.status,
        started: step.started_at,
        ended: step.ended_at,
        reason: step.reason.as_ref().map(|it| it.message.clone()).filter(|it| !it.is_empty()),
    });
}

fn title(step: &Step, top: &str) -> String {
    let action = match (&step.message_base, step.name.as_str(), top) {
        (Some(message), ..) => message.to_lowercase(),
        (None, "initialize", "build") => "preparing to build".into(),
        (None, "initialize", _) => "preparing to deploy".into(),
        (None, "finalize", _) => "finishing".into(),
        (None, name, _) => name.to_owned(),
    };
    match &step.component_name {
        Some(component) => format!("{component}: {action}"),
        None => action,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::deployment;

    #[test]
    fn leaves_are_named_by_component_and_action() {
        let leaves = deployment("DEPLOYING", "SUCCESS", "RUNNING", "PENDING").progress.leaves();
        let titles: Vec<_> = leaves.iter().map(|it| (it.title.as_str(), it.status)).collect();
        let expected = [
            ("web: building service", Status::Success),
            ("web: deploying service", Status::Running),
            ("web: waiting for service", Status::Pending),
        ];
        assert_eq!(titles, expected);
    }

    #[test]
    fn an_unknown_status_is_pending() {
        let step: Step = serde_json::from_str(r#"{"name":"web","status":"PAUSED"}"#).expect("a step");
        assert_eq!(step.status, Status::Pending);
    }

    #[test]
    fn the_summary_counts_errors() {
        let progress = Progress { success_steps: 3, error_steps: 1, total_steps: 8, ..Progress::default() };
        assert_eq!(progress.summary(), "3/8 (errors: 1)");
        assert_eq!(Progress { error_steps: 0, ..progress }.summary(), "3/8");
    }
}
