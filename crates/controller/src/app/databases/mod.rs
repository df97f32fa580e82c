//! Databases. Each is a container with a named volume. The first spec that names a database creates it; afterwards the
//! task only keeps it running.

mod declared;
mod server;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use app_spec::AppSpec;
use engine::{EngineError, Limits, RestartPolicy};
use rollout::deployment::Part;
use rollout::ids::{ComponentName, InstanceName};
use rollout::observed::ContainerSeen;
use store::StoreError;
use store::records::{Change, Database};
use tracing::{info, warn};

pub(crate) use declared::{databases_for, databases_unwanted_by, kept_version};
pub(super) use server::DatabaseDown;

use super::actions::{ActionResult, Subject};
use super::containers::network_spec;
use super::context::Context;
use super::network_move::move_network;
use super::observe::Snapshot;

/// The limits of App Platform's dev databases.
pub(crate) const LIMITS: Limits = Limits { cpu_millis: 1000, memory_bytes: 512 << 20 };
/// Time from the stop signal to SIGKILL: a database writes its buffers first.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(60);
/// Pause before another attempt to bring up a database, for example one whose image cannot be pulled.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Which databases are up.
#[derive(Default)]
pub(super) struct Databases {
    up: HashSet<ComponentName>,
    /// Why a database did not start for the current rollout, which fails because of it.
    failed: BTreeMap<ComponentName, String>,
    /// Why a wanted database is not up, from the newest attempt.
    down: HashMap<ComponentName, String>,
}

impl Databases {
    pub fn parts(&self, cx: &Context, spec: &AppSpec) -> BTreeMap<ComponentName, Part> {
        let is_busy = |name: &ComponentName| {
            let of_name = cx.records.databases.iter().find(|it| it.name == *name);
            of_name.is_some_and(|it| cx.actions.is_running(&Subject::Database(it.container.clone())))
        };
        let part = |name: &ComponentName| match self.failed.get(name) {
            _ if self.up.contains(name) => Part::Ready,
            Some(why) => Part::Failed(why.clone()),
            None if is_busy(name) => Part::UnderWay,
            None => Part::Missing,
        };
        names(spec).map(|it| (it.clone(), part(&it))).collect()
    }

    /// Begins to bring a database up: keeps what exists and creates what is missing. Returns whether the database is on
    /// record.
    pub fn bring_up(&self, cx: &mut Context, name: &ComponentName) -> bool {
        let Some(database) = cx.records.databases.iter().find(|it| it.name == *name).cloned() else { return false };
        let (shared, network) = (cx.shared.clone(), network_spec(&cx.shared, &cx.records));
        let container = database.container.clone();
        cx.actions.begin(Subject::Database(container.clone()), async move {
            let name = database.name.clone();
            let result = server::bring_up(&shared, network, database).await;
            ActionResult::DatabaseUp { container, name, result }
        });
        true
    }

    pub async fn came_up(
        &mut self,
        cx: &mut Context,
        container: InstanceName,
        name: ComponentName,
        result: Result<Database, DatabaseDown>,
    ) -> Result<(), StoreError> {
        let subject = Subject::Database(container.clone());
        let why = match result {
            Ok(_) => {
                info!(database = %name, "database answers");
                self.failed.remove(&name);
                self.down.remove(&name);
                cx.observer.acted(&container, ContainerSeen::Running);
                // The row may have changed since the action began.
                let row = cx.records.databases.iter().find(|it| it.name == name && !it.created).cloned();
                if let Some(row) = row {
                    cx.commit(vec![Change::Database(Database { created: true, ..row })]).await?;
                }
                self.up.insert(name);
                return Ok(());
            }
            Err(DatabaseDown::Engine(error @ EngineError::SubnetTaken { .. })) => {
                match move_network(cx, &error).await? {
                    None => {
                        cx.hold_off(subject, "the app's network is taken", &error);
                        return Ok(());
                    }
                    Some(why) => why,
                }
            }
            Err(other) => other.to_string(),
        };
        warn!(database = %name, %why, "database does not start");
        self.down.insert(name.clone(), why.clone());
        if cx.records.rolling().is_some() {
            self.failed.insert(name, why);
        } else {
            let what = format!("database {name} does not start: {why}");
            let pause = cx.actions.failed(&subject, what, TRY_AGAIN_AFTER, TRY_AGAIN_AFTER);
            cx.actions.pause(subject, pause);
        }
        Ok(())
    }

    /// Notes for a deployment's record about databases that the app needs and that are not up. A restart does not wait
    /// for them, but its record must not look as if all were well.
    pub fn notes(&self, spec: &AppSpec) -> Vec<String> {
        let down = names(spec).filter(|name| !self.up.contains(name));
        let note = |name: ComponentName| match self.down.get(&name) {
            Some(why) => format!("database {name} is down: {why}. Boatyard tries again until it answers"),
            None => format!("database {name} is not up yet: Boatyard is starting it"),
        };
        down.map(note).collect()
    }

    /// Brings back a database that a person stopped, paused, removed or disconnected, and stops one that the spec no
    /// longer names. Returns whether there was one.
    pub fn keep(&mut self, cx: &mut Context, snapshot: &Snapshot) -> bool {
        if cx.records.app.deleting {
            return false;
        }
        // A failure counts only for the rollout in which it happened.
        if cx.records.rolling().is_none() {
            self.failed.clear();
        }
        for database in cx.records.databases.clone() {
            if cx.actions.is_running(&Subject::Database(database.container.clone())) {
                continue;
            }
            let seen = snapshot.container(&database.container);
            let runs = matches!(seen, ContainerSeen::Running | ContainerSeen::Restarting | ContainerSeen::Unknown);
            if database.wanted && database.created && (!runs || !self.up.contains(&database.name)) {
                if self.failed.contains_key(&database.name) {
                    continue;
                }
                self.up.remove(&database.name);
                return self.bring_up(cx, &database.name);
            }
            if !database.wanted && seen != ContainerSeen::Missing && seen != ContainerSeen::Unknown {
                self.up.remove(&database.name);
                stop(cx, database);
                return true;
            }
        }
        false
    }
}

/// Stops a database gracefully and removes its container. Its volume stays.
pub(super) fn stop(cx: &mut Context, database: Database) {
    let engine = cx.shared.engine.clone();
    cx.actions.begin(Subject::Database(database.container.clone()), async move {
        let name = database.container.as_str();
        let result = async {
            engine.set_restart_policy(name, RestartPolicy::No).await?;
            engine.stop(name, STOP_GRACE).await?;
            engine.remove(name).await.map(drop)
        };
        let result = match result.await {
            Err(EngineError::NotFound { .. }) => Ok(()),
            other => other,
        };
        ActionResult::DatabaseStopped { database: Box::new(database), result }
    });
}

pub(super) async fn stopped(
    cx: &mut Context,
    database: Database,
    result: Result<(), EngineError>,
) -> Result<(), StoreError> {
    if let Err(error) = result {
        cx.hold_off(Subject::Database(database.container), "a database could not be stopped yet", &error);
        return Ok(());
    }
    info!(database = %database.name, volume = %database.volume, "database stopped; its volume is kept");
    cx.observer.acted(&database.container, ContainerSeen::Missing);
    if cx.records.app.deleting {
        return cx.commit(vec![Change::ForgetDatabase(database.app, database.name)]).await;
    }
    Ok(())
}

fn names(spec: &AppSpec) -> impl Iterator<Item = ComponentName> {
    spec.databases.iter().map(|it| ComponentName::from(it.name.as_str()))
}
