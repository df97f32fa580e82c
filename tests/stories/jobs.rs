//! Jobs and databases: deployments run jobs, and restarts change neither.

use boatyard_tests::engine;
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
    assert!(job_log(&at, "migrate").await.contains("migrating"), "the log of the last run");
    let number = ended["boatyard"]["number"].to_string();
    let of_restart = run_cli(&at, &["apps", "logs", "shop", "migrate", "--deployment", &number]).await;
    assert_eq!(of_restart.code, Some(1), "{}", of_restart.out);
    assert!(
        of_restart.err.contains("did not run in deployment 2") && of_restart.err.contains("--deployment 1"),
        "{}",
        of_restart.err
    );

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
async fn a_job_that_runs_for_ever_is_canceled_and_its_log_stays() {
    let at = installation().await;
    let endless = spec("hello", 0).replacen("run_command: /bin/testapp job", "run_command: /bin/testapp work", 1);
    let file = spec_file(&at, &endless);
    assert_eq!(run_cli(&at, &["apps", "create", "--spec", &file]).await.code, Some(0));
    let app = app_id(&at, "shop").await;
    let runs = format!("/v2/apps/{app}/job-invocations");
    let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
    let run = loop {
        let list = at.ok("GET", &runs, None).await.unwrap();
        if list["job_invocations"][0]["phase"] == "RUNNING" {
            break list["job_invocations"][0].clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "the job does not run:\n{}", at.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let id = run["id"].as_str().unwrap();
    at.ok("POST", &format!("{runs}/{id}/cancel"), None).await.unwrap();
    let ended = at.wait(&app, run["deployment_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(ended["phase"], "ERROR", "{ended:#}");
    assert!(ended["boatyard"]["failure"].to_string().contains("it was canceled"), "{ended:#}");
    let run = at.ok("GET", &format!("{runs}/{id}"), None).await.unwrap();
    assert_eq!(run["job_invocation"]["phase"], "CANCELED", "{run:#}");
    assert_eq!(at.call("POST", &format!("{runs}/{id}/cancel"), None).await.unwrap().0, 409);

    let logs = format!("/v2/apps/{app}/jobs/migrate/invocations/{id}/logs?type=JOB_INVOCATION");
    let addresses = at.ok("GET", &logs, None).await.unwrap();
    let address: hyper::Uri = addresses["historic_urls"][0].as_str().unwrap().parse().unwrap();
    let path = address.path_and_query().unwrap().as_str();
    let host = address.authority().unwrap().as_str();
    let (status, lines) = boatyard_tests::http::page(at.api(), host, path).await.unwrap();
    assert_eq!(status, 200, "{lines}");
    assert!(lines.starts_with("migrate ") && lines.contains(" works"), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_bandwidth_and_connection_details_are_those_of_the_running_app() {
    let at = installation().await;
    at.create(&spec("hello", 0)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let url = page(&at, "/env?key=DATABASE_URL").await;
    let details = at.ok("GET", &format!("/v2/apps/{app}/database_connection_details"), None).await.unwrap();
    assert_eq!(details["connection_details"][0]["database_url"], url.trim(), "what the app itself uses");

    let health = at.ok("GET", &format!("/v2/apps/{app}/health"), None).await.unwrap();
    let web = &health["app_health"]["components"][0];
    assert_eq!((&web["name"], &web["state"]), (&json!("web"), &json!("HEALTHY")), "{health:#}");
    let memory = web["memory_usage_percent"].as_f64().unwrap();
    assert!(memory < 100.0, "{health:#}");
    assert_eq!(memory > 0.0, engine::has_cgroups().await.unwrap(), "{health:#}");

    let began = chrono::Utc::now().date_naive();
    let sent = async || {
        let mut sum = 0;
        // The test may run at midnight.
        for day in [began, chrono::Utc::now().date_naive()].iter().collect::<std::collections::BTreeSet<_>>() {
            let bandwidth = format!("/v2/apps/{app}/metrics/bandwidth_daily?date={day}T00:00:00Z");
            let answer = at.ok("GET", &bandwidth, None).await.unwrap();
            sum += answer["app_bandwidth_usage"][0]["bandwidth_bytes"].as_str().unwrap().parse::<u64>().unwrap();
        }
        sum
    };
    let before = sent().await;
    let body = page(&at, "/env?key=DATABASE_URL").await;
    assert_eq!(sent().await - before, body.len() as u64);
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
