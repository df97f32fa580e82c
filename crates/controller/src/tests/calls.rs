//! Calls between components, by way of the ingress.

use std::collections::BTreeMap;

use engine_fake::Verb;
use ingress::protocol::{InternalRoutes, InternalService};
use rollout::deployment::Stage;
use rollout::ids::AppId;

use super::cluster::{Connection, TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::config::Reach;
use crate::view::UpdateOptions;

/// The names in the `/etc/hosts` of each container of the app, by component, and the address of the ingress there.
async fn hosts(cluster: &TestCluster, app: &AppId) -> BTreeMap<String, String> {
    let state = cluster.state(app).await;
    let text = |name: &str| {
        let hosts = cluster.engine.spec(name).unwrap().hosts;
        hosts.into_iter().map(|(name, at)| format!("{name}={at}")).collect::<Vec<_>>().join(" ")
    };
    state.instances.iter().map(|it| (it.component.to_string(), text(it.name.as_str()))).collect()
}

fn internal(cluster: &TestCluster, app: &AppId) -> Option<InternalRoutes> {
    let tables = cluster.ingress.taken();
    let part = tables.last().unwrap().table.apps.iter().find(|it| it.app == app.as_str());
    part.and_then(|it| it.internal.clone())
}

#[test]
fn every_container_is_created_after_the_ingress_listens_and_finds_services_there() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let internal = internal(&cluster, &app).unwrap();
        let public = cluster.ingress.taken().last().unwrap().table.for_containers[0].address;
        assert_ne!(public.ip(), internal.gateway);
        let wanted = format!("web={} shop.localhost={}", internal.gateway, public.ip());
        let hosts = hosts(&cluster, &app).await;
        assert_eq!(hosts, BTreeMap::from([("mill".into(), wanted.clone()), ("web".into(), wanted)]));
        assert_eq!((internal.services.len(), internal.services[0].ports.as_slice()), (1, &[8080][..]));
        assert_eq!(internal.services[0].upstreams.len(), 2, "calls go to all instances");

        let first_table =
            cluster.ingress.taken().iter().position(|it| it.table.apps.iter().any(|it| it.internal.is_some()));
        let calls = cluster.ingress.taken()[first_table.unwrap()].calls;
        let is_of_app = |name: &str| ["-web-", "-mill-", "-migrate-"].iter().any(|it| name.contains(it));
        let creates = cluster.engine.calls().into_iter().enumerate();
        let first = creates.filter(|(_, it)| it.verb == Verb::Create && is_of_app(&it.what)).map(|(at, _)| at).next();
        assert!(first.unwrap() >= calls, "{first:?} {calls}");
        let notes = cluster.newest(&app).await.record.notes;
        assert!(!notes.iter().any(|it| it.contains("directly")), "{notes:?}");
    });
}

#[test]
fn without_a_way_to_the_ingress_the_engines_dns_answers_and_a_note_says_why() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.set_connection(Connection::Dropped);
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        assert!(hosts(&cluster, &app).await.values().all(String::is_empty));
        let notes = cluster.newest(&app).await.record.notes.join("\n");
        assert!(notes.contains("directly, because containers cannot connect to 10."), "{notes}");

        // The next deployment checks again.
        cluster.set_connection(Connection::Accepted);
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        assert!(hosts(&cluster, &app).await.values().all(|it| it.starts_with("web=")));
        let notes = cluster.newest(&app).await.record.notes.join("\n");
        assert!(!notes.contains("directly"), "{notes}");
    });
}

#[test]
fn a_check_that_fails_does_not_hold_up_new_instances() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.set_connection(Connection::Refused);
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        assert!(hosts(&cluster, &app).await.values().all(String::is_empty));
        let notes = cluster.newest(&app).await.record.notes.join("\n");
        assert!(
            notes.contains("directly, because the check whether containers can connect to this host failed"),
            "{notes}"
        );
        assert!(notes.contains("no space left"), "{notes}");
    });
}

#[test]
fn the_ingress_knows_all_containers_of_a_called_service() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let before = cluster.ingress.taken().len();
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        let tables = cluster.ingress.taken().split_off(before);
        let services = tables.into_iter().flat_map(|it| it.table.apps).filter_map(|it| it.internal);
        let services: Vec<InternalService> = services.flat_map(|it| it.services).collect();
        let is_more = |it: &InternalService| it.containers.len() > it.upstreams.len();
        assert!(services.iter().any(is_more), "also those that start or drain: {services:?}");
        assert!(services.iter().all(|it| it.containers.len() >= it.upstreams.len()), "{services:?}");
        let state = cluster.state(&app).await;
        let web = state.instances.iter().filter(|it| it.component.as_str() == "web").map(|it| it.address).collect();
        assert_eq!(services.last().unwrap().containers, web);
    });
}

#[test]
fn a_listener_stays_while_containers_find_a_service_there() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let ports =
            || internal(&cluster, &app).unwrap().services.into_iter().flat_map(|it| it.ports).collect::<Vec<_>>();
        let mut alone = spec("1");
        alone.workers.clear();
        alone.jobs.clear();
        cluster.controller().update_app(&app, alone, UpdateOptions::default(), &caller()).await.unwrap();
        cluster.reach(&cluster.newest(&app).await.id, Stage::Active).await;
        assert!(hosts(&cluster, &app).await["web"].starts_with("web="), "the instances stayed");
        assert_eq!(ports(), [8080]);

        cluster.restart(&app).await;
        cluster.reach(&cluster.newest(&app).await.id, Stage::Active).await;
        assert!(hosts(&cluster, &app).await["web"].starts_with("shop.localhost="));
        assert_eq!(ports(), Vec::<u16>::new());
    });
}

#[test]
fn checks_of_a_deleted_app_are_forgotten() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let checks = || cluster.controller().0.shared.call_checks.known(&app).is_some();
        assert!(checks());
        cluster.controller().delete_app(&app).await.unwrap();
        cluster.gone(&app).await;
        assert!(!checks());
    });
}

#[test]
fn a_listener_that_cannot_be_opened_is_noted() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.ingress.refuse_calls("another program listens there");
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        assert!(hosts(&cluster, &app).await.values().all(String::is_empty));
        let notes = cluster.newest(&app).await.record.notes.join("\n");
        assert!(notes.contains("call web directly, because the ingress cannot listen on 10."), "{notes}");
        assert!(notes.contains(":8080: another program listens there"), "{notes}");
    });
}

#[test]
fn with_published_ports_calls_do_not_pass_the_ingress() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        cluster.crash().await;
        cluster.reached = Reach::Published;
        cluster.open().await;
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(internal(&cluster, &app), None);
        assert!(hosts(&cluster, &app).await.values().all(String::is_empty));
        let notes = cluster.newest(&app).await.record.notes.join("\n");
        assert!(notes.contains("directly, because this host reaches instances at published ports"), "{notes}");
    });
}

#[test]
fn a_start_of_the_controller_keeps_the_listeners_for_containers() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let listeners = cluster.ingress.taken().last().unwrap().table.for_containers.clone();
        assert!(!listeners.is_empty());
        let before = cluster.ingress.taken().len();
        cluster.crash().await;
        cluster.open().await;
        cluster.settle(&app, Stage::Active).await;
        let tables = cluster.ingress.taken().split_off(before);
        assert!(!tables.is_empty() && tables.iter().all(|it| it.table.for_containers == listeners), "{tables:?}");
    });
}
