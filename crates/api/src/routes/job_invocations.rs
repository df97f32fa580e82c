//! Runs of jobs. Every run belongs to a deployment.

use axum::Json;
use controller::view::JobInvocationView;
use serde_json::json;

use super::JsonResult;
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
    let all = access.control.job_invocations(&view.id).await?;
    let found = all.iter().find(|it| it.id == invocation);
    let found = found.ok_or_else(|| ApiError::not_found(format!("app {app} has no job invocation {invocation}")))?;
    Ok(Json(json!({ "job_invocation": render::job_invocation(found) })))
}
