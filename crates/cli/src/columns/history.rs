//! Columns of runs of jobs, and of events.

use serde_json::Value;

use super::{Column, default_column, extra_column, text};

pub const JOB_INVOCATIONS: &[Column] = &[
    default_column("ID", "ID", |it| text(it, "/id")),
    default_column("Jobname", "Job Name", |it| text(it, "/job_name")),
    extra_column("DeploymentID", "Deployment ID", |it| text(it, "/deployment_id")),
    default_column("Created", "Created At", |it| text(it, "/created_at")),
    default_column("Started", "Started At", |it| text(it, "/started_at")),
    default_column("Completed", "Completed At", |it| text(it, "/completed_at")),
    default_column("Phase", "Phase", |it| text(it, "/phase")),
    extra_column("Status", "Status", |it| text(it, "/phase")),
];

pub const EVENTS: &[Column] = &[
    default_column("ID", "ID", |it| text(it, "/id")),
    default_column("Type", "Type", |it| text(it, "/type")),
    default_column("DeploymentID", "Deployment ID", |it| text(it, "/deployment_id")),
    default_column("Created", "Created At", |it| text(it, "/created_at")),
    default_column("Phase", "Phase", event_phase),
    extra_column("Status", "Status", event_phase),
];

/// The phase of the autoscaling, or of the deployment, for which doctl shows none.
fn event_phase(event: &Value) -> String {
    let autoscaling = text(event, "/autoscaling/phase");
    if autoscaling.is_empty() { text(event, "/deployment/phase") } else { autoscaling }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_phase_of_an_event_is_that_of_its_autoscaling_or_its_deployment() {
        assert_eq!(event_phase(&json!({ "autoscaling": { "phase": "SUCCEEDED" } })), "SUCCEEDED");
        assert_eq!(event_phase(&json!({ "deployment": { "phase": "ACTIVE" } })), "ACTIVE");
        assert_eq!(event_phase(&json!({})), "");
    }
}
