//! The HTTP API: App Platform's paths, bodies and errors, and a few paths that only Boatyard has.
//!
//! A handler reads the request, calls the controller and renders the answer. Rules about apps live elsewhere. Every path
//! needs a token except log streams and consoles, whose addresses contain a one-use ticket. The crate `web` has the server,
//! the gate in front of every handler, and the error answers.
//!
//! In reading order:
//! - `routes`: every path with its handler, in one table;
//! - `body` and `query`: read the request; `render`: the JSON that clients parse;
//! - `held_polls`: requests that wait for the end of a deployment;
//! - `tickets`, with `stream` for logs and `console` for shells, and `web_socket` for what both need;
//! - `webhooks`: the server for what hosts of repositories deliver, apart from the API;
//! - `server`: deadlines, and what a shutdown waits for.
#![warn(missing_docs)]

mod body;
mod console;
mod held_polls;
mod query;
mod render;
mod routes;
mod server;
mod state;
mod stream;
mod tickets;
mod web_socket;
mod webhooks;

#[cfg(test)]
mod tests;

pub use console::Utf8;
pub use controller::Control;
pub use server::{Options, ShutdownReason, serve};
pub use webhooks::serve_webhooks;
