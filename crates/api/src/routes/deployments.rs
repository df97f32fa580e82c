//! Deployments: restart, create, list, get, cancel. All answer at once, except `get`, which holds the polls of clients that
//! wait.

use axum::Json;
use axum::extract::State;
use controller::view::{DeployOptions, DeploymentView, Page, PageQuery};
use rollout::ids::AppId;
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use super::apps::plan_response;
use crate::body::RequestBody;
use crate::held_polls::{Hold, until_ended};
use crate::query::QueryParams;
use crate::render;
use crate::state::ApiState;

pub(super) async fn restart(
    access: Access,
    PathParams(app): PathParams<String>,
    params: QueryParams,
    content: RequestBody,
) -> JsonResult {
    let view = access.app(&app).await?;
    let components = content.components()?;
    if params.is_dry_run(&access)? {
        return plan_response(access.control.preview_restart(&view.id, &components).await?);
    }
    answer(&access.control.restart(&view.id, &components, &access.caller).await?)
}

pub(super) async fn create(
    access: Access,
    PathParams(app): PathParams<String>,
    params: QueryParams,
    content: RequestBody,
) -> JsonResult {
    let view = access.app(&app).await?;
    let clear_cache = content.any(&["clear_cache"])?;
    // DigitalOcean's guide calls the field force_rebuild.
    let force_build = content.any(&["force_build", "force_rebuild"])? || clear_cache;
    let options = DeployOptions { force_build, clear_cache };
    if params.is_dry_run(&access)? {
        return plan_response(access.control.preview_deploy(&view.id, options).await?);
    }
    answer(&access.control.deploy(&view.id, options, &access.caller).await?)
}

/// The answer with one deployment.
pub(super) fn answer(deployment: &DeploymentView) -> JsonResult {
    Ok(Json(json!({ "deployment": render::deployment(deployment) })))
}

pub(super) async fn list(access: Access, PathParams(app): PathParams<String>, params: QueryParams) -> JsonResult {
    let (query, types) = (params.page()?, params.deployment_types()?);
    let view = access.app(&app).await?;
    let url = format!("{}/v2/apps/{}/deployments", access.base, view.id);
    let filters = params.for_links(&["deployment_types"]);
    let page = of_types(&access, &view.id, &types, query).await?;
    let items = page.items.iter().map(render::deployment).collect();
    Ok(Json(render::paged("deployments", items, page.total, query, &url, &filters)))
}

/// A page of an app's deployments of these types, newest first. No types mean all.
pub(super) async fn of_types(
    access: &Access,
    app: &AppId,
    types: &[&str],
    query: PageQuery,
) -> Result<Page<DeploymentView>, HttpError> {
    if types.is_empty() || render::DEPLOYMENT_TYPES.iter().all(|it| types.contains(it)) {
        return Ok(access.control.deployments(app, query).await?);
    }
    let mut all = Vec::new();
    if render::DEPLOYMENT_TYPES.iter().any(|it| types.contains(it)) {
        for page in 1.. {
            let items = access.control.deployments(app, PageQuery { page, per_page: 200 }).await?.items;
            let is_last = items.len() < 200;
            all.extend(items.into_iter().filter(|it| types.contains(&render::type_of(it))));
            if is_last {
                break;
            }
        }
    }
    Ok(Page::of(all, query))
}

pub(super) async fn get(
    access: Access,
    PathParams((app, deployment)): PathParams<(String, String)>,
    State(state): State<ApiState>,
    hold: Hold,
) -> JsonResult {
    let view = access.app(&app).await?;
    let deployment = access.deployment(&view.id, &deployment).await?;
    let deployment = until_ended(&access, &state, deployment, hold).await?;
    answer(&deployment)
}

pub(super) async fn cancel(access: Access, PathParams((app, deployment)): PathParams<(String, String)>) -> JsonResult {
    let view = access.app(&app).await?;
    let found = access.deployment(&view.id, &deployment).await?;
    let deployment = access.control.cancel(&view.id, &found.id).await?;
    answer(&deployment)
}
