//! Every route with every kind of wrong token and Host header.

use axum::http::StatusCode;

use super::client::Server;
use super::samples::{ALERT, INVOCATION};
use crate::routes::{METRICS, table};

/// The path with parameters that the fake controller knows.
pub(super) fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{app}" => "shop",
        "{deployment}" => "1",
        "{component}" => "web",
        "{alert}" => ALERT,
        "{event}" => "1",
        "{invocation}" => INVOCATION,
        "{job}" => "migrate",
        "{project}" => "default",
        "{tier}" => "basic",
        "{token}" => "obsolete",
        "{host}" => "github.com",
        "{size}" => "apps-s-1vcpu-0.5gb",
        other if other.starts_with('{') => "some-id",
        other => other,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn no_route_answers_without_the_token() {
    let server = Server::start().await;
    let wrong: [&[(&str, &str)]; 6] = [
        &[],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Basic dG9rOnRvaw==")],
        &[("authorization", "Bearer tok"), ("authorization", "Bearer wrong")],
        &[("cookie", "token=tok")],
    ];
    for route in table() {
        for headers in wrong {
            let answer = server.send_with(route.method, &filled(route.path), "", headers).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{} {} {headers:?}", route.method, route.path);
            assert_eq!(answer.json()["id"], "unauthorized");
        }
    }
    assert!(server.control.calls().is_empty(), "the controller was not called");
}

#[tokio::test]
async fn every_route_answers_with_the_token() {
    for route in table() {
        let server = Server::start().await;
        let answer = server.send(route.method, &filled(route.path), "").await;
        let expected = [StatusCode::OK, StatusCode::NOT_IMPLEMENTED];
        // Some routes refuse an empty body, and name the field that they need.
        let needs_field = answer.status == StatusCode::BAD_REQUEST && answer.message().contains("field \"");
        // Events of deployments have no logs, and cannot be canceled.
        let is_event = answer.status == StatusCode::BAD_REQUEST && answer.message().contains("autoscaling event");
        assert!(
            needs_field || is_event || expected.contains(&answer.status),
            "{} {}: {}",
            route.method,
            route.path,
            answer.text
        );
        let is_not_json = route.path == METRICS || route.path.ends_with("/rollback/commit") && answer.text.is_empty();
        assert!(is_not_json || answer.json().is_object());
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_not_accepted() {
    let server = Server::start().await;
    for path in ["/v2/apps?token=tok", "/v2/apps?access_token=tok", "/v2/boatyard/logs?token=tok", "/v2/boatyard/logs"]
    {
        assert_eq!(server.send_with("GET", path, "", &[]).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn only_a_request_with_the_token_learns_that_a_path_does_not_exist() {
    let server = Server::start().await;
    assert_eq!(server.send_with("GET", "/v2/nothing", "", &[]).await.status, StatusCode::UNAUTHORIZED);
    let answer = server.get("/v2/nothing").await;
    assert_eq!((answer.status, answer.message().as_str()), (StatusCode::NOT_FOUND, "no such path: /v2/nothing"));
    assert_eq!(server.send("PATCH", "/v2/apps", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(server.send_with("GET", "/v2/apps/%ff", "", &[]).await.status, StatusCode::UNAUTHORIZED);
    let unreadable = server.get("/v2/apps/%ff").await;
    assert_eq!(unreadable.status, StatusCode::BAD_REQUEST);
    assert!(unreadable.message().starts_with("the path cannot be read"), "{}", unreadable.text);
    // doctl requests this path if it has no id, and crashes if it gets a list.
    assert_eq!(server.get("/v2/apps/shop/deployments/").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_unknown_host_name_is_refused_before_the_token_is_checked() {
    let server = Server::start().await;
    for host in ["attacker.example", "attacker.example:7080", "127.0.0.1.attacker.example"] {
        let answer = server.send_with("GET", "/v2/apps", "", &[("host", host), ("authorization", "Bearer tok")]).await;
        assert_eq!((answer.status, answer.json()["id"].as_str()), (StatusCode::FORBIDDEN, Some("forbidden")), "{host}");
    }
    let two = [("host", "localhost"), ("host", "localhost"), ("authorization", "Bearer tok")];
    assert_eq!(server.send_with("GET", "/v2/apps", "", &two).await.status, StatusCode::BAD_REQUEST);
    let local = [("host", "localhost:1"), ("authorization", "Bearer tok")];
    assert_eq!(server.send_with("GET", "/v2/apps", "", &local).await.status, StatusCode::OK);
}
