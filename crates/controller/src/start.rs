//! Starting the controller: lock, engine, fence, records, ingress, and one task per app. Also the uninstall.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use builder::{BuildLimits, Builder};
use data_dir::{DataDir, DataDirError};
use engine::{DockerEngine, Engine, Identity, Installation, MadeContainer, Role, TaggedImage};
use rollout::ids::InstanceName;
use rollout::target::StopTimes;
use sha2::{Digest, Sha256};
use source::{Limits, Source, SourceSettings};
use store::records::{App, AppState};
use store::{Store, StoreError};
use tokio::sync::{Mutex, RwLock, watch};
use tracing::{error, info, warn};

use crate::app::{AppHandle, CallChecks, Shared, site_files};
use crate::bandwidth::{self, Bandwidth};
use crate::certificates::{self, Certificates};
use crate::clock;
use crate::config::{Config, Reach};
use crate::connect_check::{ConnectCheck, ContainerConnectCheck};
use crate::console::{Shells, end_leftover_shells};
use crate::control::{Graces, Inspections, SourceChecks, stop_all};
use crate::engine_watch::EngineWatch;
use crate::error::StartError;
use crate::fence::Fence;
use crate::image_builder::ImageBuilder;
use crate::ingress_client::{self, IngressClient, IngressConnector, IngressProcess, Listeners, RecordedApps};
use crate::logbook::Logbook;
use crate::metrics::EventCounts;
use crate::mirrors;
use crate::names::Names;
use crate::ports::PublishedPorts;
use crate::probe::{HealthChecker, NetworkHealthChecker};
use crate::public_network;
use crate::reach;
use crate::sessions::Sessions;
use crate::sign_in_links::SignInLinks;
use crate::source_logins;
use crate::supervise::supervise;
use crate::tokens::{Tokens, random_token};
use crate::traffic::{self, TrafficHistory};
use crate::usage::{self, UsageHistory};
use crate::webhooks::Webhooks;

/// The state of a running controller.
pub(crate) struct ControllerState {
    pub shared: Arc<Shared>,
    pub directory: DataDir,
    pub token_hash: String,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub sign_in_links: SignInLinks,
    pub inspections: Inspections,
    pub webhooks: Webhooks,
    pub source_checks: SourceChecks,
    pub apps: RwLock<HashMap<rollout::ids::AppId, AppHandle>>,
}

/// How often the controller removes what deleted apps left behind, and looks for containers without a record.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// External systems that the controller uses.
pub(crate) struct Dependencies {
    pub engine: Arc<dyn Engine>,
    /// CPUs and memory of the host that the engine runs on.
    pub host: engine::Limits,
    pub connector: Box<dyn IngressConnector>,
    pub health_checker: Arc<dyn HealthChecker>,
    pub connect_check: Arc<dyn ConnectCheck>,
    pub image_builder: Arc<dyn ImageBuilder>,
}

/// Opens everything and takes over the running containers. Changes nothing on the engine before it sets the fence.
pub(crate) async fn start(config: Config) -> Result<ControllerState, StartError> {
    let directory = open_directory(&config)?;
    let store = Store::open(&directory).map_err(|error| StartError::Store(error.to_string()))?;
    let (engine, host) = open_engine(&config, &directory).await?;
    let data_dir = directory.root().to_owned();
    let connector = Box::new(IngressProcess {
        program: config.program.clone(),
        data_dir,
        http: config.http,
        https: config.https,
        access_log: config.access_log,
        proxies: config.proxies.clone(),
    });
    let names = Names::new(directory.installation());
    let connect_check = Arc::new(ContainerConnectCheck { engine: engine.clone(), names });
    let (source, logins) = (source(&config, &directory), source_logins::lookup(store.clone()));
    let limits = BuildLimits { at_once: config.parallel_builds, time: config.build_limit };
    let image_builder = Arc::new(Builder::new(engine.clone(), source, logins, config.base_images.clone(), limits));
    take_over(
        config,
        directory,
        store,
        Dependencies {
            engine,
            host,
            connector,
            health_checker: Arc::new(NetworkHealthChecker),
            connect_check,
            image_builder,
        },
    )
    .await
}

/// Starts the controller on these dependencies.
pub(crate) async fn take_over(
    config: Config,
    directory: DataDir,
    store: Store,
    dependencies: Dependencies,
) -> Result<ControllerState, StartError> {
    let Dependencies { engine, host, connector, health_checker, connect_check, image_builder } = dependencies;
    let names = Names::new(directory.installation());
    let fence = Arc::new(Fence::raise(engine.clone(), &store, names.clone()).await?);
    let token_hash = mint_token(&directory)?;
    let failed = |error: StoreError| StartError::Store(error.to_string());
    let tokens = Tokens::new(store.tokens().await.map_err(failed)?);
    let sessions = Sessions::new(store.sessions().await.map_err(failed)?);
    let webhooks = Webhooks::new(store.webhooks().await.map_err(failed)?);

    let reach = reach::choose(&config, &store, engine.as_ref(), &names).await?;

    // All tasks stop when the controller loses the fence.
    let stop = fence.lost().child_token();
    let states = load(&store).await?;
    engine.remember(states.iter().flat_map(made_containers).collect());
    let changes = watch::channel(0).0;
    let watch = EngineWatch::start(engine.clone(), changes.clone(), stop.clone());
    let on_record = store.app_ids().await.map_err(failed)?;
    let consoles = store.consoles().await.map_err(failed)?;
    let deleted = store.deleted_apps().await.map_err(failed)?;
    let (being_deleted, living): (Vec<_>, Vec<_>) =
        store.apps().await.map_err(failed)?.into_iter().partition(|it| it.deleting);
    if let Some(webhooks) = &config.webhooks {
        check_webhook_host(&webhooks.host, &living)?;
    }
    let being_deleted = being_deleted.into_iter().map(|it| it.id).collect();
    let recorded = RecordedApps { on_record: &on_record, removed: &deleted, being_deleted: &being_deleted };
    let own = config.webhooks.as_ref().map(ingress_client::webhook_routes);
    // Before the first table, which otherwise would close the listeners for containers of a running ingress.
    let public_network = match reach {
        Reach::Direct => public_network::open(config.network_pool, &store, engine.as_ref(), &names).await,
        Reach::Published => None,
    };
    let listeners =
        Listeners { http: config.http, https: config.https, public_gateway: public_network.map(|it| it.gateway()) };
    let ingress = IngressClient::start(listeners, connector, own, recorded, fence.clone(), stop.clone());
    let ingress = ingress.await.map_err(StartError::Ingress)?;
    let shared = Arc::new(Shared {
        reach,
        ports: PublishedPorts::new(states.iter().flat_map(|it| &it.instances)),
        health_checker,
        connect_check,
        call_checks: CallChecks::default(),
        public_network,
        image_builder,
        sealer: directory.sealer(),
        logbook: Logbook::new(directory.logs()),
        changes,
        deployment_ends: watch::channel(0).0,
        fence: fence.clone(),
        networks: Mutex::new(()),
        sites: std::path::absolute(directory.sites()).unwrap_or_else(|_| directory.sites()),
        config,
        older_database: fence.is_newer_than_database() || store.lost_commits().is_some(),
        store,
        engine,
        watch,
        ingress,
        certificates: Certificates::default(),
        bandwidth: Bandwidth::default(),
        traffic: TrafficHistory::default(),
        usage: UsageHistory::default(),
        events: EventCounts::default(),
        names,
        stop,
        host,
    });
    let stop = shared.stop.clone();
    tokio::spawn(supervise("fence", shared.stop.clone(), move || fence.clone().watch(stop.clone())));
    let swept = shared.clone();
    tokio::spawn(supervise("sweep", shared.stop.clone(), move || sweep(swept.clone())));
    let counted = shared.clone();
    tokio::spawn(supervise("bandwidth", shared.stop.clone(), move || bandwidth::watch(counted.clone())));
    let certified = shared.clone();
    tokio::spawn(supervise("certificates", shared.stop.clone(), move || certificates::watch(certified.clone())));
    let measured = shared.clone();
    tokio::spawn(supervise("traffic", shared.stop.clone(), move || traffic::watch(measured.clone())));
    let measured = shared.clone();
    tokio::spawn(supervise("usage", shared.stop.clone(), move || usage::watch(measured.clone())));
    let tidied = shared.clone();
    tokio::spawn(supervise("mirrors", shared.stop.clone(), move || mirrors::tidy(tidied.clone())));
    tokio::spawn(end_leftover_shells(Shells::of(&shared), consoles));
    let apps = states.into_iter().map(|state| (state.app.id.clone(), AppHandle::start(shared.clone(), state)));
    let apps = RwLock::new(apps.collect());
    Ok(ControllerState {
        shared,
        directory,
        token_hash,
        tokens,
        sessions,
        sign_in_links: SignInLinks::default(),
        inspections: Inspections::default(),
        webhooks,
        source_checks: SourceChecks::default(),
        apps,
    })
}

/// Errors: an app has the host name of the webhooks.
fn check_webhook_host(host: &str, apps: &[App]) -> Result<(), StartError> {
    match apps.iter().find(|it| ingress_client::domain(&it.name) == host) {
        Some(app) => Err(StartError::WebhookHost(format!(
            "--webhook-host {host} is the host name of app {}. Choose another name for webhooks",
            app.name
        ))),
        None => Ok(()),
    }
}

/// Ids and names of the recorded containers, so that the engine port recognises containers that people renamed.
fn made_containers(state: &AppState) -> Vec<MadeContainer> {
    let made = |(name, id): (&InstanceName, Option<&str>)| {
        id.map(|id| MadeContainer { id: id.to_owned(), name: name.to_string() })
    };
    state.containers().filter_map(made).collect()
}

fn open_directory(config: &Config) -> Result<DataDir, StartError> {
    DataDir::open(&config.data_dir).map_err(|error| match error {
        held @ DataDirError::Held { .. } => StartError::Held(held.to_string()),
        other => StartError::Store(other.to_string()),
    })
}

/// Connects to the engine, and returns its host's resources.
async fn open_engine(config: &Config, directory: &DataDir) -> Result<(Arc<dyn Engine>, engine::Limits), StartError> {
    let installation =
        Installation { id: directory.installation().to_owned(), key: directory.derived_key("engine-labels") };
    let refused = |error: engine::EngineError| StartError::Engine(error.to_string());
    let engine = DockerEngine::connect(&config.engine_socket, installation).map_err(refused)?;
    let info = engine.info().await.map_err(refused)?;
    match info.refusal() {
        Some(why) => Err(StartError::Engine(why)),
        None => {
            let missing = info.limits.missing();
            if !missing.is_empty() {
                let limits = missing.join(", ");
                warn!(limits, "this engine cannot apply these limits, so containers run without them");
            }
            info!(version = %info.version, api = %info.api_version, cpus = info.cpus, "engine answers");
            let host = engine::Limits { cpu_millis: info.cpus.saturating_mul(1000), memory_bytes: info.memory_bytes };
            Ok((Arc::new(engine), host))
        }
    }
}

fn source(config: &Config, directory: &DataDir) -> Source {
    Source::new(SourceSettings {
        worker: config.program.clone(),
        worker_args: vec!["source-worker".into()],
        mirrors: directory.sources(),
        local_sources: config.local_sources.clone(),
        allow_from: config.allow_sources_from.clone(),
        allow_http: false,
        authorities: config.sources_ca.clone(),
        limits: Limits::default(),
    })
}

/// Removes files of static sites, containers and networks of deleted apps, which a crash during a deletion can leave behind. Logs containers
/// of apps that were never on record but does not touch them, because the database may be older than they are.
async fn sweep(shared: Arc<Shared>) {
    let mut view = shared.watch.view();
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if let Err(problem) = shared.store.check_files().await {
            error!(error = %problem, "changes cannot be stored");
        }
        if let Ok(deleted) = shared.store.deleted_apps().await
            && let Err(error) = site_files::sweep(&shared.sites, &deleted).await
        {
            warn!(%error, "files of deleted apps could not be removed yet; trying again");
        }
        let seen = view.borrow_and_update().clone();
        if seen.unreachable.is_some() {
            continue;
        }
        let Ok(networks) = shared.engine.networks().await else { continue };
        // Read after the engine, so that an app that was created meanwhile is on record.
        let (Ok(apps), Ok(deleted)) = (shared.store.app_ids().await, shared.store.deleted_apps().await) else {
            continue;
        };
        let app = |identity: &Identity| rollout::ids::AppId::from(identity.app.as_str());
        for container in seen.containers.values().filter(|it| deleted.contains(&app(&it.identity))) {
            warn!(container = %container.name, "removing a container of a deleted app");
            report(shared.engine.stop(&container.name, StopTimes::default().grace).await.map(drop));
            report(shared.engine.remove(&container.name).await.map(drop));
        }
        for network in networks.iter().filter(|it| deleted.contains(&app(&it.identity))) {
            warn!(network = %network.name, "removing the network of a deleted app");
            report(shared.engine.remove_network(&network.name).await.map(drop));
        }
        let is_unknown =
            |it: &Identity| it.role != Role::Fence && !apps.contains(&app(it)) && !deleted.contains(&app(it));
        let mut unknown: Vec<_> = seen.containers.values().filter(|it| is_unknown(&it.identity)).collect();
        unknown.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<_> = unknown.into_iter().map(|it| it.name.as_str()).collect();
        let names = names.join(", ");
        if !names.is_empty() {
            warn!(
                containers = names,
                "no record explains these containers; they keep running. See: boatyard unknown list"
            );
        }
    }
}

fn report(result: Result<(), engine::EngineError>) {
    if let Err(error) = result {
        warn!(%error, "an object of a deleted app could not be removed yet; trying again");
    }
}

/// Returns the hash of the admin token, and creates the token at the first start. Only the hash stays in
/// memory.
fn mint_token(directory: &DataDir) -> Result<String, StartError> {
    let failed = |error: DataDirError| StartError::Store(error.to_string());
    let token = match directory.admin_token().map_err(failed)? {
        Some(token) => token,
        None => {
            let token = random_token("dop_v1_");
            directory.write_admin_token(&token).map_err(failed)?;
            token
        }
    };
    Ok(hash_token(token.trim()))
}

/// SHA-256 in hexadecimal. The controller compares tokens by this hash.
pub(crate) fn hash_token(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

async fn load(store: &Store) -> Result<Vec<AppState>, StartError> {
    let failed = |error: store::StoreError| StartError::Store(error.to_string());
    let mut states = Vec::new();
    for app in store.apps().await.map_err(failed)? {
        match store.app_state(&app.id).await {
            Ok(Some(state)) if state.is_complete() => states.push(state),
            Ok(Some(_)) => {
                error!(app = %app.name, "the active deployment or a revision of this app cannot be read; the app stays unchanged")
            }
            Ok(None) => {}
            Err(error) => error!(app = %app.name, %error, "this app cannot be read; it stays unchanged"),
        }
    }
    for damaged in store.damaged() {
        error!(?damaged, "a record cannot be read; the objects it describes stay unchanged");
    }
    Ok(states)
}

/// Removes everything of this installation from the engine and the disk, and reports each removal to `say`. The
/// controller must not run. Errors: the first object that could not be removed; earlier removals stay, and the call can
/// be repeated.
pub async fn uninstall(config: &Config, mut say: impl FnMut(String)) -> anyhow::Result<()> {
    let directory = open_directory(config)?;
    if let Ok(control) = ingress::client::ControlClient::connect(&ingress::process::socket_path(directory.root())).await
    {
        // Only the connection in charge may stop the ingress. Without listeners it accepts no new connections
        // meanwhile.
        match control.hello(Vec::new()).await {
            // An ingress of another version understands a shutdown, too.
            Ok(_) | Err(ingress::client::ClientError::ProtocolMismatch { .. }) => {}
            Err(error) => return Err(error).context("the ingress refused the connection"),
        }
        control.shutdown_and_wait(Duration::ZERO).await.context("the ingress does not stop")?;
        say("stopped the ingress".into());
    }
    let (engine, _) = open_engine(config, &directory).await?;
    let graces = match Store::open(&directory) {
        Ok(store) => {
            // Without readable records, renamed containers are not recognised; everything else is removed.
            if let Ok(states) = load(&store).await {
                engine.remember(states.iter().flat_map(made_containers).collect());
            }
            Graces::on_record(&store).await
        }
        Err(_) => Graces::default(),
    };
    if let Err(why) = stop_all(engine.as_ref(), &graces).await {
        warn!(%why, "not all processes stopped; their containers are removed anyway");
    }
    for container in engine.list().await? {
        engine.remove(&container.name).await?;
        say(format!("removed container {}", container.name));
    }
    for network in engine.networks().await? {
        engine.remove_network(&network.name).await?;
        say(format!("removed network {}", network.name));
    }
    for volume in engine.volumes().await? {
        engine.remove_volume(&volume.name).await?;
        say(format!("removed volume {}", volume.name));
    }
    let names = Names::new(directory.installation());
    for TaggedImage { reference: tag, .. } in engine.tags(&names.repositories()).await? {
        match engine.remove_image(&tag).await {
            Ok(_) => say(format!("removed image {tag}")),
            // A container outside this installation uses the image, so the image stays.
            Err(error @ engine::EngineError::Conflict { .. }) => say(format!("kept image {tag}: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    let root = directory.root().to_owned();
    tokio::fs::remove_dir_all(&root).await.with_context(|| format!("{} cannot be removed", root.display()))?;
    say(format!("removed {} ({})", root.display(), clock::rfc3339(clock::now())));
    Ok(())
}
