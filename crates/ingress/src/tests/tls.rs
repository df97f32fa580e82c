//! HTTPS: certificates by host name, HTTP/2 and HTTP/1.1 by the same rules as without TLS, and challenges of certificate
//! authorities.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::harness::*;
use crate::certificates::ACME_TLS;
use crate::files::tests::{errors, site, stored};
use crate::limits::Limits;
use crate::protocol::{AppPolicy, AppRoutes, Certificate, CertificateSet, Rewrite, RouteTable};

fn certificate(names: &[&str]) -> Certificate {
    let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = rcgen::CertificateParams::new(names.clone()).unwrap().self_signed(&key).unwrap().pem();
    Certificate { names, chain, key: key.serialize_pem(), minimum_tls_version: None, redirect_http: false }
}

fn app(app: &str, host: &str, upstream: SocketAddr) -> AppRoutes {
    AppRoutes {
        app: app.to_owned(),
        hosts: vec![host.to_owned()],
        window: "d1".to_owned(),
        rules: vec![rule("/", Rewrite::Keep, &[(app, upstream)])],
        policy: AppPolicy::default(),
        internal: None,
    }
}

/// Apps `shop` and `blog` on hosts of their names below `example.com`, which share one certificate.
struct Site {
    proxy: TestProxy,
    https: SocketAddr,
    certificates: CertificateSet,
}

impl Site {
    async fn open(mut certificates: CertificateSet) -> Self {
        let mut proxy = TestProxy::open(Limits::default()).await;
        let apps = vec![
            app("shop", "shop.example.com", echo().await),
            app("blog", "blog.example.com", echo().await),
            app("wild", "*.example.org", echo().await),
        ];
        proxy.routing.install(&RouteTable { version: 1, apps, ..RouteTable::default() });
        certificates.certificates.push(certificate(&["*.example.com", "a.example.org"]));
        let https = proxy.listen_with(&certificates).await;
        Site { proxy, https, certificates }
    }

    fn client(&self, protocols: &[&[u8]], versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        for it in self.certificates.certificates.iter().chain(&self.certificates.challenges) {
            roots.add(CertificateDer::from_pem_slice(it.chain.as_bytes()).unwrap()).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(&self, name: &str, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.https).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        soon(self.client(protocols, &[&TLS13, &TLS12]).connect(name, stream)).await
    }

    /// Sends this text unchanged over TLS and reads until the peer closes.
    async fn raw(&self, name: &str, text: &str) -> String {
        let mut stream = self.connect(name, &[b"http/1.1"]).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let _ = soon(stream.read_to_end(&mut all)).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    async fn http2(&self, name: &str) -> SendRequest<Full<Bytes>> {
        let stream = self.connect(name, &[b"h2", b"http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

async fn answer(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (u16, String) {
    let response: Response<_> = soon(sender.send_request(request)).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = soon(body.collect()).await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

#[tokio::test]
async fn applications_see_that_a_request_came_by_https_in_both_versions_of_http() {
    let site = Site::open(CertificateSet::default()).await;
    let first =
        site.raw("shop.example.com", "GET /a HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n").await;
    let mut sender = site.http2("shop.example.com").await;
    let (code, second) = answer(&mut sender, get("https://shop.example.com/a")).await;
    assert_eq!((status(&first), code), (200, 200));
    for text in [first, second] {
        let port = format!("x-forwarded-port: {}", site.https.port());
        for part in ["GET /a\n", "host: shop.example.com\n", "x-forwarded-proto: https\n", &port] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert_eq!(site.proxy.counters().requests, 2);
}

#[tokio::test]
async fn a_connection_for_one_app_carries_no_request_to_another() {
    let site = Site::open(CertificateSet::default()).await;
    let text = "GET / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\n\r\n";
    let refused = site.raw("shop.example.com", text).await;
    assert_eq!(status(&refused), 421, "{refused}");
    assert!(refused.contains("x-boatyard-error: misdirected"), "{refused}");
    let mut sender = site.http2("shop.example.com").await;
    assert_eq!(answer(&mut sender, get("https://blog.example.com/")).await.0, 421);
    assert_eq!(answer(&mut sender, get("https://shop.example.com/")).await.0, 200);
    assert_eq!(answer(&mut sender, get("https://unknown.example.com/")).await.0, 404);
    assert_eq!(site.proxy.proxy.refusals.read()["misdirected"], 2);
}

#[tokio::test]
async fn a_name_without_a_certificate_gets_the_alert_for_it() {
    let site = Site::open(CertificateSet::default()).await;
    let error = site.connect("other.example.net", &[]).await.unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    until(|| site.proxy.proxy.refusals.read().get("no-certificate") == Some(&1)).await;
}

#[tokio::test]
async fn a_wildcard_host_gets_the_names_of_one_level_that_no_app_has() {
    let site = Site::open(CertificateSet::default()).await;
    let get = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&site.raw("a.example.org", &get("a.example.org")).await), 200);
    assert_eq!(status(&site.raw("a.example.org", &get("b.example.org")).await), 200);
    for host in ["example.org", "a.b.example.org"] {
        assert_eq!(status(&site.proxy.raw(&get(host)).await), 404, "{host}");
    }
}

#[tokio::test]
async fn a_domain_that_requires_tls_1_3_refuses_1_2() {
    let strict = Certificate { minimum_tls_version: Some("1.3".to_owned()), ..certificate(&["shop.example.com"]) };
    let site = Site::open(CertificateSet { certificates: vec![strict], ..CertificateSet::default() }).await;
    for (name, version, accepted) in [
        ("shop.example.com", &TLS12, false),
        ("shop.example.com", &TLS13, true),
        ("blog.example.com", &TLS12, true),
        ("blog.example.com", &TLS13, true),
    ] {
        let stream = TcpStream::connect(site.https).await.unwrap();
        let server = ServerName::try_from(name).unwrap();
        let result = soon(site.client(&[], &[version]).connect(server, stream)).await;
        assert_eq!(result.is_ok(), accepted, "{name} {version:?}");
    }
}

#[tokio::test]
async fn the_rules_against_request_smuggling_hold_over_tls() {
    let site = Site::open(CertificateSet::default()).await;
    let host = "Host: shop.example.com\r\nConnection: close\r\n";
    for (text, code) in [
        (format!("GET /../x HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET /%2e%2e/x HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host}Host: blog.example.com\r\n\r\n"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"), 400),
        (format!("TRACE / HTTP/1.1\r\n{host}\r\n"), 405),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400),
    ] {
        assert_eq!(status(&site.raw("shop.example.com", &text).await), code, "{text}");
    }
}

#[tokio::test]
async fn the_rules_for_hosts_paths_and_headers_hold_for_http2() {
    let site = Site::open(CertificateSet::default()).await;
    let mut sender = site.http2("shop.example.com").await;
    let two_hosts = Request::get("https://shop.example.com/").header("host", "blog.example.com");
    let two_hosts = two_hosts.body(Full::default()).unwrap();
    let trace = Request::builder().method("TRACE").uri("https://shop.example.com/").body(Full::default()).unwrap();
    for (request, code) in [
        (get("https://shop.example.com/../x"), 400),
        (get("https://shop.example.com/a/%2e%2e/x"), 400),
        (get("https://shop.example.com/%00"), 400),
        (two_hosts, 400),
        (trace, 405),
    ] {
        let text = format!("{request:?}");
        assert_eq!(answer(&mut sender, request).await.0, code, "{text}");
    }
    let spoofed = Request::get("https://shop.example.com/x")
        .header("x-forwarded-proto", "http")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x_real_ip", "10.0.0.1")
        .header("cookie", "a=1")
        .header("cookie", "boatyard_session_x=s")
        .header("cookie", "b=2")
        .body(Full::default())
        .unwrap();
    let (code, text) = answer(&mut sender, spoofed).await;
    assert_eq!(code, 200);
    assert!(text.contains("x-forwarded-proto: https\n") && text.contains("cookie: a=1; b=2\n"), "{text}");
    assert!(!text.contains("10.0.0.1") && !text.contains("session"), "{text}");
}

#[tokio::test]
async fn a_body_without_a_length_reaches_the_application_whole() {
    let site = Site::open(CertificateSet::default()).await;
    let stream = site.connect("shop.example.com", &[b"h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for method in ["POST", "GET"] {
        let pieces =
            ["one ", "two ", "three"].map(|it| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(it))));
        let body = StreamBody::new(futures::stream::iter(pieces));
        let request = Request::builder().method(method).uri("https://shop.example.com/").body(body).unwrap();
        let response = soon(sender.send_request(request)).await.unwrap();
        let text = soon(response.into_body().collect()).await.unwrap().to_bytes();
        assert!(text.ends_with(b"one two three"), "{method}: {}", String::from_utf8_lossy(&text));
    }
}

#[tokio::test]
async fn http_is_redirected_for_names_with_such_a_certificate_but_never_a_challenge() {
    let public = Certificate { redirect_http: true, ..certificate(&["shop.example.com"]) };
    let answers = BTreeMap::from([("token".to_owned(), "token.proof".to_owned())]);
    let set = CertificateSet { certificates: vec![public], answers, ..CertificateSet::default() };
    let site = Site::open(set).await;
    let send = |method: &str, path: &str, host: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let port = site.https.port();
    for (method, code) in [("GET", 301), ("HEAD", 301), ("POST", 308)] {
        let answer = site.proxy.raw(&send(method, "/a?b=c", "shop.example.com")).await;
        assert_eq!(status(&answer), code, "{answer}");
        let location = format!("location: https://shop.example.com:{port}/a?b=c\r\n");
        assert!(answer.contains(&location), "{answer}");
    }
    assert_eq!(status(&site.proxy.raw(&send("GET", "/", "blog.example.com")).await), 200);
    let secure = site.raw("shop.example.com", &send("GET", "/", "shop.example.com")).await;
    assert_eq!(status(&secure), 200, "by HTTPS: {secure}");
    for host in ["shop.example.com", "not.yet.example"] {
        let answer = site.proxy.raw(&send("GET", "/.well-known/acme-challenge/token", host)).await;
        assert!(status(&answer) == 200 && answer.ends_with("token.proof"), "{host}: {answer}");
    }
    let other = site.proxy.raw(&send("GET", "/.well-known/acme-challenge/other", "blog.example.com")).await;
    assert!(other.contains("GET /.well-known/acme-challenge/other"), "the app answers its own: {other}");
}

#[tokio::test]
async fn the_files_of_a_static_site_are_redirected_and_refused_like_what_instances_answer() {
    let public = Certificate { redirect_http: true, ..certificate(&["shop.example.com"]) };
    let hosts = Site::open(CertificateSet { certificates: vec![public], ..CertificateSet::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let files = stored(&folder, "1", &[("index.html", "home")]);
    let mut shop = app("shop", "shop.example.com", echo().await);
    shop.rules = vec![site("/", Rewrite::Strip, &[&files], errors())];
    let apps = vec![shop, app("blog", "blog.example.com", echo().await)];
    hosts.proxy.routing.install(&RouteTable { version: 2, apps, ..RouteTable::default() });
    let request = "GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&hosts.proxy.raw(request).await), 301, "by HTTP");
    let secure = hosts.raw("shop.example.com", request).await;
    assert!(status(&secure) == 200 && secure.ends_with("home"), "{secure}");
    assert_eq!(status(&hosts.raw("blog.example.com", request).await), 421, "on a connection to another app");
}

#[tokio::test]
async fn a_check_of_a_certificate_authority_gets_the_challenges_certificate_and_no_request_is_served() {
    let challenge = certificate(&["new.example.com"]);
    let site = Site::open(CertificateSet { challenges: vec![challenge.clone()], ..CertificateSet::default() }).await;
    let mut stream = site.connect("new.example.com", &[ACME_TLS]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ACME_TLS));
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_eq!(shown, CertificateDer::from_pem_slice(challenge.chain.as_bytes()).unwrap());
    assert_eq!(soon(stream.read(&mut [0; 16])).await.unwrap(), 0);
    // A client that also offers HTTP gets the ordinary certificate.
    let stream = site.connect("new.example.com", &[ACME_TLS, b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(site.connect("shop.example.com", &[ACME_TLS]).await.is_err());
}

#[tokio::test]
async fn websockets_work_over_tls() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        let text = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let site = Site::open(CertificateSet::default()).await;
    site.proxy.routing.install(&RouteTable { version: 2, apps: vec![app_on(app)], ..RouteTable::default() });
    let mut stream = site.connect("shop.example.com", &[b"http/1.1"]).await.unwrap();
    let text = "GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    soon(stream.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"ping");
}

fn app_on(upstream: SocketAddr) -> AppRoutes {
    app("shop", "shop.example.com", upstream)
}
