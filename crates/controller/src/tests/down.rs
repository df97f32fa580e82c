//! `down` stops the ingress first, and then the containers behind it.

use std::time::Duration;

use engine::ContainerState;
use engine_fake::Verb;
use ingress::protocol::Open;
use tokio::time::sleep;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;

#[test]
fn no_container_is_stopped_before_the_ingress_has_drained() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let upstream = cluster.names(&app, "web").await.pop_first().unwrap();
        let open = |requests| cluster.ingress.set_open(&upstream, Open { requests, upgraded: 0 });
        open(1);
        let since = cluster.engine.calls().len();
        let stopped = || cluster.engine.calls()[since..].iter().filter(|it| it.verb == Verb::Stop).count();
        let controller = cluster.controller().clone();
        let down = tokio::spawn(async move { controller.down(true).await });
        sleep(Duration::from_secs(30)).await;
        assert_eq!(stopped(), 0, "a request is open");
        open(0);
        down.await.unwrap().unwrap();
        assert!(cluster.engine.containers().iter().all(|it| it.state != ContainerState::Running));
        sleep(Duration::from_secs(60)).await;
        assert!(
            cluster.engine.containers().iter().all(|it| it.state != ContainerState::Running),
            "none is brought back"
        );
    });
}

/// `down` names a container that the engine cannot stop, and stops all others.
#[test]
fn a_container_that_cannot_be_stopped_is_named_and_all_others_stop() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let stuck = cluster.names(&app, "web").await.pop_first().unwrap();
        cluster.engine.wedge(&stuck);
        let error = cluster.controller().down(true).await.unwrap_err().to_string();
        assert!(error.contains(&stuck) && error.contains("boatyard serve"), "{error}");
        let running = cluster.engine.containers().into_iter().filter(|it| it.state == ContainerState::Running);
        assert_eq!(running.map(|it| it.name).collect::<Vec<_>>(), [stuck]);
    });
}

/// The ingress has just died, and `down` stops the restarted one like any other.
#[test]
fn an_ingress_that_is_being_restarted_is_stopped_too() {
    simulate(async {
        let (cluster, _) = TestCluster::with_app().await;
        cluster.ingress.die();
        cluster.ingress.recover();
        let (controller, opened) = (cluster.controller().clone(), cluster.ingress.opened());
        sleep(Duration::from_millis(1)).await;
        controller.down(true).await.unwrap();
        assert_eq!(cluster.ingress.opened(), opened + 1);
        assert!(cluster.engine.containers().iter().all(|it| it.state != ContainerState::Running));
    });
}
