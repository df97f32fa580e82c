//! Instances that this host reaches at published ports.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::{Engine, PublishedPort};
use engine_fake::Verb;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use store::records::Instance;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;
use crate::config::Reach;

async fn cluster() -> TestCluster {
    let mut cluster = TestCluster::new().await;
    use_reach(&mut cluster, Reach::Published).await;
    cluster
}

async fn use_reach(cluster: &mut TestCluster, reach: Reach) {
    cluster.crash().await;
    cluster.reached = reach;
    cluster.open().await;
}

async fn with_app() -> (TestCluster, AppId) {
    let cluster = cluster().await;
    let app = cluster.create("1").await;
    cluster.settle(&app, Stage::Active).await;
    (cluster, app)
}

async fn webs(cluster: &TestCluster, app: &AppId) -> Vec<Instance> {
    let rows = cluster.state(app).await.instances.into_iter();
    rows.filter(|it| it.component.as_str() == "web").collect()
}

fn port(instance: &Instance) -> u16 {
    instance.published[&8080]
}

fn ports(instances: &[Instance]) -> BTreeSet<u16> {
    instances.iter().map(port).collect()
}

/// Checks that every instance of `web` has a port that no other one has, and that its container was created with it.
async fn check_ports(cluster: &TestCluster, app: &AppId) -> BTreeSet<u16> {
    let webs = webs(cluster, app).await;
    let ports = ports(&webs);
    assert_eq!(ports.len(), webs.len(), "no port is shared");
    for web in &webs {
        let spec = cluster.engine.spec(web.name.as_str()).unwrap();
        assert_eq!(spec.published, [PublishedPort { container: 8080, host: Some(port(web)) }]);
    }
    ports
}

#[test]
fn every_instance_publishes_a_port_and_the_ingress_sends_requests_there() {
    simulate(async {
        let (cluster, app) = with_app().await;
        check_ports(&cluster, &app).await;
        let mill = cluster.names(&app, "mill").await.pop_first().unwrap();
        assert!(cluster.engine.spec(&mill).unwrap().published.is_empty(), "nothing connects to a worker");
    });
}

#[test]
fn new_instances_get_other_ports_than_those_that_they_replace() {
    simulate(async {
        let (cluster, app) = with_app().await;
        let before = check_ports(&cluster, &app).await;
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        let after = check_ports(&cluster, &app).await;
        assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    });
}

#[test]
fn an_engine_restart_and_a_new_controller_change_no_port() {
    simulate(async {
        let (mut cluster, app) = with_app().await;
        let before = check_ports(&cluster, &app).await;
        cluster.engine.restart_engine();
        cluster.end(&app, Stage::Active).await;
        assert_eq!(check_ports(&cluster, &app).await, before);
        cluster.crash().await;
        cluster.open().await;
        cluster.end(&app, Stage::Active).await;
        assert_eq!(check_ports(&cluster, &app).await, before);
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Active).await;
        assert!(check_ports(&cluster, &app).await.is_disjoint(&before), "the new controller knows the ports in use");
    });
}

#[test]
fn instances_keep_the_way_in_which_they_were_created() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        use_reach(&mut cluster, Reach::Published).await;
        cluster.end(&app, Stage::Active).await;
        assert!(webs(&cluster, &app).await.iter().all(|it| it.published.is_empty()), "created without ports");
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        let published = check_ports(&cluster, &app).await;
        use_reach(&mut cluster, Reach::Direct).await;
        cluster.end(&app, Stage::Active).await;
        assert_eq!(check_ports(&cluster, &app).await, published);
    });
}

#[test]
fn an_instance_whose_port_was_taken_before_its_start_gets_another_one() {
    simulate(async {
        let (cluster, app) = with_app().await;
        let before = check_ports(&cluster, &app).await;
        cluster.engine.answer_late(Verb::Create, 1, Duration::from_secs(5));
        cluster.restart(&app).await;
        let is_new = |it: &Instance| !it.published.is_empty() && !before.contains(&port(it));
        let new =
            async || webs(&cluster, &app).await.into_iter().find(is_new).ok_or_else(|| "no port chosen".to_owned());
        let chosen = cluster.until(new).await;
        cluster.engine.take_port(port(&chosen));
        cluster.settle(&app, Stage::Active).await;
        assert!(!check_ports(&cluster, &app).await.contains(&port(&chosen)));
        assert!(cluster.names(&app, "web").await.contains(chosen.name.as_str()), "the same instance");
    });
}

#[test]
fn an_instance_whose_port_was_taken_while_it_was_down_is_replaced() {
    simulate(async {
        let (cluster, app) = with_app().await;
        let lost = webs(&cluster, &app).await.remove(0);
        cluster.engine.take_port(port(&lost));
        cluster.engine.stop(lost.name.as_str(), Duration::ZERO).await.unwrap();
        cluster
            .until(async || match cluster.names(&app, "web").await.contains(lost.name.as_str()) {
                true => Err("still on record".to_owned()),
                false => Ok(()),
            })
            .await;
        cluster.end(&app, Stage::Active).await;
        assert!(!check_ports(&cluster, &app).await.contains(&port(&lost)));
    });
}

#[test]
fn the_engine_chooses_the_port_of_a_database_which_only_checks_use() {
    simulate(async {
        let (cluster, app) = with_app().await;
        let database = cluster.state(&app).await.databases.remove(0);
        let spec = cluster.engine.spec(database.container.as_str()).unwrap();
        assert_eq!(spec.published, [PublishedPort { container: 5432, host: None }]);
        let host = cluster.controller().host().await.engine.unwrap();
        assert_eq!((host.reach, host.missing_limits), (Reach::Published, Vec::new()));
    });
}
