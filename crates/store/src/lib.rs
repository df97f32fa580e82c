//! Boatyard's records on disk: one SQLite database in the data directory.
//!
//! No other crate writes SQL, and no SQLite type leaves this crate. The store holds no rules: it stores a list of changes
//! completely or not at all, and returns what it stored. Secrets are sealed on disk, and a sealed body opens only in the
//! row that it was written for.

mod audit;
mod bandwidth;
mod changes;
mod connection;
mod damaged_rows;
mod deliveries;
mod error;
mod high_water;
mod open_files;
mod query;
mod reader_pool;
pub mod records;
mod schema;
mod store;
mod table;
mod transitions;
mod writer;

pub use bandwidth::BANDWIDTH_DAYS;
pub use damaged_rows::Damaged;
pub use error::StoreError;
pub use high_water::LostCommits;
pub use store::Store;

#[cfg(test)]
mod tests;
