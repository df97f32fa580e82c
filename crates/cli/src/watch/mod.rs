//! Follows a deployment: live on a terminal, line by line in a pipe.

mod terminal;
mod wait;

pub use wait::{instances, read_deployment, wait};
