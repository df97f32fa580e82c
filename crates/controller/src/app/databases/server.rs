//! The server of one database: exactly one container on its volume. The task starts it and waits until it answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use engine::{
    Container, ContainerSpec, ContainerState, EngineError, Identity, NetworkJoin, NetworkSpec, PublishedPort,
    RestartPolicy, Role, VolumeMount, VolumeUser, reference,
};
use rollout::health::ProbeFailure;
use rollout::limits;
use store::records::Database;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{LIMITS, STOP_GRACE};
use crate::app::containers::{Place, create_in_network};
use crate::app::{STORE_PAUSE, Shared};
use crate::config::Reach;
use crate::registries;

const PG_DATA: &str = "/var/lib/postgresql/data";
/// Pause between two checks whether it accepts connections.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Why a database is not up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseDown {
    /// The engine cannot create or start its container.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// Another container runs on its volume.
    #[error(
        "the container {holder} runs with its volume {volume} mounted, and two servers on one volume destroy the data. End that one first. Run: docker stop {holder}"
    )]
    VolumeHeld { volume: String, holder: String },
    /// Its server does not answer.
    #[error("it did not take connections within {} s: {check}", limits::DATABASE.as_secs())]
    Silent { check: ProbeFailure },
    /// Its container stopped running during the wait.
    #[error("it did not stay up: {0}")]
    Lost(String),
}

impl DatabaseDown {
    fn is_transient(&self) -> bool {
        matches!(self, DatabaseDown::Engine(error) if error.is_transient())
    }
}

/// Starts the container at its place, then waits until it accepts connections. A container that is lost during the wait
/// is started again at once.
pub(super) async fn bring_up(
    shared: &Shared,
    network: NetworkSpec,
    database: Database,
) -> Result<Database, DatabaseDown> {
    let deadline = Instant::now() + limits::DATABASE;
    loop {
        while let Err(error) = start(shared, network.clone(), &database).await {
            // Every part of the start can safely be repeated.
            if !error.is_transient() || Instant::now() >= deadline {
                return Err(error);
            }
            warn!(database = %database.name, %error, "cannot be started yet; trying again");
            sleep(STORE_PAUSE).await;
        }
        match await_answer(shared, &database, deadline).await {
            Answer::Up => return Ok(database),
            Answer::Silent { check } => return Err(DatabaseDown::Silent { check }),
            Answer::Lost(what) if Instant::now() >= deadline => return Err(DatabaseDown::Lost(what)),
            Answer::Lost(what) => {
                warn!(database = %database.name, %what, "lost before it answered; starting it again");
                sleep(STORE_PAUSE).await;
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
    /// Its container no longer runs at its place.
    Lost(String),
}

async fn await_answer(shared: &Shared, database: &Database, deadline: Instant) -> Answer {
    let started = Instant::now();
    let view = shared.watch.view();
    while let Err(check) = shared.health_checker.check_database(database, dialed(shared, database).await).await {
        if Instant::now() >= deadline {
            return Answer::Silent { check };
        }
        // A list from before the start may not show it.
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

/// Where this host reaches the database. The engine chooses another published port at each start of the container.
async fn dialed(shared: &Shared, database: &Database) -> SocketAddr {
    let direct = (database.address, database.port).into();
    if shared.reach == Reach::Direct {
        return direct;
    }
    let details = shared.engine.inspect(database.container.as_str()).await.ok().flatten();
    let published = details.iter().flat_map(|it| &it.container.published).find(|it| it.container == database.port);
    published.and_then(|it| it.host).map_or(direct, |port| (Ipv4Addr::LOCALHOST, port).into())
}

/// Why the container can no longer answer. `None` while it still may.
fn lost(container: Option<&Container>, address: Ipv4Addr) -> Option<String> {
    let Some(container) = container else { return Some("its container was removed".into()) };
    match container.state {
        ContainerState::Exited { code: Some(code) } => Some(format!("its container exited with code {code}")),
        ContainerState::Exited { code: None } => Some("its container exited".into()),
        ContainerState::Paused => Some("its container was paused".into()),
        ContainerState::Removing => Some("its container is being removed".into()),
        ContainerState::Created => Some("something else created its container again".into()),
        ContainerState::Running if !container.has_address(address) => {
            Some(format!("its container is not at {address} on the app's network"))
        }
        ContainerState::Running | ContainerState::Restarting => None,
    }
}

/// Which container uses a database's volume.
#[derive(Debug, PartialEq)]
enum OnVolume<'a> {
    /// No running container: one has to be created.
    None,
    /// The database's container, whatever its name is now.
    Own(&'a Container),
    /// Another running container.
    Held { by: &'a str },
}

/// A volume has at most one server. Another container that does not run, such as a finished backup, does not matter: it
/// has no process, and starting it later is its owner's decision.
fn on_volume<'a>(users: &'a [VolumeUser], database: &Database) -> OnVolume<'a> {
    let is_own = |it: &&VolumeUser| it.container.as_ref().is_some_and(|it| it.name == database.container.as_str());
    let own = users.iter().find(is_own);
    let other = users.iter().find(|it| it.runs && !is_own(it));
    match (own.and_then(|it| it.container.as_ref()), other) {
        (Some(container), _) if own.is_some_and(|it| it.runs) => OnVolume::Own(container),
        (_, Some(other)) => OnVolume::Held { by: &other.called },
        (Some(container), None) => OnVolume::Own(container),
        (None, None) => OnVolume::None,
    }
}

/// Starts exactly one container of a database, with its network, address, name and limits.
async fn start(shared: &Shared, network: NetworkSpec, database: &Database) -> Result<(), DatabaseDown> {
    let engine = &shared.engine;
    let name = database.container.as_str();
    let users = engine.volume_users(&database.volume, name).await?;
    match on_volume(&users, database) {
        OnVolume::Held { by } => {
            return Err(DatabaseDown::VolumeHeld { volume: database.volume.clone(), holder: by.to_owned() });
        }
        OnVolume::Own(container) => {
            if container.called != name {
                info!(database = %database.name, called = %container.called, "a person renamed its container");
                give_name_back(shared, name).await?;
            }
            let place = Place { network, address: database.address, aliases: vec![database.name.to_string()] };
            place.take(engine.as_ref(), name).await?;
            if let Err(error) = engine.set_limits(name, LIMITS).await {
                // The database also serves with other limits. `repair` tries again.
                warn!(database = %database.name, %error, "its limits cannot be set");
            }
        }
        OnVolume::None => create(shared, network, database).await?,
    }
    engine.start(name).await?;
    engine.set_restart_policy(name, RestartPolicy::Always).await?;
    Ok(())
}

/// Restores the container's name. If another container has the name now, the database runs on without it, because only
/// people use the name.
async fn give_name_back(shared: &Shared, name: &str) -> Result<(), EngineError> {
    match shared.engine.restore_name(name).await {
        Err(error @ EngineError::NameTaken { .. }) => {
            warn!(container = %name, %error, "its name cannot be restored");
            Ok(())
        }
        other => other.map(drop),
    }
}

async fn create(shared: &Shared, network: NetworkSpec, database: &Database) -> Result<(), EngineError> {
    let engine = &shared.engine;
    let image = match engine.image(&database.image).await? {
        Some(id) => id,
        None => {
            // Without its logins the store can still have a public image.
            let logins = registries::logins(&shared.store).await.unwrap_or_default();
            engine.pull(&database.image, logins.get(reference::host(&database.image))).await?
        }
    };
    let identity = |role| identity(database, role);
    if database.created && !engine.volumes().await?.iter().any(|it| it.name == database.volume) {
        // An empty volume would hide that the data is lost.
        return Err(EngineError::NotFound { what: format!("volume {}", database.volume) });
    }
    engine.ensure_volume(&database.volume, &identity(Role::Volume)).await?;
    let container = container(database, image, identity(Role::Database), shared.reach);
    create_in_network(shared, network, container).await.map(drop)
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

fn container(database: &Database, image: String, identity: Identity, reach: Reach) -> ContainerSpec {
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
            network_name: String::new(),
            address: database.address,
            aliases: vec![database.name.to_string()],
        }),
        hosts: Vec::new(),
        published: match reach {
            Reach::Direct => Vec::new(),
            // Only checks connect to it, so any port will do.
            Reach::Published => vec![PublishedPort { container: database.port, host: None }],
        },
        volume: Some(VolumeMount { volume: database.volume.clone(), path: PG_DATA.into() }),
        limits: LIMITS,
        stop_grace: STOP_GRACE,
        // PostgreSQL's fast shutdown. TERM would wait for every client to disconnect.
        stop_signal: Some("SIGINT".into()),
    }
}

#[cfg(test)]
mod tests {
    use rollout::ids::{AppId, InstanceName};

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
            port: 5432,
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
            published: Vec::new(),
        }
    }

    fn user(called: &str, runs: bool, container: Option<Container>) -> VolumeUser {
        VolumeUser { id: called.into(), called: called.into(), runs, container }
    }

    #[test]
    fn a_volume_has_at_most_one_server() {
        let exited = ContainerState::Exited { code: Some(0) };
        let running = |called: &str| user(called, true, Some(own(called, ContainerState::Running)));
        let stopped = |called: &str| user(called, false, Some(own(called, exited)));
        let (theirs, ended) = (user("theirs", true, None), user("backup", false, None));
        let who = |users: &[VolumeUser]| match on_volume(users, &database()) {
            OnVolume::None => "none".to_owned(),
            OnVolume::Own(container) => format!("own {}", container.called),
            OnVolume::Held { by } => format!("held by {by}"),
        };
        assert_eq!(who(&[]), "none");
        assert_eq!(who(&[running("by-i-a-db-db")]), "own by-i-a-db-db");
        assert_eq!(who(&[running("renamed")]), "own renamed");
        assert_eq!(who(&[stopped("renamed")]), "own renamed");
        assert_eq!(who(std::slice::from_ref(&theirs)), "held by theirs");
        assert_eq!(
            who(&[stopped("renamed"), theirs.clone()]),
            "held by theirs",
            "a stopped database does not start beside another server"
        );
        assert_eq!(who(&[theirs, running("renamed")]), "own renamed", "a running database keeps running");
        assert_eq!(who(&[ended]), "none", "a container that does not run does not matter");
    }

    #[test]
    fn a_wait_ends_when_the_container_can_no_longer_answer() {
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
