//! Opening the database file: modes, pragmas, the linked version, a quick check.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{DbError, StoreError};
use crate::private_files;

/// Before 3.51.3 two connections that checkpoint at once can lose a commit.
const OLDEST_SQLITE: i32 = 3_051_003;
/// Waiting for somebody else's lock, an operator's `sqlite3` say: 5 s, ours.
const BUSY: Duration = Duration::from_secs(5);
/// The log file shrinks to this after it was written back: 16 MiB, ours; it grows while a reader holds it.
const LOG_BYTES_KEPT: u64 = 16 * 1024 * 1024;

/// The one connection that writes. Makes an empty file (0600) when there is none; the files beside it get its mode.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    check_linked_version(rusqlite::version_number())?;
    let made = private_files::open_or_make(path).map_err(|cause| StoreError::File {
        doing: "open",
        path: path.to_owned(),
        cause,
    })?;
    drop(made);
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare_writer(&conn, path).map_err(|error| error.at(path))?;
    Ok(conn)
}

/// One of the connections that read. It cannot write.
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
        // Each connection stays on one thread at a time: SQLite's own mutex would guard nothing.
        let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(BUSY)?;
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
    // FULL: what a commit acknowledged survives a power loss.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    let detail: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if detail == "ok" { Ok(()) } else { Err(StoreError::Corrupt { path: path.to_owned(), detail }.into()) }
}
