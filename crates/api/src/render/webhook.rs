//! A webhook with its newest deliveries.

use controller::view::{Delivery, DeliveryApp, WebhookView};
use present::rfc3339;
use serde_json::Value;
use web::view::time;

use super::object::Object;

/// What is on record about a webhook.
pub(crate) fn webhook(it: &WebhookView) -> Value {
    Object::new()
        .set("name", it.name.as_str())
        .maybe("app_id", it.app.as_ref().map(|app| app.id.as_str()))
        .maybe("app_name", it.app.as_ref().map(|app| app.name.as_str()))
        .maybe("app_deleted", it.app_deleted.then_some(true))
        .maybe("created_at", time(it.created).map(rfc3339))
        .maybe("address", it.address.as_deref())
        .set("refused", it.refused)
        .set("deliveries", it.deliveries.iter().map(delivery).collect::<Vec<_>>())
        .build()
}

fn delivery(it: &Delivery) -> Value {
    Object::new()
        .set("id", it.id.as_str())
        .maybe("at", time(it.at).map(rfc3339))
        .set("host", it.host.as_str())
        .set("event", it.event.as_str())
        .maybe("repository", it.repository.as_deref())
        .set("refs", it.refs.clone())
        .set("answer", it.answer.as_str())
        .set("apps", it.apps.iter().map(app).collect::<Vec<_>>())
        .build()
}

fn app(it: &DeliveryApp) -> Value {
    Object::new()
        .set("app_id", it.id.as_str())
        .set("app_name", it.name.as_str())
        .maybe("result", it.result.as_deref())
        .maybe("deployment_id", it.deployment.as_ref().map(|id| id.as_str()))
        .build()
}
