//! How a restart begins: in one commit, or without a trace if it cannot begin.

use std::time::Duration;

use engine_fake::Verb;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use rollout::instance::InstancePhase;
use rollout::queue::{Request, Restart};
use tokio::time::sleep;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;

/// Names of all instances.
async fn instances(cluster: &TestCluster, app: &AppId) -> Vec<String> {
    cluster.state(app).await.instances.iter().map(|it| it.name.to_string()).collect()
}

#[test]
fn a_restart_is_recorded_once_before_its_first_container_is_created() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        // By then the work that follows a deployment is done.
        sleep(Duration::from_secs(60)).await;
        // Stops the rollout here, so that the new container and the routes cause no commits.
        cluster.engine.hang(Verb::Create, 1);
        cluster.ingress.fall_silent_at(1);
        let (before, since) = (cluster.commits(), cluster.engine.calls().len());
        let restart = cluster.restart(&app).await;
        cluster.called(since, Verb::Create, "-web-").await;
        assert_eq!(cluster.commits() - before, 1);
        let state = cluster.state(&app).await;
        let made: Vec<_> = state.instances.iter().filter(|it| it.deployment == restart.id).collect();
        assert_eq!((made.len(), made[0].phase), (1, InstancePhase::Intended));
        let recorded = cluster.deployment(&restart.id).await;
        assert_eq!((recorded.stage, recorded.request), (Stage::Rolling, Request::restart(Restart::All)));
    });
}

#[test]
fn the_next_controller_completes_a_restart_that_was_just_accepted() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let before = instances(&cluster, &app).await;
        let since = cluster.engine.calls().len();
        let id = cluster.restart(&app).await.id;
        cluster.crash().await;
        cluster.open().await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.newest(&app).await.id, id);
        assert!(instances(&cluster, &app).await.iter().all(|it| !before.contains(it)), "all were replaced");
        cluster.check_capacity(since);
    });
}

#[test]
fn a_restart_canceled_during_its_image_check_leaves_no_trace() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        sleep(Duration::from_secs(60)).await;
        let before = instances(&cluster, &app).await;
        let since = cluster.engine.calls().len();
        cluster.engine.hang(Verb::Image, 1);
        let id = cluster.restart(&app).await.id;
        cluster.called(since, Verb::Image, "").await;
        cluster.controller().cancel(&app, &id).await.unwrap();
        cluster.settle(&app, Stage::Canceled).await;
        assert_eq!(instances(&cluster, &app).await, before);
        let changing = cluster.engine.calls().split_off(since).into_iter().filter(|it| it.verb.changes());
        assert_eq!(changing.map(|it| it.to_string()).collect::<Vec<_>>(), [""; 0]);
        let record = cluster.deployment(&id).await.record;
        assert_eq!((record.roll_began, record.counted.len()), (None, 0), "it did not roll");
    });
}
