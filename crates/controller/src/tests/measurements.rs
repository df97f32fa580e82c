//! Bandwidth and health of an app.

use std::time::Duration;

use engine::Usage;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use rollout::time::Timestamp;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::error::ControlError;
use crate::{Control, clock};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn sent(cluster: &TestCluster, app: &AppId, at: Timestamp) -> u64 {
    cluster.controller().bandwidth(std::slice::from_ref(app), at).await.unwrap()[0]
}

#[test]
fn bandwidth_counts_on_the_day_and_goes_on_after_the_ingress_died() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        let today = clock::now();
        cluster.ingress.send_bytes(&app, 1000);
        assert_eq!(sent(&cluster, &app, today).await, 1000, "a question about today reads the ingress");
        let opened = cluster.ingress.opened();
        cluster.ingress.die();
        cluster.ingress.recover();
        cluster
            .until(async || if cluster.ingress.opened() > opened { Ok(()) } else { Err("not started".into()) })
            .await;
        cluster.ingress.send_bytes(&app, 20);
        assert_eq!(sent(&cluster, &app, today).await, 1020);

        tokio::time::sleep(DAY).await;
        cluster.ingress.send_bytes(&app, 3);
        assert_eq!(sent(&cluster, &app, clock::now()).await, 3);
        assert_eq!(sent(&cluster, &app, today).await, 1020);
        let unknown = cluster.controller().bandwidth(&[app.clone(), "other".into()], today).await;
        assert!(matches!(unknown, Err(ControlError::NotFound(_))));
    });
}

#[test]
fn health_has_the_instances_and_their_memory() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        let running = cluster.controller().instances(&app).await.unwrap();
        for it in running.iter().filter(|it| it.component_name.as_str() == "web") {
            let usage = Usage { memory_bytes: 128 << 20, ..Usage::default() };
            cluster.engine.set_usage(it.instance_name.as_str(), usage);
        }
        let health = cluster.controller().health(&app).await.unwrap();
        let web = health.iter().find(|it| it.component.as_str() == "web").expect("a service");
        assert!(web.replicas_desired > 0 && web.replicas_ready == web.replicas_desired as usize, "{health:?}");
        assert_eq!((web.cpu_percent, web.memory_percent), (0.0, 25.0), "of 512 MiB, the default size");
        assert!(health.iter().all(|it| it.component.as_str() != "migrate"), "jobs have no health");
    });
}
