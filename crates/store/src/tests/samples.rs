//! Sample records, and a store in a temporary directory.

use std::net::Ipv4Addr;

use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId, RevisionId};
use rollout::instance::InstancePhase;
use rollout::job::JobPhase;
use rollout::progress::Progress;
use rollout::queue::Request;
use rollout::target::ComponentKind;
use rollout::time::Timestamp;
use tempfile::TempDir;

use crate::Store;
use crate::records::{
    Actor, AlertDestinations, App, BuiltImage, Change, Database, Deployment, HostLogin, Instance, InstanceTransition,
    JobRun, LoginKind, Newer, Record, Restarts, Revision, SlackWebhook, Transition,
};
use data_dir::DataDir;

/// A store in a temporary directory. Fields drop in this order.
pub(super) struct TestStore {
    pub(super) store: Store,
    pub(super) directory: DataDir,
    pub(super) temp: TempDir,
}

impl TestStore {
    pub(super) fn new() -> Self {
        let temp = TempDir::new().unwrap();
        Self::in_directory(temp)
    }

    pub(super) fn in_directory(temp: TempDir) -> Self {
        let directory = DataDir::open(temp.path().join("data")).unwrap();
        Self { store: Store::open(&directory).unwrap(), directory, temp }
    }

    /// A store with one app.
    pub(super) async fn with_app(id: &str) -> Self {
        let test = Self::new();
        test.store.commit(vec![Change::App(app(id, 1))]).await.unwrap();
        test
    }

    pub(super) fn reopened(self) -> Self {
        let Self { store, directory, temp } = self;
        drop((store, directory));
        Self::in_directory(temp)
    }

    /// A second connection, as another program would open it.
    pub(super) fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.database()).unwrap()
    }
}

pub(super) fn app(id: &str, network: u32) -> App {
    App {
        id: id.into(),
        name: format!("name-of-{id}"),
        network,
        spec: serde_json::json!({"name": id, "services": []}),
        created: Timestamp(1),
        updated: Timestamp(2),
        deleting: false,
        active: None,
        deployments: 0,
        serial: 0,
        generation: 0,
        kept: None,
        pinned: None,
        secret_build_arguments: false,
        build_caches: 0,
        earlier_files: Default::default(),
        newer: Newer::default(),
    }
}

pub(super) fn deployment(app: &str, number: u64, stage: Stage) -> Deployment {
    Deployment {
        id: deployment_id(app, number),
        app: app.into(),
        number,
        stage,
        stage_since: Timestamp(number),
        created: Timestamp(number),
        updated: Timestamp(number),
        request: Request::deploy(),
        updates_spec: true,
        cause: "app spec updated".to_owned(),
        spec: serde_json::json!({"name": app}),
        previous: None,
        cloned_from: None,
        superseded_by: None,
        app_rollback: None,
        cancel_requested: false,
        caller: "caller".to_owned(),
        actor: Some(Actor { token: Some("token-1".to_owned()), name: "ci".to_owned() }),
        commits: Default::default(),
        found_versions: Default::default(),
        images: Default::default(),
        targets: None,
        job_revisions: Default::default(),
        nothing_to_do: false,
        progress: Progress::default(),
        failure: None,
        log_tail: Vec::new(),
        record: Record::default(),
    }
}

pub(super) fn deployment_id(app: &str, number: u64) -> DeploymentId {
    DeploymentId::new(format!("{app}-deployment-{number}"))
}

pub(super) fn put(deployment: Deployment) -> Change {
    Change::Deployment(Box::new(deployment))
}

pub(super) fn instance(app: &str, slot: u32) -> Instance {
    Instance {
        name: format!("{app}-web-{slot}").as_str().into(),
        app: app.into(),
        component: "web".into(),
        kind: ComponentKind::Service,
        slot,
        revision: "r1".into(),
        generation: 0,
        deployment: deployment_id(app, 1),
        phase: InstancePhase::Ready,
        since: Timestamp(3),
        address: Ipv4Addr::new(10, 192, 1, 9),
        published: [(8080, 20_001)].into(),
        calls: ["api".to_owned()].into(),
        stop_times: None,
        kept_alive: true,
        restarts: Restarts::default(),
        refused: None,
        created: Timestamp(3),
        container_id: None,
    }
}

pub(super) fn transition(app: &str, to: Transition, since: u64) -> InstanceTransition {
    let it = instance(app, 0);
    InstanceTransition {
        deployment: deployment_id(app, 1),
        instance: it.name,
        component: it.component,
        kind: it.kind,
        slot: it.slot,
        revision: it.revision,
        generation: it.generation,
        created_by: it.deployment,
        transition: to,
        since: Timestamp(since),
        at: Timestamp(since),
    }
}

pub(super) fn revision(app: &str, id: &str, secret: &str) -> Revision {
    Revision {
        id: RevisionId::new(id),
        app: AppId::new(app),
        component: "web".into(),
        image: "sha256:1".to_owned(),
        command: None,
        env: vec![("TOKEN".to_owned(), secret.to_owned())],
        secret_keys: vec!["TOKEN".to_owned()],
        environment_hash: "h".to_owned(),
        cpu_millis: 500,
        memory_bytes: 1 << 29,
        port: Some(8080),
        http2: false,
        probe: None,
    }
}

pub(super) fn job_run(app: &str, number: u64, collected: bool) -> JobRun {
    JobRun {
        deployment: deployment_id(app, number),
        job: "migrate".into(),
        app: app.into(),
        name: format!("{app}-migrate-{number}").as_str().into(),
        revision: "r1".into(),
        address: Ipv4Addr::new(10, 192, 1, 10),
        phase: JobPhase::Ended { code: 0 },
        since: Timestamp(4),
        grace: None,
        cancel_requested: false,
        collected,
        container_id: None,
    }
}

pub(super) fn database(app: &str, name: &str, password: &str) -> Database {
    Database {
        app: app.into(),
        name: name.into(),
        engine: "PG".to_owned(),
        version: "16".to_owned(),
        image: "postgres:16".to_owned(),
        user: "db".to_owned(),
        password: password.to_owned(),
        database: "db".to_owned(),
        port: 5432,
        address: Ipv4Addr::new(10, 192, 1, 3),
        container: "shop-db".into(),
        volume: "shop-db".to_owned(),
        wanted: true,
        created: true,
        container_id: None,
    }
}

pub(super) fn built_image(app: &str, identity: &str) -> BuiltImage {
    BuiltImage {
        identity: identity.to_owned(),
        app: app.into(),
        image: "sha256:2".to_owned(),
        reference: "boatyard/web:2".to_owned(),
        commit: "abc".to_owned(),
        built: Timestamp(5),
    }
}

pub(super) fn alert_destinations(app: &str, address: &str) -> AlertDestinations {
    let webhook = SlackWebhook { url: address.to_owned(), channel: "#alerts".to_owned() };
    let emails = vec!["a@example.com".to_owned()];
    AlertDestinations { app: app.into(), alert: "alert-1".to_owned(), emails, slack_webhooks: vec![webhook] }
}

pub(super) fn host_login(host: &str, secret: &str) -> HostLogin {
    HostLogin {
        kind: LoginKind::GitSsh,
        host: host.to_owned(),
        user: Some("git".to_owned()),
        secret: secret.to_owned(),
        host_keys: vec!["SHA256:AAAA".to_owned()],
        added: Timestamp(1),
    }
}

/// One record of each kind for an existing app.
pub(super) fn records_of(app: &str) -> Vec<Change> {
    vec![
        put(deployment(app, 1, Stage::Active)),
        Change::Instance(instance(app, 0)),
        Change::Revision(revision(app, "r1", "secret")),
        Change::JobRun(job_run(app, 1, false)),
        Change::Database(database(app, "db", "secret")),
        Change::BuiltImage(built_image(app, &format!("identity-{app}"))),
        Change::AlertDestinations(alert_destinations(app, "https://hooks.example.com/1")),
    ]
}
