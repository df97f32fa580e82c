//! Detects the language of a source that has no Dockerfile, and writes a Dockerfile for it.
//!
//! Everything here is a function of a [`Project`] (names and texts of files) and a [`Request`] (what the app spec says).
//! There is no I/O: the caller reads the files and builds the image. The Dockerfile has several stages, installs
//! dependencies before it copies the sources, keeps downloads in cache mounts, and runs as a user without rights.
//!
//! In reading order:
//! - [`project`]: the files of a source;
//! - [`request`]: what the app spec says about the component;
//! - [`bases`]: the base images, in one table;
//! - [`versions`]: the version of a base image from what a source asks for;
//! - [`choice`]: a generated Dockerfile, or the one in the source directory;
//! - [`languages`]: one module per language, and the order in which they are tried;
//! - [`dockerfile`]: writes the text;
//! - [`build_variables`]: which variables of the build an installation of dependencies may read;
//! - [`procfile`]: start commands from a `Procfile`;
//! - [`system_packages`]: packages of Debian that an app needs beside its language;
//! - [`undetected`]: what to do if nothing was recognized.
#![warn(missing_docs)]

mod bases;
mod build_variables;
mod choice;
mod dockerfile;
mod languages;
mod procfile;
mod project;
mod request;
mod system_packages;
#[cfg(test)]
mod testing;
mod undetected;
mod versions;

pub use bases::{Bases, InvalidBase};
pub use choice::{Choice, choose};
pub use languages::{Detected, Finding, Language, detect};
pub use project::{Project, is_wanted};
pub use request::{Kind, Request};
pub use undetected::Undetected;
