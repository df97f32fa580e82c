//! Bringing a database to the current schema, one step in one transaction, after putting a copy aside.
//!
//! Steps are never edited once released: a new schema is a new file. A newer schema than we know is refused.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{DbError, StoreError};
use crate::private_files;

/// Step `n` brings schema `n` to `n + 1`.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("sql/0001_first.sql")];

/// Brings the database at `path` to the schema after the last step.
///
/// A database with content is first copied to `boatyard.db.schema-N`, N being the schema it had; the copy stays.
pub(crate) fn migrate(conn: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let known = u32::try_from(steps.len()).expect("there are few steps");
    let from = version(conn).map_err(|cause| DbError::from(cause).at(path))?;
    if from > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found: from, known });
    }
    if from == known {
        return Ok(());
    }
    if from > 0 {
        back_up(conn, path, from)?;
    }
    for (step, to) in steps.iter().zip(1..).skip(from as usize) {
        apply_migration(conn, step, to).map_err(|cause| migration_failed(cause, path, to))?;
        tracing::info!(schema = to, "database migrated");
    }
    Ok(())
}

/// Where the copy of schema `from` lies.
pub(crate) fn backup_path(path: &Path, from: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{from}"));
    PathBuf::from(name)
}

fn version(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn back_up(conn: &Connection, path: &Path, from: u32) -> Result<(), StoreError> {
    let copy = backup_path(path, from);
    let draft = private_files::draft_of(&copy);
    let failed = |doing| {
        let path = draft.clone();
        move |cause| StoreError::File { doing, path, cause }
    };
    private_files::remove(&draft).map_err(failed("remove"))?;
    // SQLite fills an empty file and keeps its mode.
    let file = private_files::open_or_make(&draft).map_err(failed("create"))?;
    let name = draft.to_string_lossy().into_owned();
    conn.execute("VACUUM INTO ?1", [&name]).map_err(|cause| DbError::from(cause).at(path))?;
    file.sync_all().map_err(failed("sync"))?;
    std::fs::rename(&draft, &copy).map_err(failed("rename"))?;
    private_files::sync_directory_of(&copy).map_err(failed("sync the directory of"))
}

fn apply_migration(conn: &mut Connection, step: &str, to: u32) -> rusqlite::Result<()> {
    // A step may rebuild a table, which references to it would forbid; they are checked as a whole before it ends.
    conn.pragma_update(None, "foreign_keys", false)?;
    let outcome = in_one_transaction(conn, step, to);
    conn.pragma_update(None, "foreign_keys", true)?;
    outcome
}

fn in_one_transaction(conn: &mut Connection, step: &str, to: u32) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    tx.execute_batch(step)?;
    if tx.prepare("PRAGMA foreign_key_check")?.exists([])? {
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY);
        return Err(rusqlite::Error::SqliteFailure(failure, Some("rows would be left without their app".to_owned())));
    }
    tx.pragma_update(None, "user_version", to)?;
    tx.commit()
}

fn migration_failed(cause: rusqlite::Error, path: &Path, to: u32) -> StoreError {
    match DbError::from(cause).at(path) {
        full if full.is_disk_full() => full,
        StoreError::Sqlite { path, cause } => StoreError::Migration { path, from: to - 1, to, cause: Box::new(cause) },
        other => StoreError::Migration { path: path.to_owned(), from: to - 1, to, cause: Box::new(other) },
    }
}
