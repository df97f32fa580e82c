//! Which requests leave a row in the audit trail, and what the rows contain.

use controller::view::AuditEntry;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Server, until};
use super::samples;

fn rows(server: &Server) -> Vec<AuditEntry> {
    server.control.audit.borrow().clone()
}

#[tokio::test]
async fn every_changing_request_leaves_a_row_with_who_what_and_the_outcome() {
    let server = Server::start().await;
    server.send_as("writer", "POST", "/v2/apps/shop/restart", "").await;
    server.send_as("reader", "DELETE", "/v2/apps/shop", "").await;
    server.send_as("blog-writer", "POST", "/v2/apps/shop/deployments/1/cancel", "").await;
    server.send("POST", "/v2/apps/shop/deployments/1/cancel", "").await;
    server.send("GET", "/v2/apps/shop/components/web/exec", "").await;
    server.send("GET", "/v2/apps/shop/database_connection_details", "").await;
    server.send("DELETE", "/v2/boatyard/tokens/obsolete", "").await;
    server.send("POST", "/v2/apps", "{}").await;
    let rows = rows(&server);
    let shown: Vec<_> = rows
        .iter()
        .map(|it| (it.actor.name.as_str(), it.action.as_str(), it.app_name.as_deref(), it.status.unwrap_or_default()))
        .collect();
    assert_eq!(
        shown,
        [
            ("writer", "restart", Some("shop"), 200),
            ("reader", "delete", Some("shop"), 403),
            ("blog-writer", "cancel deployment", Some("shop"), 404),
            ("admin", "cancel deployment", Some("shop"), 200),
            ("admin", "open console", Some("shop"), 200),
            ("admin", "view database password", Some("shop"), 200),
            ("admin", "revoke token", None, 200),
            ("admin", "create", None, 400),
        ]
    );
    assert_eq!(rows[0].actor.token.as_deref(), Some("id-of-writer"));
    assert_eq!(rows[0].app.as_ref().map(|it| it.as_str()), Some(samples::APP));
    assert_eq!(rows[1].app, None, "the app was not looked up");
    assert_eq!(rows[3].deployment.as_ref().map(ToString::to_string), Some(samples::deployment_id(1)));
    assert_eq!(rows[4].subject.as_deref(), Some("web"));
    assert!(rows.iter().all(|it| it.source == Some(server.address.ip())), "{rows:?}");
}

#[tokio::test]
async fn looking_dry_runs_and_unauthenticated_requests_leave_no_row() {
    let server = Server::start().await;
    for (method, path) in [
        ("GET", "/v2/apps"),
        ("GET", "/v2/apps/shop/logs"),
        ("GET", "/v2/boatyard/audit"),
        ("POST", "/v2/apps/shop/restart?dry_run=true"),
        ("POST", "/v2/apps/shop/deployments?dry_run=true"),
        ("POST", "/v2/apps/shop/rollback/validate"),
        ("POST", "/v2/nothing"),
    ] {
        server.send(method, path, "").await;
    }
    server.send_as("wrong", "DELETE", "/v2/apps/shop", "").await;
    server.send_as("expired", "DELETE", "/v2/apps/shop", "").await;
    server.send_as("reader", "GET", "/v2/boatyard/unknown", "").await;
    assert_eq!(rows(&server), []);
    // This request ignores the flag, so it is no dry run.
    server.send("DELETE", "/v2/apps/shop?dry_run=true", "").await;
    assert_eq!(rows(&server).len(), 1);
}

#[tokio::test]
async fn a_text_in_a_path_that_may_be_a_secret_is_not_recorded() {
    let server = Server::start().await;
    for text in ["dob_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "Pass%20word", "a%0Ab"] {
        let answer = server.send("POST", &format!("/v2/apps/{text}/restart"), "").await;
        assert_eq!(answer.status.as_u16(), 404);
    }
    assert_eq!(rows(&server).iter().map(|it| it.app_name.clone()).collect::<Vec<_>>(), [None, None, None]);
}

/// The request may take effect although the client does not read the answer.
#[tokio::test]
async fn a_request_whose_client_disconnects_leaves_a_row_without_a_status() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
    let request = format!(
        "DELETE /v2/apps/never-answers HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer writer\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    until("the app is looked up", || !server.control.calls().is_empty()).await;
    drop(stream);
    let mut audit = server.control.audit.subscribe();
    let rows = audit.wait_for(|rows| !rows.is_empty()).await.expect("the server runs").clone();
    assert_eq!((rows[0].action.as_str(), rows[0].status), ("delete", None));
    let shown = server.get("/v2/boatyard/audit").await.json();
    assert_eq!(shown["audit"][0]["outcome"], "unknown");
}

/// The gate looks up the app for a token that may use only one.
#[tokio::test]
async fn a_request_that_is_dropped_before_it_is_allowed_leaves_no_row() {
    let server = Server::start().await;
    let request = format!(
        "DELETE /v2/apps/never-answers HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer shop-writer\r\n\r\n",
        server.address
    );
    let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    until("the app is looked up", || !server.control.calls().is_empty()).await;
    drop(stream);
    until("the request is dropped", || server.control.calls().len() == 2).await;
    assert_eq!(server.control.calls(), ["find never-answers", "dropped never-answers"]);
    server.send_as("writer", "POST", "/v2/apps/shop/restart", "").await;
    assert_eq!(rows(&server).iter().map(|it| it.action.as_str()).collect::<Vec<_>>(), ["restart"]);
}

#[tokio::test]
async fn the_trail_is_read_by_app() {
    let server = Server::start().await;
    server.send_as("writer", "POST", "/v2/apps/shop/restart", "").await;
    server.send_as("reader", "POST", "/v2/apps/blog/restart", "").await;
    let answer = server.get("/v2/boatyard/audit?app=blog&per_page=5").await.json();
    let mut row = answer["audit"][0].clone();
    assert!(row["at"].take().is_string());
    let expected = json!({
        "at": null, "token_id": "id-of-reader", "token_name": "reader", "action": "restart", "app_name": "blog",
        "outcome": "refused", "status": 403, "source_address": "127.0.0.1",
    });
    assert_eq!((row, &answer["meta"]["total"]), (expected, &1.into()));
    assert_eq!(server.get("/v2/boatyard/audit").await.json()["meta"]["total"], 2);
}
