//! Errors of the store. Each message says what was kept and what to do next.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;
use rusqlite::ffi;
use thiserror::Error;

use rollout::ids::DeploymentId;

/// Why a read or a commit failed. A commit that fails has changed nothing. Only after [`StoreError::Stopped`] is it unknown
/// whether the commit took effect.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another app has this name.
    #[error("an app named {name:?} exists already; nothing was changed. Choose another name, or delete that app first")]
    NameTaken {
        /// The requested name.
        name: String,
    },
    /// Another app has this network number.
    #[error("network {network} belongs to another app; nothing was changed. Choose a free number")]
    NetworkTaken {
        /// The requested number.
        network: u32,
    },
    /// The same caller used the same idempotency key before.
    #[error("this request was already accepted as deployment {deployment}; nothing was changed")]
    AcceptedBefore {
        /// The deployment of the earlier request.
        deployment: DeploymentId,
    },
    /// A change refers to an app or a deployment that has no row.
    #[error("a change refers to an app or a deployment that no longer exists; nothing was changed")]
    Orphan,
    /// A row is too large.
    #[error("a row of {table} would have {bytes} bytes, more than the limit of {limit}; nothing was changed")]
    TooLarge {
        /// The table.
        table: &'static str,
        /// The size of the row.
        bytes: usize,
        /// The largest size allowed.
        limit: usize,
    },
    /// A row that was requested by its key cannot be read.
    #[error(
        "row {key} of table {table} cannot be read: {why}. Nothing was changed. Restore the database from a backup to repair it"
    )]
    Damaged {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// What is wrong with it, without any of its content.
        why: String,
    },
    /// The disk is full. Reads still work.
    #[error("the disk with {} is full; nothing was changed, and running apps are not affected. Free space there, then try again", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
        /// The error from SQLite.
        #[source]
        cause: rusqlite::Error,
    },
    /// The data directory was deleted or replaced while the store has it open.
    #[error("the database {} was deleted or replaced while Boatyard is running, so changes cannot be saved; nothing was changed, and running apps are not affected. Restore the directory, then restart `boatyard serve`", path.display())]
    Replaced {
        /// The database.
        path: PathBuf,
    },
    /// Another program has kept the database locked for more than 5 s.
    #[error("the database {} is locked by another program; nothing was changed. Close other programs that have it open, then try again", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
        /// The error from SQLite.
        #[source]
        cause: rusqlite::Error,
    },
    /// A read took longer than its limit.
    #[error("reading from {} took longer than {limit:?} and was stopped; nothing was changed. Try again", path.display())]
    TooSlow {
        /// The database.
        path: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// The file is not an intact SQLite database.
    #[error("the database {} is damaged ({detail}); it was not changed, and running apps are not affected. Stop Boatyard, move the file and its -wal and -shm files away, and restore a backup", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// The first error found.
        detail: String,
    },
    /// Written by a newer Boatyard.
    #[error("the database {} has schema {found}, but this version of Boatyard supports schema {known} at most; nothing was changed. Run the newer version", path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Schema of the database.
        found: u32,
        /// The newest schema that this version supports.
        known: u32,
    },
    /// A migration failed.
    #[error("the database {} cannot be migrated from schema {from} to {to}; it still has schema {from}", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// The current schema.
        from: u32,
        /// The schema after the migration.
        to: u32,
        /// Why the migration failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database belongs to another installation.
    #[error("the database {} belongs to installation {found}, but this data directory belongs to installation {expected}; nothing was changed. Restore the database of this directory, or the `installation` and `key` files of the database", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// Installation of the database.
        found: String,
        /// Installation of the data directory.
        expected: String,
    },
    /// The database was sealed with another key.
    #[error("the `key` file does not match the database {}; nothing was changed. Restore the `key` file from the same backup as the database", path.display())]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// The file system does not support a write-ahead log. Some network file systems do not.
    #[error("the file system with {} does not support a write-ahead log (the journal mode stays {mode}); nothing was changed. Move the data directory to a local disk", path.display())]
    NoLog {
        /// The database.
        path: PathBuf,
        /// The journal mode that SQLite uses instead.
        mode: String,
    },
    /// The linked SQLite can lose a commit.
    #[error(
        "this program is linked with SQLite {found}, and versions before 3.51.3 can lose data in WAL mode; the database was not opened. Build with SQLite 3.51.3 or newer"
    )]
    OldSqlite {
        /// The linked version.
        found: &'static str,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// The operation, as a verb: "open".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The error from the file system.
        #[source]
        cause: std::io::Error,
    },
    /// Any other error from SQLite.
    #[error("the database {} returned an error; nothing was changed", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// The error from SQLite.
        #[source]
        cause: rusqlite::Error,
    },
    /// The writer or reader thread has ended.
    #[error("the store has stopped, and the last change may not have been saved. Restart `boatyard serve`")]
    Stopped,
}

impl StoreError {
    /// Whether a retry may succeed without any change except more free space on the disk.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::TooSlow { .. }) || self.is_disk_full()
    }

    /// Whether the disk is full. The API then returns 507.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::File { cause, .. } => cause.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

/// An error inside the store, before the path of the database is added.
pub(crate) enum DbError {
    Known(StoreError),
    Sqlite(rusqlite::Error),
}

impl From<StoreError> for DbError {
    fn from(error: StoreError) -> Self {
        Self::Known(error)
    }
}

impl From<rusqlite::Error> for DbError {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sqlite(cause)
    }
}

impl DbError {
    /// Whether SQLite stopped a statement because its deadline had passed.
    pub(crate) fn is_interruption(&self) -> bool {
        let code = match self {
            Self::Sqlite(cause) => cause.sqlite_error_code(),
            Self::Known(_) => None,
        };
        code == Some(ErrorCode::OperationInterrupted)
    }

    /// Adds the path of the database.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Known(error) => error,
            Self::Sqlite(cause) => of_sqlite(cause, path.to_owned()),
        }
    }
}

fn of_sqlite(cause: rusqlite::Error, path: PathBuf) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, _) = &cause else { return StoreError::Sqlite { path, cause } };
    match (failure.code, failure.extended_code) {
        // SQLite reports a full disk with this code when it cannot grow the -shm file.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => StoreError::DiskFull { path, cause },
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreError::Busy { path, cause },
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => {
            StoreError::Corrupt { path, detail: cause.to_string() }
        }
        (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::Orphan,
        _ => StoreError::Sqlite { path, cause },
    }
}
