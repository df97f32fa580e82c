//! A login for a git server.

use controller::view::{SourceLoginView, SourceProtocol};
use present::rfc3339;
use serde_json::Value;
use web::view::time;

use super::object::Object;

/// What is on record about a login, without its secret.
pub(crate) fn source_login(it: &SourceLoginView) -> Value {
    let protocol = match it.protocol {
        SourceProtocol::Https => "https",
        SourceProtocol::Ssh => "ssh",
    };
    Object::new()
        .set("host", it.host.as_str())
        .set("protocol", protocol)
        .maybe("username", it.user.as_deref())
        .maybe("fingerprints", (!it.host_keys.is_empty()).then(|| it.host_keys.clone()))
        .maybe("added_at", time(it.added).map(rfc3339))
        .build()
}
