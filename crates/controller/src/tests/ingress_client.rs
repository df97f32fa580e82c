//! The promises of the ingress client: no table drops an app that has not submitted its routes, and a new ingress gets
//! the newest table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use data_dir::DataDir;
use engine_fake::FakeEngine;
use ingress::protocol::{AppPolicy, AppRoutes, Maintenance, RouteTable};
use rollout::ids::AppId;
use store::Store;
use tempfile::TempDir;
use tokio::time::timeout;

use super::ingress::MemoryIngress;
use super::simulation::{directory, simulate, write_to};
use crate::config::WebhookSettings;
use crate::fence::Fence;
use crate::ingress_client::{IngressClient, IngressConnection, Listeners, RecordedApps, webhook_routes};
use crate::names::Names;

fn part(app: &str) -> AppRoutes {
    AppRoutes {
        app: app.into(),
        hosts: vec![format!("{app}.localhost")],
        window: String::new(),
        rules: Vec::new(),
        policy: AppPolicy::default(),
        internal: None,
    }
}

/// A client of an ingress that already serves `served`, with these apps on record and these apps deleted.
async fn client_after(
    served: &[&str],
    on_record: &[&str],
    deleted: &[&str],
    own: Option<AppRoutes>,
) -> (TempDir, MemoryIngress, IngressClient) {
    let dir = directory();
    let store = Store::open(&DataDir::open(dir.path().join("data")).unwrap()).unwrap();
    write_to(Some(store.clone()));
    let engine = FakeEngine::new();
    let ingress = MemoryIngress::new(engine.clone());
    ingress
        .set_table(RouteTable {
            version: 500,
            apps: served.iter().map(|it| part(it)).collect(),
            ..RouteTable::default()
        })
        .await
        .unwrap();
    let fence = Fence::raise(Arc::new(engine), &store, Names::new("test")).await.unwrap();
    let ids = |names: &[&str]| -> BTreeSet<_> { names.iter().map(|it| AppId::from(*it)).collect() };
    let (on_record, deleted) = (ids(on_record), ids(deleted));
    let http = ([127, 0, 0, 1], 8080).into();
    let stop = fence.lost().child_token();
    let client = IngressClient::start(
        Listeners { http, https: None, public_gateway: None },
        Box::new(ingress.clone()),
        own,
        RecordedApps { on_record: &on_record, removed: &deleted, being_deleted: &BTreeSet::new() },
        Arc::new(fence),
        stop,
    )
    .await;
    (dir, ingress, client.unwrap())
}

async fn client(served: &[&str], on_record: &[&str]) -> (TempDir, MemoryIngress, IngressClient) {
    client_after(served, on_record, &[], None).await
}

/// The routes of each app in the newest table.
fn newest(ingress: &MemoryIngress) -> Vec<AppRoutes> {
    ingress.taken().pop().unwrap().table.apps
}

#[test]
fn an_app_that_has_not_submitted_its_routes_keeps_those_of_the_ingress() {
    simulate(async {
        let (_dir, ingress, client) = client(&["a", "b"], &["a", "b"]).await;
        let moved = AppRoutes { window: "d2".into(), ..part("a") };
        client.set(moved.clone()).await.unwrap();
        assert_eq!(newest(&ingress), [moved.clone(), part("b")], "b may never submit routes");
        ingress.die();
        ingress.recover();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(newest(&ingress), [moved, part("b")]);
    });
}

#[test]
fn only_a_deleted_app_loses_its_routes_and_one_without_a_record_keeps_them() {
    simulate(async {
        let (_dir, ingress, client) = client_after(&["a", "deleted", "newer"], &["a"], &["deleted"], None).await;
        client.set(part("a")).await.unwrap();
        assert_eq!(newest(&ingress), [part("a"), part("newer")]);
        assert_eq!(client.unknown().into_keys().collect::<Vec<_>>(), ["newer"]);
        client.forget("newer").await;
        assert_eq!(newest(&ingress), [part("a")]);
    });
}

#[test]
fn the_routes_of_webhooks_lead_to_the_newest_process_or_are_removed() {
    simulate(async {
        let routes =
            |socket: &str| webhook_routes(&WebhookSettings { host: "hooks.example.com".into(), socket: socket.into() });
        let earlier = routes("/old/hooks.sock").app;
        for own in [Some(routes("/data/hooks.sock")), None] {
            let (_dir, ingress, client) = client_after(&["a", &earlier], &["a"], &[], own.clone()).await;
            client.set(part("a")).await.unwrap();
            let expected: Vec<_> = [part("a")].into_iter().chain(own).collect();
            assert_eq!(newest(&ingress), expected);
            assert!(client.unknown().is_empty());
        }
    });
}

#[test]
fn the_next_table_is_newer_than_the_one_of_the_ingress_even_with_an_older_database() {
    simulate(async {
        let (_dir, ingress, client) = client(&["a"], &["a"]).await;
        client.set(part("a")).await.unwrap();
        assert!(ingress.taken().iter().map(|it| it.table.version).is_sorted_by(|a, b| a < b));
    });
}

#[test]
fn after_a_refusal_the_client_sends_a_hello_and_the_table_again() {
    simulate(async {
        let (_dir, ingress, client) = client(&[], &[]).await;
        client.set(part("a")).await.unwrap();
        // As if an abandoned connection's late hello had taken charge.
        ingress.listen_to_another();
        client.set(part("b")).await.unwrap_err();
        timeout(Duration::from_secs(1), client.set(part("c"))).await.expect("within a second").unwrap();
        assert_eq!(newest(&ingress), [part("a"), part("b"), part("c")]);
    });
}

/// Otherwise a rule for one host name would hold for all.
#[test]
fn an_ingress_of_the_first_version_is_replaced_before_it_gets_a_table_that_it_would_misread() {
    simulate(async {
        let (_dir, ingress, client) = client(&["a"], &["a"]).await;
        client.set(part("a")).await.unwrap();
        ingress.be_of_the_first_version();
        // The next hello shows it.
        ingress.listen_to_another();
        client.set(part("a")).await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.set(AppRoutes { window: "d2".into(), ..part("a") }).await.unwrap();
        assert_eq!(ingress.deaths(), 0, "it understands this table");
        let in_maintenance = AppPolicy { maintenance: Some(Maintenance::default()), ..AppPolicy::default() };
        let needs_more = AppRoutes { policy: in_maintenance, ..part("a") };
        let refused = client.set(needs_more.clone()).await.unwrap_err();
        assert!(refused.contains("is being replaced"), "{refused}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((ingress.deaths(), newest(&ingress)), (1, vec![needs_more]), "the new process has it");
    });
}

#[test]
fn a_restarted_ingress_gets_the_newest_table_at_once() {
    simulate(async {
        let (_dir, ingress, client) = client(&[], &[]).await;
        client.set(part("a")).await.unwrap();
        ingress.die();
        let waiting = client.clone();
        let set = tokio::spawn(async move { waiting.set(part("b")).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = ingress.taken().len();
        ingress.recover();
        timeout(Duration::from_secs(1), set).await.expect("within a second").unwrap().unwrap();
        let taken = ingress.taken();
        assert!(taken.len() > before);
        assert_eq!(taken.last().unwrap().table.apps.len(), 2);
    });
}

#[test]
fn host_names_that_were_released_or_refused_are_not_those_of_an_app() {
    simulate(async {
        let (_dir, ingress, client) = client(&[], &["a", "b"]).await;
        let names =
            || client.host_names().into_iter().map(|it| format!("{} of {}", it.name, it.app)).collect::<Vec<_>>();
        let with =
            |app: &str, host: &str| AppRoutes { hosts: vec![host.into(), format!("{app}.localhost")], ..part(app) };
        client.set(with("a", "shop.example.com")).await.unwrap();
        ingress.refuse_host("b", "shop.example.com");
        let before = *client.tables().borrow();
        client.set(with("b", "shop.example.com")).await.unwrap();
        // Once for the routes of `b`, and once for the refusal.
        assert_eq!(*client.tables().borrow(), before + 2);
        assert_eq!(names(), ["a.localhost of a", "b.localhost of b", "shop.example.com of a"]);
        assert_eq!(client.host_refusal("b", "shop.example.com").as_deref(), Some("shop.example.com is taken"));
        assert_eq!(client.host_refusal("a", "shop.example.com"), None);
        client.release_hosts("a");
        assert_eq!(names(), ["b.localhost of b"]);
    });
}

#[test]
fn a_table_without_an_acknowledgement_is_an_error() {
    simulate(async {
        let (_dir, ingress, client) = client(&[], &[]).await;
        ingress.fall_silent_at(1);
        let refused = client.set(part("a")).await.unwrap_err();
        assert_eq!(refused, "not acknowledged within 15 s");
    });
}
