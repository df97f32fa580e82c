//! The data plane of Boatyard: a separate process that accepts HTTP traffic and routes it to instances, and the
//! protocol by which the controller configures it.
//!
//! The ingress knows hosts, paths, upstreams and counting windows. It has no access to app specs, deployments, the
//! engine, the database or any app's environment. The controller sends whole route tables; the ingress swaps one
//! pointer and reports which requests are still open. Without a controller it keeps serving its last snapshot.
//!
//! In reading order:
//! - [`protocol`]: the messages between controller and ingress;
//! - [`features`]: which tables need a newer ingress than the running one;
//! - [`client`] and [`launch`]: the side of `boatyard serve`;
//! - [`take_over`]: how a new process replaces the running one without a refused connection;
//! - [`confine`]: rights that the ingress gives up first;
//! - [`process`]: the side of `boatyard ingress`, which owns everything below;
//! - `control_server`, `snapshot`, `routing_state`: accept a table, save it, put it in force, report drains;
//! - `table`, `host`, `path`: find the rule for a request;
//! - `internal`: calls between components of one app;
//! - `redirect`, `cors`, `policy`: answers of the ingress itself, and headers that an app's rules add;
//! - `maintenance`, `log_rotation`: periodic work on the log, the snapshot and the control socket;
//! - [`connection_limit`]: which connection is closed when there are too many;
//! - `worker`: the threads that serve clients; `rarely`, `deadline`: what a request waits for besides its bytes;
//! - `certificates`: which certificate a TLS connection gets, and answers to challenges of certificate authorities;
//! - `socket_read`, `message_writer`, `header_lines`, `client_response`: bytes of HTTP/1.1 on their way in and out;
//! - `listeners`, `proxy`, `admission`, `forwarded`, `headers`, `upload`, `body`, `tunnel`, `error_response`: one request;
//! - `request_id`, `access_log`: how a request is found again, and its line in the log;
//! - `files`: one request that the ingress answers from the files of a static site;
//! - `upstream_http1`, `http2_upstream`: HTTP/1.1 and HTTP/2 to an instance;
//! - `upstream`, `pool`, `upstream_stream`, `counters`, `component_counters`: open requests, idle connections, counts.

pub mod client;
pub mod confine;
pub mod features;
pub mod launch;
pub mod process;
pub mod protocol;

mod access_log;
mod admission;
mod body;
mod certificates;
mod client_response;
mod component_counters;
pub mod connection_limit;
mod control_server;
mod cors;
mod counters;
mod deadline;
mod error_response;
mod files;
mod forwarded;
mod header_lines;
mod headers;
mod host;
mod http2_upstream;
mod internal;
mod limits;
mod listeners;
mod log_rotation;
mod maintenance;
mod message_writer;
mod path;
mod policy;
mod pool;
mod proxy;
mod rarely;
mod redirect;
mod refusals;
mod request_id;
mod routing_state;
mod snapshot;
mod socket_read;
mod table;
pub mod take_over;
mod tunnel;
mod upload;
mod upstream;
mod upstream_http1;
mod upstream_stream;
mod wire;
mod worker;

pub use client::{ClientError, ControlClient, IngressEvent, Welcome};
pub use confine::{ConfineError, confine};
pub use launch::{LaunchError, ensure_running};
pub use process::{IngressError, IngressOptions, run, socket_path};
pub use protocol::*;
pub use take_over::{Inherited, TakeOverError, take_over};

#[cfg(test)]
mod tests;
