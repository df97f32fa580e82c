//! Health, bandwidth, connection details of databases, and upgrades of buildpacks.

use axum::http::StatusCode;
use serde_json::json;

use super::client::Server;
use super::samples::APP;

#[tokio::test]
async fn health_has_one_entry_for_each_component() {
    let server = Server::start().await;
    let answer = server.get("/v2/apps/shop/health").await.json();
    let of = |name, replicas_ready, state| {
        json!({
            "name": name, "cpu_usage_percent": 12.5, "memory_usage_percent": 40.0,
            "replicas_desired": 2, "replicas_ready": replicas_ready, "state": state,
        })
    };
    let components = json!([of("web", 2, "HEALTHY"), of("worker", 1, "UNHEALTHY")]);
    assert_eq!(answer, json!({ "app_health": { "components": components } }));
    assert_eq!(server.get("/v2/apps/other/health").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn metrics_are_text_for_prometheus_and_need_a_token_for_all_apps() {
    let server = Server::start().await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "boatyard_ingress_up 0",
        r#"boatyard_deployments_total{app="shop",result="active"} 2"#,
        r#"boatyard_restarts_total{app="shop",component="web"} 1"#,
        r#"boatyard_certificate_expiry_timestamp_seconds{name="shop.example.com"} 0"#,
    ] {
        assert!(answer.text.lines().any(|it| it == line), "{line} in\n{}", answer.text);
    }
    assert_eq!(server.send_as("wrong", "GET", "/metrics", "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn bandwidth_is_a_string_and_belongs_to_one_day() {
    let server = Server::start().await;
    let usage = json!({
        "app_bandwidth_usage": [{ "app_id": APP, "bandwidth_bytes": "1234" }],
        "date": "2026-01-02T00:00:00.000Z",
    });
    let of_app = "/v2/apps/shop/metrics/bandwidth_daily?date=2026-01-02T13%3A00%3A00.000Z";
    assert_eq!(server.get(of_app).await.json(), usage);
    let of_apps = "/v2/apps/metrics/bandwidth_daily";
    let body = format!(r#"{{"app_ids": ["{APP}"], "date": "2026-01-02T00:00:00Z"}}"#);
    assert_eq!(server.send("POST", of_apps, &body).await.json(), usage);
    let midnight = 1_767_312_000_000_u64;
    assert_eq!(server.control.calls(), vec![format!("bandwidth {APP} {midnight}"); 2]);
    assert_eq!(server.get("/v2/apps/shop/metrics/bandwidth_daily").await.status, StatusCode::OK, "yesterday");
}

#[tokio::test]
async fn a_wrong_question_about_bandwidth_names_its_field() {
    let server = Server::start().await;
    let many = format!(r#"{{"app_ids": [{}"x"]}}"#, r#""x","#.repeat(100));
    let table = [
        ("{}", StatusCode::BAD_REQUEST, "app_ids"),
        (r#"{"app_ids": []}"#, StatusCode::BAD_REQUEST, "1 to 100"),
        (many.as_str(), StatusCode::BAD_REQUEST, "101"),
        (r#"{"app_ids": [7]}"#, StatusCode::BAD_REQUEST, "app_ids[0]"),
        (r#"{"app_ids": ["shop"], "date": "soon"}"#, StatusCode::BAD_REQUEST, "date"),
        (r#"{"app_ids": ["shop", "other"]}"#, StatusCode::NOT_FOUND, "other"),
    ];
    for (body, status, word) in table {
        let answer = server.send("POST", "/v2/apps/metrics/bandwidth_daily", body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.message().contains(word), "{}", answer.message());
    }
    let future = server.get("/v2/apps/shop/metrics/bandwidth_daily?date=2999-01-01T00%3A00%3A00Z").await;
    assert_eq!(future.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn connection_details_have_all_that_a_client_of_the_database_needs() {
    let server = Server::start().await;
    let answer = server.get("/v2/apps/shop/database_connection_details").await.json();
    let details = json!({
        "component_name": "db", "host": "db", "port": 5432, "username": "shop", "password": "s3cret",
        "database_name": "shop", "database_url": "postgresql://shop:s3cret@db:5432/shop", "ssl_mode": "disable",
        "pools": [],
    });
    assert_eq!(answer, json!({ "connection_details": [details] }));
}

#[tokio::test]
async fn no_component_has_a_buildpack_to_upgrade() {
    let server = Server::start().await;
    let path = "/v2/apps/shop/upgrade_buildpack";
    let body = "{\"buildpack_id\":\"digitalocean/node\",\"trigger_deployment\":true}\n";
    assert_eq!(server.send("POST", path, body).await.json(), json!({ "affected_components": [] }));
    assert!(server.control.calls().is_empty(), "no deployment was started");
    assert_eq!(server.send("POST", path, "").await.status, StatusCode::BAD_REQUEST);
    let unknown = server.send("POST", "/v2/apps/other/upgrade_buildpack", body).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
