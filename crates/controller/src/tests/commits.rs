//! How often the store is written to.

use engine::fake::Verb;
use rollout::deployment::Stage;
use rollout::instance::InstancePhase;
use rollout::queue::{Request, Restart};
use std::time::Duration;
use tokio::time::sleep;

use super::cluster::TestCluster;
use super::simulation::simulate;

#[test]
fn a_restart_is_written_down_once_before_its_first_container_is_asked_for() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        // Whatever was left to do after the deployment is done.
        sleep(Duration::from_secs(60)).await;
        // Nothing is written because of the new container or of the routes.
        cluster.engine.hang(Verb::Create, 1);
        cluster.ingress.fall_silent_at(1);
        let (before, since) = (cluster.commits(), cluster.engine.calls().len());
        let restart = cluster.restart(&app).await.deployment;
        cluster.called(since, Verb::Create, "-web-").await;
        assert_eq!(cluster.commits() - before, 1);
        let state = cluster.state(&app).await;
        let made: Vec<_> = state.instances.iter().filter(|it| it.deployment == restart.id).collect();
        assert_eq!((made.len(), made[0].phase), (1, InstancePhase::Intended));
        let recorded = cluster.deployment(&restart.id).await;
        assert_eq!((recorded.stage, recorded.request), (Stage::Rolling, Request::restart(Restart::All)));
    });
}
