//! The certificate of a host name.

use controller::view::{CertificateSource, CertificateState, CertificateView};
use present::rfc3339;
use serde_json::Value;
use web::view::time;

use super::object::Object;

pub(crate) fn certificate(it: &CertificateView) -> Value {
    let source = it.source.map(|source| match source {
        CertificateSource::OwnFiles => "files",
        CertificateSource::Acme => "acme",
        CertificateSource::LocalAuthority => "local authority",
    });
    let state = match it.state {
        CertificateState::Unused => "unused",
        CertificateState::Ordering => "ordering",
        CertificateState::Valid => "valid",
        CertificateState::RenewalFailed => "renewal failed",
        CertificateState::Failed => "failed",
    };
    Object::new()
        .set("name", it.name.as_str())
        .maybe("app", it.app.clone())
        .maybe("source", source)
        .set("state", state)
        .set("names", it.names.clone())
        .maybe("expires_at", it.expires.and_then(time).map(rfc3339))
        .maybe("next_attempt_at", it.next_attempt.and_then(time).map(rfc3339))
        .maybe("reason", it.reason.clone())
        .build()
}
