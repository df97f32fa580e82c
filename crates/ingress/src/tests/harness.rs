//! A proxy inside the test process, scripted applications, and clients that speak raw HTTP.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::AccessLog;
use crate::limits::Limits;
use crate::listeners::Listeners;
use crate::protocol::{
    AppPolicy, AppRoutes, CertificateSet, Counters, InternalRefused, Listener, ListenerKind, PathMatch, Rewrite,
    RouteTable, Rule, Target, TrustedProxies, Upstream,
};
use crate::proxy::Proxy;
use crate::routing_state::RoutingState;
use crate::tunnel::Tunnels;

/// Deadline of every wait. It only ends a wait for something that never happens; no slow machine reaches it.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("this should have happened by now")
}

/// Polls until the condition is true.
pub async fn until(mut fact: impl FnMut() -> bool) {
    soon(async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub fn http(address: impl Into<SocketAddr>) -> Listener {
    Listener { address: address.into(), kind: ListenerKind::Http }
}

pub fn rule(prefix: &str, rewrite: Rewrite, upstreams: &[(&str, SocketAddr)]) -> Rule {
    let upstreams =
        upstreams.iter().map(|(id, address)| Upstream { id: (*id).to_owned(), address: (*address).into() }).collect();
    Rule {
        authority: None,
        path: PathMatch::Prefix(prefix.to_owned()),
        rewrite,
        component: "web".to_owned(),
        cors: None,
        target: Target::Instances { upstreams },
    }
}

/// One app `shop` on host `shop`.
pub fn table(version: u64, rules: Vec<Rule>) -> RouteTable {
    let (app, window) = ("shop".to_owned(), "d1".to_owned());
    RouteTable {
        version,
        for_containers: Vec::new(),
        apps: vec![AppRoutes {
            app,
            hosts: vec!["shop".to_owned()],
            window,
            rules,
            policy: AppPolicy::default(),
            internal: None,
        }],
    }
}

pub struct TestProxy {
    pub routing: Arc<RoutingState>,
    pub proxy: Arc<Proxy>,
    listeners: Listeners,
    pub address: SocketAddr,
    pub cut: CancellationToken,
}

impl TestProxy {
    pub async fn open(limits: Limits) -> Self {
        TestProxy::listen(([127, 0, 0, 1], 0).into(), limits).await
    }

    pub async fn listen(address: SocketAddr, limits: Limits) -> Self {
        TestProxy::start(address, limits, 1000, AccessLog::new("/nonexistent".into())).await
    }

    /// With at most this number of client connections.
    pub async fn with_connections(max: usize) -> Self {
        let nowhere = AccessLog::new("/nonexistent".into());
        TestProxy::start(([127, 0, 0, 1], 0).into(), Limits::default(), max, nowhere).await
    }

    /// Writes an access log to this file, once that is switched on.
    pub async fn logging_to(path: &std::path::Path) -> Self {
        let access_log = AccessLog::new(path.to_owned());
        TestProxy::start(([127, 0, 0, 1], 0).into(), Limits::default(), 1000, access_log).await
    }

    async fn start(address: SocketAddr, limits: Limits, max_clients: usize, access_log: Arc<AccessLog>) -> Self {
        let routing = RoutingState::start();
        let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
        let tunnels = Tunnels { tasks: tasks.clone(), cut: cut.clone(), idle: limits.tunnel_idle };
        let proxy = Arc::new(Proxy::new(Arc::clone(&routing), limits, tunnels, access_log));
        let mut listeners = Listeners::new(Arc::clone(&proxy), max_clients, tasks, cut.clone());
        assert_eq!(listeners.apply(&[http(address)]).await, []);
        let address = listeners.bound()[0].address;
        TestProxy { routing, proxy, listeners, address, cut }
    }

    /// Routes everything to these upstreams.
    pub async fn to(upstreams: &[(&str, SocketAddr)]) -> Self {
        let proxy = TestProxy::open(Limits::default()).await;
        proxy.route(1, upstreams);
        proxy
    }

    pub fn route(&self, version: u64, upstreams: &[(&str, SocketAddr)]) {
        self.routing.install(&table(version, vec![rule("/", Rewrite::Keep, upstreams)]));
    }

    /// Opens an HTTPS listener, and puts certificates in force.
    pub async fn listen_with(&mut self, certificates: &CertificateSet) -> SocketAddr {
        assert_eq!(self.proxy.certificates.install(certificates), [] as [String; 0]);
        let https = Listener { address: ([127, 0, 0, 1], 0).into(), kind: ListenerKind::Https };
        assert_eq!(self.listeners.apply(&[http(self.address), https]).await, []);
        self.listeners.bound().into_iter().find(|it| it.kind == ListenerKind::Https).unwrap().address
    }

    /// Moves the public listener to all addresses of this host. Returns its port.
    pub async fn listen_everywhere(&mut self) -> u16 {
        assert_eq!(self.listeners.apply(&[http(([0, 0, 0, 0], 0))]).await, []);
        let port = self.listeners.bound()[0].address.port();
        self.address = ([127, 0, 0, 1], port).into();
        port
    }

    /// Puts a table in force, and opens its listeners for calls between components. Returns those that cannot be opened.
    pub async fn try_to_accept_calls(&mut self, table: &RouteTable) -> Vec<InternalRefused> {
        self.routing.install(table);
        self.listeners.apply_internal(table).await;
        self.listeners.internal_refused().to_vec()
    }

    pub async fn accept_calls(&mut self, table: &RouteTable) {
        assert_eq!(self.try_to_accept_calls(table).await, []);
    }

    pub fn trust(&self, by_header: &[&str], by_proxy_protocol: &[&str]) {
        let networks = |given: &[&str]| given.iter().map(|it| it.parse().unwrap()).collect();
        let proxies = TrustedProxies { by_header: networks(by_header), by_proxy_protocol: networks(by_proxy_protocol) };
        self.listeners.trust(proxies);
    }

    /// Closes the listeners, as a stopping ingress does.
    pub async fn close(&mut self) {
        self.listeners.close_all().await;
    }

    pub fn counters(&self) -> Counters {
        self.routing.counters()["shop"]["d1"]
    }

    /// A connection without TLS that speaks HTTP/2 from the first byte.
    pub async fn http2<B>(&self) -> SendRequest<B>
    where
        B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
    {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends this text unchanged and reads until the peer closes.
    pub async fn raw(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    pub async fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")).await
    }
}

pub async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset after the response also ends it.
    let _ = soon(stream.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads up to and including the empty line, byte by byte, so that nothing after it is lost.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Reads one response that has a Content-Length.
pub async fn read_answer(stream: &mut TcpStream) -> (String, String) {
    let head = soon(read_head(stream)).await.expect("an answer");
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    soon(stream.read_exact(&mut body)).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// An application that runs this function on each connection. The number counts connections from 0.
pub async fn application<F, Fut>(behave: F) -> SocketAddr
where
    F: Fn(TcpStream, usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = socket.accept().await {
            tokio::spawn(behave(stream, number));
            number += 1;
        }
    });
    address
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An application that answers the first request of each connection once the gate is open.
pub async fn gated_application(gate: watch::Receiver<bool>) -> SocketAddr {
    application(move |mut stream, _| {
        let mut gate = gate.clone();
        async move {
            read_head(&mut stream).await;
            gate.wait_for(|go| *go).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    })
    .await
}

/// An application that responds with the request: request line, headers, body.
pub async fn echo() -> SocketAddr {
    let (address, _) = counting_echo().await;
    address
}

/// Like [`echo`], with the number of requests it has received.
pub async fn counting_echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let address = application(move |stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            let service = service_fn(move |request| {
                counted.fetch_add(1, SeqCst);
                answer_with_request(request)
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    (address, seen)
}

async fn answer_with_request(request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    text += &format!("\n{}", String::from_utf8_lossy(&body));
    Ok(Response::new(Full::new(Bytes::from(text))))
}

/// An address on which nothing listens while this value exists.
pub struct ClosedPort {
    pub address: SocketAddr,
    _bound: TcpSocket,
}

pub fn closed_port() -> ClosedPort {
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind(([127, 0, 0, 1], 0).into()).unwrap();
    ClosedPort { address: bound.local_addr().unwrap(), _bound: bound }
}
