//! An app as App Platform's clients read it, and the answer to a proposal.

use app_spec::Parsed;
use chrono::{DateTime, Utc};
use controller::view::{AppView, DeploymentView, DomainPhase, DomainView, Preview};
use present::rfc3339;
use serde_json::{Value, json};
use web::view::{app_details, time};

use super::deployment::within_app;
use super::object::Object;
use super::project::project_id;
use super::{owner_id, region};

/// Which deployment is the `pending_deployment` of the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PendingDeployment {
    /// The one that waits for the deployment in progress, if any.
    Waiting,
    /// The newest one. Clients that create or update an app wait for it.
    Newest,
}

/// An app. `installation` owns it.
pub(crate) fn app(view: &AppView, installation: &str, pending: PendingDeployment) -> Value {
    let live = view.active.is_some();
    let url = |shown: bool| shown.then(|| view.live_url.clone());
    let pending = match pending {
        PendingDeployment::Waiting => view.pending.as_ref(),
        PendingDeployment::Newest => view.newest.as_ref(),
    };
    Object::new()
        .set("id", view.id.as_str())
        .set("owner_uuid", owner_id(installation))
        .set("project_id", project_id(installation))
        .set("spec", view.spec.clone())
        .set("default_ingress", view.default_url.as_str())
        .maybe("live_url", url(live))
        .maybe("live_url_base", url(live))
        .maybe("live_domain", live.then(|| view.live_domain.clone()))
        .maybe("created_at", time(view.created).map(rfc3339))
        .maybe("updated_at", time(view.updated).map(rfc3339))
        .maybe("active_deployment", view.active.as_ref().map(within_app))
        .maybe("in_progress_deployment", view.in_progress.as_ref().map(within_app))
        .maybe("pending_deployment", pending.map(within_app))
        .maybe("pinned_deployment", view.pinned.as_ref().map(within_app))
        .maybe("last_deployment_created_at", view.newest.as_ref().and_then(|it| time(it.created)).map(rfc3339))
        .maybe("last_deployment_active_at", view.active.as_ref().and_then(active_since).map(rfc3339))
        .maybe("domains", (!view.domains.is_empty()).then(|| view.domains.iter().map(domain).collect::<Vec<_>>()))
        .set("region", region())
        .set("tier_slug", "basic")
        .serialized("boatyard", &app_details(view))
        .build()
}

fn domain(view: &DomainView) -> Value {
    let (phase, step) = match view.phase {
        DomainPhase::Pending => ("PENDING", "PENDING"),
        DomainPhase::Configuring => ("CONFIGURING", "RUNNING"),
        DomainPhase::Active => ("ACTIVE", "SUCCESS"),
        DomainPhase::Error => ("ERROR", "ERROR"),
    };
    let reason = view.reason.as_ref().map(|message| json!({ "code": "certificate", "message": message }));
    let step = Object::new().set("name", "ensure-certificate").set("status", step).maybe("reason", reason).build();
    Object::new()
        .set("id", view.id.as_str())
        .set("spec", view.spec.clone())
        .set("phase", phase)
        .set("progress", json!({ "steps": [step] }))
        .maybe("certificate_expires_at", view.certificate_expires.and_then(time).map(rfc3339))
        .build()
}

/// An app in a list: without its project, unless the request asks for projects.
pub(crate) fn listed_app(view: &AppView, installation: &str, with_project: bool) -> Value {
    let mut app = app(view, installation, PendingDeployment::Waiting);
    if let Some(fields) = app.as_object_mut().filter(|_| !with_project) {
        fields.remove("project_id");
    }
    app
}

fn active_since(deployment: &DeploymentView) -> Option<DateTime<Utc>> {
    time(deployment.rollout.serving_since.unwrap_or(deployment.stage_since))
}

/// What a spec would do. All costs are 0. `suggestion`: a free name, if the name of the spec is taken.
pub(crate) fn proposal(parsed: &Parsed, suggestion: Option<String>, plan: Option<&Preview>) -> Value {
    let spec = &parsed.spec;
    let is_static = !spec.static_sites.is_empty() && spec.components().count() == spec.static_sites.len();
    // These secrets come from the same request, so only the caller sees them.
    let normalized = spec.to_json_value(&|_, secret| secret.expose().to_owned());
    let details = json!({
        "plan": plan,
        "warnings": parsed.warnings,
        "no_effect": parsed.no_effect(),
        "not_yet": parsed.not_yet(),
    });
    Object::new()
        .set("app_name_available", suggestion.is_none())
        .maybe("app_name_suggestion", suggestion)
        .set("app_is_static", is_static)
        .set("app_is_starter", false)
        .set("existing_static_apps", "0")
        .set("max_free_static_apps", "0")
        .set("existing_starter_apps", "0")
        .set("max_free_starter_apps", "0")
        .set("spec", normalized)
        .set("app_cost", 0)
        .set("app_tier_upgrade_cost", 0)
        .set("app_tier_downgrade_cost", 0)
        .set("boatyard", details)
        .build()
}
