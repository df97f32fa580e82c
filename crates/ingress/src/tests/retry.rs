//! Which requests are sent again, which are not, and what the client gets then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;
use crate::limits::Limits;

async fn ask(stream: &mut TcpStream, method: &str, body: &str) -> (String, String) {
    let text = format!("{method} / HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    read_answer(stream).await
}

/// Responds to the first request of each connection; reads the second and closes without a byte.
async fn closes_when_reused() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let address = application(move |mut stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            read_head(&mut stream).await;
            counted.fetch_add(1, SeqCst);
            stream.write_all(OK.as_bytes()).await.unwrap();
            if read_head(&mut stream).await.is_some() {
                counted.fetch_add(1, SeqCst);
            }
        }
    })
    .await;
    (address, seen)
}

/// A proxy that reuses its connections even on a slow machine.
async fn proxy_that_keeps_connections(app: std::net::SocketAddr) -> TestProxy {
    let proxy = TestProxy::open(Limits { upstream_idle: Duration::from_secs(60), ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    proxy
}

#[tokio::test]
async fn a_get_on_a_kept_connection_that_is_being_closed_is_sent_again_once() {
    let (app, seen) = closes_when_reused().await;
    let proxy = proxy_that_keeps_connections(app).await;
    let mut client = proxy.connect().await;
    for _ in 0..10 {
        let (head, body) = ask(&mut client, "GET", "").await;
        assert!(head.starts_with("HTTP/1.1 200") && body == "ok", "{head}");
    }
    assert_eq!((proxy.counters().requests, proxy.counters().failed), (10, 0));
    assert!(seen.load(SeqCst) > 10, "connections were reused: {}", seen.load(SeqCst));
}

#[tokio::test]
async fn a_post_that_an_application_may_have_seen_is_never_sent_again() {
    let (app, seen) = closes_when_reused().await;
    let proxy = proxy_that_keeps_connections(app).await;
    let mut client = proxy.connect().await;
    assert!(ask(&mut client, "POST", "").await.0.starts_with("HTTP/1.1 200"));
    let (head, _) = ask(&mut client, "POST", "").await;
    assert!(head.starts_with("HTTP/1.1 502") && head.contains("x-boatyard-error: no-answer"), "{head}");
    assert_eq!(seen.load(SeqCst), 2);
    assert_eq!(proxy.counters().failed, 1);
}

/// A POST is never sent again, so it must not be sent on a connection that is known to be closed.
#[tokio::test]
async fn a_kept_connection_that_the_instance_closed_carries_no_request() {
    let (closed, mut closings) = tokio::sync::mpsc::channel(1);
    let app = application(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            drop(stream);
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let proxy = proxy_that_keeps_connections(app).await;
    let mut client = proxy.connect().await;
    for _ in 0..10 {
        assert!(ask(&mut client, "POST", "").await.0.starts_with("HTTP/1.1 200"));
        soon(closings.recv()).await.unwrap();
    }
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_response_of_any_size() {
    let app = application(|mut stream, number| async move {
        while let Some(head) = read_head(&mut stream).await {
            let size: usize = head.split(['/', ' ']).nth(2).and_then(|size| size.parse().ok()).unwrap();
            let body = format!("{number}").repeat(size);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let proxy = proxy_that_keeps_connections(app).await;
    let mut client = proxy.connect().await;
    // Sizes around that of a read.
    for size in [0, 1, 1000, 262_143, 262_144, 262_145, 524_288, 3_000_000] {
        client.write_all(format!("GET /{size} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes()).await.unwrap();
        let (head, body) = read_answer(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200") && body.len() == size, "{head}");
        assert!(body.bytes().all(|byte| byte == b'0'), "{size}: on a second connection");
    }
}

#[tokio::test]
async fn a_get_on_a_new_connection_that_dies_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let app = application(move |mut stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            read_head(&mut stream).await;
            counted.fetch_add(1, SeqCst);
        }
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    assert_eq!(status(&proxy.get("/").await), 502);
    assert_eq!(seen.load(SeqCst), 1);
}

/// Many applications close connections that were idle for 2 s. One that did so after 1 s could close while a request
/// arrives here. This application keeps them open and returns the number of the connection that was used.
#[tokio::test]
async fn an_application_that_closes_idle_connections_makes_no_post_fail() {
    let app = application(|mut stream, number| async move {
        while read_head(&mut stream).await.is_some() {
            stream.read_exact(&mut [0; 2]).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{number:03}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::open(Limits { upstream_idle: Duration::from_millis(100), ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    let mut client = proxy.connect().await;
    let mut before = String::new();
    for pause in [0, 10, 95, 105, 990, 1000, 1010, 0] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let (head, number) = ask(&mut client, "POST", "hi").await;
        assert!(head.starts_with("HTTP/1.1 200"), "after {pause} ms: {head}");
        assert!(pause < 900 || number != before, "after {pause} ms on the same connection");
        before = number;
    }
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn the_ingress_closes_idle_connections_first() {
    let (closed, mut at) = tokio::sync::mpsc::channel(1);
    let app = application(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            // Measured before the write: on a busy machine the connection may be idle long before this task runs again.
            let since = Instant::now();
            stream.write_all(OK.as_bytes()).await.unwrap();
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
            closed.send(since.elapsed()).await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::open(Limits { upstream_idle: Duration::from_millis(100), ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    assert_eq!(status(&proxy.get("/").await), 200);
    let kept = soon(at.recv()).await.unwrap();
    assert!(kept >= Duration::from_millis(90), "{kept:?}");
}

#[tokio::test]
async fn an_instance_that_refuses_connections_makes_no_request_fail_while_another_serves() {
    let closed_port = closed_port();
    let proxy = TestProxy::to(&[("dead", closed_port.address), ("web", echo().await)]).await;
    let mut client = proxy.connect().await;
    for _ in 0..10 {
        let (head, body) = ask(&mut client, "POST", "hello").await;
        assert!(head.starts_with("HTTP/1.1 200") && body.ends_with("hello"), "{head}{body}");
    }
    assert_eq!((proxy.counters().requests, proxy.counters().failed), (10, 0));
}

#[tokio::test]
async fn if_no_instance_accepts_the_page_names_the_component_and_the_cause() {
    let closed_port = closed_port();
    let proxy = TestProxy::to(&[("dead", closed_port.address)]).await;
    let answer = proxy.get("/").await;
    assert_eq!(status(&answer), 502);
    assert!(answer.contains("x-boatyard-error: connect-failed"), "{answer}");
    assert!(answer.contains("Component web did not accept a connection (connection refused)"), "{answer}");
    assert_eq!(proxy.counters().failed, 1);
}

#[tokio::test]
async fn an_instance_that_does_not_accept_a_connection_in_time_is_a_504() {
    // TEST-NET-1: packets to it are lost. Some networks refuse the connection instead.
    let proxy = TestProxy::open(Limits { connect: Duration::from_millis(100), ..Limits::default() }).await;
    proxy.route(1, &[("far", ([192, 0, 2, 1], 9).into())]);
    assert!(matches!(status(&proxy.get("/").await), 504 | 502));
    assert_eq!(proxy.counters().failed, 1);
}

#[tokio::test]
async fn an_invalid_response_is_a_502() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let answer = proxy.get("/").await;
    assert_eq!(status(&answer), 502);
    assert!(answer.contains("x-boatyard-error: bad-answer"), "{answer}");
}

#[tokio::test]
async fn a_response_that_two_parsers_could_read_differently_is_a_502() {
    for framing in [
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Content-Length: 2, 2",
        "Transfer-Encoding: chunked, chunked",
    ] {
        let app = application(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\nok").as_bytes()).await.unwrap();
        })
        .await;
        let proxy = TestProxy::to(&[("web", app)]).await;
        let answer = proxy.get("/").await;
        assert!(status(&answer) == 502 && answer.contains("x-boatyard-error: bad-answer"), "{framing}: {answer}");
        assert_eq!(proxy.counters().failed, 1);
    }
}

#[tokio::test]
async fn a_late_response_is_a_504_but_the_time_for_an_upload_does_not_count() {
    let app = application(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        if head.starts_with("POST") {
            stream.read_exact(&mut [0; 8]).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let proxy = TestProxy::open(Limits { response_head: Duration::from_millis(100), ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    let answer = proxy.get("/").await;
    assert_eq!(status(&answer), 504);
    assert!(answer.contains("x-boatyard-error: answer-timed-out"), "{answer}");

    // The upload takes longer than the timeout in total, with time for a slow machine between two bytes.
    let proxy = TestProxy::open(Limits { response_head: Duration::from_secs(3), ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    let mut client = proxy.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 8\r\n\r\n").await.unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.write_all(b"x").await.unwrap();
    }
    assert!(read_answer(&mut client).await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_instance_with_the_fewest_open_requests_is_chosen_and_equal_ones_take_turns() {
    let busy = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let ((one, seen_one), (two, seen_two)) = (counting_echo().await, counting_echo().await);
    let proxy = TestProxy::to(&[("busy", busy)]).await;
    let mut stuck = proxy.connect().await;
    stuck.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    until(|| proxy.routing.open().contains_key("busy")).await;
    proxy.route(2, &[("busy", busy), ("one", one), ("two", two)]);
    for _ in 0..20 {
        assert_eq!(status(&proxy.get("/").await), 200);
    }
    assert_eq!(seen_one.load(SeqCst) + seen_two.load(SeqCst), 20);
    assert!(seen_one.load(SeqCst) >= 5 && seen_two.load(SeqCst) >= 5, "{seen_one:?} {seen_two:?}");
}
