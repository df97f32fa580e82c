//! An app as clients read it (contract 3.1), and the answer to a proposal.

use app_spec::Parsed;
use controller::view::{AppView, Preview};
use serde_json::{Value, json};
use store::records::Deployment;

use super::deployment::within_app;
use super::fields::{Fields, time};
use super::region;

/// Which deployment is shown as the pending one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    /// The one in the waiting place, if any.
    Waiting,
    /// The one that this request caused, or where it caused none the newest: clients wait for it.
    Caused,
}

/// `owner` is the installation's id.
pub(crate) fn app(view: &AppView, owner: &str, pending: Pending) -> Value {
    let app = &view.app;
    let live = view.active.is_some();
    let url = |shown: bool| shown.then(|| view.live_url.clone());
    let pending = match pending {
        Pending::Waiting => view.waiting.as_ref(),
        Pending::Caused => view.newest.as_ref(),
    };
    Fields::new()
        .set("id", app.id.as_str())
        .set("owner_uuid", owner)
        .set("spec", app.spec.clone())
        .set("default_ingress", view.live_url.as_str())
        .maybe("live_url", url(live))
        .maybe("live_url_base", url(live))
        .maybe("live_domain", live.then(|| view.live_domain.clone()))
        .maybe("created_at", time(app.created))
        .maybe("updated_at", time(app.updated))
        .maybe("active_deployment", view.active.as_ref().map(within_app))
        .maybe("in_progress_deployment", view.in_progress.as_ref().map(within_app))
        .maybe("pending_deployment", pending.map(within_app))
        .maybe("last_deployment_created_at", view.newest.as_ref().and_then(|it| time(it.created)))
        .maybe("last_deployment_active_at", view.active.as_ref().and_then(active_since))
        .set("region", region())
        .set("tier_slug", "basic")
        .set("boatyard", extension(view))
        .build()
}

/// What our own clients read beside App Platform's fields: how many instances serve, and what the app waits for.
fn extension(view: &AppView) -> Value {
    json!({
        "deleting": view.app.deleting,
        "instances": { "ready": view.ready, "wanted": view.wanted },
        "waiting": view.waiting_for,
    })
}

fn active_since(deployment: &Deployment) -> Option<String> {
    time(deployment.record.serving_since.unwrap_or(deployment.stage_since))
}

/// What would become of a spec. Nothing costs anything here.
pub(crate) fn proposal(parsed: &Parsed, name_available: bool, plan: Option<&Preview>) -> Value {
    let spec = &parsed.spec;
    let is_static = !spec.static_sites.is_empty() && spec.components().count() == spec.static_sites.len();
    // The caller wrote these secrets in this very request; to nobody else are they shown.
    let normalised = spec.to_json_value(&|_, secret| secret.expose().to_owned());
    let remarks = json!({
        "plan": plan,
        "warnings": parsed.warnings,
        "no_effect": parsed.no_effect(),
        "not_yet": parsed.not_yet(),
    });
    let suggestion = (!name_available).then(|| format!("{}-2", spec.name));
    Fields::new()
        .set("app_name_available", name_available)
        .maybe("app_name_suggestion", suggestion)
        .set("app_is_static", is_static)
        .set("app_is_starter", false)
        .set("existing_static_apps", "0")
        .set("max_free_static_apps", "0")
        .set("existing_starter_apps", "0")
        .set("max_free_starter_apps", "0")
        .set("spec", normalised)
        .set("app_cost", 0)
        .set("app_tier_upgrade_cost", 0)
        .set("app_tier_downgrade_cost", 0)
        .set("boatyard", remarks)
        .build()
}
