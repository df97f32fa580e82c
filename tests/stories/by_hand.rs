//! People change containers by hand: Boatyard repairs the changes, and no data is at risk.

use std::time::{Duration, Instant};

use boatyard_tests::by_hand::ByHand;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};

use crate::support::*;

fn spec() -> String {
    format!(
        "
name: shop
databases: [{{name: db, engine: PG}}]
services:
- name: web
  image: {TESTAPP}
  envs: [{{key: NAME, value: web}}, {{key: DATABASE_URL, value: '${{db.DATABASE_URL}}', scope: RUN_TIME}}]
  health_check: {{http_path: /health, period_seconds: 1}}
"
    )
}

/// Waits for a condition, and prints how long that took.
async fn until(at: &Installation, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < ENDS_WITHIN, "never: {what}\n{}", at.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{what} after {} ms", began.elapsed().as_millis());
}

async fn only(at: &Installation, app: &str, component: &str) -> String {
    let ids = at.container_ids(app, component).await.unwrap();
    assert_eq!(ids.len(), 1, "one container of {component}");
    ids.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_renamed_paused_or_disconnected_stays_the_only_server_on_its_volume() {
    let mut at = installation().await;
    at.create(&spec()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let (id, web) = (only(&at, &app, "db").await, only(&at, &app, "web").await);
    let database = ByHand::on(&id).unwrap();
    let name = database.called().await.unwrap();
    database.sql("CREATE TABLE t (n int)").await.unwrap();
    let everything = at.engine_containers().await.unwrap();
    let mut rows = 0;
    let mut insert = async || {
        rows += 1;
        database.sql(&format!("INSERT INTO t VALUES ({rows})")).await.unwrap();
        rows
    };

    insert().await;
    database.rename(&format!("{name}-aside")).await.unwrap();
    insert().await;
    until(&at, "renamed: its name is back", async || database.called().await.unwrap() == name).await;

    insert().await;
    at.kill_serve();
    database.rename(&format!("{name}-aside")).await.unwrap();
    at.serve().await.unwrap();
    until(&at, "renamed without serve: its name is back", async || database.called().await.unwrap() == name).await;

    let place = database.networks().await.unwrap();
    let is_back = async || database.networks().await.unwrap() == place;
    database.disconnect().await.unwrap();
    until(&at, "disconnected: back on its network", is_back).await;

    let (network, address) = place[0].clone();
    let other_address = format!("{}.200", address.rsplit_once('.').unwrap().0);
    at.kill_serve();
    database.disconnect().await.unwrap();
    database.connect(&network, &other_address).await.unwrap();
    at.serve().await.unwrap();
    until(&at, "at another address without serve: back at its address", is_back).await;

    // The whole network is removed, so no container may be connected to it.
    at.kill_serve();
    let web = ByHand::on(&web).unwrap();
    database.disconnect().await.unwrap();
    web.disconnect().await.unwrap();
    database.remove_network(&network).await.unwrap();
    at.serve().await.unwrap();
    until(&at, "network removed without serve: back on a new one", is_back).await;
    until(&at, "and its app serves", async || serves(&at).await).await;

    let answers = async || {
        tokio::time::timeout(Duration::from_secs(1), database.sql("SELECT 1")).await.is_ok_and(|it| it.is_ok())
    };
    if database.pause().await.unwrap() {
        until(&at, "paused: answers again", answers).await;
    }

    let last = insert().await;
    assert_eq!(database.sql("SELECT count(*), max(n) FROM t").await.unwrap(), format!("{last}|{last}"));
    assert_eq!(only(&at, &app, "db").await, id, "the same container all along");
    assert_eq!(at.engine_containers().await.unwrap(), everything, "and no second server");
    let deployment = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    at.check_explained(&[&app]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_instance_of_an_app_serves_again_after_it_was_renamed_or_moved() {
    let mut at = installation().await;
    at.create(&spec()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let id = only(&at, &app, "web").await;
    let web = ByHand::on(&id).unwrap();
    let name = web.called().await.unwrap();
    let everything = at.engine_containers().await.unwrap();

    web.rename(&format!("{name}-aside")).await.unwrap();
    until(&at, "renamed: its name is back", async || web.called().await.unwrap() == name).await;

    let place = web.networks().await.unwrap();
    let (network, address) = place[0].clone();
    let other_address = format!("{}.200", address.rsplit_once('.').unwrap().0);
    at.kill_serve();
    web.disconnect().await.unwrap();
    web.connect(&network, &other_address).await.unwrap();
    at.serve().await.unwrap();
    until(&at, "moved without serve: back at its address", async || web.networks().await.unwrap() == place).await;
    until(&at, "and serves", async || serves(&at).await).await;

    if web.pause().await.unwrap() {
        until(&at, "paused: serves again", async || serves(&at).await).await;
    }
    assert_eq!(only(&at, &app, "web").await, id, "the same container all along");
    assert_eq!(at.engine_containers().await.unwrap(), everything);

    // Renamed once more: a deletion still leaves nothing of the app.
    at.kill_serve();
    web.rename(&format!("{name}-aside")).await.unwrap();
    at.serve().await.unwrap();
    at.delete(&app).await.unwrap();
    assert_eq!(at.engine_containers().await.unwrap(), Vec::<String>::new());
}

async fn serves(at: &Installation) -> bool {
    let page = boatyard_tests::http::page(at.http(), "shop.localhost", "/");
    let answer = tokio::time::timeout(Duration::from_secs(1), page).await;
    answer.is_ok_and(|it| it.is_ok_and(|(status, _)| status == 200))
}
