//! Containers of an app that are newer than its records, because the database was restored from a backup or lost its
//! last commits.
//!
//! The task records their names before it changes anything else of the app. While one of them serves, instances and
//! routes stay as they are. The next deployment or restart that a person requests replaces them like older instances.
//! Once it has succeeded, they drain, stop and are removed. Databases among them are never removed.

use engine::{Container, Role};
use ingress::protocol::{Open, Rule, Upstream};
use rollout::ids::InstanceName;
use rollout::target::StopTimes;
use store::StoreError;
use store::records::{App, Change};
use tracing::warn;

use super::Shared;
use super::actions::{ActionResult, Subject};
use super::context::Context;
use super::observe::Snapshot;
use super::records::Records;
use crate::engine_watch::EngineView;
use crate::unknown;

impl Records {
    pub fn is_newer(&self, name: &str) -> bool {
        self.app.newer.containers.contains(&InstanceName::new(name))
    }

    /// Whether a deployment that was accepted after they were found has succeeded.
    pub fn newer_is_replaced(&self) -> bool {
        self.active().is_some_and(|it| it.number > self.app.newer.deployments)
    }
}

/// Records containers that are newer than the records, and makes sure that no name is used twice. Returns whether there
/// are new ones.
pub(super) async fn note(cx: &mut Context, snapshot: &Snapshot) -> Result<bool, StoreError> {
    let app = &cx.records.app;
    if !snapshot.has_engine() || app.deleting {
        return Ok(false);
    }
    let containers = &snapshot.engine.containers;
    let mut newer = app.newer.clone();
    newer.containers.retain(|name| containers.contains_key(name.as_str()));
    let mut serial = app.serial;
    for (name, its_serial) in containers.values().filter_map(|it| serial_of(cx, it)) {
        if its_serial > app.serial {
            warn!(container = %name, "newer than the records of its app; it stays until the app is deployed or restarted");
            newer.containers.insert(name);
            newer.deployments = app.deployments;
            serial = serial.max(its_serial);
        }
    }
    if newer.containers == app.newer.containers {
        return Ok(false);
    }
    let app = App { serial, newer, ..app.clone() };
    cx.commit(vec![Change::App(app)]).await?;
    Ok(true)
}

/// The serial in the name of an instance or a job run of this app. The store always has the serial before the engine
/// gets the name, so a serial above the app's is from a newer database.
fn serial_of(cx: &Context, container: &Container) -> Option<(InstanceName, u64)> {
    let (identity, app) = (&container.identity, &cx.records.app.id);
    let of_app = identity.app == app.as_str() && matches!(identity.role, Role::Instance | Role::Job);
    let rest = container.name.strip_prefix(&cx.shared.names.network(app)).filter(|_| of_app)?;
    let serial = rest.rsplit('-').next()?.parse().ok()?;
    Some((InstanceName::new(container.name.clone()), serial))
}

/// Whether instances and routes stay as they are, because what serves is newer than the records and no deployment has begun
/// to replace it.
pub(super) fn hold_everything(cx: &Context, snapshot: &Snapshot) -> bool {
    let records = &cx.records;
    let app = &records.app;
    if app.newer.containers.is_empty() || app.deleting || records.rolling().is_some() || records.newer_is_replaced() {
        return false;
    }
    let containers = snapshot.engine.containers.values();
    let running: Vec<_> = containers.filter(|it| records.is_newer(&it.name) && unknown::runs(it)).collect();
    let part = cx.shared.ingress.part(app.id.as_str());
    let rules = || part.iter().flat_map(|it| &it.rules);
    let is_routed = |it: &Container| rules().flat_map(Rule::upstreams).any(|upstream| upstream.id == it.name);
    let is_behind_routes = |it: &Container| rules().any(|rule| rule.component == it.identity.component);
    // If the routes of the ingress are as old as the database, only the records can bring the app back.
    running.iter().any(|it| is_routed(it)) || !running.is_empty() && !running.iter().any(|it| is_behind_routes(it))
}

/// Newer instances of a component that still run and that the ingress routes to.
pub(super) fn upstreams(shared: &Shared, records: &Records, engine: &EngineView, component: &str) -> Vec<Upstream> {
    if records.app.newer.containers.is_empty() {
        return Vec::new();
    }
    let runs = |it: &Upstream| engine.containers.get(&it.id).is_some_and(unknown::runs);
    let part = shared.ingress.part(records.app.id.as_str());
    let rule = part.into_iter().flat_map(|it| it.rules).find(|it| it.component == component);
    let upstreams = rule.iter().flat_map(Rule::upstreams);
    upstreams.filter(|it| records.is_newer(&it.id) && runs(it)).cloned().collect()
}

/// Drains, stops and removes a newer instance that was replaced.
pub(super) fn end(cx: &mut Context, name: InstanceName) {
    let shared = cx.shared.clone();
    // The record with the stop times of this instance is lost.
    let times = StopTimes::default();
    cx.actions.begin(Subject::Stray(name.clone()), async move {
        let mut changes = shared.ingress.changes();
        let drained =
            async { while shared.ingress.open(name.as_str()) != Open::default() && changes.changed().await.is_ok() {} };
        // After the deadline, stop it anyway.
        let _ = tokio::time::timeout(times.drain, drained).await;
        let result = unknown::remove(shared.engine.as_ref(), name.as_str(), times.grace).await;
        ActionResult::StrayRemoved { name, result }
    });
}
