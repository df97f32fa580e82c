//! What somebody changed by hand on a container that runs: it is put right while it runs on.

use std::collections::HashSet;
use std::time::Duration;

use engine::{Engine, EngineError, NetworkJoin, RestartPolicy};
use rollout::ids::InstanceName;
use rollout::instance::InstancePhase;
use rollout::observed::ContainerSeen;
use store::StoreError;
use store::records::Change;
use tokio::time::Instant;
use tracing::{info, warn};

use super::drift::{Expected, InPlace, in_place};
use super::instances::{HELD_FOR, Place};
use super::reports::ActionResult;
use super::{AppTask, Shared};

/// Pause between two tries, doubled after each: what cannot be put right is not tried in a tight loop.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// Tries to put one container right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tries {
    count: u32,
    next: Instant,
}

impl AppTask {
    /// Begins the next repair of a container that runs and is not as its record says. Returns whether there was one.
    pub(super) fn mend(&mut self) -> bool {
        let view = self.engine_view.borrow().clone();
        let names = self.mendable();
        self.mending.retain(|name, _| names.contains(name));
        self.touched.retain(|name, _| names.contains(name));
        self.held.retain(|_, met| met.elapsed() < HELD_FOR);
        let Some(asked) = view.asked.filter(|_| view.unreachable.is_none()) else { return false };
        for name in names {
            let is_current = self.touched.get(&name).is_none_or(|at| asked > *at);
            // One that lacks memory may be seen between two of its crashes.
            let runs = matches!(self.container(&name, &view), ContainerSeen::Running | ContainerSeen::Restarting);
            if self.busy.contains(&name) || !runs || !is_current {
                continue;
            }
            let Some(container) = view.containers.get(name.as_str()) else { continue };
            let Some(expected) = self.expected(&name) else { continue };
            let differences = self.differences(&expected, container, &view);
            let repairs = in_place(&differences);
            if repairs.is_empty() {
                self.mending.remove(&name);
                continue;
            }
            let tries = self.mending.get(&name).copied();
            if tries.is_some_and(|it| Instant::now() < it.next) {
                continue;
            }
            let count = tries.map_or(0, |it| it.count);
            let pause = FIRST_PAUSE.saturating_mul(1 << count.min(10)).min(LAST_PAUSE);
            self.mending.insert(name.clone(), Tries { count: count + 1, next: Instant::now() + pause });
            info!(container = %name, ?differences, "changed by somebody else; putting it right");
            let (shared, place) = (self.shared.clone(), self.place(&expected));
            self.begin(name.clone(), async move {
                let result = repair(&shared, &expected, &repairs, place).await;
                ActionResult::Mended { about: name, result }
            });
            return true;
        }
        false
    }

    /// Containers on record that may run.
    fn mendable(&self) -> HashSet<InstanceName> {
        let runs = |phase: InstancePhase| phase.is_alive() && phase >= InstancePhase::Starting;
        let instances = self.state.instances.iter().filter(|it| runs(it.phase)).map(|it| &it.name);
        let databases = self.state.databases.iter().filter(|it| it.wanted && it.created).map(|it| &it.container);
        let jobs = self.state.job_runs.iter().filter(|it| !it.collected).map(|it| &it.name);
        instances.chain(databases).chain(jobs).cloned().collect()
    }

    pub(super) fn mended(&mut self, name: &InstanceName, result: Result<(), EngineError>) {
        self.touched.insert(name.clone(), Instant::now());
        if let Err(error) = result {
            warn!(container = %name, %error, "cannot be put right now; it is tried again after a pause");
        }
    }

    /// Writes down which containers the names on record stand for, so that one is recognised after somebody renamed it.
    /// Returns whether there was one to write down.
    pub(super) async fn note_containers(&mut self) -> Result<bool, StoreError> {
        let view = self.engine_view.borrow().clone();
        let id_of = |name: &InstanceName| view.containers.get(name.as_str()).map(|it| it.id.clone());
        let news = |name: &InstanceName, known: &Option<String>| id_of(name).filter(|id| known.as_ref() != Some(id));
        let mut changes = Vec::new();
        for row in &self.state.instances {
            let id = news(&row.name, &row.container_id);
            changes.extend(
                id.map(|id| Change::Instance(store::records::Instance { container_id: Some(id), ..row.clone() })),
            );
        }
        for row in &self.state.databases {
            let id = news(&row.container, &row.container_id);
            changes.extend(
                id.map(|id| Change::Database(store::records::Database { container_id: Some(id), ..row.clone() })),
            );
        }
        for row in self.state.job_runs.iter().filter(|it| !it.collected) {
            let id = news(&row.name, &row.container_id);
            changes
                .extend(id.map(|id| Change::JobRun(store::records::JobRun { container_id: Some(id), ..row.clone() })));
        }
        if changes.is_empty() {
            return Ok(false);
        }
        self.commit(changes).await?;
        Ok(true)
    }
}

/// All of them are tried; the first failure is told.
async fn repair(shared: &Shared, expected: &Expected, repairs: &[InPlace], place: Place) -> Result<(), EngineError> {
    let engine = &shared.engine;
    let name = expected.name.as_str();
    let mut outcome = Ok(());
    for repair in repairs {
        let done = match repair {
            InPlace::RestoreName => engine.restore_name(name).await.map(drop),
            InPlace::KeepAlive => engine.set_restart_policy(name, RestartPolicy::Always).await.map(drop),
            InPlace::Rejoin => place.take(engine.as_ref(), name).await,
            InPlace::SetLimits => match expected.limits {
                Some(limits) => engine.set_limits(name, limits).await.map(drop),
                None => Ok(()),
            },
        };
        outcome = outcome.and(done);
    }
    outcome
}

impl Place {
    /// Has the network, and the container on it at its address.
    pub async fn take(&self, engine: &dyn Engine, name: &str) -> Result<(), EngineError> {
        let network_id = engine.ensure_network(&self.network).await?.id;
        let join = NetworkJoin { network_id, address: self.address, aliases: self.aliases.clone() };
        engine.connect(name, &join).await.map(drop)
    }
}
