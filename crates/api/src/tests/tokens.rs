//! Tokens are created, listed and revoked, and clients learn what their token is.

use axum::http::StatusCode;
use futures::StreamExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::client::Server;
use super::fake_control::FakeControl;
use super::samples;
use controller::view::SlackWebhook;

const PATH: &str = "/v2/boatyard/tokens";

#[tokio::test]
async fn only_the_answer_to_its_creation_contains_a_token() {
    let server = Server::start().await;
    let body = r#"{"name":"deploy","scope":"write","app":"shop","expires":"12h"}"#;
    let created = server.send("POST", PATH, body).await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.text);
    assert_eq!(created.json()["token"]["token"], "dob_v1_new");
    assert_eq!(server.control.calls(), ["create_token deploy Write Some(\"shop\") After(43200s)"]);
    let listed = server.get(PATH).await;
    assert!(!listed.text.contains("dob_v1_"), "{}", listed.text);
    let reader = json!({
        "id": "id-of-shop-reader", "name": "shop-reader", "scope": "read", "app_id": samples::APP, "app_name": "shop",
        "created_at": "2026-02-25T06:13:20.000Z", "expires_at": "2026-02-25T07:13:20.000Z", "expired": false,
    });
    assert!(listed.json()["tokens"].as_array().expect("a list").contains(&reader), "{}", listed.text);
}

#[tokio::test]
async fn a_new_token_reads_for_90_days_by_default_and_wrong_fields_are_refused() {
    let server = Server::start().await;
    assert_eq!(server.send("POST", PATH, r#"{"name":"ci"}"#).await.status, StatusCode::OK);
    assert_eq!(server.control.calls(), ["create_token ci Read None After(7776000s)"]);
    for (body, words) in [
        ("{}", "no field \"name\""),
        (r#"{"name":"ci","scope":"admin"}"#, "scope must be read or write, not \"admin\""),
        (r#"{"name":"ci","expires":"soon"}"#, "expires must be never, a lifetime such as 90d"),
        (r#"{"name":7}"#, "field \"name\" must be text"),
    ] {
        let refused = server.send("POST", PATH, body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(refused.message().contains(words), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_revoked_token_is_not_accepted_any_more() {
    let server = Server::start().await;
    assert_eq!(server.send_as("reader", "GET", "/v2/apps", "").await.status, StatusCode::OK);
    let revoked = server.send("DELETE", &format!("{PATH}/reader"), "").await;
    assert_eq!(revoked.json()["token"]["id"], "id-of-reader");
    assert_eq!(server.send_as("reader", "GET", "/v2/apps", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.send("DELETE", &format!("{PATH}/reader"), "").await.status, StatusCode::NOT_FOUND);
}

async fn log_url(server: &Server) -> String {
    let answer = server.send_as("shop-reader", "GET", "/v2/apps/shop/logs?type=RUN&follow=true", "").await.json();
    answer["live_url"].as_str().expect("an address").to_owned()
}

#[tokio::test]
async fn the_log_streams_of_a_revoked_token_end_and_its_unused_addresses_do_not_work() {
    let server = Server::with(FakeControl { endless: true, ..FakeControl::default() }).await;
    let (unused, url) = (log_url(&server).await, log_url(&server).await.replacen("http", "ws", 1));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("an upgrade");
    let first = socket.next().await.expect("a line").expect("a message");
    assert!(first.is_text());
    server.send("DELETE", &format!("{PATH}/shop-reader"), "").await;
    let mut reason = None;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            reason = frame.map(|frame| frame.reason.to_string());
        }
    }
    assert_eq!(reason.as_deref(), Some("the token that opened this was revoked or has expired"));
    let path = unused.strip_prefix(&format!("http://{}", server.address)).expect("this server");
    assert_eq!(server.send_with("GET", path, "", &[]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn clients_learn_the_scopes_and_the_lifetime_of_their_token() {
    let server = Server::start().await;
    for (token, scopes) in [("reader", json!(["read"])), ("writer", json!(["read", "write"]))] {
        let info = server.send_as(token, "GET", "/v1/oauth/token/info", "").await.json();
        assert_eq!(info["scopes"], scopes);
        assert_eq!((&info["expires_in_seconds"], &info["created_at"]), (&3600.into(), &1_772_000_000.into()));
        assert_eq!(server.send_as(token, "GET", "/v2/account", "").await.json()["account"]["name"], token);
    }
    let admin = server.get("/v1/oauth/token/info").await.json();
    assert_eq!((&admin["scopes"], &admin["expires_in_seconds"]), (&json!(["read", "write"]), &0.into()));
    assert_eq!(server.get("/v2/account").await.json()["account"]["name"], "admin");
}

#[tokio::test]
async fn a_deployment_names_the_token_that_started_it() {
    let server = Server::start().await;
    let deployment = server.get("/v2/apps/shop/deployments/1").await.json()["deployment"].take();
    let user = &deployment["cause_details"]["digitalocean_user_action"]["user"];
    assert_eq!(*user, json!({ "uuid": "token-1", "email": "admin@localhost", "full_name": "ci" }));
    assert_eq!(deployment["boatyard"]["token"], "ci");
}

#[test]
fn the_addresses_of_webhooks_are_hidden_from_tokens_that_only_read() {
    let webhook = SlackWebhook { url: "https://hooks.example.com/secret".into(), channel: "#x".into() };
    let view = controller::view::AlertView { slack_webhooks: vec![webhook], ..samples::alert() };
    let url = |shows_secrets| crate::render::alert(&view, shows_secrets)["slack_webhooks"][0]["url"].clone();
    assert_eq!((url(true), url(false)), ("https://hooks.example.com/secret".into(), "hidden".into()));
}

#[tokio::test]
async fn every_token_gets_a_link_to_the_panel_for_itself() {
    let server = Server::start().await;
    let created = server.send_as("shop-reader", "POST", "/v2/boatyard/panel-links", "").await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.text);
    let link = &created.json()["panel_link"];
    let hash = hex::encode(web::sha256("shop-reader"));
    assert_eq!(link["url"], format!("http://{}/sign-in/link-of-{hash}", server.address));
    assert_eq!(link["valid_seconds"], 120);
    let row = server.control.audit.borrow().last().cloned().expect("a row");
    assert_eq!((row.action.as_str(), row.actor.name.as_str()), ("create sign-in link", "shop-reader"));
}
