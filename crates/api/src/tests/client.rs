//! A server on a free port, and a client that sends exactly the given requests.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use web::{Listeners, OutsideUrl, Stop, Tls};

use super::fake_control::{FakeControl, TOKEN};
use crate::server::{Options, ShutdownReason, serve};

pub struct Server {
    pub address: SocketAddr,
    pub control: Arc<FakeControl>,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<std::io::Result<ShutdownReason>>,
}

pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text))
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().expect("an error has a message").to_owned()
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(FakeControl::default()).await
    }

    pub async fn with(control: FakeControl) -> Self {
        Self::listening(control, None, None).await
    }

    pub async fn without_held_polls() -> Self {
        Self::serving(FakeControl::default(), None, None, false).await
    }

    pub async fn at_outside_url(url: &str) -> Self {
        Self::listening(FakeControl::default(), None, Some(url.parse().expect("an address"))).await
    }

    pub async fn listening(control: FakeControl, tls: Option<(TcpListener, Tls)>, outside: Option<OutsideUrl>) -> Self {
        Self::serving(control, tls, outside, true).await
    }

    async fn serving(
        control: FakeControl,
        tls: Option<(TcpListener, Tls)>,
        outside: Option<OutsideUrl>,
        hold_polls: bool,
    ) -> Self {
        let control = Arc::new(control);
        let http = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = http.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let listeners = Listeners { http, tls, outside };
        let options = Options { hold_polls, pages: None, stop: Stop::default() };
        let task = tokio::spawn(serve(listeners, control.clone(), options, shutdown));
        Self { address, control, stop: Some(stop), task }
    }

    /// Sends a request with the token. Like doctl, it sends a content type even without a body.
    pub async fn send(&self, method: &str, path: &str, body: &str) -> Response {
        self.send_with(
            method,
            path,
            body,
            &[("authorization", &format!("Bearer {TOKEN}")), ("content-type", "application/json")],
        )
        .await
    }

    /// Sends a request with another token than the admin token.
    pub async fn send_as(&self, token: &str, method: &str, path: &str, body: &str) -> Response {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.send_with(method, path, body, &headers).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", path, "").await
    }

    /// Sends a request on a new connection with only these headers, and a Host header if they have none.
    pub async fn send_with(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Response {
        self.connect().await.send(method, path, body, headers).await
    }

    pub async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.expect("the server listens");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Connection { address: self.address, sender }
    }
}

/// One connection for several requests. Dropping it closes it.
pub struct Connection {
    address: SocketAddr,
    sender: SendRequest<Body>,
}

impl Connection {
    /// See [`Server::send_with`].
    pub async fn send(&mut self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = self.sender.send_request(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8(bytes.into()).expect("text");
        Response { status: parts.status, headers: parts.headers, text }
    }
}

/// Waits until this is true. Panics after a minute: then it never will be.
pub async fn until(what: &str, is_true: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_true() {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "waited for a minute: {what}");
        tokio::task::yield_now().await;
    }
}
