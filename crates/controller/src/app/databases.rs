//! Databases: a container with a named volume, created when first named in a spec, and from then on only kept up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use app_spec::AppSpec;
use engine::{
    Container, ContainerSpec, ContainerState, EngineError, Identity, Limits, NetworkJoin, NetworkSpec, RestartPolicy,
    Role, VolumeMount, VolumeUser,
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

use super::instances::{Place, create_in_network};
use super::reports::ActionResult;
use super::{AppTask, Shared};

/// PostgreSQL without a version in the spec: the newest that App Platform names (contract 1.12).
const PG_DEFAULT: &str = "17";
const PG_PORT: u16 = 5432;
const PG_DATA: &str = "/var/lib/postgresql/data";
/// As App Platform's dev databases have it.
pub(super) const LIMITS: Limits = Limits { cpu_millis: 1000, memory_bytes: 512 << 20 };

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
            ActionResult::DatabaseUp { about, name, result }
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
                self.databases_down.remove(&name);
                self.acted(&database.container.clone(), ContainerSeen::Running);
                // The row may have changed meanwhile.
                let row = self.state.databases.iter().find(|it| it.name == name && !it.created).cloned();
                if let Some(row) = row {
                    self.commit(vec![Change::Database(Database { created: true, ..row })]).await?;
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
                self.databases_down.insert(name.clone(), why.clone());
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

    /// What the record of a deployment says of databases that its app needs and that are not up: a restart does not wait for
    /// them, and must not look as if all were well.
    pub(super) fn databases_down(&self, spec: &AppSpec) -> Vec<String> {
        let names = spec.databases.iter().map(|it| ComponentName::from(it.name.as_str()));
        let down = names.filter(|name| !self.databases_up.contains(name));
        let note = |name: ComponentName| match self.databases_down.get(&name) {
            Some(why) => format!("database {name} is down: {why}. It is tried again until it answers"),
            None => format!("database {name} is not up yet: it is being brought up"),
        };
        down.map(note).collect()
    }

    /// Brings back a database that somebody stopped, froze, removed or took off its network, and stops one that the spec no
    /// longer names.
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
            ActionResult::DatabaseGone { about, database: Box::new(database), result }
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
        container_id: None,
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
    /// Something else runs on its volume.
    #[error(
        "the container {holder} runs with its volume {volume} mounted, and two servers on one volume destroy the data. End that one first. Run: docker stop {holder}"
    )]
    VolumeHeld { volume: String, holder: String },
    /// Its server does not answer.
    #[error("it did not take connections within {} s: {check}", limits::DATABASE.as_secs())]
    Silent { check: ProbeFailure },
    /// Its container did not stay up while that was waited for.
    #[error("it did not stay up: {0}")]
    Lost(String),
}

impl Down {
    fn is_transient(&self) -> bool {
        matches!(self, Down::Engine(error) if error.is_transient())
    }
}

/// Has its container run at its place, then waits until it takes connections. A container that is lost meanwhile is brought
/// back at once.
async fn bring_up(shared: &Shared, network: NetworkSpec, database: Database) -> Result<Database, Down> {
    let deadline = Instant::now() + limits::DATABASE;
    loop {
        while let Err(error) = start(shared, network.clone(), &database).await {
            // Every part of it may be done twice.
            if !error.is_transient() || Instant::now() >= deadline {
                return Err(error);
            }
            warn!(database = %database.name, %error, "cannot be started yet; trying again");
            sleep(super::STORE_PAUSE).await;
        }
        match await_answer(shared, &database, deadline).await {
            Answer::Up => return Ok(database),
            Answer::Silent { check } => return Err(Down::Silent { check }),
            Answer::Lost(what) if Instant::now() >= deadline => return Err(Down::Lost(what)),
            Answer::Lost(what) => {
                warn!(database = %database.name, %what, "lost before it answered; starting it again");
                sleep(super::STORE_PAUSE).await;
            }
        }
    }
}

/// How the wait for a database ended.
enum Answer {
    Up,
    Silent {
        check: ProbeFailure,
    },
    /// Its container does not run at its place any more.
    Lost(String),
}

async fn await_answer(shared: &Shared, database: &Database, deadline: Instant) -> Answer {
    let started = Instant::now();
    let view = shared.watch.view();
    while let Err(check) = shared.asker.database(database).await {
        if Instant::now() >= deadline {
            return Answer::Silent { check };
        }
        // Older looks may not show the start.
        let seen = view.borrow().clone();
        if seen.unreachable.is_none()
            && seen.asked.is_some_and(|asked| asked > started)
            && let Some(what) = lost(seen.containers.get(database.container.as_str()), database.address)
        {
            return Answer::Lost(what);
        }
        sleep(ASK_EVERY).await;
    }
    Answer::Up
}

/// Why a database cannot answer in this container any more; `None` while it still may.
fn lost(container: Option<&Container>, address: Ipv4Addr) -> Option<String> {
    let Some(container) = container else { return Some("its container was removed".into()) };
    match container.state {
        ContainerState::Exited { code: Some(code) } => Some(format!("its container exited with code {code}")),
        ContainerState::Exited { code: None } => Some("its container exited".into()),
        ContainerState::Paused => Some("its container was paused".into()),
        ContainerState::Removing => Some("its container is being removed".into()),
        ContainerState::Created => Some("its container was made anew by somebody else".into()),
        ContainerState::Running if !container.has_address(address) => {
            Some(format!("its container is not at {address} on the app's network"))
        }
        ContainerState::Running | ContainerState::Restarting => None,
    }
}

/// Who is on a database's volume.
#[derive(Debug, PartialEq)]
enum OnVolume<'a> {
    /// Nobody that counts: a container is to be made.
    Nobody,
    /// The database's own container, whatever it is called.
    Own(&'a Container),
    /// Somebody else's process.
    Held { by: &'a str },
}

/// There is one server on a volume at most. A container of somebody else that does not run, such as one that made a backup and
/// ended, holds nobody up: the engine has no process of it, and starting it later is its owner's act.
fn on_volume<'a>(users: &'a [VolumeUser], database: &Database) -> OnVolume<'a> {
    let is_own = |it: &&VolumeUser| it.container.as_ref().is_some_and(|it| it.name == database.container.as_str());
    let own = users.iter().find(is_own);
    let other = users.iter().find(|it| it.runs && !is_own(it));
    match (own.and_then(|it| it.container.as_ref()), other) {
        (Some(container), _) if own.is_some_and(|it| it.runs) => OnVolume::Own(container),
        (_, Some(other)) => OnVolume::Held { by: &other.called },
        (Some(container), None) => OnVolume::Own(container),
        (None, None) => OnVolume::Nobody,
    }
}

/// Has exactly one container of it run: on its network, at its address, under its name, with its limits.
async fn start(shared: &Shared, network: NetworkSpec, database: &Database) -> Result<(), Down> {
    let engine = &shared.engine;
    let name = database.container.as_str();
    let users = engine.volume_users(&database.volume, name).await?;
    match on_volume(&users, database) {
        OnVolume::Held { by } => {
            return Err(Down::VolumeHeld { volume: database.volume.clone(), holder: by.to_owned() });
        }
        OnVolume::Own(container) => {
            if container.called != name {
                info!(database = %database.name, called = %container.called, "somebody renamed its container");
                give_name_back(shared, name).await?;
            }
            let place = Place { network, address: database.address, aliases: vec![database.name.to_string()] };
            place.take(engine.as_ref(), name).await?;
            if let Err(error) = engine.set_limits(name, LIMITS).await {
                // It serves with others, too; `mend` tries again.
                warn!(database = %database.name, %error, "its limits cannot be set");
            }
        }
        OnVolume::Nobody => create(shared, network, database).await?,
    }
    engine.start(name).await?;
    engine.set_restart_policy(name, RestartPolicy::Always).await?;
    Ok(())
}

/// Where another container has the name by now, it goes on without: nothing but people goes by it.
async fn give_name_back(shared: &Shared, name: &str) -> Result<(), EngineError> {
    match shared.engine.restore_name(name).await {
        Err(error @ EngineError::NameTaken { .. }) => {
            warn!(container = %name, %error, "cannot have its name back");
            Ok(())
        }
        other => other.map(drop),
    }
}

async fn create(shared: &Shared, network: NetworkSpec, database: &Database) -> Result<(), EngineError> {
    let engine = &shared.engine;
    let image = match engine.image(&database.image).await? {
        Some(id) => id,
        None => engine.pull(&database.image).await?,
    };
    let identity = |role| identity(database, role);
    if database.created && !engine.volumes().await?.iter().any(|it| it.name == database.volume) {
        // An empty one would pass for the data that is gone.
        return Err(EngineError::NotFound { what: format!("volume {}", database.volume) });
    }
    engine.ensure_volume(&database.volume, &identity(Role::Volume)).await?;
    create_in_network(shared, network, container(database, image, identity(Role::Database))).await.map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 192, 7, 3);

    fn database() -> Database {
        Database {
            app: AppId::new("a"),
            name: "db".into(),
            engine: "PG".into(),
            version: "17".into(),
            image: "postgres:17".into(),
            user: "db".into(),
            password: "secret".into(),
            database: "db".into(),
            port: PG_PORT,
            address: ADDRESS,
            container: InstanceName::new("by-i-a-db-db"),
            volume: "by-i-a-db-data".into(),
            wanted: true,
            created: true,
            container_id: None,
        }
    }

    fn own(called: &str, state: ContainerState) -> Container {
        Container {
            id: called.into(),
            name: database().container.to_string(),
            called: called.into(),
            identity: identity(&database(), Role::Database),
            image: "sha256:1".into(),
            state,
            addresses: vec![ADDRESS],
        }
    }

    fn user(called: &str, runs: bool, container: Option<Container>) -> VolumeUser {
        VolumeUser { id: called.into(), called: called.into(), runs, container }
    }

    #[test]
    fn there_is_one_server_on_a_volume() {
        let exited = ContainerState::Exited { code: Some(0) };
        let running = |called: &str| user(called, true, Some(own(called, ContainerState::Running)));
        let stopped = |called: &str| user(called, false, Some(own(called, exited)));
        let (theirs, ended) = (user("theirs", true, None), user("backup", false, None));
        let who = |users: &[VolumeUser]| match on_volume(users, &database()) {
            OnVolume::Nobody => "nobody".to_owned(),
            OnVolume::Own(container) => format!("own {}", container.called),
            OnVolume::Held { by } => format!("held by {by}"),
        };
        assert_eq!(who(&[]), "nobody");
        assert_eq!(who(&[running("by-i-a-db-db")]), "own by-i-a-db-db");
        assert_eq!(who(&[running("renamed")]), "own renamed");
        assert_eq!(who(&[stopped("renamed")]), "own renamed");
        assert_eq!(who(std::slice::from_ref(&theirs)), "held by theirs");
        assert_eq!(who(&[stopped("renamed"), theirs.clone()]), "held by theirs", "it is not started beside that one");
        assert_eq!(who(&[theirs, running("renamed")]), "own renamed", "it is not ended for that one");
        assert_eq!(who(&[ended]), "nobody", "what does not run holds nobody up");
    }

    #[test]
    fn a_wait_ends_when_nobody_can_answer_any_more() {
        let of = |state| lost(Some(&own("by-i-a-db-db", state)), ADDRESS);
        assert_eq!(of(ContainerState::Running), None);
        assert_eq!(of(ContainerState::Restarting), None, "the engine starts it again");
        let over = [
            of(ContainerState::Exited { code: Some(1) }),
            of(ContainerState::Exited { code: None }),
            of(ContainerState::Paused),
            of(ContainerState::Removing),
            of(ContainerState::Created),
            lost(None, ADDRESS),
            lost(Some(&own("by-i-a-db-db", ContainerState::Running)), Ipv4Addr::new(10, 192, 7, 4)),
        ];
        assert!(over.iter().all(Option::is_some), "{over:?}");
        assert!(over[0].as_ref().is_some_and(|it| it.contains("code 1")), "{over:?}");
    }
}
