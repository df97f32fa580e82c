//! A login for a registry of images.

use controller::view::RegistryLoginView;
use present::rfc3339;
use serde_json::Value;
use web::view::time;

use super::object::Object;

pub(crate) fn registry_login(it: &RegistryLoginView) -> Value {
    Object::new()
        .set("host", it.host.as_str())
        .set("username", it.username.as_str())
        .maybe("added_at", time(it.added).map(rfc3339))
        .build()
}
