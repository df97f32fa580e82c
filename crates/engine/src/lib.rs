//! Access to a container engine. No other crate talks to one.
//!
//! [`port`] defines what Boatyard needs from a container engine, in Boatyard's terms. [`docker`] implements it on a
//! Docker Engine and is the only module that names Docker types. [`shell`] has the types for interactive shells, [`secret`] those
//! for secrets. The crate `engine-fake` has an in-memory engine for tests. This crate does not decide when to act: the caller does.

pub mod port;

pub mod error;
pub mod exit_message;
pub mod identity;
mod info;
pub mod reference;
pub mod secret;
pub mod shell;

pub mod docker;

pub use docker::DockerEngine;
pub use error::{EngineError, Holder, PullProblem};
pub use identity::Installation;
pub use port::*;
pub use secret::{RegistryLogin, Secret};
pub use shell::{Shell, ShellEvent, ShellInput, ShellMark, ShellOutput, TerminalSize};
