//! The HTTP API: App Platform's paths, bodies and errors over a controller, and a few paths of our own.
//!
//! A handler reads the request, asks the controller, and draws the answer; rules about apps live elsewhere. Nothing is
//! reachable without a token but the log streams, whose addresses carry a one-use ticket. The API speaks plain HTTP and
//! is meant for loopback; [`is_local`] tells whether an address is that.
//!
//! In reading order:
//! - [`control`]: what is asked of the controller;
//! - `routes`: every path with its handler, in one table;
//! - `access`: the one door: who asks, by which address; `body` and `query`: what they ask; `error`: what they get instead;
//! - `show`: records as the JSON that clients parse;
//! - `tickets` and `stream`: logs;
//! - `server`: connections, limits, deadlines.
#![warn(missing_docs)]

mod access;
mod body;
pub mod control;
mod error;
mod host;
mod query;
mod routes;
mod server;
mod show;
mod state;
mod stream;
mod tickets;

#[cfg(test)]
mod tests;

pub use control::Control;
pub use host::is_local;
pub use server::{Ended, serve};
