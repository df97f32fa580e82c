//! Builds an image from a source: fetches, resolves the commit, computes the build identity, reuses an existing image
//! or builds one.
//!
//! - [`recipe`]: what to build, and its identity;
//! - [`dockerfile`]: the Dockerfile of the repository, or one for the detected language;
//! - [`variables`]: how the build gets the variables of the component;
//! - [`bases`]: the base images of a Dockerfile;
//! - [`queue`]: which builds run, and which wait;
//! - [`build`]: the steps of a build, with a streaming log.
//!
//! This crate does not record builds: the caller looks up earlier ones. It never runs a program from the source; only
//! the engine does.
#![warn(missing_docs)]

mod bases;
mod build;
mod dockerfile;
mod queue;
mod recipe;
mod variables;

pub use build::{BuildError, BuildLimits, Builder, Built, ImageLookup, LogSink, LoginLookup};
pub use dockerfile::BuildPlan;
pub use recipe::{BuildSecrets, Cache, Hints, KnownImage, Recipe, queue_name};
