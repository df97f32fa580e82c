//! A test cluster: one data directory, one engine, one ingress and one repository, with controllers that start and
//! stop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app_spec::AppSpec;
use async_trait::async_trait;
use data_dir::DataDir;
use engine::{Engine, EngineError, NetworkSpec};
use engine_fake::{Behaviour, Call, FakeEngine, Verb};
use futures::StreamExt;
use rollout::deployment::Stage;
use rollout::health::{ProbeFailure, ProbeFault};
use rollout::ids::{AppId, DeploymentId, InstanceName};
use store::Store;
use store::records::{AppState, Change, Database, Deployment};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

mod checks;

use super::image_builder::MemoryImageBuilder;
use super::ingress::MemoryIngress;
use super::simulation;
use crate::Control;
use crate::config::{AccessLogFormat, Config, NetworkPool, Reach, ReachChoice, TrustedProxies, WebhookSettings};
use crate::connect_check::ConnectCheck;
use crate::control::Controller;
use crate::error::StartError;
use crate::probe::{HealthCheck, HealthChecker};
use crate::start::{Dependencies, take_over};
use crate::view::{Actor, AuditDraft, Caller, DeploymentView, UpdateOptions};

/// A spec with a component of most kinds. `{tag}` is the tag of the service's image.
pub const SPEC: &str = "
name: shop
databases: [{name: db, engine: PG, version: '17'}]
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: test, repository: web, tag: '{tag}'}
  http_port: 8080
  instance_count: 2
  health_check: {period_seconds: 5, failure_threshold: 3}
workers:
- name: mill
  image: {registry_type: DOCKER_HUB, registry: test, repository: mill, tag: '1'}
jobs:
- name: migrate
  kind: PRE_DEPLOY
  image: {registry_type: DOCKER_HUB, registry: test, repository: migrate, tag: '1'}
";

/// The longest wait, in paused time. A fact that does not hold by then never will.
const PATIENCE: Duration = Duration::from_secs(900);
/// Pause between two checks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Long enough for every deployment that should succeed.
pub const DEPLOYMENT_LIMIT: Duration = Duration::from_secs(900);

/// How many instances the spec wants.
const WANTED: [(&str, usize); 2] = [("mill", 1), ("web", 2)];

/// Whether containers connect to all addresses of this host.
struct Connects(Arc<Mutex<Connection>>);

/// What a check of connections from containers to this host finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    Accepted,
    Dropped,
    /// The engine refuses to create the check.
    Refused,
}

#[async_trait]
impl ConnectCheck for Connects {
    async fn connects(&self, _: &str, _: (&NetworkSpec, Ipv4Addr), _: &[SocketAddrV4]) -> Result<bool, EngineError> {
        match *self.0.lock().unwrap() {
            Connection::Accepted => Ok(true),
            Connection::Dropped => Ok(false),
            Connection::Refused => Err(EngineError::DiskFull { detail: "no space left".to_owned() }),
        }
    }
}

pub struct TestCluster {
    dir: TempDir,
    pub engine: FakeEngine,
    pub ingress: MemoryIngress,
    pub image_builder: MemoryImageBuilder,
    controller: Option<Controller>,
    /// Settings of the next controller.
    pub webhooks: Option<WebhookSettings>,
    pub poll: Option<Duration>,
    pub reached: Reach,
    /// Whether containers can connect to this host.
    connection: Arc<Mutex<Connection>>,
    /// How many processes were started, by container.
    starts: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// The test spec, with this tag for the service's image.
pub fn spec(tag: &str) -> AppSpec {
    AppSpec::from_yaml(&SPEC.replace("{tag}", tag)).unwrap().spec
}

/// A commit id of 40 equal digits.
pub fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

pub fn caller() -> Caller {
    let actor = Actor { token: Some("token-1".into()), name: "ci".into() };
    let audit = Some(AuditDraft::new(actor.clone(), "change", None));
    Caller { token_hash: "somebody".into(), idempotency_key: None, actor, audit }
}

impl TestCluster {
    /// A cluster with a running controller and these images: `web:1` and `web:2` work, `web:stuck` never listens,
    /// `web:slow` listens after 8 s.
    pub async fn new() -> Self {
        let engine = FakeEngine::new();
        let brisk = Behaviour { ready_after: Duration::from_millis(300), ..Behaviour::default() };
        let migrates = Behaviour { exits_with: Some(0), ready_after: Duration::from_secs(2), ..Behaviour::default() };
        for (reference, behaviour) in [
            ("test/web:1", brisk.clone()),
            ("test/web:2", brisk.clone()),
            ("test/web:slow", Behaviour { ready_after: Duration::from_secs(8), ..Behaviour::default() }),
            ("test/web:stuck", Behaviour { never_ready: true, ..Behaviour::default() }),
            ("test/mill:1", Behaviour::default()),
            ("test/migrate:1", migrates),
            ("postgres:17", brisk),
        ] {
            engine.add_image(reference, behaviour);
        }
        let mut cluster = Self {
            dir: simulation::directory(),
            ingress: MemoryIngress::new(engine.clone()),
            image_builder: MemoryImageBuilder::new(engine.clone()),
            engine,
            controller: None,
            webhooks: None,
            poll: None,
            reached: Reach::Direct,
            connection: Arc::new(Mutex::new(Connection::Accepted)),
            starts: Arc::default(),
        };
        cluster.count_starts();
        cluster.open().await;
        cluster
    }

    /// A cluster whose app is deployed and settled.
    pub async fn with_app() -> (Self, AppId) {
        let cluster = Self::new().await;
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        (cluster, app)
    }

    /// Starts a controller.
    pub async fn open(&mut self) {
        self.try_open().await.unwrap();
    }

    /// Starts a controller. Errors: those of the start.
    pub async fn try_open(&mut self) -> Result<(), StartError> {
        let directory = DataDir::open(self.dir.path().join("data")).unwrap();
        let store = Store::open(&directory).unwrap();
        simulation::write_to(Some(store.clone()));
        // A new process has an empty engine port, without remembered names.
        self.engine.forget_made_names();
        let dependencies = Dependencies {
            engine: Arc::new(self.engine.clone()),
            host: engine::Limits { cpu_millis: 4000, memory_bytes: 8 << 30 },
            connector: Box::new(self.ingress.clone()),
            health_checker: Arc::new(self.engine.clone()),
            connect_check: Arc::new(Connects(self.connection.clone())),
            image_builder: Arc::new(self.image_builder.clone()),
        };
        let started = take_over(self.config(), directory, store, dependencies).await?;
        let controller = Controller(Arc::new(started));
        controller.watch_sources().await;
        self.controller = Some(controller);
        Ok(())
    }

    /// Kills the controller as `kill -9` does: the work in progress stays half done.
    pub async fn crash(&mut self) {
        let controller = self.controller.take().unwrap();
        controller.0.shared.stop.cancel();
        for handle in controller.0.apps.read().await.values() {
            handle.end();
        }
        let left = Arc::downgrade(&controller.0.shared);
        drop(controller);
        simulation::write_to(None);
        while left.strong_count() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Changes an app's records while no controller runs, as a damaged disk or another version might.
    pub async fn tamper(&self, app: &AppId, changes: impl FnOnce(AppState) -> Vec<Change>) {
        let store = Store::open(&DataDir::open(self.dir.path().join("data")).unwrap()).unwrap();
        let state = store.app_state(app).await.unwrap().unwrap();
        store.commit(changes(state)).await.unwrap();
    }

    /// Writes records while no controller runs.
    pub async fn write(&self, changes: Vec<Change>) {
        let store = Store::open(&DataDir::open(self.dir.path().join("data")).unwrap()).unwrap();
        store.commit(changes).await.unwrap();
    }

    /// Replaces the admin token while no controller runs.
    pub fn replace_admin_token(&self) {
        DataDir::open(self.dir.path().join("data")).unwrap().write_admin_token("dop_v1_another").unwrap();
    }

    /// Copies the data directory while no controller runs.
    pub fn back_up(&self) -> TempDir {
        let copy = simulation::directory();
        copy_files(&self.dir.path().join("data"), copy.path());
        copy
    }

    /// Restores the copy while no controller runs.
    pub fn put_back(&self, copy: &TempDir) {
        let data = self.dir.path().join("data");
        for entry in std::fs::read_dir(&data).unwrap().map(Result::unwrap).filter(|it| it.path().is_file()) {
            std::fs::remove_file(entry.path()).unwrap();
        }
        copy_files(copy.path(), &data);
    }

    /// From now on, checks of connections from containers to this host find this.
    pub fn set_connection(&self, connection: Connection) {
        *self.connection.lock().unwrap() = connection;
    }

    pub fn controller(&self) -> &Controller {
        self.controller.as_ref().unwrap()
    }

    pub fn store(&self) -> &Store {
        &self.controller().0.shared.store
    }

    /// How many commits the controllers have made.
    pub fn commits(&self) -> u64 {
        let noted = std::fs::read_to_string(self.dir.path().join("data/high-water")).unwrap();
        noted.trim().parse::<u64>().unwrap() - simulation::commits_of_the_clock()
    }

    pub async fn create(&self, tag: &str) -> AppId {
        self.controller().create_app(spec(tag), &caller()).await.unwrap().id
    }

    pub async fn update(&self, app: &AppId, tag: &str) {
        self.controller().update_app(app, spec(tag), UpdateOptions::default(), &caller()).await.unwrap();
    }

    pub async fn restart(&self, app: &AppId) -> DeploymentView {
        self.controller().restart(app, &[], &caller()).await.unwrap()
    }

    pub async fn state(&self, app: &AppId) -> AppState {
        self.store().app_state(app).await.unwrap().unwrap()
    }

    pub async fn newest(&self, app: &AppId) -> Deployment {
        self.state(app).await.deployments.into_iter().max_by_key(|it| it.number).unwrap()
    }

    pub async fn deployment(&self, id: &DeploymentId) -> Deployment {
        self.store().deployment(id).await.unwrap().unwrap()
    }

    /// Waits until a deployment reaches this stage.
    pub async fn reach(&self, id: &DeploymentId, stage: Stage) -> Deployment {
        self.until(async || match self.deployment(id).await {
            it if it.stage == stage => Ok(it),
            it => Err(format!("{:?} {:?}", it.stage, it.failure)),
        })
        .await
    }

    /// Waits until the engine gets a call of this verb whose name contains `name_part`. `since` is an index into the
    /// journal.
    pub async fn called(&self, since: usize, verb: Verb, name_part: &str) -> Call {
        let matches = |it: &Call| it.verb == verb && it.what.contains(name_part);
        self.until(async || {
            let found = self.engine.calls().split_off(since).into_iter().find(matches);
            found.ok_or_else(|| format!("{verb:?} of {name_part} not called"))
        })
        .await
    }

    /// Recorded names of a component's instances.
    pub async fn names(&self, app: &AppId, component: &str) -> BTreeSet<String> {
        let rows = self.state(app).await.instances;
        rows.iter().filter(|it| it.component.as_str() == component).map(|it| it.name.to_string()).collect()
    }

    /// Waits until the cluster is quiet and the newest deployment ended in this stage; then checks every step on the
    /// way.
    pub async fn settle(&self, app: &AppId, stage: Stage) {
        self.end(app, stage).await;
        self.check_order();
    }

    /// Like [`Self::settle`], without the check of the steps.
    pub async fn end(&self, app: &AppId, stage: Stage) {
        self.until(async || self.is_settled(app, stage).await).await;
        self.check_policies(app).await;
    }

    /// Waits until only the database's volume is left of the app.
    pub async fn gone(&self, app: &AppId) {
        self.until(async || {
            let left: Vec<_> = self.engine.containers().into_iter().map(|it| it.name).collect();
            let networks = self.networks_of_apps();
            let recorded = self.store().app(app).await.unwrap().is_some();
            let routed = self.ingress.taken().last().is_some_and(|it| !it.table.apps.is_empty());
            let nothing = left.is_empty() && networks == 0 && !recorded && !routed;
            nothing.then_some(()).ok_or_else(|| format!("{left:?}, {networks} networks, {recorded}, {routed}"))
        })
        .await;
        // The next app of this name uses the same names.
        self.starts.lock().unwrap().clear();
    }

    /// How many networks belong to apps.
    fn networks_of_apps(&self) -> usize {
        self.engine.network_specs().iter().filter(|it| !it.identity.app.is_empty()).count()
    }

    /// How often a process was started in containers whose name contains `name_part`. Every name contains the app's
    /// random id, and `-db` alone is also how the ids of some apps begin.
    pub fn starts_of(&self, name_part: &str) -> usize {
        self.starts.lock().unwrap().iter().filter(|(name, _)| name.contains(name_part)).map(|(_, count)| count).sum()
    }

    pub async fn until<T>(&self, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match look().await {
                Ok(found) => return found,
                Err(why) if Instant::now() >= deadline => panic!("{why}\n{}", self.last_calls()),
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    fn last_calls(&self) -> String {
        let calls = self.engine.calls();
        let changing = calls.iter().filter(|it| it.verb.changes()).map(|it| it.to_string());
        let all: Vec<_> = changing.collect();
        all[all.len().saturating_sub(30)..].join("\n")
    }

    fn count_starts(&self) {
        let (engine, starts) = (self.engine.clone(), self.starts.clone());
        tokio::spawn(async move {
            while let Ok(mut events) = engine.events().await {
                while let Some(event) = events.next().await {
                    if event.action == "start" {
                        *starts.lock().unwrap().entry(event.container).or_default() += 1;
                    }
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
    }

    fn config(&self) -> Config {
        Config {
            https: None,
            access_log: AccessLogFormat::Off,
            proxies: TrustedProxies::default(),
            acme: None,
            data_dir: self.dir.path().join("data"),
            engine_socket: "unused".into(),
            http: ([127, 0, 0, 1], 8080).into(),
            api: ([127, 0, 0, 1], 7080).into(),
            local_sources: Vec::new(),
            allow_sources_from: Vec::new(),
            sources_ca: None,
            base_images: crate::config::Bases::default(),
            database_images: Vec::new(),
            network_pool: NetworkPool::default(),
            reach: Some(ReachChoice::Fixed(self.reached)),
            program: "unused".into(),
            deployment_limit: DEPLOYMENT_LIMIT,
            job_limit: Duration::from_secs(600),
            parallel_builds: 2,
            build_limit: Duration::from_secs(3600),
            webhooks: self.webhooks.clone(),
            poll: self.poll,
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|it| it.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if let Some(controller) = &self.controller {
            controller.0.shared.stop.cancel();
        }
        simulation::write_to(None);
    }
}

/// Answers health checks according to the processes of the fake engine.
#[async_trait]
impl HealthChecker for FakeEngine {
    async fn check_instance(&self, name: &InstanceName, check: &HealthCheck) -> Result<(), ProbeFailure> {
        let SocketAddr::V4(address) = check.address else { return Err(check.failure(ProbeFault::Refused)) };
        let answers = self.listening_at(name.as_str(), *address.ip());
        answers.then_some(()).ok_or_else(|| check.failure(ProbeFault::Refused))
    }

    async fn check_database(&self, database: &Database, address: SocketAddr) -> Result<(), ProbeFailure> {
        let refused = ProbeFailure { address, request: None, fault: ProbeFault::Refused };
        self.listening_at(database.container.as_str(), database.address).then_some(()).ok_or(refused)
    }
}
