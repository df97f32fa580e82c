//! A row of the audit trail.

use controller::view::AuditEntry;
use present::rfc3339;
use serde_json::Value;
use web::view::time;

use super::object::Object;

/// A request, with its outcome: `accepted`, `refused`, or `unknown` if no answer was sent.
pub(crate) fn audit_entry(it: &AuditEntry) -> Value {
    let outcome = match it.status {
        None => "unknown",
        Some(_) if it.is_accepted() => "accepted",
        Some(_) => "refused",
    };
    Object::new()
        .maybe("at", time(it.at).map(rfc3339))
        .maybe("token_id", it.actor.token.as_deref())
        .set("token_name", it.actor.name.as_str())
        .set("action", it.action.as_str())
        .maybe("app_id", it.app.as_ref().map(|id| id.as_str()))
        .maybe("app_name", it.app_name.as_deref())
        .maybe("deployment_id", it.deployment.as_ref().map(|id| id.as_str()))
        .maybe("subject", it.subject.as_deref())
        .set("outcome", outcome)
        .maybe("status", it.status)
        .maybe("source_address", it.source.map(|it| it.to_string()))
        .build()
}
