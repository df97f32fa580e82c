//! Logins for git servers.

use axum::Json;
use controller::view::{NewSourceLogin, SourceSecret};
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;

pub(super) async fn list(access: Access) -> JsonResult {
    let all = access.control.source_logins().await?;
    Ok(Json(json!({ "sources": all.iter().map(render::source_login).collect::<Vec<_>>() })))
}

/// Adds a login from `host` and one of `token` (with `username`), `ssh_key` (with `fingerprints`), and `fingerprints` alone. No
/// answer contains the secret.
pub(super) async fn add(access: Access, content: RequestBody) -> JsonResult {
    let wanted = NewSourceLogin { host: host(&content)?, secret: secret(&content)? };
    let added = access.control.add_source_login(wanted, &access.caller).await?;
    Ok(Json(json!({ "source": render::source_login(&added) })))
}

pub(super) async fn remove(access: Access, PathParams(host): PathParams<String>) -> JsonResult {
    let removed = access.control.remove_source_login(&host, &access.caller).await?;
    Ok(Json(json!({ "sources": removed.iter().map(render::source_login).collect::<Vec<_>>() })))
}

/// Looks up the key that an ssh server presents.
pub(super) async fn host_key(access: Access, content: RequestBody) -> JsonResult {
    let found = access.control.host_key(&host(&content)?).await?;
    Ok(Json(json!({ "host_key": { "host": found.host, "fingerprint": found.fingerprint } })))
}

fn host(content: &RequestBody) -> Result<String, HttpError> {
    content.text("host")?.ok_or_else(|| HttpError::bad_request("the body has no field \"host\""))
}

fn secret(content: &RequestBody) -> Result<SourceSecret, HttpError> {
    let (user, host_keys) = (content.text("username")?, content.names("fingerprints")?);
    match (content.text("token")?, content.text("ssh_key")?) {
        (Some(token), None) if host_keys.is_empty() => Ok(SourceSecret::Token { user, token }),
        (None, Some(private_key)) if user.is_none() => Ok(SourceSecret::SshKey { private_key, host_keys }),
        (None, None) if user.is_none() => Ok(SourceSecret::HostKeys(host_keys)),
        _ => Err(HttpError::bad_request(
            "give either \"token\", with an optional \"username\", or \"ssh_key\", with optional \"fingerprints\"",
        )),
    }
}
