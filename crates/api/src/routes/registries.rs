//! Logins for registries of images. No answer contains a password.

use axum::Json;
use controller::view::{RegistryLogin, RegistryLoginView, Secret};
use serde_json::{Value, json};
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;

pub(super) async fn list(access: Access) -> JsonResult {
    let all = access.control.registry_logins().await?;
    Ok(Json(json!({ "registries": all.iter().map(render::registry_login).collect::<Vec<_>>() })))
}

/// Adds a login from `host`, `username` and `password`, or replaces that of the host.
pub(super) async fn add(access: Access, content: RequestBody) -> JsonResult {
    let field = |name: &str| {
        let missing = || HttpError::bad_request(format!("the body has no field {name:?}"));
        content.text(name)?.ok_or_else(missing)
    };
    let (host, username, password) = (field("host")?, field("username")?, Secret::new(field("password")?));
    let added = access.control.add_registry_login(&host, RegistryLogin { username, password }, &access.caller).await?;
    Ok(answer(&added))
}

pub(super) async fn remove(access: Access, PathParams(host): PathParams<String>) -> JsonResult {
    let removed = access.control.remove_registry_login(&host, &access.caller).await?;
    Ok(answer(&removed))
}

fn answer(login: &RegistryLoginView) -> Json<Value> {
    Json(json!({ "registry": render::registry_login(login) }))
}
