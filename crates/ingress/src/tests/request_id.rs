//! A request has one id: at the application, in the answer, on error pages, and in the access log.

use std::path::Path;

use super::harness::*;
use crate::protocol::{AccessLogFormat, Rewrite};

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn an_application_and_its_client_get_the_id_of_the_client() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let ask = |id: &str| format!("GET / HTTP/1.1\r\nHost: shop\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n");
    let answer = proxy.raw(&ask("mine-1")).await;
    assert_eq!(header(&answer, "x-request-id"), Some("mine-1"), "{answer}");
    assert!(answer.ends_with("x-request-id: mine-1\n\n") || answer.contains("\nx-request-id: mine-1\n"), "{answer}");
    let answer = proxy.raw(&ask("not usable")).await;
    let id = header(&answer, "x-request-id").unwrap();
    assert!(id.len() == 32 && answer.contains(&format!("\nx-request-id: {id}\n")), "{answer}");
}

#[tokio::test]
async fn an_answer_keeps_the_id_that_the_application_gave_it() {
    use tokio::io::AsyncWriteExt;
    let app = application(async |mut stream, _| {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nX-Request-Id: of-the-app\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    assert_eq!(header(&proxy.get("/").await, "x-request-id"), Some("of-the-app"));
}

#[tokio::test]
async fn an_error_of_the_ingress_names_the_id_in_text_and_json() {
    let proxy = TestProxy::to(&[]).await;
    let ask = |accept: &str| {
        format!("GET / HTTP/1.1\r\nHost: other\r\nX-Request-Id: a1\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
    };
    let text = proxy.raw(&ask("*/*")).await;
    assert!(text.ends_with("404 Not Found: No app uses this host name.\nRequest ID: a1\n"), "{text}");
    let json = proxy.raw(&ask("application/json")).await;
    let body: serde_json::Value = serde_json::from_str(json.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((body["error"].as_str(), body["request_id"].as_str()), (Some("no-such-host"), Some("a1")));
}

#[tokio::test]
async fn a_request_that_cannot_be_read_has_an_id_too() {
    let proxy = TestProxy::to(&[]).await;
    let answer = proxy.raw("GET / HTTP/1.1\r\nbad header\r\n\r\n").await;
    let id = header(&answer, "x-request-id").unwrap();
    assert!(status(&answer) == 400 && answer.ends_with(&format!("Request ID: {id}\n")), "{answer}");
}

/// Waits until the log has this many lines.
async fn lines(log: &Path, count: usize) -> Vec<serde_json::Value> {
    let read = || std::fs::read_to_string(log).unwrap_or_default();
    until(|| read().lines().count() >= count).await;
    read().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_request_has_one_line_in_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let proxy = TestProxy::logging_to(&log).await;
    proxy.routing.install(&table(
        1,
        vec![
            rule("/", Rewrite::Keep, &[("web.0", echo().await)]),
            rule("/none", Rewrite::Keep, &[("web.1", closed_port().address)]),
        ],
    ));
    proxy.get("/before").await;
    proxy.proxy.access_log.set_format(AccessLogFormat::Json);
    proxy.get("/a?token=secret").await;
    proxy.raw("GET /b HTTP/1.1\r\nHost: other\r\nX-Request-Id: b1\r\nConnection: close\r\n\r\n").await;
    proxy.raw("bad\r\n\r\n").await;
    let lines = lines(&log, 3).await;
    assert_eq!(lines.len(), 3, "{lines:?}");
    let [first, second, third] = &lines[..] else { panic!("{lines:?}") };
    for (name, expected) in [
        ("client", "127.0.0.1".into()),
        ("method", "GET".into()),
        ("host", "shop".into()),
        ("path", "/a?token=*".into()),
        ("protocol", "HTTP/1.1".into()),
        ("status", 200.into()),
        ("app", "shop".into()),
        ("component", "web".into()),
        ("instance", "web.0".into()),
        ("retries", 0.into()),
        ("error", serde_json::Value::Null),
    ] {
        assert_eq!(first[name], expected, "{name} in {first}");
    }
    assert!(first["bytes"].as_u64().unwrap() > 20 && first["duration_ms"].as_f64().unwrap() > 0.0, "{first}");
    assert_eq!(
        (&second["request_id"], &second["status"], &second["error"]),
        (&"b1".into(), &404.into(), &"no-such-host".into())
    );
    assert_eq!((&third["status"], &third["error"]), (&400.into(), &"malformed-request".into()));
}

#[tokio::test]
async fn the_access_log_names_the_instance_that_answered_and_the_attempts_before() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let proxy = TestProxy::logging_to(&log).await;
    proxy.proxy.access_log.set_format(AccessLogFormat::Json);
    let closed = closed_port();
    // The first pick is the first one.
    let upstreams = [("web.0", closed.address), ("web.1", echo().await)];
    proxy.routing.install(&table(1, vec![rule("/", Rewrite::Keep, &upstreams)]));
    proxy.get("/").await;
    let lines = lines(&log, 1).await;
    assert_eq!((&lines[0]["instance"], &lines[0]["retries"]), (&"web.1".into(), &1.into()), "{lines:?}");
}
