//! The shell: per app observe, plan, do one step, write it down, look again.
//!
//! [`Controller`] is what API and CLI ask. One task per app ([`app`]) owns all changes to that app; everybody else sends
//! it a request or wakes it up. The rules are in `rollout`; here is only what carries them out.
//!
//! In reading order:
//! - [`config`], [`view`], [`error`]: what goes in and what comes out;
//! - [`names`], [`network`], [`process`]: pure: names and addresses; from a revision and its image to what a container runs;
//! - [`engine_watch`], [`ingress_client`], [`probe`], [`image_builder`]: what is seen of the engine, of the ingress, of
//!   instances, of sources;
//! - [`supervise`]: tasks that survive a panic;
//! - [`app`]: the task that owns an app;
//! - [`unknown`]: what no record explains; [`mirrors`]: what was fetched and nothing needs any more;
//! - [`control`], [`start`], [`fence`], [`logs`], [`redact`]: the questions, the first minute, who may act, the lines, what
//!   no line shows.
#![warn(missing_docs)]

mod app;
mod clock;
pub mod config;
mod control;
mod engine_watch;
pub mod error;
mod fence;
mod image_builder;
mod ingress_client;
mod logbook;
mod logs;
mod mirrors;
mod names;
mod network;
mod probe;
mod process;
mod redact;
mod specs;
mod start;
mod supervise;
#[cfg(test)]
mod tests;
pub mod unknown;
pub mod view;

pub use config::{Config, NetworkPool, SpecialNetwork};
pub use control::Controller;
pub use error::{ControlError, StartError};
pub use start::uninstall;
