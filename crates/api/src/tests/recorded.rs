//! Requests recorded from other clients, byte for byte, with the fields that each client needs in the answer.

use serde_json::Value;

use super::client::{Response, Server};
use super::fake_control::TOKEN;

const SPEC: &str = r#"{"name":"sample","services":[{"name":"web","git":{"repo_clone_url":"https://example.invalid/web.git","branch":"main"},"envs":[{"key":"A","value":"1"},{"key":"S","value":"s3cret","scope":"RUN_TIME","type":"SECRET"}],"http_port":8080,"routes":[{"path":"/"}]}],"jobs":[{"name":"mig","image":{"registry_type":"DOCKER_HUB","registry":"library","repository":"busybox","tag":"1.36"},"run_command":"true","kind":"PRE_DEPLOY"}],"region":"fra"}"#;

async fn doctl(server: &Server, method: &str, path: &str, body: &str) -> Response {
    let token = format!("Bearer {TOKEN}");
    let mut headers = vec![
        ("user-agent", "doctl/0.0.0-dev (linux amd64) godo/1.202.0"),
        ("accept", "application/json"),
        ("authorization", token.as_str()),
        ("accept-encoding", "gzip"),
    ];
    if method != "GET" {
        headers.push(("content-type", "application/json"));
    }
    server.send_with(method, path, body, &headers).await
}

async fn pydo(server: &Server, method: &str, path: &str, body: &str) -> Response {
    let token = format!("Bearer {TOKEN}");
    let mut headers = vec![
        ("user-agent", "azsdk-python-pydo/0.44.0 Python/3.11.7"),
        ("accept-encoding", "gzip, deflate"),
        ("accept", "application/json"),
        ("x-ms-client-request-id", "d2b1b1d6-0000-11ee-8000-000000000000"),
        ("authorization", token.as_str()),
    ];
    if !body.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    server.send_with(method, path, body, &headers).await
}

fn has(answer: &Response, pointers: &[&str]) {
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    for pointer in pointers {
        let found = answer.json().pointer(pointer).cloned().unwrap_or(Value::Null);
        assert!(!found.is_null(), "{pointer} in {}", answer.text);
    }
}

const WAITED: [&str; 4] = [
    "/deployment/id",
    "/deployment/progress/total_steps",
    "/deployment/progress/success_steps",
    "/deployment/progress/steps/0/status",
];

#[tokio::test]
async fn doctls_requests_are_answered() {
    let server = Server::start().await;
    let send = |method, path, body| doctl(&server, method, path, body);
    has(&send("GET", "/v1/oauth/token/info", "").await, &["/scopes"]);
    has(&send("GET", "/v2/account", "").await, &["/account/uuid", "/account/team/name"]);
    has(&send("GET", "/v2/apps?page=1&per_page=200", "").await, &["/apps/0/spec", "/meta/total"]);
    has(&send("GET", "/v2/apps?page=1&per_page=200&with_projects=true", "").await, &["/apps/0/spec"]);
    has(&send("GET", "/v2/apps/APP", "").await, &["/app/spec", "/app/active_deployment/id"]);
    let create = format!("{{\"spec\":{SPEC}}}\n");
    assert_eq!(create.len(), 444, "as recorded");
    has(&send("POST", "/v2/apps", &create).await, &["/app/spec", "/app/pending_deployment/id"]);
    let update = format!("{{\"spec\":{SPEC},\"update_all_source_versions\":false}}\n");
    has(&send("PUT", "/v2/apps/APP", &update).await, &["/app/spec", "/app/pending_deployment/id"]);
    has(&send("POST", "/v2/apps/APP/restart", "{\"components\":[\"web\",\"worker\"]}\n").await, &WAITED);
    has(&send("POST", "/v2/apps/APP/deployments", "{\"force_build\":true}\n").await, &WAITED);
    has(&send("GET", "/v2/apps/APP/deployments/DEP", "").await, &WAITED);
    has(&send("GET", "/v2/apps/APP/deployments?page=1&per_page=200", "").await, &["/deployments/0/id"]);
    has(&send("GET", "/v2/apps/APP/instances", "").await, &["/instances/0/instance_alias"]);
    has(&send("GET", "/v2/apps/regions", "").await, &["/regions/0/slug"]);
    has(&send("GET", "/v2/apps/tiers/instance_sizes", "").await, &["/instance_sizes/0/slug"]);
    let logs = "/v2/apps/APP/deployments/DEP/logs?type=RUN&follow=true&tail_lines=-1&component_name=web";
    has(&send("GET", logs, "").await, &["/live_url", "/historic_urls/0"]);
    has(&send("DELETE", "/v2/apps/APP", "").await, &["/id"]);
}

#[tokio::test]
async fn a_taken_name_is_the_409_that_upsert_acts_on() {
    let server = Server::start().await;
    *server.control.failure.lock().expect("no panic") =
        Some(controller::ControlError::Conflict("app sample exists".into()));
    let answer = doctl(&server, "POST", "/v2/apps", &format!("{{\"spec\":{SPEC}}}\n")).await;
    assert_eq!((answer.status.as_u16(), answer.message().as_str()), (409, "app sample exists"));
}

#[tokio::test]
async fn an_empty_spec_file_of_doctl_is_a_bad_request() {
    let server = Server::start().await;
    let answer = doctl(&server, "POST", "/v2/apps", "{\"spec\":{\"name\":\"\"}}\n").await;
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text);
    assert!(answer.message().starts_with("error validating app spec"), "{}", answer.message());
}

#[tokio::test]
async fn pydos_requests_are_answered_with_200() {
    let server = Server::start().await;
    let send = |method, path, body| pydo(&server, method, path, body);
    has(&send("POST", "/v2/apps/APP/restart", "{\"components\": [\"web\"]}").await, &WAITED);
    has(&send("POST", "/v2/apps/APP/restart", "").await, &WAITED);
    has(&send("POST", "/v2/apps/APP/deployments", "{\"force_build\": true}").await, &WAITED);
    has(&send("GET", "/v2/apps?page=1&per_page=20", "").await, &["/apps/0/id", "/links/pages"]);
    has(&send("GET", "/v2/apps/APP/deployments?page=1&per_page=20", "").await, &["/deployments/0/phase"]);
    has(&send("POST", "/v2/apps/APP/deployments/DEP/cancel", "").await, &["/deployment/id"]);
    has(
        &send("GET", "/v2/apps/APP/deployments/DEP/components/web/logs?type=UNSPECIFIED", "").await,
        &["/historic_urls/0"],
    );
    let rollback = "{\"deployment_id\": \"DEP\", \"skip_pin\": false}";
    has(&send("POST", "/v2/apps/APP/rollback", rollback).await, &WAITED);
    has(&send("POST", "/v2/apps/APP/rollback/validate", rollback).await, &["/valid"]);
    has(&send("POST", "/v2/apps/APP/rollback/revert", "").await, &WAITED);
    // pydo returns None for an empty body.
    let committed = send("POST", "/v2/apps/APP/rollback/commit", "").await;
    assert_eq!((committed.status.as_u16(), committed.text.as_str()), (200, ""));
    has(&send("DELETE", "/v2/apps/APP", "").await, &["/id"]);
}

#[tokio::test]
async fn an_unimplemented_path_answers_501_so_that_no_client_retries() {
    let server = Server::start().await;
    let answer = pydo(&server, "POST", "/v2/apps/APP/components/db/reset_password", "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["id"].as_str()), (501, Some("not_implemented")));
}

#[tokio::test]
async fn terraforms_requests_are_answered() {
    let server = Server::start().await;
    let spec = r#"{"name":"sample","services":[{"name":"web","git":{"repo_clone_url":"https://example.invalid/web.git","branch":"main"},"envs":[{"key":"A","value":"1","scope":"RUN_AND_BUILD_TIME"},{"key":"S","value":"s3cret","scope":"RUN_TIME","type":"SECRET"}],"instance_size_slug":"apps-s-1vcpu-0.5gb","instance_count":1,"http_port":8080}],"region":"fra","alerts":[{"rule":"DEPLOYMENT_FAILED"}]}"#;
    let create = doctl(&server, "POST", "/v2/apps", &format!("{{\"spec\":{spec}}}\n")).await;
    has(&create, &["/app/id", "/app/pending_deployment/id"]);
    has(&doctl(&server, "GET", "/v2/apps/APP/deployments?per_page=20", "").await, &["/deployments/0/id"]);
    has(&doctl(&server, "GET", "/v2/apps/APP/alerts", "").await, &["/alerts/0/id", "/alerts/0/spec/rule"]);
    let destinations = "{\"emails\":[\"a@example.com\"],\"slack_webhooks\":null}\n";
    let set = doctl(&server, "POST", "/v2/apps/APP/alerts/ALERT/destinations", destinations).await;
    has(&set, &["/alert/spec", "/alert/emails/0"]);
    has(
        &doctl(&server, "GET", "/v2/apps/APP", "").await,
        &["/app/live_url", "/app/default_ingress", "/app/updated_at"],
    );
}
