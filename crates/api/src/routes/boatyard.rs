//! Paths of our own.

use axum::Json;
use controller::view::DeploymentView;
use rollout::ids::AppId;
use serde_json::json;

use super::Answer;
use crate::access::{Access, Named};
use crate::body::Content;
use crate::show;

/// Instances with their containers, and the deployments that matter with why they wait.
pub(super) async fn status(access: Access, Named(app): Named<String>) -> Answer {
    let view = access.app(&app).await?;
    let instances = access.control.instances(&view.app.id).await?;
    let mut deployments: Vec<DeploymentView> = Vec::new();
    for it in [&view.waiting, &view.in_progress, &view.active, &view.newest].into_iter().flatten() {
        if deployments.iter().all(|known| known.deployment.id != it.id) {
            deployments.push(access.control.deployment(&view.app.id, &it.id).await?);
        }
    }
    Ok(Json(json!({ "status": show::status(&view, &instances, &deployments) })))
}

/// What runs or is routed although no record explains it.
pub(super) async fn unknown(access: Access) -> Answer {
    Ok(Json(json!({ "unknown": access.control.unknown().await? })))
}

/// Stops and removes what is unknown of an app; volumes stay.
pub(super) async fn delete_unknown(access: Access, Named(app): Named<String>) -> Answer {
    let deleted = access.control.delete_unknown(&AppId::new(app)).await?;
    Ok(Json(json!({ "deleted": deleted })))
}

/// Brings everything down, with `{"apps": true}` the apps too; then the server ends, since nobody works behind it any more.
/// Answers when that is done, or says what could not be.
pub(super) async fn down(access: Access, content: Content) -> Answer {
    let apps = content.any(&["apps"])?;
    let down = access.control.down(apps).await;
    access.state.down.send_replace(true);
    down?;
    Ok(Json(json!({ "boatyard": { "down": true, "apps": apps } })))
}
