//! The only project of an installation. Every app belongs to it.

use controller::derived_id;
use controller::view::AppView;
use present::rfc3339;
use serde_json::{Value, json};
use web::view::time;

use super::object::Object;
use super::owner_id;

/// The id of the project. It never changes.
pub(crate) fn project_id(installation: &str) -> String {
    derived_id(&["project", installation])
}

/// The project. No record says when it was created, so the time is left out.
pub(crate) fn project(installation: &str) -> Value {
    json!({
        "id": project_id(installation),
        "owner_uuid": owner_id(installation),
        "owner_id": 1,
        "name": "boatyard",
        "description": "All apps on this host",
        "purpose": "Web Application",
        "environment": "Production",
        "is_default": true,
    })
}

/// An app as a resource of the project. `base`: the address of the API.
pub(crate) fn resource(app: &AppView, base: &str) -> Value {
    Object::new()
        .set("urn", format!("do:app:{}", app.id))
        .maybe("assigned_at", time(app.created).map(rfc3339))
        .set("links", json!({ "self": format!("{base}/v2/apps/{}", app.id) }))
        .set("status", "ok")
        .build()
}
