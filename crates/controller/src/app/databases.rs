//! Databases: a container with a named volume, created when first named in a spec, and from then on only kept up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use app_spec::AppSpec;
use engine::{
    ContainerSpec, EngineError, Identity, Limits, NetworkJoin, NetworkSpec, RestartPolicy, Role, VolumeMount,
};
use rand::Rng;
use rollout::deployment::Part;
use rollout::health::ProbeFailure;
use rollout::ids::{AppId, ComponentName, InstanceName};
use rollout::limits;
use rollout::observed::ContainerSeen;
use store::StoreError;
use store::records::{AppState, Change, Database};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::done::Done;
use super::instances::create_in_network;
use super::{AppTask, Shared};

/// PostgreSQL without a version in the spec: the newest that App Platform names (contract 1.12).
const PG_DEFAULT: &str = "17";
const PG_PORT: u16 = 5432;
const PG_DATA: &str = "/var/lib/postgresql/data";
/// As App Platform's dev databases have it.
const LIMITS: Limits = Limits { cpu_millis: 1000, memory_bytes: 512 << 20 };

impl AppTask {
    pub(super) fn database_parts(&self, spec: &AppSpec) -> BTreeMap<ComponentName, Part> {
        let part = |name: &ComponentName| match self.database_failures.get(name) {
            _ if self.databases_up.contains(name) => Part::Ready,
            Some(why) => Part::Failed(why.clone()),
            None if self.is_database_busy(name) => Part::UnderWay,
            None => Part::Missing,
        };
        spec.databases
            .iter()
            .map(|it| ComponentName::from(it.name.as_str()))
            .map(|it| (it.clone(), part(&it)))
            .collect()
    }

    fn is_database_busy(&self, name: &ComponentName) -> bool {
        self.state.databases.iter().any(|it| it.name == *name && self.busy.contains(&it.container))
    }

    /// Has a database up: what is there stays as it is, what is missing is made. Returns whether it is on record.
    pub(super) fn begin_database(&mut self, name: &ComponentName) -> bool {
        let Some(database) = self.state.databases.iter().find(|it| it.name == *name).cloned() else { return false };
        let (shared, network) = (self.shared.clone(), self.network_spec());
        let about = database.container.clone();
        self.begin(about.clone(), async move {
            let name = database.name.clone();
            let result = bring_up(&shared, network, database).await;
            Done::DatabaseUp { about, name, result }
        });
        true
    }

    pub(super) async fn database_up(
        &mut self,
        about: InstanceName,
        name: ComponentName,
        result: Result<Database, Down>,
    ) -> Result<(), StoreError> {
        match result {
            Ok(database) => {
                info!(database = %name, "database answers");
                self.database_failures.remove(&name);
                self.acted(&database.container.clone(), ContainerSeen::Running);
                if !database.created {
                    self.commit(vec![Change::Database(Database { created: true, ..database })]).await?;
                }
                self.databases_up.insert(name);
                Ok(())
            }
            Err(why) => {
                let why = match why {
                    Down::Engine(error @ EngineError::SubnetTaken { .. }) => match self.move_network(&error).await? {
                        None => {
                            self.hold_off(&about, "the app's network is taken", &error);
                            return Ok(());
                        }
                        Some(why) => why,
                    },
                    other => other.to_string(),
                };
                warn!(database = %name, %why, "database does not come up");
                if self.rolling().is_some() {
                    self.database_failures.insert(name, why);
                } else {
                    let what = format!("database {name} does not come up: {why}");
                    let pause = self.trouble(&about, what, TRY_AGAIN_AFTER, TRY_AGAIN_AFTER);
                    self.pause(about, pause);
                }
                Ok(())
            }
        }
    }

    /// Brings back a database that somebody stopped or removed, and stops one that the spec no longer names.
    pub(super) async fn keep_databases(&mut self) -> Result<bool, StoreError> {
        if self.state.app.deleting {
            return Ok(false);
        }
        // A failed one is tried again by the next deployment.
        if self.rolling().is_none() {
            self.database_failures.clear();
        }
        let view = self.engine_view.borrow().clone();
        for database in self.state.databases.clone() {
            if self.busy.contains(&database.container) {
                continue;
            }
            let seen = self.container(&database.container, &view);
            let runs = matches!(seen, ContainerSeen::Running | ContainerSeen::Restarting | ContainerSeen::Unknown);
            if database.wanted && database.created && (!runs || !self.databases_up.contains(&database.name)) {
                if self.database_failures.contains_key(&database.name) {
                    continue;
                }
                self.databases_up.remove(&database.name);
                return Ok(self.begin_database(&database.name));
            }
            if !database.wanted && seen != ContainerSeen::Missing && seen != ContainerSeen::Unknown {
                self.databases_up.remove(&database.name);
                self.end_database(database);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stops it in order and removes its container; its volume stays.
    pub(super) fn end_database(&mut self, database: Database) {
        let engine = self.shared.engine.clone();
        let about = database.container.clone();
        self.begin(about.clone(), async move {
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
            Done::DatabaseGone { about, database: Box::new(database), result }
        });
    }

    pub(super) async fn database_gone(
        &mut self,
        database: Database,
        result: Result<(), EngineError>,
    ) -> Result<(), StoreError> {
        match result {
            Ok(()) => {
                info!(database = %database.name, volume = %database.volume, "database stopped; its volume is kept");
                self.acted(&database.container, ContainerSeen::Missing);
                if self.state.app.deleting {
                    return self.commit(vec![Change::ForgetDatabase(database.app, database.name)]).await;
                }
            }
            Err(error) => self.hold_off(&database.container, "a database could not be stopped yet", &error),
        }
        Ok(())
    }
}

/// Databases of a spec with what they have or will have: password, address, volume. Errors: a sentence.
pub(crate) fn databases_for(shared: &Shared, state: &AppState, spec: &AppSpec) -> Result<Vec<Database>, String> {
    let network = shared.config.network_pool.network(state.app.network);
    let mut taken: BTreeSet<_> = state.databases.iter().map(|it| it.address).collect();
    taken.extend(state.instances.iter().map(|it| it.address));
    taken.extend(state.job_runs.iter().filter(|it| !it.collected).map(|it| it.address));
    let mut databases: Vec<Database> = Vec::new();
    for wanted in &spec.databases {
        let name = ComponentName::from(wanted.name.as_str());
        if let Some(known) = state.databases.iter().find(|it| it.name == name) {
            // One that comes back into the spec may begin on an empty volume: its own may have been removed since.
            let created = known.created && known.wanted;
            databases.push(Database { wanted: true, created, ..known.clone() });
            continue;
        }
        let address = network.free(&taken, None).ok_or_else(|| format!("no free address for database {name}"))?;
        taken.insert(address);
        databases.push(new_database(shared, &state.app.id, wanted, address));
    }
    Ok(databases)
}

fn new_database(shared: &Shared, app: &AppId, wanted: &app_spec::Database, address: Ipv4Addr) -> Database {
    let name = ComponentName::from(wanted.name.as_str());
    let version = wanted.version.clone().unwrap_or_else(|| PG_DEFAULT.into());
    Database {
        app: app.clone(),
        image: database_image(shared, "PG", &version),
        engine: "PG".into(),
        version,
        user: name.as_str().replace('-', "_"),
        password: random_password(),
        database: name.as_str().replace('-', "_"),
        port: PG_PORT,
        address,
        container: shared.names.database(app, &name),
        volume: shared.names.volume(app, &name),
        wanted: true,
        created: false,
        name,
    }
}

fn database_image(shared: &Shared, engine: &str, version: &str) -> String {
    let configured = shared.config.database_images.iter().find(|(name, _)| name.eq_ignore_ascii_case(engine));
    configured.map_or_else(|| format!("postgres:{version}"), |(_, image)| image.clone())
}

/// Those that were wanted and are not any more: stopped once the deployment has succeeded.
pub(crate) fn databases_unwanted_by<'a>(state: &'a AppState, spec: &AppSpec) -> impl Iterator<Item = &'a Database> {
    state.databases.iter().filter(|it| it.wanted && spec.database(it.name.as_str()).is_none())
}

/// A sentence where the spec asks for another version than the database has: its files are of that version.
pub(crate) fn kept_version(database: &Database, spec: &AppSpec) -> Option<String> {
    let asked = spec.database(database.name.as_str())?.version.as_ref().filter(|it| **it != database.version)?;
    let (name, version) = (&database.name, &database.version);
    Some(format!("database {name} stays at version {version}, not {asked}: its files are of that version"))
}

/// From the request to end to KILL: a database writes its buffers first.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(60);
/// A database that does not come up again by itself, such as one whose image cannot be had, is tried again after this.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Between two questions whether it takes connections.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Why a database is not up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Down {
    /// Its container cannot be had or started.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// Its server does not answer.
    #[error("it did not take connections within {} s: {check}", limits::DATABASE.as_secs())]
    Silent { check: ProbeFailure },
}

async fn bring_up(shared: &Shared, network: NetworkSpec, database: Database) -> Result<Database, Down> {
    let deadline = Instant::now() + limits::DATABASE;
    while let Err(error) = start(shared, network.clone(), &database).await {
        // Every part of it may be done twice.
        if !error.is_transient() || Instant::now() >= deadline {
            return Err(error.into());
        }
        warn!(database = %database.name, %error, "cannot be started yet; trying again");
        sleep(super::STORE_PAUSE).await;
    }
    while let Err(check) = shared.asker.database(&database).await {
        if Instant::now() >= deadline {
            return Err(Down::Silent { check });
        }
        sleep(ASK_EVERY).await;
    }
    Ok(database)
}

async fn start(shared: &Shared, network: NetworkSpec, database: &Database) -> Result<(), EngineError> {
    let engine = &shared.engine;
    let name = database.container.as_str();
    let there = engine.inspect(name).await?;
    if there.is_none() {
        let image = match engine.image(&database.image).await? {
            Some(id) => id,
            None => engine.pull(&database.image).await?,
        };
        let identity = |role| identity(database, role);
        if database.created && !engine.volumes().await?.iter().any(|it| it.name == database.volume) {
            // An empty one would pass for the data that is gone (F39).
            return Err(EngineError::NotFound { what: format!("volume {}", database.volume) });
        }
        engine.ensure_volume(&database.volume, &identity(Role::Volume)).await?;
        create_in_network(shared, network, container(database, image, identity(Role::Database))).await?;
    }
    engine.start(name).await?;
    engine.set_restart_policy(name, RestartPolicy::Always).await.map(drop)
}

fn identity(database: &Database, role: Role) -> Identity {
    Identity {
        role,
        app: database.app.to_string(),
        component: database.name.to_string(),
        slot: 0,
        revision: String::new(),
        generation: 0,
        deployment: String::new(),
    }
}

fn container(database: &Database, image: String, identity: Identity) -> ContainerSpec {
    let env = [
        ("POSTGRES_USER", &database.user),
        ("POSTGRES_PASSWORD", &database.password),
        ("POSTGRES_DB", &database.database),
    ];
    let mut env: Vec<_> = env.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
    env.push(("PGDATA".into(), PG_DATA.into()));
    ContainerSpec {
        name: database.container.to_string(),
        identity,
        image,
        command: None,
        env,
        network: Some(NetworkJoin {
            network_id: String::new(),
            address: database.address,
            aliases: vec![database.name.to_string()],
        }),
        volume: Some(VolumeMount { volume: database.volume.clone(), path: PG_DATA.into() }),
        limits: LIMITS,
        stop_grace: STOP_GRACE,
        // PostgreSQL's fast shutdown: TERM would wait for every client to leave.
        stop_signal: Some("SIGINT".into()),
    }
}

/// 32 letters and digits: no reader of a URL has to escape them.
fn random_password() -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut random = rand::rng();
    (0..32).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}
