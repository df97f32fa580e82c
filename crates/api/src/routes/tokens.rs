//! Tokens beside the admin token.

use axum::Json;
use controller::view::{Expiry, NewToken, TokenScope};
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;

pub(super) async fn list(access: Access) -> JsonResult {
    let all = access.control.tokens();
    Ok(Json(json!({ "tokens": all.iter().map(render::token).collect::<Vec<_>>() })))
}

/// Creates a token from `name`, `scope`, `app` and `expires`. Only this answer contains the token.
pub(super) async fn create(access: Access, content: RequestBody) -> JsonResult {
    let name = content.text("name")?.ok_or_else(|| HttpError::bad_request("the body has no field \"name\""))?;
    let scope = match content.text("scope")?.as_deref() {
        None | Some("read") => TokenScope::Read,
        Some("write") => TokenScope::Write,
        Some(other) => return Err(HttpError::bad_request(format!("scope must be read or write, not {other:?}"))),
    };
    let expires = match content.text("expires")? {
        Some(text) => text.parse().map_err(|why| HttpError::bad_request(format!("expires {why}")))?,
        None => Expiry::default(),
    };
    let wanted = NewToken { name, scope, app: content.text("app")?, expires };
    let created = access.control.create_token(wanted, &access.caller).await?;
    let mut rendered = render::token(&created.view);
    rendered["token"] = created.token.into();
    Ok(Json(json!({ "token": rendered })))
}

/// Revokes a token by id or name.
pub(super) async fn revoke(access: Access, PathParams(token): PathParams<String>) -> JsonResult {
    let revoked = access.control.revoke_token(&token, &access.caller).await?;
    Ok(Json(json!({ "token": render::token(&revoked) })))
}
