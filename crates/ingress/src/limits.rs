//! All timeouts and size limits of the data plane, in one place so that tests can shorten them.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// How long an upstream connection may be idle. Applications commonly close idle connections after 2 s or more.
    /// With a shorter time the ingress closes first, so no request meets a closing connection.
    pub upstream_idle: Duration,
    /// Idle connections kept per upstream, divided among the workers.
    pub upstream_idle_count: usize,
    /// Timeout of one attempt to connect to an upstream.
    pub connect: Duration,
    /// From the last byte of the request to the end of the response head. Applications may take long.
    pub response_head: Duration,
    /// How long the body of a request with `Expect: 100-continue` is held back. Then it is sent anyway, because not
    /// every application supports the expectation. Clients that send such requests commonly wait for a second.
    pub continue_wait: Duration,
    /// After a response that came before the request body was read: how long the client may continue to send, and how
    /// long it may be silent meanwhile. The ingress discards what it sends. Closing at once would reset the connection,
    /// and the client might not read the response.
    pub linger: Duration,
    pub linger_idle: Duration,
    /// Idle timeout of a client connection.
    pub body_idle: Duration,
    /// Idle timeout of an upgraded connection.
    pub tunnel_idle: Duration,
    /// For a whole request head, counted from when the ingress begins to wait for it. So it also ends idle keep-alive
    /// connections.
    pub request_head: Duration,
    /// The same for a trusted proxy, which may keep idle connections. Common proxies close them after 60 to 120 s, and the
    /// side that sends requests has to close first.
    pub proxy_idle: Duration,
    /// For the PROXY protocol header, from the start of the connection.
    pub proxy_header: Duration,
    /// How long a request waits for a first ready instance before it gets a 503.
    pub first_upstream: Duration,
    /// Upstreams tried for one request, as long as nothing was sent to any of them.
    pub upstreams_tried: usize,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Requests that are open at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long a new process may take from its copies of the sockets to serving. Meanwhile nothing can be changed.
    pub take_over: Duration,
    /// Header lines of a request, and of a response. SECURITY.md states this number.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            upstream_idle: Duration::from_millis(1500),
            upstream_idle_count: 256,
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(300),
            continue_wait: Duration::from_millis(500),
            linger: Duration::from_secs(30),
            linger_idle: Duration::from_secs(5),
            body_idle: Duration::from_secs(600),
            tunnel_idle: Duration::from_secs(3600),
            request_head: Duration::from_secs(15),
            proxy_idle: Duration::from_secs(180),
            proxy_header: Duration::from_secs(5),
            first_upstream: Duration::from_secs(1),
            upstreams_tried: 3,
            head_bytes: 64 * 1024,
            streams: 128,
            take_over: Duration::from_secs(30),
            headers: 512,
        }
    }
}
