//! What the API and the control panel share: the HTTP server, who may do what, and error answers.
//!
//! In reading order:
//! - `server`: connections, limits, deadlines; [`Stop`] ends what outlives a request; `tls`: certificates;
//! - `allowed_hosts`: checks the Host header; `base_url`: the address that the client used;
//! - [`access`]: checks what the token of a request may do, and records the request in the audit trail;
//! - `error`: error answers;
//! - [`view`]: from the controller's views to those of the `present` crate.
#![warn(missing_docs)]

pub mod access;
mod allowed_hosts;
mod base_url;
mod digest;
mod error;
mod server;
pub mod view;

mod stop;
mod tls;

pub use access::{Access, Authenticate, Authenticated, Bearer, Gate, Identity, Needs, PathParams};
pub use allowed_hosts::is_local;
pub use base_url::{OutsideUrl, Scheme, split_host};
pub use digest::{sha256, sha256_of_bytes};
pub use error::HttpError;
pub use server::{BaseUrl, ClientConnection, EarlierRequests, Listeners, RESPONSE_TIMEOUT, RequestId, serve};
pub use stop::{Stop, StopDelay};
pub use tls::{Tls, TlsError, server_names};
