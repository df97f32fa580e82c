//! The HTTP API: App Platform's paths, bodies and errors, and a few paths that only Boatyard has.
//!
//! A handler reads the request, calls the controller and renders the answer. Rules about apps live elsewhere. Every path
//! needs a token except log streams and consoles, whose addresses contain a one-use ticket. The API speaks HTTP on
//! loopback, which [`is_local`] checks, and HTTPS on any address.
//!
//! In reading order:
//! - `routes`: every path with its handler, in one table;
//! - `access`: checks what the token of a request may do; `allowed_hosts`: checks the Host header; `base_url`: the address
//!   that the client used; `body` and `query`: read the request; `error`: error answers;
//! - `view`: from the controller's views to those of the `present` crate; `render`: the JSON that clients parse;
//! - `held_polls`: requests that wait for the end of a deployment;
//! - `tickets`, with `stream` for logs and `console` for shells, and `web_socket` for what both need;
//! - `server`: connections, limits, deadlines; `tls`: certificates.
#![warn(missing_docs)]

mod access;
mod allowed_hosts;
mod base_url;
mod body;
mod console;
mod error;
mod held_polls;
mod query;
mod render;
mod routes;
mod server;
mod state;
mod stream;
mod tickets;
mod tls;
mod view;
mod web_socket;

#[cfg(test)]
mod tests;

pub use allowed_hosts::is_local;
pub use base_url::OutsideUrl;
pub use console::Utf8;
pub use controller::Control;
pub use server::{Listeners, ShutdownReason, serve};
pub use tls::{Tls, TlsError, server_names};
