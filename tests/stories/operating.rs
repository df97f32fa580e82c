//! What an operator sees: the access log, request ids and metrics.

use boatyard_tests::http;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_by_its_id_in_the_access_log_and_counted_in_the_metrics() {
    let mut at = Installation::start_with(PROGRAM, &["--access-log", "json"]).await.unwrap();
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let ask =
        "GET /?token=secret HTTP/1.1\r\nHost: shop.localhost\r\nX-Request-Id: find-me\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(at.http()).await.unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.to_lowercase().contains("x-request-id: find-me\r\n"), "{answer}");
    http::page(at.http(), "nothing.localhost", "/").await.unwrap();

    let log = at.data().join("access.log");
    let line = |id: &str| -> Option<Value> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|it| it["request_id"] == id)
    };
    let deadline = std::time::Instant::now() + ENDS_WITHIN;
    let found = loop {
        if let Some(found) = line("find-me") {
            break found;
        }
        assert!(std::time::Instant::now() < deadline, "no line in {}", log.display());
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    };
    assert_eq!((&found["status"], &found["path"]), (&200.into(), &"/?token=*".into()), "{found}");
    assert_eq!((&found["app"], &found["component"]), (&app.as_str().into(), &"web".into()), "{found}");

    let metrics = async || metrics(&at).await;
    let text = metrics().await;
    for wanted in [
        "boatyard_ingress_up 1",
        r#"boatyard_http_requests_total{app="shop",component="web",status="2xx"} 1"#,
        r#"boatyard_http_request_duration_seconds_count{app="shop",component="web"} 1"#,
        r#"boatyard_ingress_refused_total{code="no-such-host"} 1"#,
        r#"boatyard_deployments_total{app="shop",result="active"} 1"#,
    ] {
        assert!(text.lines().any(|it| it == wanted), "{wanted} in\n{text}");
    }

    // The format survives a restart of the ingress.
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    while lines() < 2 {
        assert!(std::time::Instant::now() < deadline, "the second request has no line");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    at.kill_ingress().unwrap();
    let page = async || http::page(at.http(), "shop.localhost", "/").await.is_ok_and(|(status, _)| status == 200);
    while !page().await {
        assert!(std::time::Instant::now() < deadline, "the ingress is not back");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    while lines() < 3 {
        assert!(std::time::Instant::now() < deadline, "nothing more is logged");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    at.uninstall().await.unwrap();
}

async fn metrics(at: &Installation) -> String {
    let mut stream = TcpStream::connect(at.api()).await.unwrap();
    let ask = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        at.token()
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}
