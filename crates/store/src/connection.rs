//! Opens the database file: checks the linked SQLite version, sets modes and pragmas, and runs a quick integrity check.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{DbError, StoreError};
use data_dir::private_files;

/// Before 3.51.3, two connections that checkpoint at the same time can lose a commit. See
/// <https://sqlite.org/releaselog/3_51_3.html>.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long to wait for the lock of another program, such as an operator's `sqlite3`. Our choice.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The size to which SQLite truncates the write-ahead log after a checkpoint: 16 MiB, our choice. The log grows while a
/// reader prevents the checkpoint.
const LOG_SIZE_LIMIT: u64 = 16 * 1024 * 1024;

/// Opens the one connection that writes. Creates an empty file with mode 0600 if there is none. SQLite gives the -wal and
/// -shm files the same mode.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    check_linked_version(rusqlite::version_number())?;
    let created = private_files::open_or_make(path).map_err(|cause| StoreError::File {
        doing: "open",
        path: path.to_owned(),
        cause,
    })?;
    drop(created);
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare_writer(&conn, path).map_err(|error| error.at(path))?;
    Ok(conn)
}

/// Opens a connection that reads and cannot write.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.pragma_update(None, "query_only", true).map_err(|cause| DbError::from(cause).at(path))?;
    Ok(conn)
}

pub(crate) fn check_linked_version(number: i32) -> Result<(), StoreError> {
    if number < OLDEST_SQLITE { Err(StoreError::OldSqlite { found: rusqlite::version() }) } else { Ok(()) }
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let with_pragmas = || {
        // Only one thread at a time uses a connection, so SQLite's mutex is not needed.
        let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.pragma_update(None, "trusted_schema", false)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.pragma_update(None, "cell_size_check", true)?;
        Ok(conn)
    };
    with_pragmas().map_err(|cause: rusqlite::Error| DbError::from(cause).at(path))
}

fn prepare_writer(conn: &Connection, path: &Path) -> Result<(), DbError> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::NoLog { path: path.to_owned(), mode }.into());
    }
    // FULL: an acknowledged commit survives a power loss.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "journal_size_limit", LOG_SIZE_LIMIT)?;
    let detail: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if detail == "ok" { Ok(()) } else { Err(StoreError::Corrupt { path: path.to_owned(), detail }.into()) }
}
