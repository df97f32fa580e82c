//! The one door to a container engine.
//!
//! [`port`] says in our words what Boatyard asks of an engine; [`docker`] carries it out on a Docker Engine and is the only
//! place that names a Docker type. The crate `engine-fake` has an engine in memory for tests. Nothing here decides when to do
//! something: that is the caller's.

pub mod port;

pub mod error;
pub mod exit_message;
pub mod identity;
mod info;
pub mod reference;

pub mod docker;

pub use docker::DockerEngine;
pub use error::{EngineError, Holder};
pub use identity::Installation;
pub use port::*;
