//! A run of a job as App Platform's clients read it.

use controller::view::{JobInvocationPhase, JobInvocationView};
use present::rfc3339;
use serde_json::Value;
use web::view::time;

use super::object::Object;

/// A run. It has no trigger: the triggers of App Platform are a schedule and a person, and here a deployment ran the job.
pub(crate) fn job_invocation(view: &JobInvocationView) -> Value {
    let phase = match view.phase {
        JobInvocationPhase::Pending => "PENDING",
        JobInvocationPhase::Running => "RUNNING",
        JobInvocationPhase::Succeeded => "SUCCEEDED",
        JobInvocationPhase::Failed => "FAILED",
        JobInvocationPhase::Canceled => "CANCELED",
    };
    Object::new()
        .set("id", view.id.as_str())
        .set("job_name", view.job.as_str())
        .set("deployment_id", view.deployment.as_str())
        .set("phase", phase)
        .maybe("created_at", time(view.created).map(rfc3339))
        .maybe("started_at", view.started.and_then(time).map(rfc3339))
        .maybe("completed_at", view.completed.and_then(time).map(rfc3339))
        .build()
}
