//! Following a deployment: what of it is worth telling, live on a terminal and line by line in a pipe.
//!
//! - [`snapshot`]: one answer of the API; [`lines`]: from two snapshots to what is new; [`ending`]: what it came to;
//! - [`terminal`]: redrawing in place; [`wait`]: the loop.

mod ending;
mod lines;
mod snapshot;
mod terminal;
mod wait;

pub use ending::nothing_changed;
pub use snapshot::Snapshot;
#[cfg(test)]
pub use snapshot::samples;
pub use wait::{instances, wait};
