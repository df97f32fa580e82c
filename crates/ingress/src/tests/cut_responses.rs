//! Requests and responses that end too early: what the client sees, and which counter counts them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::*;
use crate::limits::Limits;
use crate::protocol::{Open, Rewrite};

/// Reads a request head, sends this text and closes.
async fn sends_and_closes(text: &'static str) -> std::net::SocketAddr {
    application(move |mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(text.as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn a_body_truncated_by_the_application_never_looks_complete() {
    let length = sends_and_closes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").await;
    let chunked = sends_and_closes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    for (app, framing) in [(length, "content-length: 100"), (chunked, "transfer-encoding: chunked")] {
        let proxy = TestProxy::to(&[("web", app)]).await;
        let answer = proxy.get("/").await.to_lowercase();
        assert!(answer.contains(framing) && !answer.ends_with("0\r\n\r\n"), "{answer}");
        until(|| proxy.counters().failed == 1).await;
        assert_eq!(proxy.counters().client_gone, 0);
    }
}

#[tokio::test]
async fn a_truncated_body_without_framing_ends_with_a_reset() {
    let proxy = TestProxy::to(&[(
        "web",
        sends_and_closes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await,
    )])
    .await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.0\r\nHost: shop\r\n\r\n").await.unwrap();
    let error = soon(client.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_leaves_during_its_response_is_counted_and_its_instance_sees_a_closed_connection() {
    let (closed, mut observed) = tokio::sync::mpsc::channel(1);
    let app = application(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").await.unwrap();
            let _ = stream.read(&mut [0; 1]).await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    soon(read_head(&mut client)).await.unwrap();
    drop(client);
    soon(observed.recv()).await.unwrap();
    until(|| proxy.counters().client_gone == 1 && proxy.routing.open().is_empty()).await;
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_response_is_counted() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    until(|| !proxy.routing.open().is_empty()).await;
    drop(client);
    until(|| proxy.counters().client_gone == 1 && proxy.routing.open().is_empty()).await;
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_is_counted() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let mut client = proxy.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\nabc").await.unwrap();
    until(|| !proxy.routing.open().is_empty()).await;
    drop(client);
    until(|| proxy.counters().client_gone == 1 && proxy.routing.open().is_empty()).await;
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn a_malformed_upload_counts_as_a_client_that_left() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let head = "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = proxy.raw(&format!("{head}5\r\nhello\r\nxyz\r\n")).await;
    assert!(answer.is_empty() || status(&answer) == 400, "{answer}");
    until(|| proxy.routing.open().is_empty()).await;
    assert_eq!((proxy.counters().failed, proxy.counters().client_gone), (0, 1));
}

#[tokio::test]
async fn error_responses_of_the_application_are_counted_separately() {
    let proxy =
        TestProxy::to(&[("web", sends_and_closes("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy").await)]).await;
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("busy"), "{answer}");
    assert!(!answer.contains("x-boatyard-error"));
    let counters = proxy.counters();
    assert_eq!((counters.requests, counters.failed, counters.app_errors), (1, 0, 1));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").await.unwrap();
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    // Long enough for the first bytes to arrive on a slow machine.
    let proxy = TestProxy::open(Limits { body_idle: Duration::from_secs(2), ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    assert!(proxy.get("/").await.ends_with("abc"), "a response that stalls");
    let proxy = TestProxy::open(Limits { request_head: Duration::from_millis(300), ..Limits::default() }).await;
    assert_eq!(proxy.raw("GET / HTTP/1.1\r\nHost: sh").await, "", "a head that stalls");
    assert_eq!(proxy.raw("").await, "", "nothing at all");
}

#[tokio::test]
async fn a_peer_that_reaches_the_connection_limit_does_not_keep_other_clients_out() {
    use crate::listeners::Listeners;
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let mut narrow = Listeners::new(proxy.proxy.clone(), 20, Default::default(), proxy.cut.clone());
    narrow.apply(&[http(([127, 0, 0, 1], 0))]).await;
    let address = narrow.bound()[0].address;
    let mut flood = Vec::new();
    for _ in 0..50 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 9], 0).into()).unwrap();
        flood.push(socket.connect(address).await.unwrap());
    }
    let ask = b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    for _ in 0..3 {
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(ask).await.unwrap();
        assert_eq!(status(&read_all(&mut client).await), 200);
    }
    assert_eq!(read_all(&mut flood[0]).await, "", "the oldest idle connection was evicted");
}

/// A request that waits for the rest of its response, one whose body is being sent, and a WebSocket are open at `old`
/// when the next window begins. Then the instance stops.
#[tokio::test]
async fn requests_cut_by_a_rollout_are_counted_in_its_window() {
    let stop = tokio_util::sync::CancellationToken::new();
    let stopped = stop.clone();
    let old = application(move |mut stream, _| {
        let stopped = stopped.clone();
        async move {
            let head = read_head(&mut stream).await.unwrap();
            let begin: &[u8] = match head.split(' ').nth(1) {
                Some("/ws") => b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                Some("/stream") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                _ => b"",
            };
            stream.write_all(begin).await.unwrap();
            stopped.cancelled().await;
        }
    })
    .await;
    let proxy = TestProxy::to(&[("old", old)]).await;
    let mut clients = Vec::new();
    for head in [
        "GET /stream HTTP/1.1\r\nHost: shop\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\nabc",
        "GET /ws HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let mut client = proxy.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        if !head.starts_with("POST") {
            soon(read_head(&mut client)).await.unwrap();
        }
        clients.push(client);
    }
    until(|| proxy.routing.open().get("old") == Some(&Open { requests: 2, upgraded: 1 })).await;

    let mut next = table(2, vec![rule("/", Rewrite::Keep, &[("new", echo().await)])]);
    next.apps[0].window = "d2".to_owned();
    proxy.routing.install(&next);
    assert_eq!(status(&proxy.get("/").await), 200);
    stop.cancel();
    let read = || proxy.routing.counters()["shop"]["d2"];
    until(|| read().requests_cut + read().uploads_cut + read().upgraded_cut == 3).await;
    let (before, during) = (proxy.counters(), read());
    assert_eq!((before.requests, before.failed, before.upgraded, before.upgraded_cut), (3, 0, 1, 0));
    assert_eq!((during.requests, during.open_at_start, during.upgraded), (1, 2, 1));
    assert_eq!((during.requests_cut, during.uploads_cut, during.upgraded_cut, during.failed), (1, 1, 1, 2));
    assert_eq!(during.client_gone, 0);
}
