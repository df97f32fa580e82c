//! Calls between components of one app.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::harness::*;
use super::http2_upstream::http2_echo;
use crate::limits::Limits;
use crate::protocol::{Address, InternalRoutes, InternalService, Rewrite, RouteTable, Upstream};

/// The network of the app. All addresses of 127.0.0.0/8 are this host's.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(127, 9, 7, 1);
pub const CALLER: Ipv4Addr = Ipv4Addr::new(127, 9, 7, 8);

pub fn service(name: &str, ports: &[u16], upstreams: &[SocketAddr]) -> InternalService {
    let upstream = |address: &SocketAddr| Upstream { id: name.to_owned(), address: (*address).into() };
    InternalService {
        name: name.to_owned(),
        ports: ports.to_vec(),
        upstreams: upstreams.iter().map(upstream).collect(),
        containers: BTreeSet::new(),
    }
}

/// A service with `protocol: HTTP2`.
fn http2_service(name: &str, port: u16, upstream: SocketAddr) -> InternalService {
    let upstream = Upstream { id: name.to_owned(), address: Address::Http2 { http2: upstream } };
    InternalService { upstreams: vec![upstream], ..service(name, &[port], &[]) }
}

/// The app `shop` with these services, and no public rule.
pub fn calls(version: u64, services: Vec<InternalService>) -> RouteTable {
    let mut table = table(version, Vec::new());
    table.apps[0].internal = Some(InternalRoutes { gateway: GATEWAY, prefix: 24, services });
    table
}

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind((GATEWAY, 0)).unwrap().local_addr().unwrap().port()
}

pub async fn connect(from: Ipv4Addr, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect((GATEWAY, port).into()).await.unwrap()
}

async fn call(from: Ipv4Addr, port: u16, host: &str, more: &str) -> String {
    let mut stream = connect(from, port).await;
    let request = format!("GET /a/../b HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

/// An application that answers with its name.
async fn named(name: &'static str) -> SocketAddr {
    application(move |mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_call_reaches_the_service_that_it_names_as_the_caller_wrote_it() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let port = free_port();
    proxy.accept_calls(&calls(1, vec![service("api", &[port], &[echo().await])])).await;
    for host in ["api", "API", &format!("api:{port}"), "shop.example"] {
        let answer = call(CALLER, port, host, "X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n").await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.contains("GET /a/../b\n"), "{answer}");
        assert!(answer.contains(&format!("host: {host}\n")), "{answer}");
        assert!(answer.contains("x-forwarded-for: 192.0.2.7\n"), "{answer}");
        assert!(answer.contains("x-real-ip: 192.0.2.7\n"), "{answer}");
        assert!(!answer.contains("x-forwarded-host"), "{answer}");
    }
    assert_eq!(proxy.counters().requests, 4, "they are counted");
    assert_eq!(proxy.routing.sent_bytes()["shop"], 0, "but not as traffic that leaves the app");
}

#[tokio::test]
async fn components_call_each_other_by_http2() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let (port, other) = (free_port(), free_port());
    let (app, connections) = http2_echo().await;
    let services = vec![http2_service("api", port, app), service("web", &[other], &[echo().await])];
    proxy.accept_calls(&calls(1, services)).await;

    let (mut client, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(connect(CALLER, port).await)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::post(format!("http://api:{port}/shop.Api/../List")).header("te", "trailers");
        let request = request.header("x-forwarded-for", "192.0.2.7").body(Full::new(Bytes::from("message"))).unwrap();
        let response = soon(client.send_request(request)).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = soon(response.into_body().collect()).await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        for part in [
            &format!("HTTP/2.0 POST http://api:{port}/shop.Api/../List\n"),
            "te: trailers\n",
            "x-forwarded-for: 192.0.2.7\n",
            "\n\nmessage",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("x-forwarded-host"), "{text}");
    }
    assert_eq!(connections.load(SeqCst), 1, "messages of one client share a connection");

    let answer = call(CALLER, port, "api", "").await;
    assert_eq!(status(&answer), 200, "HTTP/1.1 to a service that speaks HTTP/2: {answer}");
    assert!(answer.contains("HTTP/2.0 GET http://api/a/../b\n"), "{answer}");

    let (mut client, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(connect(CALLER, other).await)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://web:{other}/a")).body(Full::<Bytes>::default()).unwrap();
    let response = soon(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200, "HTTP/2 to a service that speaks HTTP/1.1");
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("GET /a\n") && text.contains(&format!("host: web:{other}\n")), "{text}");
    assert_eq!((proxy.counters().requests, proxy.counters().failed), (4, 0));
}

#[tokio::test]
async fn a_request_for_the_whole_server_reaches_the_service_as_such() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let port = free_port();
    proxy.accept_calls(&calls(1, vec![service("api", &[port], &[echo().await])])).await;
    let mut stream = connect(CALLER, port).await;
    stream.write_all(b"OPTIONS * HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(status(&answer) == 200 && answer.contains("OPTIONS *\n"), "{answer}");
}

#[tokio::test]
async fn no_container_is_a_trusted_proxy() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let (port, public) = (free_port(), SocketAddr::from((Ipv4Addr::new(127, 9, 0, 1), free_port())));
    let mut table = calls(1, vec![service("api", &[port], &[echo().await])]);
    table.apps[0].rules = vec![rule("/", Rewrite::Keep, &[("web", echo().await)])];
    table.for_containers = vec![http(public)];
    proxy.accept_calls(&table).await;
    let everywhere = ["127.0.0.0/8"];
    for by_proxy_protocol in [&[][..], &everywhere] {
        proxy.trust(&everywhere, by_proxy_protocol);
        let claim = "X-Forwarded-Host: a.example\r\n";
        let answer = call(CALLER, port, "api", claim).await;
        assert!(status(&answer) == 200 && answer.contains("x-forwarded-host: a.example\n"), "unchanged: {answer}");
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((CALLER, 0).into()).unwrap();
        let mut stream = socket.connect(public).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: shop\r\n{claim}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(status(&answer) == 200 && answer.contains("x-forwarded-host: shop\n"), "{answer}");
        assert!(answer.contains(&format!("x-forwarded-for: {CALLER}\n")), "{answer}");
    }
    let header = "PROXY TCP4 203.0.113.9 10.0.0.1 51234 80\r\n";
    for address in [public, (GATEWAY, port).into()] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((CALLER, 0).into()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!("{header}GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&read_all(&mut stream).await), 400, "{address} reads no header of a proxy");
    }
}

#[tokio::test]
async fn connections_from_outside_the_apps_network_are_closed() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let port = free_port();
    proxy.accept_calls(&calls(1, vec![service("api", &[port], &[named("api").await])])).await;
    for stranger in [GATEWAY, Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 9, 8, 8)] {
        assert_eq!(call(stranger, port, "api", "").await, "", "{stranger}");
    }
    assert!(call(CALLER, port, "api", "").await.ends_with("api"));
    assert_eq!(proxy.proxy.refusals.read()["other-network"], 3);
    assert_eq!(proxy.counters().requests, 1);
}

#[tokio::test]
async fn services_on_one_port_are_told_apart_by_host() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let (port, other) = (free_port(), free_port());
    let (api, web) = (named("api").await, named("web").await);
    // A container of `web` calls. It is no upstream, because it drains.
    let web = InternalService { containers: [CALLER].into(), ..service("web", &[port], &[web]) };
    proxy.accept_calls(&calls(1, vec![service("api", &[port, other], &[api]), web])).await;
    let third = Ipv4Addr::new(127, 9, 7, 9);
    for (from, port, host, answered) in [
        (third, port, "api", "api"),
        (third, port, "web", "web"),
        (third, other, "web", "api"),
        (third, other, "shop.example", "api"),
        // It passes on the host of its own client.
        (CALLER, port, "shop.example", "api"),
    ] {
        let answer = call(from, port, host, "").await;
        assert!(answer.ends_with(answered), "{from} {port} {host}: {answer}");
    }
    let answer = call(third, port, "shop.example", "").await;
    assert_eq!(status(&answer), 421, "{answer}");
    assert!(answer.contains("x-boatyard-error: ambiguous-service") && answer.contains("api, web"), "{answer}");
}

#[tokio::test]
async fn a_kept_connection_follows_new_tables_and_ends_gracefully_with_its_listener() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let (port, second) = (free_port(), free_port());
    let (old, new) = (named("old").await, named("new").await);
    proxy.accept_calls(&calls(1, vec![service("api", &[port], &[old])])).await;
    let mut kept = connect(CALLER, port).await;
    let request = b"GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    for (version, upstream, answered) in [(2, old, "old"), (3, new, "new")] {
        proxy.accept_calls(&calls(version, vec![service("api", &[port], &[upstream])])).await;
        kept.write_all(request).await.unwrap();
        assert_eq!(read_answer(&mut kept).await.1, answered);
    }
    // The service moves to another port.
    proxy.accept_calls(&calls(4, vec![service("api", &[second], &[new])])).await;
    assert_eq!(read_all(&mut kept).await, "", "an idle connection is closed");
    assert!(call(CALLER, second, "api", "").await.ends_with("new"));
    let refused = TcpStream::connect((GATEWAY, port)).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_listener_needs_no_network_yet_and_shares_its_port_with_a_public_one() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let public = proxy.listen_everywhere().await;
    let mut tables = calls(1, vec![service("api", &[public], &[named("api").await])]);
    proxy.accept_calls(&tables).await;
    assert!(call(CALLER, public, "api", "").await.ends_with("api"));
    assert_eq!(status(&proxy.get("/").await), 404, "public, and without a rule");
    // 192.0.2.0/24 is on no host (RFC 5737).
    tables.apps[0].internal.as_mut().unwrap().gateway = Ipv4Addr::new(192, 0, 2, 1);
    tables.version = 2;
    proxy.accept_calls(&tables).await;
}

#[tokio::test]
async fn a_port_of_another_program_is_reported_and_tried_again() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let taken = std::net::TcpListener::bind((GATEWAY, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let free = free_port();
    let services = vec![service("api", &[port, free], &[named("api").await])];
    let refused = proxy.try_to_accept_calls(&calls(1, services.clone())).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (refused[0].address, refused[0].reason.as_str()),
        ((GATEWAY, port).into(), "another program listens there")
    );
    assert!(call(CALLER, free, "api", "").await.ends_with("api"));
    drop(taken);
    proxy.accept_calls(&calls(2, services)).await;
    assert!(call(CALLER, port, "api", "").await.ends_with("api"));
}

#[tokio::test]
async fn containers_reach_the_public_host_names_of_their_own_app_only() {
    let mut proxy = TestProxy::open(Limits::default()).await;
    let address = SocketAddr::from((Ipv4Addr::new(127, 9, 0, 1), free_port()));
    let mut table = calls(1, Vec::new());
    table.apps[0].rules = vec![rule("/", Rewrite::Keep, &[("web", echo().await)])];
    let mut other = table.apps[0].clone();
    (other.app, other.hosts) = ("blog".to_owned(), vec!["blog".to_owned()]);
    other.internal.as_mut().unwrap().gateway = Ipv4Addr::new(127, 9, 8, 1);
    table.apps.push(other);
    table.for_containers = vec![http(address)];
    proxy.accept_calls(&table).await;
    let ask = async |from: Ipv4Addr, host: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    };
    let answer = ask(CALLER, "shop").await;
    assert!(status(&answer) == 200 && answer.contains(&format!("x-forwarded-for: {CALLER}\n")), "{answer}");
    assert_eq!(status(&ask(Ipv4Addr::new(127, 9, 8, 2), "blog").await), 200);
    for host in ["blog", "unknown"] {
        assert_eq!(status(&ask(CALLER, host).await), 404, "{host}");
    }
    for stranger in [GATEWAY, Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 9, 0, 7)] {
        assert_eq!(ask(stranger, "shop").await, "", "{stranger}");
    }
}
