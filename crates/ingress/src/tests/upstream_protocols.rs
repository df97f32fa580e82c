//! Instances get the same headers by HTTP/1.1 and by HTTP/2, except for those of the protocol.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use tokio::io::AsyncWriteExt;

use super::harness::*;
use super::http2_upstream::http2_echo;
use super::internal::{CALLER, calls, connect, free_port, service};
use crate::limits::Limits;
use crate::protocol::{Address, AppPolicy, InternalRoutes, RequestHeader, Rewrite, RouteTable, Target, Upstream};

/// Headers that clients may send, in HTTP/1.1 and in HTTP/2.
const HEADERS: &[(&str, &str)] = &[
    ("x-request-id", "1"),
    ("accept", "text/html"),
    ("accept", "application/json"),
    ("te", "trailers"),
    ("cookie", "a=1; boatyard_session_x=secret; b=2"),
    ("cookie", "boatyard_session_y=secret"),
    ("x-forwarded-for", "203.0.113.1"),
    ("x-forwarded-user", "root"),
    ("x_forwarded_for", "203.0.113.1"),
    ("forwarded", "for=203.0.113.1"),
    ("x-real-ip", "203.0.113.1"),
    ("proxy", "http://203.0.113.1"),
    ("x-origin", "a guess"),
    ("x-latin", "caf\u{e9}"),
    ("x-empty", ""),
    ("range", "bytes=0-1"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

/// Heads of requests of HTTP/1.1 without [`HEADERS`], and their bodies.
const REQUESTS: &[(&str, &str)] = &[
    ("GET /a/b?c=d&e HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n", ""),
    ("GET / HTTP/1.0\r\nHost: SHOP:8080\r\n", ""),
    ("GET http://shop?a HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n", ""),
    ("GET / HTTP/1.1\r\nHost: shop\r\nConnection: close, X-Latin\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n", ""),
    ("POST / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 3\r\n", "abc"),
    ("POST / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 0\r\n", ""),
    ("PUT / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
    ("PUT / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 3\r\nExpect: 100-continue\r\n", "abc"),
];

/// What an instance got: method, address and headers in order. Without the headers of the connection and of the framing.
fn seen(echoed: &str) -> Vec<String> {
    let lines = echoed.split("\n\n").next().unwrap().lines();
    let mut lines: Vec<_> = lines.map(str::to_owned).collect();
    let first = lines.remove(0);
    let first = match first.strip_prefix("HTTP/2.0 ") {
        Some(first) => first.to_owned(),
        None => {
            let (method, target) = first.split_once(' ').unwrap();
            let host = lines.iter().find_map(|it| it.strip_prefix("host: ")).unwrap();
            format!("{method} http://{host}{target}")
        }
    };
    let is_of_connection = |line: &String| {
        ["host: ", "connection: ", "transfer-encoding: ", "expect: "].iter().any(|it| line.starts_with(it))
    };
    lines.retain(|line| !is_of_connection(line));
    lines.sort();
    [vec![first], lines].concat()
}

fn echoed(answer: &str) -> Vec<String> {
    let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(answer);
    assert_eq!(status(answer), 200, "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    // HTTP/2 to the instance has no length, so the answer may be chunked.
    let begin = body.find("HTTP/2.0 ").unwrap_or(0);
    seen(&body[begin..])
}

/// The app `shop`, with the same instances for requests from outside and for calls. `added`: the header that the app wants.
fn routes(version: u64, address: &Address, port: u16, added: (&str, &str)) -> RouteTable {
    let upstreams = vec![Upstream { id: format!("web.{version}"), address: address.clone() }];
    let mut table = calls(version, vec![service("web", &[port], &[])]);
    let app = &mut table.apps[0];
    let InternalRoutes { services, .. } = app.internal.as_mut().unwrap();
    services[0].upstreams.clone_from(&upstreams);
    let mut public = rule("/", Rewrite::Keep, &[]);
    public.target = Target::Instances { upstreams };
    app.rules = vec![public];
    let (name, value) = (added.0.to_owned(), added.1.to_owned());
    app.policy = AppPolicy { request_header: Some(RequestHeader { name, value }), ..AppPolicy::default() };
    table
}

async fn by_http1(proxy: &TestProxy, port: Option<u16>, (head, body): (&str, &str)) -> Vec<String> {
    let headers: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = match port {
        Some(port) => connect(CALLER, port).await,
        None => proxy.connect().await,
    };
    stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).await.unwrap();
    echoed(&read_all(&mut stream).await)
}

async fn by_http2(proxy: &TestProxy, body: &'static str) -> Vec<String> {
    let mut request = Request::post("http://shop/a?b=c");
    for (name, value) in HEADERS {
        request = request.header(*name, value.as_bytes());
    }
    let mut client = proxy.http2().await;
    let response = client.send_request(request.body(Full::new(Bytes::from(body))).unwrap());
    let body = soon(response).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    seen(&String::from_utf8_lossy(&body))
}

#[tokio::test]
async fn the_protocol_of_an_instance_does_not_change_the_headers_that_it_gets() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let port = free_port();
    let http1: SocketAddr = echo().await;
    let (http2, _) = http2_echo().await;
    let mut version = 0;
    // A header that frames the message is not added.
    for added in [("X-Origin", "secret"), ("Content-Length", "9"), ("Connection", "close")] {
        let mut answers = Vec::new();
        for address in [Address::Tcp(http1), Address::Http2 { http2 }] {
            version += 1;
            proxy.accept_calls(&routes(version, &address, port, added)).await;
            let mut of_protocol = Vec::new();
            for request in REQUESTS {
                of_protocol.push((format!("{request:?}"), by_http1(&proxy, None, *request).await));
                of_protocol.push((format!("a call, {request:?}"), by_http1(&proxy, Some(port), *request).await));
            }
            for body in ["", "abc"] {
                of_protocol.push((format!("HTTP/2, {body:?}"), by_http2(&proxy, body).await));
            }
            answers.push(of_protocol);
        }
        let (second, first) = (answers.pop().unwrap(), answers.pop().unwrap());
        for ((request, by_http1), (_, by_http2)) in first.into_iter().zip(second) {
            assert_eq!(by_http1, by_http2, "{request}");
            let is_added = added.0 == "X-Origin" && !request.starts_with("a call");
            assert_eq!(by_http1.contains(&"x-origin: secret".to_owned()), is_added, "{request}: {by_http1:?}");
            assert!(by_http1.contains(&"te: trailers".to_owned()), "{request}: {by_http1:?}");
        }
    }
}
