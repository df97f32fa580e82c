//! An alert as App Platform's clients read it.

use controller::view::{AlertView, SlackWebhook};
use serde_json::{Value, json};

use super::object::Object;

/// An alert. ACTIVE means that its configuration is stored; `boatyard.sent` says that nothing is sent. The addresses of
/// webhooks are secrets, so they are hidden unless `shows_secrets`.
pub(crate) fn alert(view: &AlertView, shows_secrets: bool) -> Value {
    let url = |it: &SlackWebhook| if shows_secrets { it.url.clone() } else { "hidden".to_owned() };
    let webhook = |it: &SlackWebhook| json!({ "url": url(it), "channel": it.channel });
    Object::new()
        .set("id", view.id.as_str())
        .maybe("component_name", view.component.as_deref())
        .set("spec", view.spec.clone())
        .set("emails", view.emails.clone())
        .set("slack_webhooks", view.slack_webhooks.iter().map(webhook).collect::<Vec<_>>())
        .set("phase", "ACTIVE")
        .set("progress", json!({ "steps": [] }))
        .set("boatyard", json!({ "sent": false }))
        .build()
}
