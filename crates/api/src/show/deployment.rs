//! A deployment as clients read it (contract 3.2).

use controller::view::DeploymentView;
use rollout::progress::{Leaf, LeafKey};
use rollout::queue::Build;
use serde_json::{Value, json};
use store::records::{Deployment, Image};

use super::fields::{Fields, time};
use super::progress::progress;
use super::proof::proof;

/// With the reasons for which it waits.
pub(crate) fn deployment(view: &DeploymentView) -> Value {
    draw(&view.deployment, &view.waiting)
}

/// As part of an app, where nobody looks for why-lines.
pub(super) fn within_app(deployment: &Deployment) -> Value {
    draw(deployment, &[])
}

fn draw(it: &Deployment, waiting: &[String]) -> Value {
    let next = |leaf: &Leaf| next_command(it, leaf);
    let mut fields = Fields::new()
        .set("id", it.id.as_str())
        .set("spec", it.spec.clone())
        .set("phase", it.stage.phase().as_str())
        .maybe("phase_last_updated_at", time(it.stage_since))
        .maybe("created_at", time(it.created))
        .maybe("updated_at", time(it.updated))
        .set("cause", it.cause.as_str())
        .set("cause_details", cause_details(it))
        .maybe("cloned_from", it.cloned_from.as_ref().map(|id| id.as_str()))
        .maybe("previous_deployment_id", it.previous.as_ref().map(|id| id.as_str()))
        .set("progress", progress(&it.progress, it.stage.is_ended(), next))
        .set("tier_slug", "basic");
    for kind in ["services", "workers", "jobs", "static_sites"] {
        fields = fields.maybe(kind, components(it, kind));
    }
    fields.set("boatyard", proof(it, waiting)).build()
}

fn cause_details(it: &Deployment) -> Value {
    let action = if it.request.build == Build::Frozen { "RESTART" } else { "CREATE_DEPLOYMENT" };
    json!({ "type": "MANUAL", "digitalocean_user_action": { "name": action } })
}

/// The components of one kind with what they were made from; `None` where the spec has none.
fn components(it: &Deployment, kind: &str) -> Option<Vec<Value>> {
    let of_kind = it.spec.get(kind)?.as_array()?;
    let names = of_kind.iter().filter_map(|component| component.get("name")?.as_str());
    let drawn: Vec<_> = names.map(|name| component(name, it.images.get(&name.into()))).collect();
    Some(drawn).filter(|all| !all.is_empty())
}

fn component(name: &str, image: Option<&Image>) -> Value {
    let commit = image.and_then(|it| it.commit.clone());
    // What was built here has a commit; what was pulled has a digest.
    let digest = image.filter(|it| it.commit.is_none()).map(|it| it.id.clone());
    Fields::new().set("name", name).maybe("source_commit_hash", commit).maybe("source_image_digest", digest).build()
}

/// Where to look after this leaf failed.
fn next_command(it: &Deployment, leaf: &Leaf) -> String {
    let app = it.spec.get("name").and_then(Value::as_str).unwrap_or(it.app.as_str());
    let (component, log) = match &leaf.key {
        LeafKey::BuildInitialize => (None, "build"),
        LeafKey::Build(name) => (Some(name), "build"),
        LeafKey::Deploy(name) | LeafKey::Wait(name) => (Some(name), "deploy"),
        LeafKey::DeployInitialize | LeafKey::Finalize => (None, "deploy"),
    };
    let component = component.map(|name| format!(" {name}")).unwrap_or_default();
    match it.failure {
        Some(_) => format!("boatyard apps logs {app}{component} --type {log} --deployment {}", it.id),
        // Canceled or displaced: no log tells why.
        None => format!("boatyard apps list-deployments {app}"),
    }
}
