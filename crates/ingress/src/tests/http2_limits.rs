//! Limits of HTTP/2 connections of clients.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;

use super::harness::*;
use crate::limits::Limits;

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://shop{path}")).body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_client_may_begin_with_http2_without_tls() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let mut client = proxy.http2().await;
    for _ in 0..2 {
        let response = soon(client.send_request(get("/a"))).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.starts_with("GET /a\n") && text.contains("x-forwarded-proto: http\n"), "{text}");
    }
    assert_eq!(proxy.counters().requests, 2);
    let other = proxy.raw("PRI * HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&other), 400, "{other}");
}

#[tokio::test]
async fn the_beginning_of_http2_may_arrive_in_pieces() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let (client, mut near_end) = tokio::io::duplex(1);
    let mut far_end = proxy.connect().await;
    far_end.set_nodelay(true).unwrap();
    // Each byte is sent alone.
    tokio::spawn(async move { tokio::io::copy_bidirectional_with_sizes(&mut near_end, &mut far_end, 1, 4096).await });
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let response = soon(sender.send_request(get("/a"))).await.unwrap();
    assert_eq!(response.status(), 200);
}

/// An application that sends the head of a response and, if the path is `/data`, more data than any buffer holds.
async fn endless() -> std::net::SocketAddr {
    application(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap_or_default();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n").await;
        while head.starts_with("GET /data") && stream.write_all(&[0; 65536]).await.is_ok() {}
        // Until the ingress closes.
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1]).await;
    })
    .await
}

/// Sends requests that move bytes on the connection, as PINGs do, until the ingress has closed one of its streams.
async fn use_until_a_stream_is_closed(proxy: &TestProxy, client: &mut SendRequest<Full<Bytes>>) {
    while proxy.counters().client_gone == 0 {
        let _ = soon(client.send_request(get("/.."))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_is_closed_although_its_connection_is_in_use() {
    let limits = Limits { body_idle: Duration::from_millis(200), tunnel_idle: PATIENCE, ..Limits::default() };
    let proxy = TestProxy::open(limits).await;
    proxy.route(1, &[("web", endless().await)]);
    let mut client = proxy.http2().await;
    let stalled = soon(client.send_request(get("/data"))).await.unwrap();
    let silent = soon(client.send_request(get("/silent"))).await.unwrap();
    soon(use_until_a_stream_is_closed(&proxy, &mut client)).await;
    assert!(soon(stalled.into_body().collect()).await.is_err());
    assert_eq!(proxy.routing.open()["web"].requests, 1, "an application may be silent for longer");
    drop(silent);
}

#[tokio::test]
async fn a_stream_on_which_the_application_is_silent_is_closed_in_the_end() {
    let limits =
        Limits { body_idle: Duration::from_millis(100), tunnel_idle: Duration::from_millis(300), ..Limits::default() };
    let proxy = TestProxy::open(limits).await;
    proxy.route(1, &[("web", endless().await)]);
    let mut client = proxy.http2().await;
    let silent = soon(client.send_request(get("/silent"))).await.unwrap();
    soon(use_until_a_stream_is_closed(&proxy, &mut client)).await;
    assert!(soon(silent.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn streams_count_as_connections_and_one_too_many_gets_a_page() {
    let proxy = TestProxy::with_connections(4).await;
    proxy.route(1, &[("web", endless().await)]);
    let mut client = proxy.http2().await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let response = soon(client.send_request(get("/silent"))).await.unwrap();
        assert_eq!(response.status(), 200);
        open.push(response);
    }
    let refused = soon(client.send_request(get("/silent"))).await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-boatyard-error"]),
        (503, &"too-many-requests".parse().unwrap())
    );
    assert_eq!(proxy.proxy.refusals.read()["too-many-requests"], 1);
    open.pop();
    until(|| proxy.routing.open()["web"].requests == 3).await;
    assert_eq!(soon(client.send_request(get("/silent"))).await.unwrap().status(), 200);
}
