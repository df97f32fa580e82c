//! Containers of this app that no record explains: an action that the engine finished late left them behind, or they
//! are newer than the records and were replaced.

use engine::{Container, EngineError, Identity, Role};
use rollout::ids::InstanceName;
use rollout::observed::ContainerSeen;
use rollout::target::StopTimes;
use tracing::warn;

use super::STORE_PAUSE;
use super::actions::{ActionResult, Subject};
use super::context::Context;
use super::deletion::LONGEST_PAUSE;
use super::newer;
use super::observe::Snapshot;
use super::routing::Routing;

/// Begins to remove one such container. Returns whether there was one.
pub(super) fn remove(cx: &mut Context, routing: &Routing, snapshot: &Snapshot) -> bool {
    if snapshot.engine.unreachable.is_some() {
        return false;
    }
    let app = cx.records.app.id.as_str();
    let of_app = snapshot.engine.containers.values().filter(|it| it.identity.app == app);
    let names = of_app
        .filter(|it| may_remove(cx, routing, it) && !is_read(cx, it) && !is_check(cx, it))
        .map(|it| InstanceName::new(it.name.clone()));
    let Some(name) = names.into_iter().find(|name| is_unexplained(cx, name)) else { return false };
    warn!(container = %name, "no record explains it; removing it");
    cx.observer.acted(&name, ContainerSeen::Missing);
    if cx.records.is_newer(name.as_str()) {
        newer::end(cx, name);
        return true;
    }
    let engine = cx.shared.engine.clone();
    cx.actions.begin(Subject::Stray(name.clone()), async move {
        // If the stop fails, the removal still ends the container.
        drop(engine.stop(name.as_str(), StopTimes::default().grace).await);
        let result = engine.remove(name.as_str()).await.map(drop);
        ActionResult::StrayRemoved { name, result }
    });
    true
}

fn is_unexplained(cx: &Context, name: &InstanceName) -> bool {
    let records = &cx.records;
    let is_on_record = records.instance(name).is_some()
        || records.job_run(name).is_some()
        || records.databases.iter().any(|it| it.container == *name);
    !is_on_record && !cx.observer.has_acted_on(name) && !cx.actions.is_running(&Subject::Stray(name.clone()))
}

/// Whether an action reads the files of a static site from this container.
fn is_read(cx: &Context, container: &Container) -> bool {
    let Identity { role, deployment, component, .. } = &container.identity;
    let subject = || Subject::Image(deployment.as_str().into(), component.as_str().into());
    *role == Role::Pin && cx.actions.is_running(&subject())
}

/// Whether this container checks at the moment whether containers reach the ingress.
fn is_check(cx: &Context, container: &Container) -> bool {
    let app = &cx.records.app.id;
    container.name == cx.shared.names.connect_check(app) && cx.shared.call_checks.is_running(app)
}

/// Whether a container of this app that no record explains may be removed.
fn may_remove(cx: &Context, routing: &Routing, container: &Container) -> bool {
    if cx.records.app.deleting {
        return true;
    }
    if container.identity.role == Role::Database {
        // Its volume would survive, but the server may still be needed.
        return false;
    }
    if cx.records.is_newer(&container.name) {
        let is_replaced = cx.records.newer_is_replaced() && cx.records.rolling().is_none();
        return is_replaced && !routing.names(&container.name);
    }
    // A record that is lost or cannot be read may explain this container.
    cx.shared.store.damaged().is_empty() && cx.shared.store.lost_commits().is_none()
}

pub(super) fn removed(cx: &mut Context, name: InstanceName, result: Result<(), EngineError>) {
    if let Err(error) = result {
        warn!(container = %name, %error, "could not be removed yet; trying again");
        let what = format!("{name} is on no record and cannot be removed: {error}");
        let subject = Subject::Stray(name);
        let pause = cx.actions.failed(&subject, what, STORE_PAUSE, LONGEST_PAUSE);
        cx.actions.pause(subject, pause);
    }
}
