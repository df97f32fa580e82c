//! The HTTP API: App Platform's paths, bodies and errors, and a few paths that only Boatyard has.
//!
//! A handler reads the request, calls the controller and renders the answer. Rules about apps live elsewhere. Every path
//! needs the token except log streams, whose addresses contain a one-use ticket. The API speaks plain HTTP and is meant for
//! loopback; [`is_local`] checks an address for that.
//!
//! In reading order:
//! - `routes`: every path with its handler, in one table;
//! - `access`: checks the token; `allowed_hosts`: checks the Host header; `body` and `query`: read the request; `error`:
//!   error answers;
//! - `view`: from the controller's views to those of the `present` crate; `render`: the JSON that clients parse;
//! - `tickets` and `stream`: logs;
//! - `server`: connections, limits, deadlines.
#![warn(missing_docs)]

mod access;
mod allowed_hosts;
mod body;
mod error;
mod query;
mod render;
mod routes;
mod server;
mod state;
mod stream;
mod tickets;
mod view;

#[cfg(test)]
mod tests;

pub use allowed_hosts::is_local;
pub use controller::Control;
pub use server::{ShutdownReason, serve};
