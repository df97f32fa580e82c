//! Human-readable views of apps and deployments, and the text for them.
//!
//! The API sends these views. The command line parses them and prints their text, so both show the same text. Nothing
//! here colours, escapes or lays out text: that depends on the terminal or the page.
//!
//! In reading order:
//! - [`Deployment`] with its [`Progress`], [`Record`] and [`Traffic`];
//! - [`App`], [`Instance`], [`Plan`] and [`BuildPlan`]; [`alert`];
//! - [`lanes`]: what happened to the instances of a deployment;
//! - [`outcome`]: how a deployment ended; [`news`]: what changed between two views of it; [`explain`]: an app in a few
//!   sentences;
//! - [`text`]: numbers, durations and lists in sentences; [`command`]: suggested commands.
#![warn(missing_docs)]

pub mod alert;
mod app;
mod build_plan;
pub mod command;
mod deployment;
pub mod explain;
mod instance;
pub mod lanes;
pub mod news;
pub mod outcome;
mod plan;
mod progress;
mod record;
pub mod text;
mod time;

#[cfg(test)]
mod samples;

pub use app::{App, AppDetails, InstanceCounts};
pub use build_plan::BuildPlan;
pub use deployment::{Deployment, DeploymentDetails, Failure, Image};
pub use instance::{Instance, InstanceDetails, LastEnd};
pub use lanes::{InstanceTransition, Transition};
pub use plan::{InstanceChanges, Plan};
pub use progress::{Leaf, Progress, Reason, Status, Step};
pub use record::{Record, Traffic, Unchanged};
pub use time::rfc3339;
