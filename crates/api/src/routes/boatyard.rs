//! Paths that App Platform does not have.

use axum::Json;
use axum::extract::State;
use controller::view::SIGN_IN_LINK_LIFETIME;
use rollout::ids::AppId;
use serde_json::json;
use web::{Access, PathParams, view};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;
use crate::state::ApiState;

/// Instances with their containers, and the deployments that matter with what they wait for. Also answers for an app that
/// is being deleted, by its id.
pub(super) async fn status(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let (view, instances) = access.control.status(&app).await.map_err(|error| access.app_error(&app, error))?;
    Ok(Json(json!({ "status": render::status(&view, &instances) })))
}

/// What happened to each instance during a deployment, in time order.
pub(super) async fn timeline(
    access: Access,
    PathParams((app, deployment)): PathParams<(String, String)>,
) -> JsonResult {
    let app = access.app(&app).await?;
    let deployment = access.deployment(&app.id, &deployment).await?;
    let timeline = access.control.timeline(&app.id, &deployment.id).await?;
    let timeline: Vec<_> = timeline.iter().map(view::transition).collect();
    Ok(Json(json!({ "timeline": timeline })))
}

/// Sets whether Dockerfiles of the repositories get secrets as build arguments: `{"as_arguments": true}`.
pub(super) async fn set_build_secrets(
    access: Access,
    PathParams(app): PathParams<String>,
    content: RequestBody,
) -> JsonResult {
    let view = access.app(&app).await?;
    let as_arguments = content.any(&["as_arguments"])?;
    access.control.set_secret_build_arguments(&view.id, as_arguments).await?;
    Ok(Json(json!({ "build_secrets": { "as_arguments": as_arguments } })))
}

/// Containers, networks and routes that no record explains.
pub(super) async fn unknown(access: Access) -> JsonResult {
    Ok(Json(json!({ "unknown": access.control.unknown().await? })))
}

/// Stops and removes the unknown containers and networks of an app. Volumes are kept.
pub(super) async fn delete_unknown(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let deleted = access.control.delete_unknown(&AppId::new(app)).await?;
    Ok(Json(json!({ "deleted": deleted })))
}

/// Creates a link that signs in to the control panel with the token of the request, once.
pub(super) async fn create_panel_link(access: Access) -> JsonResult {
    let code = access.control.create_sign_in_link(&access.caller.token_hash);
    let url = format!("{}/sign-in/{code}", access.base);
    Ok(Json(json!({ "panel_link": { "url": url, "valid_seconds": SIGN_IN_LINK_LIFETIME.as_secs() } })))
}

/// Stops the ingress, and with `{"apps": true}` also all apps. Answers when that is done or has failed. The server then
/// stops, because its controller has.
pub(super) async fn down(access: Access, State(state): State<ApiState>, content: RequestBody) -> JsonResult {
    let apps = content.any(&["apps"])?;
    let down = access.control.down(apps).await;
    state.down.send_replace(true);
    down?;
    Ok(Json(json!({ "boatyard": { "down": true, "apps": apps } })))
}
