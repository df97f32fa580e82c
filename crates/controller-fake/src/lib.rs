//! An in-memory controller with two deployments, for tests of the code above the [`controller::Control`] trait.
//!
//! It records its calls, returns an error when a test asks for one, and opens fake shells.

mod console;
mod control;
pub mod samples;

pub use console::FakeConsoles;
pub use control::{FakeControl, TOKEN};
