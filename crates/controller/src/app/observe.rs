//! One snapshot per turn: the records joined with what the engine, the probes and the ingress report.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rollout::ids::{ComponentName, InstanceName};
use rollout::observed::{ContainerSeen, Instance, Observed, Open, RetryBackoff, StopAttempt};
use rollout::plan::{RolloutStatus, rollout_status_of};
use rollout::target::Target;
use rollout::time::Timestamp;
use store::records;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use super::actions::{Actions, Subject};
use super::drift::{self, Difference};
use super::probes::Probes;
use super::records::Records;
use super::routing::{Routing, WantedRoutes};
use crate::clock;
use crate::engine_watch::EngineView;

/// How long an address that something else held is not assigned.
const HELD_FOR: Duration = Duration::from_secs(600);

/// The state on which one turn decides.
pub(super) struct Snapshot {
    pub now: Timestamp,
    /// The engine's newest list.
    pub engine: Arc<EngineView>,
    containers: HashMap<InstanceName, ContainerOnRecord>,
    /// Instances and routes, as the planner takes them.
    pub observed: Observed,
    /// The targets of services and workers.
    pub targets: Vec<Target>,
    /// How far the instances are from the targets.
    pub status: RolloutStatus,
    /// What the ingress should route.
    pub routes: WantedRoutes,
}

/// The observed state of a container that a record names.
struct ContainerOnRecord {
    seen: ContainerSeen,
    /// How it differs from its record. Empty if an action changed it after the newest list.
    differences: Vec<Difference>,
}

impl Snapshot {
    /// The state of a container that a record names.
    pub fn container(&self, name: &InstanceName) -> ContainerSeen {
        self.containers.get(name).map_or(ContainerSeen::Unknown, |it| it.seen)
    }

    /// How a container differs from its record, as far as the newest list shows.
    pub fn differences(&self, name: &InstanceName) -> &[Difference] {
        self.containers.get(name).map_or(&[], |it| &it.differences)
    }

    /// Whether the engine has sent a list and is reachable.
    pub fn has_engine(&self) -> bool {
        self.engine.asked.is_some() && self.engine.unreachable.is_none()
    }
}

/// Observes the app's containers.
pub(super) struct Observer {
    shared: Arc<Shared>,
    engine: watch::Receiver<Arc<EngineView>>,
    pub probes: Probes,
    /// Containers whose state an action changed after the engine's list was requested.
    acted: HashMap<InstanceName, (ContainerSeen, Instant)>,
    /// When the last action on a container ended. Earlier inspections may be out of date.
    touched: HashMap<InstanceName, Instant>,
    /// Addresses in the app's network that turned out to be held by something else, and when.
    held: HashMap<Ipv4Addr, Instant>,
    /// Instances that the controller has asked the engine to stop or remove.
    stop_attempts: HashMap<InstanceName, StopAttempt>,
    pub start_failures: StartFailures,
}

impl Observer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            engine: shared.watch.view(),
            shared,
            probes: Probes::new(),
            acted: HashMap::new(),
            touched: HashMap::new(),
            held: HashMap::new(),
            stop_attempts: HashMap::new(),
            start_failures: StartFailures::default(),
        }
    }

    /// Takes the snapshot of this turn. Call it once per turn.
    pub fn observe(&mut self, records: &Records, actions: &Actions, routing: &Routing) -> Snapshot {
        self.probes.follow(&self.shared, records);
        let engine = self.engine.borrow_and_update().clone();
        if let Some(asked) = engine.asked {
            // A list that was requested after an action shows that action's effect.
            self.acted.retain(|_, (_, at)| *at >= asked);
        }
        if engine.unreachable.is_some() {
            // While the engine is unreachable, a slow stop is not the container's fault.
            self.stop_attempts.clear();
        }
        self.held.retain(|_, met| met.elapsed() < HELD_FOR);
        let now = clock::now();
        let containers: HashMap<_, _> =
            records.containers().map(|(name, _)| (name.clone(), self.container(records, name, &engine))).collect();
        self.touched.retain(|name, _| containers.contains_key(name));
        let instances = records.instances.iter().map(|it| self.instance(records, actions, &containers, it)).collect();
        let retry_backoffs = self.start_failures.backoffs.clone();
        let observed = Observed { instances, routes: routing.acknowledged().cloned(), retry_backoffs };
        let targets = records.targets().to_vec();
        let status = status(records, &targets, &observed, now);
        let routes = routing.wanted(records, &engine, &observed, &status);
        Snapshot { now, engine, containers, observed, targets, status, routes }
    }

    fn instance(
        &self,
        records: &Records,
        actions: &Actions,
        containers: &HashMap<InstanceName, ContainerOnRecord>,
        row: &records::Instance,
    ) -> Instance {
        let health = self.probes.health(&row.name);
        let open = self.shared.ingress.open(row.name.as_str());
        Instance {
            name: row.name.clone(),
            component: row.component.clone(),
            kind: row.kind,
            slot: row.slot,
            revision: row.revision.clone(),
            generation: row.generation,
            stop_times: records.stop_times(row),
            phase: row.phase,
            since: row.since,
            container: containers.get(&row.name).map_or(ContainerSeen::Unknown, |it| it.seen),
            probe: health.map(|it| it.seen).unwrap_or_default(),
            probe_failure: health.and_then(|it| it.failure.clone()),
            open: Open { requests: open.requests, upgraded: open.upgraded },
            kept_alive: row.kept_alive,
            busy: actions.is_running(&Subject::Instance(row.name.clone())),
            refused: row.refused.clone(),
            stop_attempt: self.stop_attempts.get(&row.name).copied(),
        }
    }

    fn container(&self, records: &Records, name: &InstanceName, engine: &EngineView) -> ContainerOnRecord {
        let without_differences = |seen| ContainerOnRecord { seen, differences: Vec::new() };
        if let Some((seen, _)) = self.acted.get(name) {
            return without_differences(*seen);
        }
        if engine.asked.is_none() || engine.unreachable.is_some() {
            return without_differences(ContainerSeen::Unknown);
        }
        let Some(container) = engine.containers.get(name.as_str()) else {
            return without_differences(ContainerSeen::Missing);
        };
        let Some(expected) = records.expected(name, self.shared.host) else {
            return without_differences(ContainerSeen::Unknown);
        };
        // An inspection from before the last action on the container may show the state before that action.
        let settings = engine.settings.get(&container.id);
        let settings = settings.filter(|it| self.touched.get(name).is_none_or(|at| it.asked > *at));
        let differences = drift::differences(&expected, container, settings);
        let seen = drift::seen(container, &differences);
        // The same holds for the list.
        let is_current = self.touched.get(name).is_none_or(|at| engine.asked.is_some_and(|asked| asked > *at));
        ContainerOnRecord { seen, differences: if is_current { differences } else { Vec::new() } }
    }

    /// Assumes the state that an action just produced, until a newer list replaces it.
    pub fn acted(&mut self, name: &InstanceName, seen: ContainerSeen) {
        self.acted.insert(name.clone(), (seen, Instant::now()));
        self.touched(name);
    }

    /// Notes that an action on a container just ended.
    pub fn touched(&mut self, name: &InstanceName) {
        self.touched.insert(name.clone(), Instant::now());
    }

    /// Whether an action changed the container and no list since then shows the change.
    pub fn has_acted_on(&self, name: &InstanceName) -> bool {
        self.acted.contains_key(name)
    }

    /// Notes that something else holds an address.
    pub fn hold_address(&mut self, address: Ipv4Addr) {
        self.held.insert(address, Instant::now());
    }

    pub fn held_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.held.keys().copied()
    }

    /// Notes that the controller asks the engine to stop or remove an instance. The duration counts from the first
    /// attempt.
    pub fn begin_stop_attempt(&mut self, name: &InstanceName) {
        self.stop_attempts.entry(name.clone()).or_insert(StopAttempt { since: clock::now(), failed: None });
    }

    pub fn stop_attempt_failed(&mut self, name: &InstanceName) {
        let now = clock::now();
        let new = StopAttempt { since: now, failed: None };
        self.stop_attempts.entry(name.clone()).or_insert(new).failed = Some(now);
    }

    pub fn forget_stop_attempt(&mut self, name: &InstanceName) {
        self.stop_attempts.remove(name);
    }

    /// Returns when the engine or a health check shows something new.
    pub async fn changed(&mut self) {
        tokio::select! {
            () = self.probes.changed() => {}
            // An error means that the controller stops.
            Ok(()) = self.engine.changed() => {}
        }
    }

    /// After the clock was set or the host slept: shifts all waits, but none past `now`.
    pub fn follow_clock(&mut self, by: i64, now: Timestamp) {
        let shift = |at: &mut Timestamp| *at = clock::moved(*at, by).min(now);
        self.start_failures.backoffs.iter_mut().for_each(|it| shift(&mut it.last));
        for attempt in self.stop_attempts.values_mut() {
            shift(&mut attempt.since);
            attempt.failed.as_mut().map(shift);
        }
    }
}

/// How far the instances are from the targets. A rollout does not wait for an instance that another deployment created
/// and that served before.
fn status(records: &Records, targets: &[Target], observed: &Observed, now: Timestamp) -> RolloutStatus {
    let rolling = records.rolling().map(|it| &it.id);
    let created_by_rollout = |it: &Instance| {
        let made_by = records.instance(&it.name).map(|row| &row.deployment);
        rolling.is_none() || made_by == rolling
    };
    rollout_status_of(targets, observed, created_by_rollout, now)
}

/// Instances that failed to start.
#[derive(Default)]
pub(super) struct StartFailures {
    backoffs: Vec<RetryBackoff>,
    /// Why an instance of the previous targets failed to start during the current rollback.
    pub restore_failed: Option<String>,
}

impl StartFailures {
    pub fn add(&mut self, component: &ComponentName, slot: u32, reason: String) {
        let last = clock::now();
        match self.backoffs.iter_mut().find(|it| it.component == *component && it.slot == slot) {
            Some(it) => *it = RetryBackoff { failures: it.failures + 1, last, reason, ..it.clone() },
            None => self.backoffs.push(RetryBackoff { component: component.clone(), slot, failures: 1, last, reason }),
        }
    }

    /// The targets changed, so earlier failures no longer delay new attempts.
    pub fn clear(&mut self) {
        self.backoffs.clear();
    }
}
