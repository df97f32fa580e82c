//! How to connect to the databases of an app.

use axum::Json;
use controller::view::DatabaseConnectionView;
use serde_json::{Value, json};
use web::{Access, PathParams};

use super::JsonResult;

/// Contains passwords.
pub(super) async fn connection_details(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let view = access.app(&app).await?;
    let databases = access.control.database_connections(&view.id).await?;
    Ok(Json(json!({ "connection_details": databases.iter().map(details).collect::<Vec<_>>() })))
}

/// The app's network carries no TLS and has no connection pools.
fn details(view: &DatabaseConnectionView) -> Value {
    json!({
        "component_name": view.component.as_str(),
        "host": view.host,
        "port": view.port,
        "username": view.username,
        "password": view.password,
        "database_name": view.database,
        "database_url": view.url,
        "ssl_mode": "disable",
        "pools": [],
    })
}
