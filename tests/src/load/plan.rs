//! What to send, how fast, and what a good answer looks like.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};

/// The longest time one request may take, from the first byte sent to the last byte of the answer, unless the plan
/// says otherwise. Long, so that only a request without an answer fails, not one that a busy machine answers late.
const DEADLINE: Duration = Duration::from_secs(120);

/// Traffic to one address: start with [`LoadPlan::new`] and change what is not wanted.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Where to connect.
    pub target: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// Connections held open; at most so many requests are under way at once. Default 8.
    pub connections: usize,
    /// Requests per second over all connections. They are due at fixed moments, and their time counts from that moment:
    /// a server that stalls is not spared the requests it held up. `None`, the default: as fast as answers come.
    pub rate: Option<f64>,
    /// Pause of a connection after each answer. Default none.
    pub think_time: Option<Duration>,
    /// How long one request may take. Default 120 s.
    pub deadline: Duration,
    /// Sent in turn, over and over.
    pub mix: Vec<Request>,
}

/// One request of the mix.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub status: Option<StatusCode>,
    pub answer: Expected,
}

/// What the body of a good answer looks like.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// Any body, as long as it is whole.
    Anything,
    /// Exactly these bytes.
    Exactly(Bytes),
    /// Text that has this in it.
    Containing(String),
}

impl LoadPlan {
    pub fn new(target: SocketAddr, host: impl Into<String>) -> LoadPlan {
        LoadPlan {
            target,
            host: host.into(),
            connections: 8,
            rate: None,
            think_time: None,
            deadline: DEADLINE,
            mix: Vec::new(),
        }
    }

    pub fn with(mut self, request: Request) -> LoadPlan {
        self.mix.push(request);
        self
    }

    pub fn connections(self, connections: usize) -> LoadPlan {
        LoadPlan { connections, ..self }
    }

    pub fn rate(self, per_second: f64) -> LoadPlan {
        LoadPlan { rate: Some(per_second), ..self }
    }

    pub fn think_time(self, pause: Duration) -> LoadPlan {
        LoadPlan { think_time: Some(pause), ..self }
    }

    pub fn deadline(self, deadline: Duration) -> LoadPlan {
        LoadPlan { deadline, ..self }
    }

    pub(super) fn assert_sends_something(&self) {
        assert!(!self.mix.is_empty(), "a load needs at least one request in its mix");
        assert!(self.connections > 0, "a load needs at least one connection");
        let rate = self.rate.unwrap_or(1.0);
        assert!(rate.is_finite() && rate > 0.0, "a load of {rate} requests per second sends nothing");
    }
}

impl Request {
    /// A GET whose good answer is any whole 2xx.
    pub fn get(path: impl Into<String>) -> Request {
        Request::new(Method::GET, path.into(), Bytes::new())
    }

    /// A POST of `body` whose good answer is any whole 2xx.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Request {
        Request::new(Method::POST, path.into(), body.into())
    }

    /// A POST whose good answer is its own body.
    pub fn echo(path: impl Into<String>, body: impl Into<Bytes>) -> Request {
        let body = body.into();
        Request::post(path, body.clone()).answered(Expected::Exactly(body))
    }

    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Only this status is good.
    pub fn with_status(self, status: StatusCode) -> Request {
        Request { status: Some(status), ..self }
    }

    /// Only such a body is good.
    pub fn answered(self, answer: Expected) -> Request {
        Request { answer, ..self }
    }

    fn new(method: Method, path: String, body: Bytes) -> Request {
        Request { method, path, headers: Vec::new(), body, status: None, answer: Expected::Anything }
    }

    pub(super) fn welcomes(&self, status: StatusCode) -> bool {
        self.status.map_or(status.is_success(), |wanted| wanted == status)
    }
}

impl Expected {
    pub(super) fn is_met_by(&self, body: &[u8]) -> bool {
        match self {
            Expected::Anything => true,
            Expected::Exactly(wanted) => body == wanted.as_ref(),
            Expected::Containing(text) => String::from_utf8_lossy(body).contains(text.as_str()),
        }
    }
}
