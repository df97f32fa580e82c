//! Objects of this installation that no record explains: apps, and containers of known apps, that the engine or the
//! route table has and the database does not, because it is older. They keep running until a person removes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::{Container, ContainerState, Engine, EngineError, Identity, Network, RestartPolicy, Role, Volume};
use rollout::ids::{AppId, InstanceName};
use serde::Serialize;
use store::records::App;
use tracing::{info, warn};

use crate::app::{DATABASE_GRACE, Shared};
use crate::engine_watch::NEEDED_WITHIN;
use crate::error::ControlError;

/// Grace period from SIGTERM to SIGKILL when an unknown instance is removed.
const GRACE: Duration = Duration::from_secs(30);

/// An app, or a part of an app, that no record explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownApp {
    /// The app's id, from the labels of its containers or from the route table.
    pub app: AppId,
    /// The app's name, if the app is on record and only some of its containers are not.
    pub name: Option<String>,
    /// Host names that the ingress routes to the app.
    pub hosts: Vec<String>,
    /// The app's unknown containers.
    pub containers: Vec<UnknownContainer>,
    /// The app's unknown networks.
    pub networks: Vec<String>,
    /// Volumes with the app's data. They are never removed.
    pub volumes: Vec<String>,
}

/// A container that no record explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownContainer {
    /// The container's name on the engine.
    pub name: String,
    /// The component that the container belongs to.
    pub component: String,
    /// `instance`, `database` or `job`.
    pub role: &'static str,
    /// Whether the container runs.
    pub running: bool,
    /// Whether the ingress sends requests to it.
    pub routed: bool,
}

/// A volume with the data of a database that no app uses any more: its app was deleted, or the app's spec no longer
/// names the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptVolume {
    /// The volume's name on the engine.
    pub volume: String,
    /// The app's id.
    pub app: AppId,
    /// The database's name in that app.
    pub component: String,
}

/// Everything unknown, with notices for the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UnknownList {
    /// Sentences for the operator. Empty if there is nothing to report.
    pub notices: Vec<String>,
    /// Unknown apps and parts of apps, by id.
    pub apps: Vec<UnknownApp>,
    /// Volumes that no database uses, by name.
    pub volumes: Vec<KeptVolume>,
}

/// What the database knows.
pub(crate) struct Records {
    pub apps: BTreeMap<AppId, App>,
    /// Includes apps whose rows cannot be read.
    pub app_ids: BTreeSet<AppId>,
    pub deleted: BTreeSet<AppId>,
    /// Names of database containers.
    pub databases: BTreeSet<InstanceName>,
    /// Volumes of the databases that apps use now.
    pub volumes: BTreeSet<String>,
}

/// What the engine and the route table show.
pub(crate) struct Seen {
    pub containers: Vec<Container>,
    pub networks: Vec<Network>,
    pub volumes: Vec<Volume>,
    /// Host names in the route table, by app, of apps without a record.
    pub hosts: BTreeMap<String, Vec<String>>,
    /// Names of containers that the ingress routes to.
    pub routed: BTreeSet<String>,
}

impl Records {
    pub fn knows_app(&self, identity: &Identity) -> bool {
        let app = AppId::from(identity.app.as_str());
        identity.role == Role::Fence || self.app_ids.contains(&app) || self.deleted.contains(&app)
    }

    fn explains(&self, container: &Container) -> bool {
        let name = InstanceName::new(container.name.clone());
        match self.apps.get(&AppId::from(container.identity.app.as_str())) {
            Some(app) if container.identity.role == Role::Database => {
                self.databases.contains(&name) && !app.newer.containers.contains(&name)
            }
            Some(app) => !app.newer.containers.contains(&name),
            None => self.knows_app(&container.identity),
        }
    }
}

/// Returns what the engine and the route table show and the records do not explain.
pub(crate) fn find(seen: &Seen, records: &Records) -> Vec<UnknownApp> {
    let mut all: BTreeMap<AppId, UnknownApp> = BTreeMap::new();
    let named = |app: &str| {
        let id = AppId::from(app);
        let name = records.apps.get(&id).map(|it| it.name.clone());
        let (hosts, containers, networks, volumes) = Default::default();
        UnknownApp { app: id, name, hosts, containers, networks, volumes }
    };
    for container in seen.containers.iter().filter(|it| !records.explains(it)) {
        let entry = all.entry(AppId::from(container.identity.app.as_str()));
        entry.or_insert_with(|| named(&container.identity.app)).containers.push(UnknownContainer {
            name: container.name.clone(),
            component: container.identity.component.clone(),
            role: container.identity.role.as_str(),
            running: runs(container),
            routed: seen.routed.contains(&container.name),
        });
    }
    let of_apps = seen.networks.iter().filter(|it| !it.identity.app.is_empty());
    for network in of_apps.filter(|it| !records.knows_app(&it.identity)) {
        let entry = all.entry(AppId::from(network.identity.app.as_str()));
        entry.or_insert_with(|| named(&network.identity.app)).networks.push(network.name.clone());
    }
    for (app, hosts) in &seen.hosts {
        all.entry(AppId::from(app.as_str())).or_insert_with(|| named(app)).hosts.clone_from(hosts);
    }
    // Volumes of deleted apps are kept on purpose, so list a volume only if something else of its app is unknown.
    for unknown in all.values_mut().filter(|it| it.name.is_none()) {
        let of_app = seen.volumes.iter().filter(|it| it.identity.app == unknown.app.as_str());
        unknown.volumes = of_app.map(|it| it.name.clone()).collect();
    }
    for unknown in all.values_mut() {
        unknown.containers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    all.into_values().collect()
}

/// Volumes that no database uses, except for those that a database of an unknown app may use.
fn kept_volumes(seen: &Seen, records: &Records) -> Vec<KeptVolume> {
    let is_kept = |it: &&Volume| records.knows_app(&it.identity) && !records.volumes.contains(&it.name);
    let is_data = |it: &&Volume| it.identity.role == Role::Volume;
    let kept = seen.volumes.iter().filter(is_data).filter(is_kept).map(|it| KeptVolume {
        volume: it.name.clone(),
        app: AppId::from(it.identity.app.as_str()),
        component: it.identity.component.clone(),
    });
    let mut kept: Vec<_> = kept.collect();
    kept.sort_by(|a, b| a.volume.cmp(&b.volume));
    kept
}

pub(crate) fn runs(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running | ContainerState::Restarting | ContainerState::Paused)
}

/// Compares the engine and the route table with the records.
pub(crate) async fn list(shared: &Shared) -> Result<UnknownList, ControlError> {
    let (seen, records) = look(shared).await?;
    let apps = find(&seen, &records);
    let volumes = kept_volumes(&seen, &records);
    let mut notices = Vec::new();
    if let Some(notice) = shared.older_database() {
        notices.push(notice);
    }
    if let Err(problem) = shared.store.check_files().await {
        notices.push(problem.to_string());
    }
    if let Some(unsaved) = shared.ingress.unsaved() {
        notices.push(format!("{unsaved}. The newest routes are in force, and will be saved as soon as possible"));
    }
    if !apps.is_empty() {
        let count = apps.len();
        notices.push(format!(
            "{count} app{} on this host {} not, or not fully, in the database and stay{} as found: boatyard unknown list",
            if count == 1 { "" } else { "s" },
            if count == 1 { "is" } else { "are" },
            if count == 1 { "s" } else { "" },
        ));
    }
    Ok(UnknownList { notices, apps, volumes })
}

async fn look(shared: &Shared) -> Result<(Seen, Records), ControlError> {
    let store = &shared.store;
    let engine = &shared.engine;
    let silent = |error: EngineError| ControlError::Unavailable(error.to_string());
    let all = async { tokio::try_join!(engine.list(), engine.networks(), engine.volumes()) };
    let (containers, networks, volumes) = shared.watch.answer(NEEDED_WITHIN, all).await.map_err(silent)?;
    let seen = Seen { containers, networks, volumes, hosts: shared.ingress.unknown(), routed: shared.ingress.routed() };
    // Read after the engine, so that objects created meanwhile are on record.
    let databases = store.databases().await?;
    let records = Records {
        apps: store.apps().await?.into_iter().map(|it| (it.id.clone(), it)).collect(),
        app_ids: store.app_ids().await?,
        deleted: store.deleted_apps().await?,
        volumes: databases.iter().filter(|it| it.wanted).map(|it| it.volume.clone()).collect(),
        databases: databases.into_iter().map(|it| it.container).collect(),
    };
    Ok((seen, records))
}

/// Stops and removes an app's unknown containers and networks; volumes stay. Returns what was removed and which volumes
/// are kept. Errors: the app has nothing unknown; a container serves an app on record, which a deployment should
/// replace first.
pub(crate) async fn delete(shared: &Shared, app: &AppId) -> Result<UnknownApp, ControlError> {
    let found = list(shared).await?.apps.into_iter().find(|it| it.app == *app);
    let Some(found) = found else {
        return Err(ControlError::NotFound(format!("nothing of an app {app} is unknown. See: boatyard unknown list")));
    };
    if let Some(name) = &found.name
        && found.containers.iter().any(|it| it.routed)
    {
        return Err(ControlError::Conflict(format!(
            "these containers serve the app {name}; replace them first: boatyard apps restart {name} --wait"
        )));
    }
    if found.name.is_none() {
        // Recorded as a deleted app from now on, so that the sweep removes what cannot be removed now.
        shared.store.remember_deleted(app).await?;
        shared.ingress.forget(app.as_str()).await;
    }
    let (databases, others): (Vec<_>, Vec<_>) = found.containers.iter().partition(|it| it.role == "database");
    for (several, grace) in [(others, GRACE), (databases, DATABASE_GRACE)] {
        for container in several {
            let removed = remove(shared.engine.as_ref(), &container.name, grace).await;
            removed
                .map_err(|error| ControlError::Unavailable(format!("{} is still there: {error}", container.name)))?;
            info!(container = %container.name, "removed on request");
        }
    }
    for network in &found.networks {
        if let Err(error) = shared.engine.remove_network(network).await {
            warn!(%network, %error, "network could not be removed yet; trying again");
        }
    }
    Ok(found)
}

/// Disables the restart policy first: an engine that is killed during the stop would restart the container.
pub(crate) async fn remove(engine: &dyn Engine, name: &str, grace: Duration) -> Result<(), EngineError> {
    let removed = async {
        engine.set_restart_policy(name, RestartPolicy::No).await?;
        engine.stop(name, grace).await?;
        engine.remove(name).await.map(drop)
    };
    match removed.await {
        Err(EngineError::NotFound { .. }) => Ok(()),
        other => other,
    }
}
