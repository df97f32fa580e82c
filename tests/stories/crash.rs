//! The controller is killed at any moment: traffic continues, and the work under way completes.

use std::time::Duration;

use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use rand::Rng;
use serde_json::json;

use crate::support::*;

/// Kills `serve` after a random time, starts it again, and waits for the deployment to end.
async fn kill_and_wait(at: &mut Installation, app: &str, deployment: &str, within_ms: u64) -> serde_json::Value {
    let moment = rand::rng().random_range(0..within_ms);
    tokio::time::sleep(Duration::from_millis(moment)).await;
    at.kill_serve();
    at.serve().await.unwrap();
    let ended = at.wait(app, deployment).await.unwrap();
    println!("killed {moment} ms after the request: {}", ended["phase"]);
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_during_a_restart_loses_no_request() {
    let mut at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let load = steady_traffic(&at, 24, 200.0);
    for _ in 0..10 {
        let deployment = at.restart(&app, &[]).await.unwrap();
        let ended = kill_and_wait(&mut at, &app, &deployment, 3_000).await;
        assert_eq!(ended["phase"], "ACTIVE", "{ended:#}\n{}", at.log());
    }
    let report = load.stop().await;
    println!("10 restarts with the controller killed: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
    assert_eq!(at.instances(&app).await.unwrap().len(), 4);
    at.check_explained(&[&app]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_during_a_rebuild_loses_no_request() {
    let mut at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    at.create(&built_shop(&web, &api)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let load = steady_traffic(&at, 24, 200.0);
    for round in 2..12 {
        write_version(&web, &round.to_string(), "");
        web.commit("the next version").unwrap();
        let deployment = at.deploy(&app, json!({"force_build": true})).await.unwrap();
        let ended = kill_and_wait(&mut at, &app, &deployment, 4_000).await;
        assert_eq!(ended["phase"], "ACTIVE", "{ended:#}\n{}", at.log());
        assert!(page(&at, "/").await.contains(&format!("web {round}")));
    }
    let report = load.stop().await;
    println!("10 rebuilds with the controller killed: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
    assert_eq!(at.instances(&app).await.unwrap().len(), 3);
    at.check_explained(&[&app]).await.unwrap();
}

/// Traffic continues while the controller is dead, and the ingress survives the controller's end.
#[tokio::test(flavor = "multi_thread")]
async fn traffic_continues_while_the_controller_is_stopped() {
    let mut at = installation().await;
    at.create(&shop()).await.unwrap();
    let ingress = at.ingress_pid().unwrap();
    let load = steady_traffic(&at, 8, 100.0);
    at.stop_serve().unwrap();
    load.reach(400, ENDS_WITHIN).await.unwrap();
    at.serve().await.unwrap();
    let report = load.stop().await;
    assert_eq!(report.failed_count, 0, "{report}");
    assert_eq!(at.ingress_pid().unwrap(), ingress, "the same ingress all along");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_ingress_is_started_again() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    for _ in 0..3 {
        let before = at.ingress_pid().unwrap();
        at.kill_ingress().unwrap();
        let killed = tokio::time::Instant::now();
        while boatyard_tests::http::page(at.http(), "shop.localhost", "/").await.is_err() {
            assert!(killed.elapsed() < ENDS_WITHIN, "the ingress does not answer\n{}", at.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("the ingress did not answer for {} ms", killed.elapsed().as_millis());
        assert_ne!(at.ingress_pid().unwrap(), before);
    }
    let deployment = at.restart(&app, &["web"]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
}
