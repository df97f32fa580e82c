//! Repairs running containers that a person changed by hand.

use std::collections::HashMap;
use std::time::Duration;

use engine::{EngineError, RestartPolicy};
use rollout::ids::InstanceName;
use rollout::instance::InstancePhase;
use rollout::observed::ContainerSeen;
use store::StoreError;
use store::records::{Change, Database, Instance, JobRun};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Shared;
use super::actions::{ActionResult, Subject};
use super::containers::Place;
use super::context::Context;
use super::drift::{Expected, InPlace, in_place};
use super::jobs;
use super::observe::Snapshot;
use super::records::Records;

/// Pause between two attempts, doubled after each, so that a failing repair does not run in a tight loop.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// Attempts to repair one container.
#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    next: Instant,
}

/// Containers with differences that can be repaired while they run.
#[derive(Default)]
pub(super) struct Repairs(HashMap<InstanceName, Tries>);

impl Repairs {
    /// Begins the next repair. Returns whether there was one.
    pub fn advance(&mut self, cx: &mut Context, snapshot: &Snapshot) -> bool {
        let subjects = repairable(&cx.records);
        self.0.retain(|name, _| subjects.iter().any(|it| it.container() == Some(name)));
        if !snapshot.has_engine() {
            return false;
        }
        for subject in subjects {
            let Some(name) = subject.container().cloned() else { continue };
            // A container that runs out of memory may be observed between two of its crashes.
            let runs = matches!(snapshot.container(&name), ContainerSeen::Running | ContainerSeen::Restarting);
            let is_awaited = cx.records.job_run(&name).is_some_and(|run| jobs::is_busy(cx, run));
            if !runs || is_awaited || cx.actions.is_running(&subject) {
                continue;
            }
            let differences = snapshot.differences(&name);
            let repairs = in_place(differences);
            if repairs.is_empty() {
                self.0.remove(&name);
                continue;
            }
            let tries = self.0.get(&name).copied();
            if tries.is_some_and(|it| Instant::now() < it.next) {
                continue;
            }
            let Some(expected) = cx.records.expected(&name, cx.shared.host) else { continue };
            let count = tries.map_or(0, |it| it.count);
            let pause = FIRST_PAUSE.saturating_mul(1 << count.min(10)).min(LAST_PAUSE);
            self.0.insert(name.clone(), Tries { count: count + 1, next: Instant::now() + pause });
            info!(container = %name, ?differences, "a person changed the container; repairing it");
            let (shared, place) = (cx.shared.clone(), Place::of(&cx.shared, &cx.records, &expected));
            cx.actions.begin(subject, async move {
                let result = repair(&shared, &expected, &repairs, place).await;
                ActionResult::Repaired { name, result }
            });
            return true;
        }
        false
    }
}

/// Containers on record that may run.
fn repairable(records: &Records) -> Vec<Subject> {
    let runs = |phase: InstancePhase| phase.is_alive() && phase >= InstancePhase::Starting;
    let instances = records.instances.iter().filter(|it| runs(it.phase));
    let instances = instances.map(|it| Subject::Instance(it.name.clone()));
    let databases = records.databases.iter().filter(|it| it.wanted && it.created);
    let databases = databases.map(|it| Subject::Database(it.container.clone()));
    let jobs = records.job_runs.iter().filter(|it| !it.collected).map(|it| Subject::Job(it.name.clone()));
    instances.chain(databases).chain(jobs).collect()
}

pub(super) fn repaired(cx: &mut Context, name: &InstanceName, result: Result<(), EngineError>) {
    cx.observer.touched(name);
    if let Err(error) = result {
        warn!(container = %name, %error, "the repair failed; trying again after a pause");
    }
}

/// Records the container id for each name on record, so that a container is recognised after a person renamed it.
/// Returns whether there was one to record.
pub(super) async fn note_containers(cx: &mut Context, snapshot: &Snapshot) -> Result<bool, StoreError> {
    let new_id = |name: &InstanceName, known: &Option<String>| {
        let id = snapshot.engine.containers.get(name.as_str()).map(|it| &it.id);
        id.filter(|id| known.as_ref() != Some(id)).cloned()
    };
    let records = &cx.records;
    let instances = records.instances.iter().filter_map(|row| {
        let container_id = Some(new_id(&row.name, &row.container_id)?);
        Some(Change::Instance(Instance { container_id, ..row.clone() }))
    });
    let databases = records.databases.iter().filter_map(|row| {
        let container_id = Some(new_id(&row.container, &row.container_id)?);
        Some(Change::Database(Database { container_id, ..row.clone() }))
    });
    let runs = records.job_runs.iter().filter(|it| !it.collected).filter_map(|row| {
        let container_id = Some(new_id(&row.name, &row.container_id)?);
        Some(Change::JobRun(JobRun { container_id, ..row.clone() }))
    });
    let changes: Vec<_> = instances.chain(databases).chain(runs).collect();
    if changes.is_empty() {
        return Ok(false);
    }
    cx.commit(changes).await?;
    Ok(true)
}

/// Tries all repairs. Errors: the first that failed.
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
