//! doctl and Terraform poll a deployment every 10 s. The server answers such a poll when the deployment ends.

use std::time::SystemTime;

use boatyard_tests::installation::Installation;
use serde_json::{Value, json};

use crate::clients::{Client, Session};
use crate::support::*;

/// An app with a service and a job.
fn app(service_env: &str, job_exit: u8) -> Value {
    let image =
        json!({ "registry_type": "DOCKER_HUB", "registry": "boatyard-local", "repository": "testapp", "tag": "1" });
    json!({
        "name": "shop",
        "services": [{
            "name": "web",
            "image": image,
            "routes": [{ "path": "/" }],
            "health_check": { "http_path": "/health", "period_seconds": 1 },
            "envs": [{ "key": service_env, "value": "600000" }],
        }],
        "jobs": [{
            "name": "migrate",
            "image": image,
            "kind": "PRE_DEPLOY",
            "run_command": "/bin/testapp job",
            "envs": [{ "key": "JOB_EXIT", "value": job_exit.to_string() }],
        }],
    })
}

/// A spec whose service does not become ready while the test runs.
fn slow() -> Value {
    app("START_DELAY_MS", 0)
}

fn good() -> Value {
    app("IDLE_CLOSE_MS", 0)
}

fn update(spec: Value) -> String {
    format!("{}\n", json!({ "spec": spec, "update_all_source_versions": false }))
}

/// The id of the deployment that a request started.
fn started(answer: &Value) -> String {
    let id = answer.pointer("/deployment/id").or_else(|| answer.pointer("/app/pending_deployment/id"));
    id.and_then(Value::as_str).unwrap().to_owned()
}

/// Polls once, like a client that waits, and checks that the answer tells both doctl and Terraform the end.
async fn poll_once(waiter: &mut Session<'_>, deployment: &str, phase: &str) {
    let answer = waiter.ok("GET", &format!("/v2/apps/shop/deployments/{deployment}"), "").await;
    let learned = SystemTime::now();
    let deployment = &answer["deployment"];
    assert_eq!(deployment["phase"], phase, "{deployment:#}");
    let since = deployment["phase_last_updated_at"].as_str().unwrap();
    let since: SystemTime = chrono::DateTime::parse_from_rfc3339(since).unwrap().into();
    println!("{phase}: the client learned of the end after {:?}", learned.duration_since(since).unwrap_or_default());
    let progress = &deployment["progress"];
    let (succeeded, failed) = (&progress["success_steps"], progress["error_steps"].as_u64().unwrap_or_default());
    assert_eq!(
        (*succeeded == progress["total_steps"], failed > 0),
        (phase == "ACTIVE", phase != "ACTIVE"),
        "{progress}"
    );
}

/// Waits until a deployment replaces instances.
async fn rolls(at: &Installation, deployment: &str) {
    at.until_waiting("shop", deployment, "web.0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poll_of_a_waiting_client_tells_it_how_the_deployment_ended() {
    let at = installation().await;
    let mut doctl = Session::open(Client::Doctl, &at).await;
    let create = doctl.ok("POST", "/v2/apps", &format!("{}\n", json!({ "spec": good() }))).await;
    poll_once(&mut doctl, &started(&create), "ACTIVE").await;
    let restart = doctl.ok("POST", "/v2/apps/shop/restart", "{\"components\":[]}\n").await;
    poll_once(&mut doctl, &started(&restart), "ACTIVE").await;

    let failing = doctl.ok("PUT", "/v2/apps/shop", &update(app("IDLE_CLOSE_MS", 3))).await;
    poll_once(&mut doctl, &started(&failing), "ERROR").await;

    // A deployment that does not end by itself, and one behind it that a third displaces.
    let blocking = started(&doctl.ok("PUT", "/v2/apps/shop", &update(slow())).await);
    rolls(&at, &blocking).await;
    let mut terraform = Session::open(Client::Terraform, &at).await;
    let queued = started(&terraform.ok("POST", "/v2/apps/shop/deployments", "{\"force_build\":true}\n").await);
    let displace = async {
        let answer = at.update("shop", good()).await.unwrap();
        assert_ne!(answer, queued);
    };
    tokio::join!(poll_once(&mut terraform, &queued, "SUPERSEDED"), displace);
    let cancel = async {
        at.ok("POST", &format!("/v2/apps/shop/deployments/{blocking}/cancel"), None).await.unwrap();
    };
    tokio::join!(poll_once(&mut doctl, &blocking, "CANCELED"), cancel);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_deployment_under_way_is_answered_at_once() {
    let mut at = installation().await;
    let created = at.ok("POST", "/v2/apps", Some(&json!({ "spec": slow() }))).await.unwrap();
    let path = format!("/v2/apps/shop/deployments/{}", started(&created));
    rolls(&at, &started(&created)).await;
    // `doctl apps get-deployment` opens a connection for its one request.
    let look = Session::open(Client::Doctl, &at).await.ok("GET", &path, "").await;
    assert_eq!(look["deployment"]["phase"], "DEPLOYING");

    at.stop_serve().unwrap();
    at.add_argument("--no-held-polls");
    at.serve().await.unwrap();
    let poll = Session::open(Client::Terraform, &at).await.ok("GET", &path, "").await;
    assert_eq!(poll["deployment"]["phase"], "DEPLOYING", "no poll is held");
}
