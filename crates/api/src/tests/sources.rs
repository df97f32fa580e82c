//! Logins for git servers are added, listed and removed, and never shown.

use axum::http::StatusCode;
use serde_json::json;

use super::client::Server;
use super::samples;

const PATH: &str = "/v2/boatyard/sources";

#[tokio::test]
async fn no_answer_contains_the_secret_of_a_login() {
    let server = Server::start().await;
    let key = samples::FINGERPRINT;
    for (body, call) in [
        (json!({"host": "github.com", "token": "s3cret"}), "token s3cret None".to_owned()),
        (json!({"host": "github.com", "token": "s3cret", "username": "me"}), "token s3cret Some(\"me\")".to_owned()),
        (json!({"host": "github.com", "ssh_key": "s3cret"}), "key s3cret []".to_owned()),
        (json!({"host": "github.com", "ssh_key": "s3cret", "fingerprints": [key]}), format!("key s3cret [\"{key}\"]")),
        (json!({"host": "github.com", "fingerprints": [key]}), format!("host keys [\"{key}\"]")),
    ] {
        let added = server.send("POST", PATH, &body.to_string()).await;
        assert_eq!(added.status, StatusCode::OK, "{}", added.text);
        assert!(!added.text.contains("s3cret"), "{}", added.text);
        let last = server.control.calls().pop();
        assert_eq!(last, Some(format!("add_source_login github.com {call}")), "{body}");
    }
    let listed = server.get(PATH).await.json();
    let https = json!({
        "host": "github.com", "protocol": "https", "username": "x-access-token", "added_at": "2026-02-25T06:13:20.000Z",
    });
    let ssh = json!({
        "host": "git.example.com:2222", "protocol": "ssh", "fingerprints": [key], "added_at": "2026-02-25T06:13:20.000Z",
    });
    assert_eq!(listed, json!({ "sources": [https, ssh] }));
}

#[tokio::test]
async fn a_login_has_a_host_and_one_secret() {
    let server = Server::start().await;
    for (body, words) in [
        (json!({"token": "s3cret"}), "no field \"host\""),
        (json!({"host": "github.com", "token": "s3cret", "ssh_key": "s3cret"}), "either \"token\""),
        (json!({"host": "github.com", "token": "s3cret", "fingerprints": ["x"]}), "either \"token\""),
        (json!({"host": "github.com", "ssh_key": "s3cret", "username": "me"}), "either \"token\""),
        (json!({"host": "github.com", "token": ["s3cret"]}), "field \"token\" must be text"),
    ] {
        let refused = server.send("POST", PATH, &body.to_string()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(refused.message().contains(words) && !refused.text.contains("s3cret"), "{}", refused.text);
    }
    assert!(server.control.calls().is_empty());
}

#[tokio::test]
async fn logins_are_removed_by_their_host() {
    let server = Server::start().await;
    let removed = server.send("DELETE", &format!("{PATH}/git.example.com:2222"), "").await;
    assert_eq!(removed.json()["sources"][0]["protocol"], "ssh");
    let unknown = server.send("DELETE", &format!("{PATH}/other.example.com"), "").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_key_of_a_host_is_looked_up() {
    let server = Server::start().await;
    let found = server.send("POST", &format!("{PATH}/host-key"), r#"{"host":"git.example.com"}"#).await;
    let expected = json!({ "host_key": { "host": "git.example.com", "fingerprint": samples::FINGERPRINT } });
    assert_eq!(found.json(), expected);
}
