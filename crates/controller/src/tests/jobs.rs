//! The output of a job is readable as soon as its deployment has ended.

use std::time::Duration;

use app_spec::JobKind;
use engine::LogStream;
use engine_fake::{Behaviour, Verb};
use futures::StreamExt;
use rollout::deployment::Stage;
use rollout::ids::AppId;

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::view::{LogKind, LogRequest};

/// A cluster whose jobs exit with this code, and whose engine is slow to return their output.
async fn house_of_jobs(code: i64) -> TestCluster {
    let cluster = TestCluster::new().await;
    let ends = Behaviour { exits_with: Some(code), ready_after: Duration::from_secs(2), ..Behaviour::default() };
    cluster.engine.add_image("test/migrate:1", ends);
    cluster.engine.answer_late(Verb::Logs, 1, Duration::from_secs(5));
    cluster
}

/// Creates the app with a job of this kind, lets the job write one line, and waits until the deployment ends.
async fn create_until(cluster: &TestCluster, kind: JobKind, stage: Stage) -> AppId {
    let mut wanted = spec("1");
    wanted.jobs[0].kind = Some(kind);
    let created = cluster.controller().create_app(wanted, &caller()).await.unwrap();
    let job = cluster.called(0, Verb::Start, "-migrate-").await.what;
    cluster.engine.say(&job, LogStream::Out, "moving the tables");
    let deployment = cluster.newest(&created.id).await.id;
    cluster.reach(&deployment, stage).await;
    created.id
}

async fn kept_lines(cluster: &TestCluster, app: &AppId) -> Vec<String> {
    let deployment = Some(cluster.newest(app).await.id);
    let component = Some("migrate".to_owned());
    let question =
        LogRequest { app: app.clone(), deployment, component, kind: LogKind::Deploy, follow: false, tail: None };
    let lines = cluster.controller().logs(question).await.unwrap();
    lines.map(|line| line.unwrap().text).collect().await
}

#[test]
fn the_log_of_a_job_is_readable_when_its_deployment_is_active() {
    simulate(async {
        let cluster = house_of_jobs(0).await;
        let app = create_until(&cluster, JobKind::PostDeploy, Stage::Active).await;
        assert_eq!(kept_lines(&cluster, &app).await, ["moving the tables"]);
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(kept_lines(&cluster, &app).await, ["moving the tables"], "its container is gone");
    });
}

#[test]
fn the_log_of_a_job_is_readable_when_the_job_made_its_deployment_fail() {
    simulate(async {
        let cluster = house_of_jobs(3).await;
        let app = create_until(&cluster, JobKind::PreDeploy, Stage::Failed).await;
        assert_eq!(kept_lines(&cluster, &app).await, ["moving the tables"]);
    });
}

/// The deployment ends before the job: what the job wrote until then is kept.
#[test]
fn the_log_of_a_canceled_job_is_kept() {
    simulate(async {
        let cluster = house_of_jobs(0).await;
        let app = cluster.create("1").await;
        let job = cluster.called(0, Verb::Start, "-migrate-").await.what;
        cluster.engine.say(&job, LogStream::Out, "moving the tables");
        let deployment = cluster.newest(&app).await.id;
        cluster.controller().cancel(&app, &deployment).await.unwrap();
        cluster.called(0, Verb::Remove, "-migrate-").await;
        assert_eq!(kept_lines(&cluster, &app).await, ["moving the tables"]);
    });
}
