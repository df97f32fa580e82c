//! Containers of an app that are newer than its records: the database was put back from a backup, or lost its last commits.
//!
//! They are remembered by name before anything else of the app is touched. While one of them serves, instances and routes
//! stay as they are. The next deployment or restart that a person asks for replaces them like older instances; after it has
//! succeeded they drain, stop and go. Databases among them stay for good.

use engine::{Container, Role};
use ingress::protocol::{Open, Upstream};
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

    /// A deployment that was accepted after they were found has succeeded.
    pub fn newer_is_replaced(&self) -> bool {
        self.active().is_some_and(|it| it.number > self.app.newer.deployments)
    }
}

/// Remembers containers that are newer than the records, and gives no name a second time. Returns whether there are new
/// ones.
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

/// The serial in the name of an instance or a job run of this app. A row always has its serial before the engine hears the
/// name, so a serial above the app's is from a newer database.
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
    let is_routed = |it: &Container| rules().flat_map(|rule| &rule.upstreams).any(|upstream| upstream.id == it.name);
    let is_behind_routes = |it: &Container| rules().any(|rule| rule.component == it.identity.component);
    // Where the ingress is as old as the database, the records are the only way to serve again.
    running.iter().any(|it| is_routed(it)) || !running.is_empty() && !running.iter().any(|it| is_behind_routes(it))
}

/// Newer instances of a component that the ingress routes to and that still run.
pub(super) fn upstreams(shared: &Shared, records: &Records, engine: &EngineView, component: &str) -> Vec<Upstream> {
    if records.app.newer.containers.is_empty() {
        return Vec::new();
    }
    let runs = |it: &Upstream| engine.containers.get(&it.id).is_some_and(unknown::runs);
    let part = shared.ingress.part(records.app.id.as_str());
    let rule = part.into_iter().flat_map(|it| it.rules).find(|it| it.component == component);
    let upstreams = rule.map(|it| it.upstreams).unwrap_or_default();
    upstreams.into_iter().filter(|it| records.is_newer(&it.id) && runs(it)).collect()
}

/// Lets a replaced newer instance drain, stops it and removes it.
pub(super) fn end(cx: &mut Context, name: InstanceName) {
    let shared = cx.shared.clone();
    // The record that would say the times of this instance is lost.
    let times = StopTimes::default();
    cx.actions.begin(Subject::Stray(name.clone()), async move {
        let mut changes = shared.ingress.changes();
        let drained =
            async { while shared.ingress.open(name.as_str()) != Open::default() && changes.changed().await.is_ok() {} };
        // Past the deadline it is stopped all the same.
        let _ = tokio::time::timeout(times.drain, drained).await;
        let result = unknown::remove(shared.engine.as_ref(), name.as_str(), times.grace).await;
        ActionResult::StrayRemoved { name, result }
    });
}
