//! Events of an app: each deployment is one, and has the id of the deployment. Boatyard has no other events.

use axum::Json;
use controller::view::DeploymentView;
use serde_json::{Value, json};
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use super::deployments::of_types;
use crate::query::QueryParams;
use crate::render;

pub(super) async fn list(access: Access, PathParams(app): PathParams<String>, params: QueryParams) -> JsonResult {
    let query = params.page()?;
    let view = access.app(&app).await?;
    let url = format!("{}/v2/apps/{}/events", access.base, view.id);
    let (types, deployment_types) = (params.all("event_types"), params.deployment_types()?);
    let filters = params.for_links(&["event_types", "deployment_types"]);
    let has_deployments = types.is_empty() || types.iter().any(|it| it == "DEPLOYMENT");
    if !has_deployments {
        return Ok(Json(render::paged("events", Vec::new(), 0, query, &url, &filters)));
    }
    let page = of_types(&access, &view.id, &deployment_types, query).await?;
    let items = page.items.iter().map(event).collect();
    Ok(Json(render::paged("events", items, page.total, query, &url, &filters)))
}

pub(super) async fn get(access: Access, PathParams((app, event)): PathParams<(String, String)>) -> JsonResult {
    Ok(Json(json!({ "event": self::event(&find(&access, &app, &event).await?) })))
}

/// Only events of autoscaling can be canceled, or have logs.
pub(super) async fn cancel(access: Access, PathParams((app, event)): PathParams<(String, String)>) -> JsonResult {
    let deployment = find(&access, &app, &event).await?;
    Err(HttpError::bad_request(format!(
        "event {event} is a deployment, and only an autoscaling event can be canceled. Cancel the deployment: {}",
        present::command::cancel_deployment(&app, deployment.id.as_str())
    )))
}

pub(super) async fn logs(access: Access, PathParams((app, event)): PathParams<(String, String)>) -> JsonResult {
    let deployment = find(&access, &app, &event).await?;
    Err(HttpError::bad_request(format!(
        "event {event} is a deployment, and only an autoscaling event has logs. The logs of the deployment: {}",
        present::command::logs(&app, None, "deploy", deployment.id.as_str())
    )))
}

async fn find(access: &Access, app: &str, event: &str) -> Result<DeploymentView, HttpError> {
    let view = access.app(app).await?;
    access.deployment(&view.id, event).await
}

fn event(deployment: &DeploymentView) -> Value {
    let rendered = render::deployment(deployment);
    json!({
        "id": rendered["id"],
        "type": "DEPLOYMENT",
        "created_at": rendered["created_at"],
        "deployment_id": rendered["id"],
        "deployment": rendered,
    })
}
