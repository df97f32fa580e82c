//! Decides what should happen next.
//!
//! [`plan::plan`] takes the targets, the observed state and the current time. It returns an ordered list of steps as
//! plain data, and a reason wherever it waits. This crate has no I/O, no async and no clock, so it cannot fail because
//! of a network; `clippy.toml` enforces that.
//!
//! In reading order:
//! - [`ids`] and [`time`]: the small types;
//! - [`instance`]: the life of one container of a component, as a state machine that never moves backwards;
//! - [`target`]: what each component should run; [`revision`]: what its instances run; [`resolve`]: from a spec and
//!   images to both; [`observed`]: what exists; [`health`]: why a check did not pass;
//! - [`step`]: the steps and the reasons for waiting;
//! - [`plan`]: from targets and observed state to steps;
//! - [`deployment`]: the stages of one deployment; [`limits`]: how long each stage may take; [`rollback`]: what each
//!   component runs after an abandoned rollback; [`app_rollback`]: when a person may return an app to an earlier
//!   deployment; [`job`]: the life of one job run; [`queue`]: how a new request affects
//!   earlier ones; [`repeat`]: requests that need no new deployment; [`sources`]: which components keep the commit or
//!   image that serves; [`push`]: which pushes concern a component, and when they lead to a deployment; [`progress`]: the tree of steps that people and clients see; [`durations`]: how long these took;
//! - [`site_files`]: which versions of a static site's files serve;
//! - [`simulate`]: applies plans to a model until nothing is left to do, for previews and tests.
#![warn(missing_docs)]

pub mod app_rollback;
pub mod deployment;
pub mod durations;
pub mod health;
pub mod ids;
pub mod instance;
pub mod job;
pub mod limits;
pub mod observed;
pub mod plan;
pub mod progress;
pub mod push;
pub mod queue;
pub mod repeat;
pub mod resolve;
pub mod revision;
pub mod rollback;
pub mod simulate;
pub mod site_files;
pub mod sources;
pub mod step;
pub mod target;
pub mod time;
