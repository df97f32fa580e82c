//! Containers of an app that are newer than its records: the database was put back from a backup, or lost its last commits.
//!
//! They are remembered by name before anything else of the app is touched. While one of them serves, instances and routes
//! stay as they are. The next deployment or restart that a person asks for replaces them like older instances; after it has
//! succeeded they drain, stop and go. Databases among them stay for good.

use std::collections::BTreeSet;

use engine::{Container, Role};
use ingress::protocol::{Open, Upstream};
use rollout::ids::InstanceName;
use rollout::target::StopTimes;
use store::StoreError;
use store::records::{App, Change};
use tracing::warn;

use super::AppTask;
use super::done::Done;
use crate::unknown;

impl AppTask {
    /// Remembers containers that are newer than the records, and gives no name a second time. Returns whether there are
    /// new ones.
    pub(super) async fn note_newer(&mut self) -> Result<bool, StoreError> {
        let view = self.engine_view.borrow().clone();
        let app = &self.state.app;
        if view.asked.is_none() || view.unreachable.is_some() || app.deleting {
            return Ok(false);
        }
        let here = |name: &InstanceName| view.containers.contains_key(name.as_str());
        let mut newer = app.newer.clone();
        newer.containers.retain(here);
        let mut serial = app.serial;
        for (name, its_serial) in view.containers.values().filter_map(|it| self.serial(it)) {
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
        self.commit(vec![Change::App(app)]).await?;
        Ok(true)
    }

    /// The serial in the name of an instance or a job run of this app. A row always has its serial before the engine
    /// hears the name, so a serial above the app's is from a newer database.
    fn serial(&self, container: &Container) -> Option<(InstanceName, u64)> {
        let identity = &container.identity;
        let of_app = identity.app == self.state.app.id.as_str() && matches!(identity.role, Role::Instance | Role::Job);
        let rest = container.name.strip_prefix(&self.shared.names.network(&self.state.app.id)).filter(|_| of_app)?;
        let serial = rest.rsplit('-').next()?.parse().ok()?;
        Some((InstanceName::new(container.name.clone()), serial))
    }

    /// Whether instances and routes stay as they are, because what serves is newer than the records and no deployment has
    /// begun to replace it.
    pub(super) fn stands_still(&self) -> bool {
        let app = &self.state.app;
        if app.newer.containers.is_empty() || app.deleting || self.rolling().is_some() || self.newer_is_replaced() {
            return false;
        }
        let view = self.engine_view.borrow().clone();
        let running: Vec<_> =
            view.containers.values().filter(|it| self.is_newer(&it.name) && unknown::runs(it)).collect();
        let part = self.shared.front.part(app.id.as_str());
        let rules = || part.iter().flat_map(|it| &it.rules);
        let is_routed =
            |it: &Container| rules().flat_map(|rule| &rule.upstreams).any(|upstream| upstream.id == it.name);
        let is_behind_routes = |it: &Container| rules().any(|rule| rule.component == it.identity.component);
        // Where the ingress is as old as the database, the records are the only way to serve again.
        running.iter().any(|it| is_routed(it)) || !running.is_empty() && !running.iter().any(|it| is_behind_routes(it))
    }

    /// A deployment that was accepted after they were found has succeeded.
    fn newer_is_replaced(&self) -> bool {
        self.active().is_some_and(|it| it.number > self.state.app.newer.deployments)
    }

    pub(super) fn is_newer(&self, name: &str) -> bool {
        self.state.app.newer.containers.contains(&InstanceName::new(name))
    }

    /// Newer instances of a component that the ingress routes to and that still run.
    pub(super) fn newer_upstreams(&self, component: &str) -> Vec<Upstream> {
        if self.state.app.newer.containers.is_empty() {
            return Vec::new();
        }
        let view = self.engine_view.borrow().clone();
        let runs = |it: &Upstream| view.containers.get(&it.id).is_some_and(unknown::runs);
        let part = self.shared.front.part(self.state.app.id.as_str());
        let rule = part.into_iter().flat_map(|it| it.rules).find(|it| it.component == component);
        let upstreams = rule.map(|it| it.upstreams).unwrap_or_default();
        upstreams.into_iter().filter(|it| self.is_newer(&it.id) && runs(it)).collect()
    }

    /// Whether housekeeping may remove a container of this app that no record explains.
    pub(super) fn may_remove(&self, container: &Container) -> bool {
        if self.state.app.deleting {
            return true;
        }
        if container.identity.role == Role::Database {
            // Its volume would survive, but nothing proves that nobody needs the server.
            return false;
        }
        if self.is_newer(&container.name) {
            let routed = self.routes.as_ref().map(|(_, part)| part.rules.iter().flat_map(|it| &it.upstreams));
            let is_out = routed.is_some_and(|mut all| all.all(|it| it.id != container.name));
            return is_out && self.newer_is_replaced() && self.rolling().is_none();
        }
        // What a record says that cannot be read, or one that was lost, is not known: it may explain this one.
        self.shared.store.damaged().is_empty() && self.shared.store.lost_commits().is_none()
    }

    /// Lets a replaced newer instance drain, stops it and removes it.
    pub(super) fn end_newer(&mut self, name: InstanceName) {
        let shared = self.shared.clone();
        // The record that would say its own times is lost.
        let times = StopTimes::default();
        self.begin(name.clone(), async move {
            let mut changes = shared.front.changes();
            let drained = async {
                while shared.front.open(name.as_str()) != Open::default() && changes.changed().await.is_ok() {}
            };
            // Past the deadline it is stopped all the same.
            let _ = tokio::time::timeout(times.drain, drained).await;
            let result = unknown::remove(shared.engine.as_ref(), name.as_str(), times.grace).await;
            Done::HouseCleared { about: name, result }
        });
    }

    /// Addresses of everything of this app on the engine: what no record explains has one, too.
    pub(super) fn addresses_on_engine(&self) -> BTreeSet<std::net::Ipv4Addr> {
        let view = self.engine_view.borrow().clone();
        let of_app = view.containers.values().filter(|it| it.identity.app == self.state.app.id.as_str());
        of_app.flat_map(|it| it.addresses.iter().copied()).collect()
    }
}
