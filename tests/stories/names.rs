//! A deleted app's name is free at once.

use boatyard_tests::by_hand::ByHand;
use boatyard_tests::engine;
use boatyard_tests::installation::text;
use serde_json::json;

use crate::support::*;

fn spec(round: usize) -> String {
    format!(
        "
name: shop
databases: [{{name: db, engine: PG}}]
services:
- name: web
  image: {TESTAPP}
  envs:
  - {{key: DATABASE_URL, value: '${{db.DATABASE_URL}}', scope: RUN_TIME}}
  - {{key: ROUND, value: '{round}'}}
  health_check: {{http_path: /health, period_seconds: 1}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_a_database_is_deleted_and_created_again_at_once_ten_times() {
    let at = installation().await;
    let mut deleted = Vec::new();
    for round in 0..10 {
        at.create(&spec(round)).await.unwrap();
        assert_eq!(page(&at, "/env?key=ROUND").await.trim(), round.to_string());
        let app = app_id(&at, "shop").await;
        let database = at.container_ids(&app, "db").await.unwrap().remove(0);
        let database = ByHand::on(&database).unwrap();
        assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'").await.unwrap(), "0");
        database.sql("CREATE TABLE t (n int)").await.unwrap();

        let (status, answer) = at.call("DELETE", &format!("/v2/apps/{app}"), None).await.unwrap();
        assert_eq!((status, answer), (200, json!({ "id": app })));
        for path in [app.as_str(), "shop"] {
            assert_eq!(at.call("GET", &format!("/v2/apps/{path}"), None).await.unwrap().0, 404, "{path}");
        }
        assert_eq!(at.call("DELETE", &format!("/v2/apps/{app}"), None).await.unwrap().0, 404);
        assert_eq!(at.ok("GET", "/v2/apps", None).await.unwrap()["apps"], json!([]));
        deleted.push(app);
    }
    for app in &deleted {
        at.until_gone(app).await.unwrap();
    }
    assert_eq!(at.engine_containers().await.unwrap(), [""; 0]);
    let (networks, volumes) = engine::app_networks_and_volumes_of(&at.id().unwrap()).await.unwrap();
    assert_eq!(networks, [""; 0]);
    assert_eq!(volumes.len(), deleted.len() + 1, "a kept volume of each app, and the fence: {volumes:?}");
}

/// An app is created from a repository while the image of the deleted app, built from the same commit, is removed.
#[tokio::test(flavor = "multi_thread")]
async fn upsert_right_after_delete_creates_an_app_from_the_same_source() {
    let at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    let file = spec_file(&at, &built_shop(&web, &api));
    let create = ["apps", "create", "--spec", &file, "--upsert", "--wait", "--format", "ID", "--no-header"];
    let mut before = String::new();
    for round in 0..4 {
        let created = run_cli(&at, &create).await;
        assert_eq!(created.code, Some(0), "round {round}: {}", created.err);
        assert_ne!(created.out, before, "a new app");
        assert_eq!(page(&at, "/env?key=VERSION").await.trim(), "1");
        before = created.out;
        let gone = run_cli(&at, &["apps", "delete", "shop", "--force"]).await;
        assert_eq!(gone.code, Some(0), "{}", gone.err);
    }
    at.until_gone(before.trim()).await.unwrap();
    let status = at.call("GET", "/v2/boatyard/unknown", None).await.unwrap().1;
    assert_eq!(status["unknown"]["apps"], json!([]));
    assert!(text(&status, "/unknown/notices/0").is_err(), "{status}");
}
