//! A controller that another one has replaced stops: it sends no tables and writes nothing.

use std::time::Duration;

use engine::Engine;
use tokio::time::sleep;

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::console::ConsoleRequest;
use crate::fence::identity;

/// Raises the fence on the engine, as another controller of the installation does when it takes over.
async fn take_over(cluster: &TestCluster) {
    let name = cluster.controller().0.shared.names.fence(99);
    cluster.engine.ensure_volume(&name, &identity(99)).await.unwrap();
}

#[test]
fn a_fenced_controller_sends_no_table_repairs_nothing_and_writes_nothing() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let request = || ConsoleRequest { app: app.clone(), component: "web".into(), instance: None, deployment: None };
        let console = cluster.controller().find_console(request()).await.unwrap();
        take_over(&cluster).await;
        cluster.controller().fenced().await;
        let (before, tables, opened) =
            (cluster.state(&app).await, cluster.ingress.taken().len(), cluster.ingress.opened());
        let since = cluster.engine.calls().len();

        cluster.ingress.die();
        cluster.ingress.recover();
        cluster.engine.remove_by_hand(&cluster.names(&app, "web").await.pop_first().unwrap());
        let mut other = spec("1");
        other.name = "other".into();
        for refused in [
            cluster.controller().restart(&app, &[], &caller()).await.err(),
            cluster.controller().create_app(other, &caller()).await.err(),
            cluster.controller().find_console(request()).await.err(),
            cluster.controller().open_console(console).await.err(),
        ] {
            assert!(refused.is_some_and(|it| it.to_string().contains("has taken over")));
        }
        sleep(Duration::from_secs(60)).await;

        assert_eq!((cluster.ingress.taken().len(), cluster.ingress.opened()), (tables, opened));
        let calls = cluster.engine.calls().split_off(since);
        assert!(!calls.iter().any(|it| it.verb.changes()), "{calls:?}");
        assert_eq!(cluster.store().app_ids().await.unwrap().len(), 1);
        let after = cluster.state(&app).await;
        assert_eq!((after.app, after.deployments, after.instances), (before.app, before.deployments, before.instances));
    });
}

#[test]
fn a_fenced_controller_does_not_take_charge_of_the_ingress_again() {
    simulate(async {
        let (cluster, _) = TestCluster::with_app().await;
        let opened = cluster.ingress.opened();
        take_over(&cluster).await;
        // A dead ingress has the same effect as one that refuses the next table: the controller wants to connect again.
        cluster.ingress.die();
        cluster.ingress.recover();
        cluster.controller().fenced().await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(cluster.ingress.opened(), opened);
    });
}
