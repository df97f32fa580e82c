//! What the front promises beside its tables: none takes an app from the front door that has not handed in its part, and a
//! dead ingress gets the newest one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::fake::FakeEngine;
use ingress::protocol::{AppRoutes, RouteTable};
use rollout::ids::AppId;
use store::{DataDir, Store};
use tempfile::TempDir;
use tokio::time::timeout;

use super::ingress::MemoryIngress;
use super::simulation::{directory, simulate, write_to};
use crate::fence::Fence;
use crate::front::{Door, Front};
use crate::names::Names;

fn part(app: &str) -> AppRoutes {
    AppRoutes { app: app.into(), hosts: vec![format!("{app}.localhost")], window: String::new(), rules: Vec::new() }
}

/// A front over an ingress that serves `served`, with these apps on record.
async fn front(served: &[&str], on_record: &[&str]) -> (TempDir, MemoryIngress, Front) {
    let dir = directory();
    let store = Store::open(&DataDir::open(dir.path().join("data")).unwrap()).unwrap();
    write_to(Some(store.clone()));
    let engine = FakeEngine::new();
    let ingress = MemoryIngress::new(engine.clone());
    ingress.set_table(RouteTable { version: 0, apps: served.iter().map(|it| part(it)).collect() }).await.unwrap();
    let fence = Fence::raise(Arc::new(engine), &store, Names::new("test")).await.unwrap();
    let on_record: BTreeSet<_> = on_record.iter().map(|it| AppId::from(*it)).collect();
    let http = ([127, 0, 0, 1], 8080).into();
    let stop = fence.lost().child_token();
    let front = Front::start(http, Box::new(ingress.clone()), store, &on_record, Arc::new(fence), stop).await;
    (dir, ingress, front.unwrap())
}

/// What the newest table has of each app.
fn newest(ingress: &MemoryIngress) -> Vec<AppRoutes> {
    ingress.taken().pop().unwrap().table.apps
}

#[test]
fn an_app_that_has_not_handed_in_its_part_keeps_what_the_ingress_serves_of_it() {
    simulate(async {
        let (_dir, ingress, front) = front(&["a", "b"], &["a", "b"]).await;
        let moved = AppRoutes { window: "d2".into(), ..part("a") };
        front.set(moved.clone()).await.unwrap();
        assert_eq!(newest(&ingress), [moved.clone(), part("b")], "b may never come");
        ingress.die();
        ingress.recover();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(newest(&ingress), [moved, part("b")]);
    });
}

#[test]
fn an_app_that_is_not_on_record_leaves_the_front_door() {
    simulate(async {
        let (_dir, ingress, front) = front(&["a", "gone"], &["a"]).await;
        front.set(part("a")).await.unwrap();
        assert_eq!(newest(&ingress), [part("a")], "its addresses may be given again");
    });
}

#[test]
fn an_ingress_that_comes_back_gets_the_newest_table_at_once() {
    simulate(async {
        let (_dir, ingress, front) = front(&[], &[]).await;
        front.set(part("a")).await.unwrap();
        ingress.die();
        let waiting = front.clone();
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
fn an_ingress_that_takes_a_table_and_says_nothing_is_not_believed() {
    simulate(async {
        let (_dir, ingress, front) = front(&[], &[]).await;
        ingress.fall_silent_at(1);
        let refused = front.set(part("a")).await.unwrap_err();
        assert_eq!(refused, "not acknowledged within 15 s");
    });
}
