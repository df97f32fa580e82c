//! What Boatyard keeps on disk: the data directory with its lock and key, and a SQLite database behind one door.
//!
//! Nobody else writes SQL, and no SQLite type leaves this crate. It holds no rules: it keeps what it is given, all or
//! nothing, and gives it back. Secrets lie on disk sealed; a sealed body opens only in the row that it was written for.

mod changes;
mod connection;
mod damaged_rows;
pub mod directory;
mod error;
mod high_water;
mod open_files;
mod private_files;
mod query;
mod reader_pool;
pub mod records;
mod schema;
pub mod sealing;
mod store;
mod writer;

pub use damaged_rows::Damaged;
pub use directory::{DataDir, DataDirError};
pub use error::StoreError;
pub use high_water::WentBack;
pub use sealing::{SealError, Sealer};
pub use store::Store;

#[cfg(test)]
mod tests;
