//! Alerts, as doctl and Terraform read and write them.

use axum::http::StatusCode;
use serde_json::json;

use super::client::Server;
use super::samples::ALERT;

#[tokio::test]
async fn an_alert_has_the_fields_that_clients_read() {
    let server = Server::start().await;
    let alerts = server.get("/v2/apps/shop/alerts").await.json()["alerts"].take();
    assert_eq!(alerts.as_array().map(Vec::len), Some(1));
    let alert = &alerts[0];
    assert_eq!(
        (&alert["id"], &alert["component_name"], &alert["phase"]),
        (&json!(ALERT), &json!("web"), &json!("ACTIVE"))
    );
    assert_eq!(alert["spec"]["rule"], "CPU_UTILIZATION");
    assert_eq!((&alert["emails"], &alert["slack_webhooks"]), (&json!([]), &json!([])));
    assert_eq!(alert["boatyard"]["sent"], false);
    assert_eq!(server.get("/v2/apps/other/alerts").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn destinations_are_replaced_and_returned() {
    let server = Server::start().await;
    let path = format!("/v2/apps/shop/alerts/{ALERT}/destinations");
    let doctl =
        r##"{"emails":["b@example.com"],"slack_webhooks":[{"url":"https://example.invalid/h","channel":"#x"}]}"##;
    let set = server.send("POST", &path, &format!("{doctl}\n")).await.json()["alert"].take();
    assert_eq!(set["emails"], json!(["b@example.com"]));
    assert_eq!(set["slack_webhooks"], json!([{ "url": "https://example.invalid/h", "channel": "#x" }]));
    assert_eq!(set["spec"]["rule"], "CPU_UTILIZATION");
    for empty in ["{\"emails\":null,\"slack_webhooks\":null}\n", "{}", ""] {
        let set = server.send("POST", &path, empty).await.json()["alert"].take();
        assert_eq!((&set["emails"], &set["slack_webhooks"]), (&json!([]), &json!([])), "{empty:?}");
    }
    let calls = server.control.calls();
    assert_eq!(calls[0], format!("set_alert_destinations {ALERT} [\"b@example.com\"] 1"));

    let unknown = server.send("POST", "/v2/apps/shop/alerts/other/destinations", doctl).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.text);
    let invalid = server.send("POST", &path, r#"{"slack_webhooks":[{"url":"secret"}]}"#).await;
    assert_eq!(invalid.status, StatusCode::BAD_REQUEST);
    assert!(!invalid.text.contains("secret"), "{}", invalid.text);
}
