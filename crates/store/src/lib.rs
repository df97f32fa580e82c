//! Boatyard's records: one SQLite database in the data directory.
//!
//! No other crate writes SQL, and no SQLite type leaves this one. It holds no rules: it stores what it is given, all or
//! nothing, and returns it. Secrets are sealed on disk, and a sealed body opens only in the row that it was written for.

mod connection;
mod damage;
mod error;
mod files;
mod high_water;
mod readers;
mod reading;
pub mod records;
mod schema;
mod store;
mod writer;
mod writing;

pub use damage::Damaged;
pub use error::StoreError;
pub use high_water::WentBack;
pub use store::Store;

#[cfg(test)]
mod tests;
