//! The promises of the front door, kept or broken through real sockets.
#![allow(clippy::unwrap_used)]

mod control;
mod cut;
mod drain;
mod early;
mod harness;
mod passing;
mod previous;
mod refusal;
mod retry;
mod upgrade;
