//! Proxies in front of the ingress: whose word counts, and what applications see then.

use tokio::io::AsyncWriteExt;

use super::harness::*;
use crate::limits::Limits;

const CLAIMS: &str =
    "X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n";

async fn claiming(proxy: &TestProxy, before: &str) -> String {
    proxy.raw(&format!("{before}GET / HTTP/1.1\r\nHost: shop\r\n{CLAIMS}Connection: close\r\n\r\n")).await
}

fn assert_sees(answer: &str, headers: [&str; 4]) {
    for (name, value) in ["for", "host", "port", "proto"].iter().zip(headers) {
        let line = format!("x-forwarded-{name}: {value}\n");
        assert!(answer.contains(&line), "{line}: {answer}");
        assert_eq!(answer.matches(&format!("x-forwarded-{name}:")).count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let port = proxy.address.port().to_string();
    assert_sees(&claiming(&proxy, "").await, ["127.0.0.1", "shop", &port, "http"]);
    proxy.trust(&["192.0.2.0/24"], &[]);
    assert_sees(&claiming(&proxy, "").await, ["127.0.0.1", "shop", &port, "http"]);
    proxy.trust(&["127.0.0.0/8"], &[]);
    assert_sees(&claiming(&proxy, "").await, ["203.0.113.9", "a.example", "443", "https"]);
}

#[tokio::test]
async fn a_proxy_protocol_header_names_the_client() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    proxy.trust(&[], &["127.0.0.1/32"]);
    let port = proxy.address.port().to_string();
    let header = "PROXY TCP4 203.0.113.9 10.0.0.1 51234 80\r\n";
    assert_sees(&claiming(&proxy, header).await, ["203.0.113.9", "shop", &port, "http"]);
    assert_sees(&claiming(&proxy, "PROXY UNKNOWN\r\n").await, ["127.0.0.1", "shop", &port, "http"]);
    // The load balancer passes on a connection of a trusted proxy.
    proxy.trust(&["203.0.113.0/24"], &["127.0.0.1/32"]);
    assert_sees(&claiming(&proxy, header).await, ["1.1.1.1", "a.example", "443", "https"]);
}

#[tokio::test]
async fn a_load_balancer_must_send_the_header_and_others_must_not() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let refused = claiming(&proxy, "PROXY TCP4 203.0.113.9 10.0.0.1 51234 80\r\n").await;
    assert_eq!(status(&refused), 400, "{refused}");
    proxy.trust(&[], &["127.0.0.1/32"]);
    assert_eq!(claiming(&proxy, "").await, "");
    assert_eq!(proxy.proxy.refusals.read()["proxy-protocol"], 1);
}

#[tokio::test]
async fn a_connection_whose_header_does_not_come_is_closed() {
    let limits = Limits { proxy_header: std::time::Duration::from_millis(20), ..Limits::default() };
    let proxy = TestProxy::open(limits).await;
    proxy.trust(&[], &["127.0.0.1/32"]);
    let mut client = proxy.connect().await;
    client.write_all(b"PROXY TCP4").await.unwrap();
    assert_eq!(read_all(&mut client).await, "");
}

#[tokio::test]
async fn a_trusted_proxy_may_keep_idle_connections() {
    let limits = Limits {
        request_head: std::time::Duration::from_millis(20),
        proxy_idle: PATIENCE,
        body_idle: PATIENCE,
        ..Limits::default()
    };
    let proxy = TestProxy::open(limits).await;
    proxy.route(1, &[("web", echo().await)]);
    let mut other = proxy.connect().await;
    // Its connection is accepted before the proxy is trusted.
    other.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    read_answer(&mut other).await;
    proxy.trust(&["127.0.0.1/32"], &[]);
    let mut trusted = proxy.connect().await;
    trusted.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    read_answer(&mut trusted).await;
    assert_eq!(read_all(&mut other).await, "");
    trusted.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    read_answer(&mut trusted).await;
}
