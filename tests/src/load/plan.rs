//! What to send, how fast, and what a good answer looks like.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;

/// Traffic to one address: start with [`LoadPlan::new`] and change what differs.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub(super) target: SocketAddr,
    /// The `Host` header.
    pub(super) host: String,
    pub(super) connections: usize,
    pub(super) rate: Option<f64>,
    pub(super) think_time: Duration,
    pub(super) deadline: Duration,
    pub(super) requests: Vec<Request>,
}

/// One request, which the load sends again and again.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) expected: Expected,
}

/// The expected body of a good answer. The status of a good answer is 2xx.
#[derive(Clone, Debug)]
pub enum Expected {
    Anything,
    Exactly(Bytes),
    Containing(String),
}

impl LoadPlan {
    /// No requests yet, and 8 connections that send as fast as answers arrive. The deadline of a request is 120 s: a
    /// request without an answer fails, but one that a busy machine answers late does not.
    pub fn new(target: SocketAddr, host: impl Into<String>) -> LoadPlan {
        LoadPlan {
            target,
            host: host.into(),
            connections: 8,
            rate: None,
            think_time: Duration::ZERO,
            deadline: Duration::from_secs(120),
            requests: Vec::new(),
        }
    }

    /// Adds a request. The load sends all its requests in turn, again and again.
    pub fn with(mut self, request: Request) -> LoadPlan {
        self.requests.push(request);
        self
    }

    /// How many connections are open. Each has at most one open request.
    pub fn connections(self, connections: usize) -> LoadPlan {
        LoadPlan { connections, ..self }
    }

    /// Requests per second over all connections. Requests are due at fixed moments and their time counts from then, so
    /// that a server that stalls is charged for the requests that it delayed.
    pub fn rate(self, per_second: f64) -> LoadPlan {
        LoadPlan { rate: Some(per_second), ..self }
    }

    /// Pause of a connection after each answer.
    pub fn think_time(self, think_time: Duration) -> LoadPlan {
        LoadPlan { think_time, ..self }
    }

    /// Longest time of one request, from sending it to the last byte of its answer.
    pub fn deadline(self, deadline: Duration) -> LoadPlan {
        LoadPlan { deadline, ..self }
    }

    pub(super) fn assert_sends_something(&self) {
        assert!(!self.requests.is_empty(), "a load needs at least one request");
        assert!(self.connections > 0, "a load needs at least one connection");
        assert!(self.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0), "a load needs a rate above zero");
    }
}

impl Request {
    /// A GET. Any complete 2xx answer is good.
    pub fn get(path: &str) -> Request {
        Request { method: Method::GET, path: path.to_owned(), body: Bytes::new(), expected: Expected::Anything }
    }

    /// A POST. Any complete 2xx answer is good.
    pub fn post(path: &str, body: impl Into<Bytes>) -> Request {
        Request { method: Method::POST, body: body.into(), ..Request::get(path) }
    }

    /// A POST. A good answer returns the body of the request.
    pub fn echo(path: &str, body: impl Into<Bytes>) -> Request {
        let body = body.into();
        Request::post(path, body.clone()).answered(Expected::Exactly(body))
    }

    /// Only this body is good.
    pub fn answered(self, expected: Expected) -> Request {
        Request { expected, ..self }
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
