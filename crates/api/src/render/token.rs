//! A created token.

use controller::view::{TokenScope, TokenView};
use present::rfc3339;
use serde_json::Value;
use web::view::time;

use super::object::Object;

/// What is on record about a token.
pub(crate) fn token(it: &TokenView) -> Value {
    Object::new()
        .set("id", it.id.as_str())
        .set("name", it.name.as_str())
        .set(
            "scope",
            match it.scope {
                TokenScope::Read => "read",
                TokenScope::Write => "write",
            },
        )
        .maybe("app_id", it.app.as_ref().map(|app| app.id.as_str()))
        .maybe("app_name", it.app.as_ref().map(|app| app.name.as_str()))
        .maybe("created_at", time(it.created).map(rfc3339))
        .maybe("expires_at", it.expires.and_then(time).map(rfc3339))
        .set("expired", it.is_expired())
        .build()
}
