//! The data directory: which process holds it, its key and installation id, and where everything else is stored.
//!
//! This crate reads only the key, the installation id, the admin token and the lock. It does not interpret other files.

mod ballast;
mod directory;
mod error;
mod identity;
pub mod private_files;
mod sealing;

pub use ballast::{BALLAST_BYTES, Ballast, DiskSpace, disk_space};
pub use directory::DataDir;
pub use error::DataDirError;
pub use sealing::{SealError, Sealer};

#[cfg(test)]
mod tests;
