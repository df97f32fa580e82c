//! Runs of jobs. Every run belongs to a deployment.

use axum::Json;
use axum::extract::State;
use controller::view::{JobInvocationView, LogKind, LogRequest, Page};
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use super::logs::addresses;
use crate::query::QueryParams;
use crate::render;
use crate::state::ApiState;

pub(super) async fn list(access: Access, PathParams(app): PathParams<String>, params: QueryParams) -> JsonResult {
    let query = params.page()?;
    let view = access.app(&app).await?;
    let names = params.all("job_names");
    let is_wanted = |it: &JobInvocationView| {
        (names.is_empty() || names.iter().any(|name| name == it.job.as_str()))
            && params.get("deployment_id").is_none_or(|id| id == it.deployment.as_str())
    };
    let all = access.control.job_invocations(&view.id).await?.into_iter().filter(is_wanted).collect();
    let page = Page::of(all, query);
    let items = page.items.iter().map(render::job_invocation).collect();
    let filters = params.for_links(&["job_names", "deployment_id"]);
    let url = format!("{}/v2/apps/{}/job-invocations", access.base, view.id);
    Ok(Json(render::paged("job_invocations", items, page.total, query, &url, &filters)))
}

pub(super) async fn get(access: Access, PathParams((app, invocation)): PathParams<(String, String)>) -> JsonResult {
    let view = access.app(&app).await?;
    let found = access.control.job_invocation(&view.id, &invocation).await?;
    Ok(Json(json!({ "job_invocation": render::job_invocation(&found) })))
}

pub(super) async fn cancel(access: Access, PathParams((app, invocation)): PathParams<(String, String)>) -> JsonResult {
    let view = access.app(&app).await?;
    let canceled = access.control.cancel_job_invocation(&view.id, &invocation).await?;
    Ok(Json(json!({ "job_invocation": render::job_invocation(&canceled) })))
}

pub(super) async fn logs(
    access: Access,
    State(state): State<ApiState>,
    PathParams((app, job, invocation)): PathParams<(String, String, String)>,
    params: QueryParams,
) -> JsonResult {
    if let Some(other) = params.get("type").filter(|it| !["JOB_INVOCATION", "UNSPECIFIED"].contains(it)) {
        return Err(HttpError::bad_request(format!("type must be JOB_INVOCATION, not {other:?}")));
    }
    let view = access.app(&app).await?;
    let run = access.control.job_invocation(&view.id, &invocation).await?;
    if run.job.as_str() != job {
        let message = format!("job invocation {invocation} is a run of {}, not of {job}", run.job);
        return Err(HttpError::not_found(message));
    }
    let (follow, tail) = (params.flag("follow")?, params.tail()?);
    let kind = LogKind::Deploy;
    let (deployment, component) = (Some(run.deployment), Some(job));
    addresses(&access, &state, LogRequest { app: view.id, deployment, component, kind, follow, tail }).await
}
