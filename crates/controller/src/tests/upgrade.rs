//! Upgrade in place. The previous version's code wrote the records in `tests/upgrade/records.json`, at five moments of
//! one app's life. This version reads them, takes over the containers that they name, and continues.

mod write;

use std::time::Duration;

use engine::{ContainerSpec, Engine, Identity, Limits, NetworkJoin, NetworkSpec, RestartPolicy, Role, VolumeMount};
use engine_fake::Verb;
use ingress::protocol::RouteTable;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use rollout::instance::InstancePhase;
use serde::{Deserialize, Serialize};
use store::records::{App, Change, Database, Deployment, Instance, JobRun, Revision};
use tokio::time::sleep;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;
use crate::config::NetworkPool;
use crate::ingress_client::IngressConnection;
use crate::names::Names;

const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/upgrade/records.json");

/// Long enough for every periodic task of the controller to run several times.
const LONG: Duration = Duration::from_secs(30 * 60);

/// An app's records as the previous version left them. Unlike in the store, nothing is sealed; passwords were replaced.
#[derive(Clone, Serialize, Deserialize)]
struct Left {
    app: App,
    deployments: Vec<Deployment>,
    instances: Vec<Instance>,
    revisions: Vec<Revision>,
    job_runs: Vec<JobRun>,
    databases: Vec<Database>,
    routes: RouteTable,
}

impl Left {
    /// The records of one moment, under this installation's id. All times are moved so that the moment is now.
    fn at(moment: &str, installation: &str) -> Self {
        let text = std::fs::read_to_string(RECORDS).unwrap().replace("INSTALLATION", installation);
        let mut all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut left = all[moment].take();
        let recorded = newest_time(&left);
        let now = crate::clock::now().0;
        move_times(&mut left, now.wrapping_sub(recorded));
        serde_json::from_value(left).unwrap()
    }

    fn changes(self) -> Vec<Change> {
        let mut changes = vec![Change::App(self.app)];
        changes.extend(self.deployments.into_iter().map(|it| Change::Deployment(Box::new(it))));
        changes.extend(self.instances.into_iter().map(Change::Instance));
        changes.extend(self.revisions.into_iter().map(Change::Revision));
        changes.extend(self.job_runs.into_iter().map(Change::JobRun));
        changes.extend(self.databases.into_iter().map(Change::Database));
        changes
    }
}

/// Reads a value as a time. Times are the only numbers in the records as large as the milliseconds since 1970.
fn as_time(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().filter(|it| *it > 1_700_000_000_000)
}

fn newest_time(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Array(all) => all.iter().map(newest_time).max().unwrap_or(0),
        serde_json::Value::Object(all) => all.values().map(newest_time).max().unwrap_or(0),
        other => as_time(other).unwrap_or(0),
    }
}

fn move_times(value: &mut serde_json::Value, by: u64) {
    match value {
        serde_json::Value::Array(all) => all.iter_mut().for_each(|it| move_times(it, by)),
        serde_json::Value::Object(all) => all.values_mut().for_each(|it| move_times(it, by)),
        other => {
            if let Some(time) = as_time(other) {
                *other = time.wrapping_add(by).into();
            }
        }
    }
}

/// A test cluster in which the previous version was killed at this moment; no controller runs yet.
async fn killed(moment: &str) -> (TestCluster, Left) {
    let mut cluster = TestCluster::new().await;
    let installation = cluster.controller().0.directory.installation().to_owned();
    cluster.crash().await;
    let left = Left::at(moment, &installation);
    make_containers(&cluster, &left, &Names::new(&installation)).await;
    cluster.ingress.set_table(left.routes.clone()).await.unwrap();
    cluster.write(left.clone().changes()).await;
    (cluster, left)
}

/// Creates the engine's objects with the labels and settings of the previous version.
async fn make_containers(cluster: &TestCluster, left: &Left, names: &Names) {
    let identity = |role, component: &str| Identity {
        role,
        app: left.app.id.to_string(),
        component: component.to_owned(),
        slot: 0,
        revision: String::new(),
        generation: 0,
        deployment: String::new(),
    };
    let engine = &cluster.engine;
    let pool = NetworkPool::default().network(left.app.network);
    let network = NetworkSpec {
        name: names.network(&left.app.id),
        identity: identity(Role::Network, ""),
        subnet: pool.subnet(),
        gateway: pool.gateway(),
    };
    let network = engine.ensure_network(&network).await.unwrap();
    let join = |address, alias: &str| NetworkJoin {
        network_id: network.id.clone(),
        network_name: network.name.clone(),
        address,
        aliases: vec![alias.to_owned()],
    };
    for it in &left.databases {
        engine.ensure_volume(&it.volume, &identity(Role::Volume, it.name.as_str())).await.unwrap();
        let spec = ContainerSpec {
            name: it.container.to_string(),
            identity: identity(Role::Database, it.name.as_str()),
            image: engine.image(&it.image).await.unwrap().unwrap(),
            command: None,
            env: Vec::new(),
            network: Some(join(it.address, it.name.as_str())),
            hosts: Vec::new(),
            published: Vec::new(),
            volume: Some(VolumeMount { volume: it.volume.clone(), path: "/var/lib/postgresql/data".into() }),
            limits: Limits { cpu_millis: 1000, memory_bytes: 512 << 20 },
            stop_grace: Duration::from_secs(60),
            stop_signal: Some("SIGINT".into()),
        };
        run(cluster, spec, true, true).await;
    }
    for it in &left.instances {
        let revision = left.revisions.iter().find(|revision| revision.id == it.revision).unwrap();
        let spec = ContainerSpec {
            name: it.name.to_string(),
            identity: Identity {
                role: Role::Instance,
                app: it.app.to_string(),
                component: it.component.to_string(),
                slot: it.slot,
                revision: it.revision.to_string(),
                generation: it.generation,
                deployment: it.deployment.to_string(),
            },
            image: revision.image.clone(),
            command: revision.command.clone(),
            env: revision.env.clone(),
            network: Some(join(it.address, it.component.as_str())),
            hosts: Vec::new(),
            published: Vec::new(),
            volume: None,
            limits: Limits { cpu_millis: revision.cpu_millis, memory_bytes: revision.memory_bytes },
            stop_grace: Duration::from_secs(10),
            stop_signal: None,
        };
        if it.phase != InstancePhase::Intended {
            let runs = !matches!(it.phase, InstancePhase::Created | InstancePhase::Stopped);
            run(cluster, spec, runs, it.kept_alive).await;
        }
    }
    // Time for a process to start listening.
    sleep(Duration::from_secs(5)).await;
}

async fn run(cluster: &TestCluster, spec: ContainerSpec, runs: bool, kept_alive: bool) {
    cluster.engine.create(&spec).await.unwrap();
    if runs {
        cluster.engine.start(&spec.name).await.unwrap();
    }
    if kept_alive {
        cluster.engine.set_restart_policy(&spec.name, RestartPolicy::Always).await.unwrap();
    }
}

/// All containers, with what an upgrade must not change.
async fn containers(cluster: &TestCluster) -> Vec<(String, String, Option<String>, u64)> {
    let mut all = Vec::new();
    for it in cluster.engine.containers() {
        let details = cluster.engine.inspect(&it.name).await.unwrap().unwrap();
        all.push((it.name, it.id, details.started_at, details.restart_count));
    }
    all
}

async fn names(cluster: &TestCluster, app: &AppId) -> Vec<String> {
    cluster.state(app).await.instances.iter().map(|it| it.name.to_string()).collect()
}

#[test]
fn a_serving_app_is_taken_over_unchanged_and_can_be_restarted_deployed_and_deleted() {
    simulate(async {
        for moment in ["serving", "failed"] {
            let (mut cluster, left) = killed(moment).await;
            let app = left.app.id.clone();
            let (before, since) = (containers(&cluster).await, cluster.engine.calls().len());
            cluster.open().await;
            sleep(LONG).await;
            assert_eq!(containers(&cluster).await, before, "{moment}");
            let made = cluster.engine.calls().split_off(since);
            let made = made.iter().filter(|it| matches!(it.verb, Verb::Create | Verb::Stop | Verb::Remove));
            assert_eq!(made.map(ToString::to_string).collect::<Vec<_>>(), [""; 0], "{moment}");
            let rows = cluster.state(&app).await;
            let rollout_status =
                |all: &[Instance]| all.iter().map(|it| (it.name.clone(), it.phase, it.since)).collect::<Vec<_>>();
            assert_eq!(rollout_status(&rows.instances), rollout_status(&left.instances), "{moment}");
            assert_eq!(rows.deployments.len(), left.deployments.len(), "{moment}: no deployment begins by itself");
            let mut routes = cluster.ingress.taken().pop().unwrap().table.apps;
            // Calls between components are new. They change nothing for containers that run.
            routes.iter_mut().for_each(|it| it.internal = None);
            assert_eq!(routes, left.routes.apps, "{moment}");

            let old = names(&cluster, &app).await;
            cluster.restart(&app).await;
            cluster.settle(&app, Stage::Active).await;
            cluster.check_capacity(since);
            assert!(names(&cluster, &app).await.iter().all(|it| !old.contains(it)), "{moment}");
            cluster.update(&app, "2").await;
            cluster.settle(&app, Stage::Active).await;
            cluster.controller().delete_app(&app).await.unwrap();
            cluster.gone(&app).await;
        }
    });
}

#[test]
fn a_rollout_of_the_previous_version_is_completed() {
    simulate(async {
        for (moment, end) in
            [("rolling", Stage::Active), ("starting", Stage::Failed), ("rolling_back", Stage::Canceled)]
        {
            let (mut cluster, left) = killed(moment).await;
            let app = left.app.id.clone();
            let newest = left.deployments.iter().max_by_key(|it| it.number).unwrap().id.clone();
            let since = cluster.engine.calls().len();
            cluster.open().await;
            cluster.end(&app, end).await;
            cluster.check_capacity(since);
            assert_eq!(cluster.newest(&app).await.id, newest, "{moment}");
            cluster.restart(&app).await;
            cluster.settle(&app, Stage::Active).await;
        }
    });
}
