//! An app with a long history keeps its newest deployments, and those that are still needed.

use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use rollout::job::JobPhase;
use rollout::time::Timestamp;
use store::records::{App, AppState, Change, Deployment, JobRun};

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;
use crate::clock;
use crate::error::ControlError;

fn id(number: u64) -> DeploymentId {
    DeploymentId::new(format!("deployment-{number}"))
}

/// A history in which the first deployment serves and the 149 later ones failed: all long ago, except for the tenth.
/// The job of the twentieth is not collected yet.
fn long_life(state: AppState) -> Vec<Change> {
    let first = &state.deployments[0];
    let failed = |number| {
        let created = if number == 10 { clock::now() } else { Timestamp(number) };
        let (id, stage) = (id(number), Stage::Failed);
        Change::Deployment(Box::new(Deployment { id, number, stage, created, ..first.clone() }))
    };
    let run = |number| {
        let phase = JobPhase::Ended { code: 1 };
        let name = format!("run-{number}").as_str().into();
        let collected = number != 20;
        Change::JobRun(JobRun { deployment: id(number), name, phase, collected, ..state.job_runs[0].clone() })
    };
    let app = App { deployments: 150, ..state.app.clone() };
    (2..=150).map(failed).chain([15, 20, 150].map(run)).chain([Change::App(app)]).collect()
}

#[test]
fn an_app_keeps_its_newest_hundred_deployments_and_the_one_that_serves() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let logs = cluster.controller().0.directory.logs().join(app.as_str());
        for number in [15, 150] {
            std::fs::create_dir_all(logs.join(id(number).as_str())).unwrap();
        }
        cluster.crash().await;
        cluster.tamper(&app, long_life).await;
        cluster.open().await;

        let left = until_left(&cluster, &app, 102).await;
        assert_eq!(left[..3], [1, 10, 51], "the one that serves, the one of today, and the newest hundred");
        assert!(!logs.join(id(15).as_str()).exists() && logs.join(id(150).as_str()).exists());
        assert!(cluster.store().job_runs(&id(15)).await.unwrap().is_empty());
        assert_eq!(cluster.store().job_runs(&id(150)).await.unwrap().len(), 1);
        assert_eq!(cluster.ingress.upstreams("web").len(), 2);
    });
}

#[test]
fn a_deployment_that_ended_long_ago_cannot_be_canceled() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        cluster.crash().await;
        cluster.tamper(&app, long_life).await;
        cluster.open().await;
        until_left(&cluster, &app, 102).await;
        let ended = cluster.controller().cancel(&app, &id(60)).await.err().unwrap();
        assert!(matches!(ended, ControlError::Conflict(_)), "{ended}");
        assert!(ended.to_string().contains("is ERROR; only one under way can be canceled"), "{ended}");
        let unknown = cluster.controller().cancel(&app, &id(15)).await.err().unwrap();
        assert!(matches!(unknown, ControlError::NotFound(_)), "{unknown}");
    });
}

async fn until_left(cluster: &TestCluster, app: &AppId, count: usize) -> Vec<u64> {
    cluster
        .until(async || {
            let (left, total) = cluster.store().deployments(app, 0, u64::MAX).await.unwrap();
            let mut numbers: Vec<_> = left.into_iter().map(|it| it.number).collect();
            numbers.sort();
            (numbers.len() == count).then_some(numbers).ok_or_else(|| format!("{total} left"))
        })
        .await
}
