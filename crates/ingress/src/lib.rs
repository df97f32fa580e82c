//! The data plane of Boatyard: a process of its own that holds the front door, and the protocol that steers it.
//!
//! It knows hosts, paths, upstreams and windows to count under. It knows no app spec, no deployment, no engine, no
//! database and no environment of any app: control sends whole route tables, ingress swaps one pointer and reports
//! what is still open. It keeps serving from its last snapshot when control is gone.
//!
//! In reading order:
//! - [`protocol`]: what the two say to each other;
//! - [`control`] and [`launch`]: the side of `boatyard serve`;
//! - [`confine`]: rights that the process gives up first;
//! - [`process`]: the side of `boatyard ingress`, which owns everything below;
//! - `server`, `snapshot`, `routing`: taking a table, keeping it, putting it in force, telling what drains;
//! - `table`, `host`, `path`: which rule a request belongs to;
//! - `tending`: the log, the snapshot and the socket, looked after from time to time;
//! - [`places`]: who gives way when there are too many connections;
//! - `listeners`, `proxy`, `admission`, `headers`, `upload`, `body`, `tunnel`, `pages`: one request;
//! - `upstream`, `pool`, `counters`: what is open, kept and counted.

pub mod client;
pub mod confine;
pub mod launch;
pub mod process;
pub mod protocol;

mod admission;
mod body;
pub mod connection_limit;
mod control_server;
mod counters;
mod error_response;
mod headers;
mod host;
mod limits;
mod listeners;
mod maintenance;
mod path;
mod pool;
mod proxy;
mod routing_state;
mod snapshot;
mod table;
mod tunnel;
mod upload;
mod upstream;
mod wire;

pub use client::{ClientError, ControlClient, IngressEvent, Welcome};
pub use confine::{ConfineError, confine};
pub use launch::{LaunchError, ensure_running};
pub use process::{IngressError, IngressOptions, run, socket_path};
pub use protocol::*;

#[cfg(test)]
mod tests;
