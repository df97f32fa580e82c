//! Jobs and databases: deployments run jobs, and restarts change neither.

use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use serde_json::json;

use crate::support::*;

fn spec(greeting: &str, job_exit: u8) -> String {
    format!(
        "
name: shop
databases: [{{name: db, engine: PG}}]
services:
- name: web
  image: {TESTAPP}
  envs:
  - {{key: DATABASE_URL, value: '${{db.DATABASE_URL}}', scope: RUN_TIME}}
  - {{key: NAME, value: {greeting}}}
jobs:
- name: migrate
  kind: PRE_DEPLOY
  image: {TESTAPP}
  run_command: /bin/testapp job
  envs: [{{key: JOB_PRINT, value: migrating}}, {{key: JOB_EXIT, value: '{job_exit}'}}]
- name: notify
  kind: POST_DEPLOY
  image: {TESTAPP}
  run_command: /bin/testapp job
  envs: [{{key: JOB_PRINT, value: notifying}}]
"
    )
}

/// Id and start time of the database's container.
async fn database(at: &Installation, app: &str) -> (String, String) {
    let all = at.instances(app).await.unwrap();
    let it = all.iter().find(|it| it["component_type"] == "DATABASE").expect("a database");
    (it["container_id"].to_string(), it["started_at"].to_string())
}

async fn job_log(at: &Installation, job: &str) -> String {
    let output = at.cli(&["apps", "logs", "shop", job, "--type", "deploy"]).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_rebuild_keep_the_database_and_only_the_rebuild_runs_jobs() {
    let at = installation().await;
    at.create(&spec("hello", 0)).await.unwrap();
    let app = app_id(&at, "shop").await;
    assert!(job_log(&at, "migrate").await.contains("migrating"));
    assert!(job_log(&at, "notify").await.contains("notifying"));
    let before = database(&at, &app).await;
    let url = page(&at, "/env?key=DATABASE_URL").await;
    assert!(url.contains("@db:5432/db"), "the reference was resolved");

    let deployment = at.restart(&app, &[]).await.unwrap();
    let ended = at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(database(&at, &app).await, before);
    assert_eq!(page(&at, "/env?key=DATABASE_URL").await, url, "the same environment");
    assert!(!job_log(&at, "migrate").await.contains("migrating"), "no job ran in deployment {}", ended["id"]);

    let deployment = at.deploy(&app, json!({"force_build": true})).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(database(&at, &app).await, before);
    assert!(job_log(&at, "migrate").await.contains("migrating"));
    // Maintenance collects job runs after the deployment has ended.
    let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
    while at.engine_containers().await.unwrap().len() != 2 {
        assert!(tokio::time::Instant::now() < deadline, "ended jobs are not collected:\n{}", at.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// `uninstall` lists and then removes everything of the installation: containers, network, volumes, images and the data
/// directory.
#[tokio::test(flavor = "multi_thread")]
async fn uninstall_removes_everything_that_boatyard_created() {
    let mut at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    at.create(&format!("{}databases: [{{name: db, engine: PG}}]\n", built_shop(&web, &api))).await.unwrap();
    assert_eq!(at.engine_containers().await.unwrap().len(), 4);
    at.uninstall().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_pre_deploy_job_ends_the_deployment_and_the_old_version_keeps_serving() {
    let at = installation().await;
    at.create(&spec("hello", 0)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let before = at.container_ids(&app, "web").await.unwrap();
    let spec: serde_json::Value = at.ok("GET", &format!("/v2/apps/{app}"), None).await.unwrap()["app"]["spec"].clone();
    let mut changed = spec.clone();
    changed["jobs"][0]["envs"][1]["value"] = json!("3");
    let deployment = at.update(&app, changed).await.unwrap();
    let ended = at.wait(&app, &deployment).await.unwrap();
    assert_eq!(ended["phase"], "ERROR", "{ended:#}");
    let why = ended["boatyard"]["failure"].to_string();
    assert!(why.contains("exit code 3") && why.contains("migrate"), "{why}");
    assert_eq!(at.container_ids(&app, "web").await.unwrap(), before);
    assert!(page(&at, "/").await.contains("hello"));
}
