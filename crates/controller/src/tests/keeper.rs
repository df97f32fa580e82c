//! What the front promises beside its tables: none before every app's part, and a dead ingress gets the newest one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::fake::FakeEngine;
use ingress::protocol::AppRoutes;
use store::{DataDir, Store};
use tempfile::TempDir;
use tokio::time::timeout;

use super::ingress::MemoryIngress;
use super::simulation::{directory, simulate, write_to};
use crate::fence::Fence;
use crate::front::Front;
use crate::names::Names;

fn part(app: &str) -> AppRoutes {
    AppRoutes { app: app.into(), hosts: vec![format!("{app}.localhost")], window: String::new(), rules: Vec::new() }
}

async fn front(expected: &[&str]) -> (TempDir, MemoryIngress, Front) {
    let dir = directory();
    let store = Store::open(&DataDir::open(dir.path().join("data")).unwrap()).unwrap();
    write_to(Some(store.clone()));
    let engine = FakeEngine::new();
    let ingress = MemoryIngress::new(engine.clone());
    let fence = Fence::raise(Arc::new(engine), &store, Names::new("test")).await.unwrap();
    let expected: BTreeSet<_> = expected.iter().map(|it| (*it).to_owned()).collect();
    let http = ([127, 0, 0, 1], 8080).into();
    let stop = fence.lost().child_token();
    let front = Front::start(http, Box::new(ingress.clone()), store, expected, Arc::new(fence), stop).await;
    (dir, ingress, front.unwrap())
}

#[test]
fn no_table_is_sent_before_every_app_on_record_has_handed_in_its_part() {
    simulate(async {
        let (_dir, ingress, front) = front(&["a", "b"]).await;
        let waiting = front.clone();
        let first = tokio::spawn(async move { waiting.set(part("a")).await });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(ingress.taken().is_empty(), "a table without b would take b from the front door");
        front.set(part("b")).await.unwrap();
        first.await.unwrap().unwrap();
        let apps = |at: usize| ingress.taken()[at].table.apps.iter().map(|it| it.app.clone()).collect::<Vec<_>>();
        assert_eq!(apps(0), ["a", "b"]);
    });
}

#[test]
fn an_ingress_that_comes_back_gets_the_newest_table_at_once() {
    simulate(async {
        let (_dir, ingress, front) = front(&[]).await;
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
        let (_dir, ingress, front) = front(&[]).await;
        ingress.fall_silent_at(1);
        let refused = front.set(part("a")).await.unwrap_err();
        assert_eq!(refused, "not acknowledged within 15 s");
    });
}
