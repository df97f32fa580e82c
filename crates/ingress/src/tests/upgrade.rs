//! WebSocket tunnels: opened only if both sides agree, counted while open, and counted when cut.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;
use crate::protocol::{Message, Open};

const ASK: &[u8] = b"GET /ws HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: boatyard_session_a=s; a=1\r\n\r\n";
const AGREE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Accepts the upgrade and echoes everything; closes when it reads `!`.
async fn echoing() -> std::net::SocketAddr {
    application(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap().to_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        assert!(head.contains("cookie: a=1\r\n"), "{head}");
        stream.write_all(AGREE).await.unwrap();
        let mut byte = [0; 1];
        while stream.read_exact(&mut byte).await.is_ok() && byte != *b"!" {
            stream.write_all(&byte).await.unwrap();
        }
    })
    .await
}

async fn upgraded(proxy: &TestProxy) -> TcpStream {
    let mut client = proxy.connect().await;
    client.write_all(ASK).await.unwrap();
    let head = soon(read_head(&mut client)).await.unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    client
}

async fn echoes(client: &mut TcpStream, text: &[u8]) {
    client.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    soon(client.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, text);
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_and_is_not_open_after_its_end() {
    let proxy = TestProxy::to(&[("web", echoing().await)]).await;
    let mut client = upgraded(&proxy).await;
    echoes(&mut client, b"hello").await;
    assert_eq!(proxy.routing.open()["web"], Open { requests: 0, upgraded: 1 });
    assert_eq!(proxy.routing.sent_bytes()["shop"], 5);
    drop(client);
    until(|| proxy.routing.open().is_empty()).await;
    let counters = proxy.counters();
    assert_eq!((counters.requests, counters.failed, counters.client_gone, counters.upgraded_cut), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_tunnel_outlives_its_route_and_one_ended_by_a_stopping_instance_is_counted_as_cut() {
    let proxy = TestProxy::to(&[("web", echoing().await)]).await;
    let (mut client, other) = (upgraded(&proxy).await, upgraded(&proxy).await);
    let mut events = proxy.routing.events();
    proxy.route(2, &[("new", echoing().await)]);
    assert!(matches!(soon(events.recv()).await.unwrap(), Message::Draining { open: Open { upgraded: 2, .. }, .. }));
    echoes(&mut client, b"still here").await;
    drop(other);
    client.write_all(b"!").await.unwrap();
    assert_eq!(soon(client.read(&mut [0; 1])).await.unwrap(), 0);
    drop(client);
    until(|| proxy.routing.open().is_empty()).await;
    assert_eq!(proxy.counters().upgraded_cut, 1);
}

#[tokio::test]
async fn a_tunnel_that_the_ingress_ends_is_counted_as_cut() {
    let proxy = TestProxy::to(&[("web", echoing().await)]).await;
    let mut client = upgraded(&proxy).await;
    echoes(&mut client, b"hello").await;
    proxy.cut.cancel();
    assert_eq!(read_all(&mut client).await, "");
    until(|| proxy.routing.open().is_empty()).await;
    assert_eq!(proxy.counters().upgraded_cut, 1);
}

#[tokio::test]
async fn an_application_may_decline_the_upgrade() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let mut client = proxy.connect().await;
    client.write_all(ASK).await.unwrap();
    let (head, _) = read_answer(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn an_unrequested_101_is_a_502_and_opens_no_tunnel() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(AGREE).await.unwrap();
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    assert_eq!(status(&proxy.get("/").await), 502);
    until(|| proxy.routing.open().is_empty()).await;
}

#[tokio::test]
async fn an_upgrade_to_another_protocol_is_forwarded_as_a_plain_request() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let ask = "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
               HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    let answer = proxy.raw(ask).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && !answer.contains("h2c") && !answer.contains("http2"), "{answer}");
}

#[tokio::test]
async fn a_handshake_with_another_method_than_get_is_forwarded_as_a_plain_request() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let ask = "POST /ws HTTP/1.1\r\nHost: shop\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
               Content-Length: 5\r\n\r\nhello";
    let answer = proxy.raw(ask).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.ends_with("hello"), "{answer}");
    assert!(!answer.contains("upgrade"), "{answer}");
}
