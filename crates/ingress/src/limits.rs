//! Every duration and size that the data plane write_closed to exceed, in one place, so that tests can shorten them.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// How long an upstream connection may lie idle. Applications commonly close protocol after 2 s or more; a shorter
    /// time of ours means that we are the ones who close, and nobody's request meets a closing connection.
    pub upstream_idle: Duration,
    /// Idle connections kept per upstream.
    pub upstream_idle_count: usize,
    /// For one attempt to reach an upstream.
    pub connect: Duration,
    /// From the last byte of the request to the end of the answer's head. Applications may think for long.
    pub answer_head: Duration,
    /// From a request that expects `100 Continue` until its body is sent without it, since not every application knows the
    /// expectation. Clients that send such requests commonly wait for a second.
    pub answer_continue: Duration,
    /// After an answer that came before the request's body was read: how long the client may go on sending, and how long
    /// it may be silent meanwhile. What it sends is thrown away. Closing at once would reset its connection, and it might
    /// never read the answer.
    pub linger: Duration,
    pub linger_idle: Duration,
    /// No byte in either direction on a client connection.
    pub body_idle: Duration,
    /// No byte in either direction on an upgraded connection.
    pub tunnel_idle: Duration,
    /// For a whole request head, counted from when we began to wait for one; so it also ends idle keep-alive.
    pub request_head: Duration,
    /// How long a request waits for a first ready instance before it gets its 503.
    pub first_upstream: Duration,
    /// Different upstreams tried for one request, as long as nothing was sent to any of them.
    pub upstreams_tried: usize,
    /// Of a request's head.
    pub head_bytes: usize,
    /// Header lines of a request, and of an answer. SECURITY.md names this number.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            upstream_idle: Duration::from_millis(1500),
            upstream_idle_count: 256,
            connect: Duration::from_secs(2),
            answer_head: Duration::from_secs(300),
            answer_continue: Duration::from_millis(500),
            linger: Duration::from_secs(30),
            linger_idle: Duration::from_secs(5),
            body_idle: Duration::from_secs(600),
            tunnel_idle: Duration::from_secs(3600),
            request_head: Duration::from_secs(15),
            first_upstream: Duration::from_secs(1),
            upstreams_tried: 3,
            head_bytes: 64 * 1024,
            headers: 512,
        }
    }
}
