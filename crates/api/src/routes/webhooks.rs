//! Webhooks, at which hosts of repositories report pushes. Deliveries come in through another server ([`crate::webhooks`]).

use axum::Json;
use controller::view::NewWebhook;
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;

pub(super) async fn list(access: Access) -> JsonResult {
    let all = access.control.webhooks().await?;
    Ok(Json(json!({ "webhooks": all.iter().map(render::webhook).collect::<Vec<_>>() })))
}

/// Adds a webhook from `name`, `app` and `secret`. Only this answer contains the secret.
pub(super) async fn create(access: Access, content: RequestBody) -> JsonResult {
    let name = content.text("name")?.ok_or_else(|| HttpError::bad_request("the body has no field \"name\""))?;
    let wanted = NewWebhook { name, app: content.text("app")?, secret: content.text("secret")? };
    let created = access.control.create_webhook(wanted, &access.caller).await?;
    let mut rendered = render::webhook(&created.view);
    rendered["secret"] = created.secret.into();
    Ok(Json(json!({ "webhook": rendered })))
}

pub(super) async fn delete(access: Access, PathParams(name): PathParams<String>) -> JsonResult {
    let deleted = access.control.delete_webhook(&name, &access.caller).await?;
    Ok(Json(json!({ "webhook": render::webhook(&deleted) })))
}
