//! A backup of the data directory is restored on a host whose apps keep running.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use boatyard_tests::http;

use crate::support::*;

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_changes_no_running_app_and_a_restart_updates_its_records() {
    let mut at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    at.stop_serve().unwrap();
    let backup = at.sources().join("backup");
    copy(&at.data(), &backup);
    at.serve().await.unwrap();

    // After the backup: a new deployment, a restart, and a new app with a database.
    let restarted = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &restarted).await.unwrap();
    let other = shop().replace("name: shop", "name: other") + "databases: [{name: db, engine: PG}]\n";
    at.create(&other).await.unwrap();
    let before = at.engine_containers().await.unwrap();
    let load = steady_traffic(&at, 8, 50.0);
    at.stop_serve().unwrap();
    std::fs::remove_dir_all(at.data()).unwrap();
    copy(&backup, &at.data());
    at.serve().await.unwrap();
    let restored = Instant::now();

    some_traffic(&load).await;
    for host in ["shop.localhost", "other.localhost"] {
        let (status, text) = http::page(at.http(), host, "/").await.unwrap();
        assert_eq!(status, 200, "{host}: {text}");
    }
    assert_eq!(at.engine_containers().await.unwrap(), before, "{}", at.log());
    let listed = run_cli(&at, &["apps", "list"]).await;
    assert!(listed.err.contains("boatyard unknown list"), "{}", listed.err);
    let unknown = run_cli(&at, &["unknown", "list"]).await;
    assert!(unknown.out.contains("other.localhost") && unknown.out.contains("database"), "{}", unknown.out);

    let restarted = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &restarted).await.unwrap();
    let report = load.stop().await;
    println!("restored, listed and restarted in {} s: {report}", restored.elapsed().as_secs_f32());
    assert_eq!(report.failed_count, 0, "{report}\n{}", at.log());

    let id = at.ok("GET", "/v2/boatyard/unknown", None).await.unwrap();
    let apps = id["unknown"]["apps"].as_array().cloned().unwrap();
    let other = apps.iter().find(|it| it["hosts"][0] == "other.localhost").unwrap();
    let deleted = run_cli(&at, &["unknown", "delete", other["app"].as_str().unwrap(), "--force"]).await;
    assert_eq!(deleted.code, Some(0), "{}", deleted.err);
    assert!(deleted.err.contains("Kept volumes"), "{}", deleted.err);
    let deadline = Instant::now() + Duration::from_secs(60);
    while at.engine_containers().await.unwrap().len() != at.instances(&app).await.unwrap().len() {
        assert!(Instant::now() < deadline, "{:?}\n{}", at.engine_containers().await.unwrap(), at.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
