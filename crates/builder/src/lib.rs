//! From a source to an image: fetch, say which commit it is, name what goes in, find it built or build it.
//!
//! - [`recipe`]: what to build, and the identity that follows from it;
//! - [`bases`]: which images a Dockerfile begins from;
//! - [`build`]: the steps, one after the other, with a log that streams while they run.
//!
//! It keeps nothing: what was built before is for the caller to remember and to tell. It never runs a program of the
//! source itself; that is the engine's.
#![warn(missing_docs)]

mod bases;
mod build;
mod recipe;

pub use build::{BuildError, Builder, Built, ImageLookup, LogSink};
pub use recipe::{Cache, KnownImage, Recipe};
