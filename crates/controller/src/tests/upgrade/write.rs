//! Writes `tests/upgrade/records.json` as this version records an app, for the next version to read. Run it at a
//! release with `cargo test -p controller write_the_records -- --ignored`, and commit the file with the new commit in
//! `tests/upgrade/from`.

use std::collections::BTreeMap;
use std::time::Duration;

use engine_fake::Verb;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use rollout::instance::InstancePhase;
use tokio::time::sleep;

use super::super::cluster::TestCluster;
use super::super::simulation::simulate;
use super::{Left, RECORDS};
use crate::Control;

#[test]
#[ignore = "replaces what the previous version wrote; for a release"]
fn write_the_records_of_this_version() {
    simulate(async {
        let mut moments = BTreeMap::new();
        let (cluster, app) = TestCluster::with_app().await;
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        moments.insert("serving", now(&cluster, &app).await);

        cluster.update(&app, "2").await;
        until(async || one_new_instance_is_ready(&cluster, &app).await).await;
        moments.insert("rolling", now(&cluster, &app).await);
        cluster.settle(&app, Stage::Active).await;

        let since = cluster.engine.calls().len();
        cluster.update(&app, "stuck").await;
        cluster.called(since, Verb::Start, "-web-").await;
        moments.insert("starting", now(&cluster, &app).await);
        cluster.settle(&app, Stage::Failed).await;
        moments.insert("failed", now(&cluster, &app).await);

        cluster.update(&app, "1").await;
        until(async || one_new_instance_is_ready(&cluster, &app).await).await;
        cluster.controller().cancel(&app, &cluster.newest(&app).await.id).await.unwrap();
        until(async || cluster.newest(&app).await.stage == Stage::RollingBack).await;
        moments.insert("rolling_back", now(&cluster, &app).await);

        let installation = cluster.controller().0.directory.installation().to_owned();
        let text = serde_json::to_string(&moments).unwrap().replace(&installation, "INSTALLATION");
        // One record per line.
        std::fs::write(RECORDS, text.replace("},{", "},\n{") + "\n").unwrap();
    });
}

/// Polls more often than [`TestCluster::until`], because these moments are short.
async fn until(mut fact: impl AsyncFnMut() -> bool) {
    for _ in 0..100_000 {
        if fact().await {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("the moment was not reached");
}

async fn one_new_instance_is_ready(cluster: &TestCluster, app: &AppId) -> bool {
    let new = cluster.newest(app).await.id;
    let rows = cluster.state(app).await.instances;
    rows.iter().any(|it| it.deployment == new && it.component.as_str() == "web" && it.phase == InstancePhase::Ready)
}

async fn now(cluster: &TestCluster, app: &AppId) -> Left {
    let state = cluster.state(app).await;
    let passwords: Vec<_> = state.databases.iter().map(|it| it.password.clone()).collect();
    let mut left = Left {
        app: state.app,
        deployments: state.deployments,
        instances: state.instances,
        revisions: state.revisions,
        job_runs: state.job_runs,
        databases: state.databases,
        routes: cluster.ingress.taken().pop().unwrap().table,
    };
    left.databases.iter_mut().for_each(|it| it.password = "not-a-secret".into());
    for (_, value) in left.revisions.iter_mut().flat_map(|it| &mut it.env) {
        for password in &passwords {
            *value = value.replace(password, "not-a-secret");
        }
    }
    left
}
