//! Runs of jobs. Every run belongs to a deployment.

use axum::Json;
use controller::view::{AppView, JobInvocationView, LogKind, LogRequest};
use serde_json::json;

use super::JsonResult;
use super::logs::addresses;
use crate::access::{Access, PathParams};
use crate::error::ApiError;
use crate::query::QueryParams;
use crate::render;

pub(super) async fn list(access: Access, PathParams(app): PathParams<String>, params: QueryParams) -> JsonResult {
    let query = params.page()?;
    let view = access.app(&app).await?;
    let names = params.all("job_names");
    let is_wanted = |it: &JobInvocationView| {
        (names.is_empty() || names.iter().any(|name| name == it.job.as_str()))
            && params.get("deployment_id").is_none_or(|id| id == it.deployment.as_str())
    };
    let all: Vec<_> = access.control.job_invocations(&view.id).await?.into_iter().filter(is_wanted).collect();
    let before = usize::try_from((query.page - 1) * query.per_page).unwrap_or(usize::MAX);
    let page = all.iter().skip(before).take(query.per_page as usize).map(render::job_invocation).collect();
    let filters = params.for_links(&["job_names", "deployment_id"]);
    let url = format!("{}/v2/apps/{}/job-invocations", access.base, view.id);
    Ok(Json(render::paged("job_invocations", page, all.len() as u64, query, &url, &filters)))
}

pub(super) async fn get(access: Access, PathParams((app, invocation)): PathParams<(String, String)>) -> JsonResult {
    let view = access.app(&app).await?;
    let found = find(&access, &view, &invocation).await?;
    Ok(Json(json!({ "job_invocation": render::job_invocation(&found) })))
}

pub(super) async fn cancel(access: Access, PathParams((app, invocation)): PathParams<(String, String)>) -> JsonResult {
    let view = access.app(&app).await?;
    let canceled = access.control.cancel_job_invocation(&view.id, &invocation).await?;
    Ok(Json(json!({ "job_invocation": render::job_invocation(&canceled) })))
}

pub(super) async fn logs(
    access: Access,
    PathParams((app, job, invocation)): PathParams<(String, String, String)>,
    params: QueryParams,
) -> JsonResult {
    if let Some(other) = params.get("type").filter(|it| !["JOB_INVOCATION", "UNSPECIFIED"].contains(it)) {
        return Err(ApiError::bad_request(format!("type must be JOB_INVOCATION, not {other:?}")));
    }
    let view = access.app(&app).await?;
    let run = find(&access, &view, &invocation).await?;
    if run.job.as_str() != job {
        let message = format!("job invocation {invocation} is a run of {}, not of {job}", run.job);
        return Err(ApiError::not_found(message));
    }
    let (follow, tail) = (params.flag("follow")?, params.tail()?);
    let kind = LogKind::Deploy;
    let (deployment, component) = (Some(run.deployment), Some(job));
    addresses(&access, LogRequest { app: view.id, deployment, component, kind, follow, tail }).await
}

async fn find(access: &Access, app: &AppView, invocation: &str) -> Result<JobInvocationView, ApiError> {
    let all = access.control.job_invocations(&app.id).await?;
    let found = all.into_iter().find(|it| it.id == invocation);
    found.ok_or_else(|| {
        let name = &app.name;
        let see = format!("See: boatyard apps list-job-invocations {name}");
        ApiError::not_found(format!("app {name} has no job invocation {invocation}. {see}"))
    })
}
