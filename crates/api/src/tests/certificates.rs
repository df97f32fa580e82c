//! Certificates are listed, added and removed over the API, and no answer contains a key.

use axum::http::StatusCode;
use serde_json::json;

use super::client::Server;

const PATH: &str = "/v2/boatyard/certificates";

#[tokio::test]
async fn certificates_are_listed_with_their_state() {
    let server = Server::start().await;
    let expected = json!({
        "name": "shop.example.com", "app": "shop", "source": "files", "state": "valid", "names": ["shop.example.com"],
        "expires_at": "1970-01-01T00:00:00.000Z",
    });
    assert_eq!(server.get(PATH).await.json(), json!({ "certificates": [expected] }));
}

#[tokio::test]
async fn a_certificate_is_added_and_removed_and_the_key_is_in_no_answer() {
    let server = Server::start().await;
    let body = json!({ "name": "shop.example.com", "chain": "a chain", "key": "a private key" }).to_string();
    let added = server.send("POST", PATH, &body).await;
    assert_eq!(added.status, StatusCode::OK);
    assert_eq!(added.json()["certificate"]["name"], "shop.example.com");
    assert!(!added.text.contains("a private key"), "{}", added.text);
    let removed = server.send("DELETE", &format!("{PATH}/shop.example.com"), "").await;
    assert_eq!(
        (removed.status, removed.json()["certificate"]["name"].clone()),
        (StatusCode::OK, json!("shop.example.com"))
    );
    let calls = ["add_certificate shop.example.com a chain a private key", "remove_certificate shop.example.com"];
    assert_eq!(server.control.calls(), calls);
}

#[tokio::test]
async fn a_certificate_without_one_of_its_parts_is_refused() {
    let server = Server::start().await;
    for missing in ["name", "chain", "key"] {
        let mut body = json!({ "name": "shop.example.com", "chain": "a chain", "key": "a private key" });
        body.as_object_mut().expect("an object").remove(missing);
        let refused = server.send("POST", PATH, &body.to_string()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{missing}");
        assert!(refused.message().contains(missing), "{}", refused.message());
        assert!(!refused.text.contains("a private key"), "{}", refused.text);
    }
    assert_eq!(server.control.calls(), [""; 0]);
}
