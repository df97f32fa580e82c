//! Alerts of an app and their destinations. Boatyard stores them and sends nothing.

use axum::Json;
use serde_json::json;
use web::{Access, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;

pub(super) async fn list(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let view = access.app(&app).await?;
    let alerts = access.control.alerts(&view.id).await?;
    let shows_secrets = access.identity.may_write();
    let rendered: Vec<_> = alerts.iter().map(|it| render::alert(it, shows_secrets)).collect();
    Ok(Json(json!({ "alerts": rendered })))
}

/// Replaces both lists of destinations.
pub(super) async fn set_destinations(
    access: Access,
    PathParams((app, alert)): PathParams<(String, String)>,
    content: RequestBody,
) -> JsonResult {
    let view = access.app(&app).await?;
    let (emails, slack_webhooks) = content.destinations()?;
    let alert = access.control.set_alert_destinations(&view.id, &alert, emails, slack_webhooks).await?;
    Ok(Json(json!({ "alert": render::alert(&alert, access.identity.may_write()) })))
}
