//! Migrates a database to the current schema, each migration in one transaction, after a backup of the file.
//!
//! A released migration is never edited: a new schema is a new file. A database with a newer schema is refused.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{DbError, StoreError};
use data_dir::private_files;

/// Migration `n` changes schema `n` to `n + 1`.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("sql/0001_first.sql"),
    include_str!("sql/0002_names.sql"),
    include_str!("sql/0003_alert_destinations.sql"),
    include_str!("sql/0004_bandwidth.sql"),
    include_str!("sql/0005_tokens.sql"),
    include_str!("sql/0006_transitions.sql"),
    include_str!("sql/0007_sessions.sql"),
    include_str!("sql/0008_host_logins.sql"),
    include_str!("sql/0009_webhooks.sql"),
    include_str!("sql/0010_certificates.sql"),
    include_str!("sql/0011_certificate_attempts.sql"),
];

/// Migrates the database at `path` to the schema after the last migration.
///
/// First copies a database with content to `boatyard.db.schema-N`, where N is the schema it has. The copy is kept.
pub(crate) fn migrate(conn: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let known = u32::try_from(migrations.len()).expect("there are few migrations");
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
    for (migration, to) in migrations.iter().zip(1..).skip(from as usize) {
        apply_migration(conn, migration, to).map_err(|cause| migration_failed(cause, path, to))?;
        tracing::info!(schema = to, "database migrated");
    }
    Ok(())
}

/// Path of the copy with schema `from`.
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
    // VACUUM INTO accepts an empty file and keeps its mode.
    let file = private_files::open_or_make(&draft).map_err(failed("create"))?;
    let name = draft.to_string_lossy().into_owned();
    conn.execute("VACUUM INTO ?1", [&name]).map_err(|cause| DbError::from(cause).at(path))?;
    file.sync_all().map_err(failed("sync"))?;
    std::fs::rename(&draft, &copy).map_err(failed("rename"))?;
    private_files::sync_directory_of(&copy).map_err(failed("sync the directory of"))
}

fn apply_migration(conn: &mut Connection, migration: &str, to: u32) -> rusqlite::Result<()> {
    // A migration may rebuild a table, which foreign keys would forbid. All foreign keys are checked before the commit.
    conn.pragma_update(None, "foreign_keys", false)?;
    let outcome = in_one_transaction(conn, migration, to);
    conn.pragma_update(None, "foreign_keys", true)?;
    outcome
}

fn in_one_transaction(conn: &mut Connection, migration: &str, to: u32) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    tx.execute_batch(migration)?;
    if tx.prepare("PRAGMA foreign_key_check")?.exists([])? {
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY);
        return Err(rusqlite::Error::SqliteFailure(
            failure,
            Some("rows would refer to an app that does not exist".to_owned()),
        ));
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
