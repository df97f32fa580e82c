//! Certificates of the host names of apps. No answer contains a key.

use axum::Json;
use serde_json::{Value, json};
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;

pub(super) async fn list(access: Access) -> JsonResult {
    let all = access.control.certificates().await?;
    Ok(Json(json!({ "certificates": all.iter().map(render::certificate).collect::<Vec<_>>() })))
}

/// Adds a certificate from `name`, `chain` and `key`, both in PEM format, or replaces that of the name.
pub(super) async fn add(access: Access, content: RequestBody) -> JsonResult {
    let field = |name: &str| {
        let missing = || HttpError::bad_request(format!("the body has no field {name:?}"));
        content.text(name)?.ok_or_else(missing)
    };
    let (name, chain, key) = (field("name")?, field("chain")?, field("key")?);
    Ok(answer(render::certificate(&access.control.add_certificate(&name, &chain, &key, &access.caller).await?)))
}

pub(super) async fn remove(access: Access, PathParams(name): PathParams<String>) -> JsonResult {
    Ok(answer(render::certificate(&access.control.remove_certificate(&name, &access.caller).await?)))
}

fn answer(certificate: Value) -> Json<Value> {
    Json(json!({ "certificate": certificate }))
}
