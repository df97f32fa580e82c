//! A deployment: the view that people read, and the fields that only App Platform's clients need.

use controller::view::{DeploymentKind, DeploymentView, Image};
use serde_json::{Value, json};
use web::view;

use super::catalog::EMAIL;
use super::object::Object;
use super::timing::timing;

/// The types that deployments have here: a person or a program requested each of them.
pub(crate) const TYPES: [&str; 2] = ["MANUAL", "MANUAL_ROLLBACK"];

/// The type of a deployment.
pub(crate) fn type_of(it: &DeploymentView) -> &'static str {
    match it.kind {
        DeploymentKind::Restart | DeploymentKind::Deploy | DeploymentKind::Rebuild => TYPES[0],
        DeploymentKind::Rollback | DeploymentKind::Revert => TYPES[1],
    }
}

/// A deployment with what it waits for.
pub(crate) fn deployment(it: &DeploymentView) -> Value {
    render(it, &it.waiting)
}

/// A deployment inside an app, without what it waits for.
pub(super) fn within_app(it: &DeploymentView) -> Value {
    render(it, &[])
}

fn render(it: &DeploymentView, waiting: &[String]) -> Value {
    let view = view::deployment(it, waiting);
    let action = match it.kind {
        DeploymentKind::Restart => "RESTART",
        DeploymentKind::Rollback => "ROLLBACK_APP",
        DeploymentKind::Revert => "REVERT_APP_ROLLBACK",
        DeploymentKind::Deploy | DeploymentKind::Rebuild if it.updates_spec => "UPDATE_SPEC",
        DeploymentKind::Deploy | DeploymentKind::Rebuild => "CREATE_DEPLOYMENT",
    };
    let user = it.actor.as_ref().map(|it| {
        Object::new().maybe("uuid", it.token.as_deref()).set("email", EMAIL).set("full_name", it.name.as_str()).build()
    });
    let user_action = Object::new().set("name", action).maybe("user", user).build();
    let mut object = Object::with_fields_of(&view)
        .set("spec", it.spec.clone())
        .set("cause_details", json!({ "type": type_of(it), "digitalocean_user_action": user_action }))
        .maybe("cloned_from", it.cloned_from.as_ref().map(|id| id.as_str()))
        .maybe("previous_deployment_id", it.previous.as_ref().map(|id| id.as_str()))
        .maybe("timing", timing(it.created, &it.progress))
        .set("tier_slug", "basic");
    for kind in ["services", "workers", "jobs", "static_sites"] {
        object = object.maybe(kind, components(it, kind));
    }
    object.build()
}

/// The components of one kind with their sources; `None` if the spec has none.
fn components(it: &DeploymentView, kind: &str) -> Option<Vec<Value>> {
    let of_kind = it.spec.get(kind)?.as_array()?;
    let names = of_kind.iter().filter_map(|component| component.get("name")?.as_str());
    let components: Vec<_> = names.map(|name| component(name, it.images.get(&name.into()))).collect();
    Some(components).filter(|all| !all.is_empty())
}

fn component(name: &str, image: Option<&Image>) -> Value {
    let commit = image.and_then(|it| it.commit.clone());
    // An image that was built from source has a commit. A prebuilt image has its registry's digest, or the engine's id.
    let digest = image.filter(|it| it.commit.is_none()).map(|it| it.digest.as_deref().unwrap_or(&it.id));
    let digest = digest.map(|it| it.rsplit('@').next().unwrap_or(it));
    Object::new().set("name", name).maybe("source_commit_hash", commit).maybe("source_image_digest", digest).build()
}
