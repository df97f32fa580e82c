//! Tests of the data plane through real sockets.
#![allow(clippy::unwrap_used)]

mod control;
mod cut_responses;
mod drain;
mod drain_kinds;
mod early_response;
mod fast_path;
mod forwarding;
pub mod harness;
mod http2_limits;
mod http2_upstream;
mod http2_violations;
mod internal;
mod invalid_requests;
mod ipv6;
mod previous_version;
mod request_id;
mod retry;
mod routing;
mod tls;
mod trusted_proxies;
mod unix_socket;
mod upgrade;
mod upstream_protocols;
