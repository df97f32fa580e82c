//! What should happen next.
//!
//! [`plan::plan`] takes what is wanted, what is there and what time it is, and returns steps as plain data, in order,
//! and why it holds still where it does. There is no I/O here, no async and no clock, so nothing in this crate can fail
//! for lack of a network; `clippy.toml` keeps it so.
//!
//! In reading order:
//! - [`ids`] and [`time`]: the small types;
//! - [`instance`]: the life of one container of a component, as a state machine that never goes back;
//! - [`target`]: what is wanted of each component; [`revision`]: what its instances run; [`resolve`]: from a spec and images to
//!   both; [`observed`]: what is there; [`health`]: why a check did not pass;
//! - [`step`]: the steps and the reasons for waiting;
//! - [`plan`]: from wanted and observed to steps;
//! - [`deployment`]: the stages of one deployment; [`limits`]: how long each may take; [`rollback`]: what serves on when a
//!   rollback is abandoned; [`job`]: the life of one job run; [`queue`]: what a new request does
//!   to the ones before it; [`repeat`]: requests that need no deployment of their own; [`progress`]: the tree of steps that people and clients see;
//! - [`simulate`]: applies plans to a model until nothing is left to do, for previews and for tests.
#![warn(missing_docs)]

pub mod deployment;
pub mod health;
pub mod ids;
pub mod instance;
pub mod job;
pub mod limits;
pub mod observed;
pub mod plan;
pub mod progress;
pub mod queue;
pub mod repeat;
pub mod resolve;
pub mod revision;
pub mod rollback;
pub mod simulate;
pub mod step;
pub mod target;
pub mod time;
