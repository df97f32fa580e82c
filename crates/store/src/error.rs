//! What can go wrong with the database, in words that say what was kept and what to do next.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;
use rusqlite::ffi;
use thiserror::Error;

use rollout::ids::DeploymentId;

/// Why the store could not do as asked. A commit that returns one of these has changed nothing, except after
/// [`StoreError::Stopped`], which cannot tell.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another app has this name.
    #[error("an app named {name:?} exists already; nothing was changed. Choose another name, or delete that app first")]
    NameTaken {
        /// The name asked for.
        name: String,
    },
    /// Another app has this network number.
    #[error("network {network} belongs to another app; nothing was changed. Choose a free number")]
    NetworkTaken {
        /// The number asked for.
        network: u32,
    },
    /// The same caller used the same idempotency key before.
    #[error("this request was accepted before, as deployment {deployment}; nothing was changed")]
    AcceptedBefore {
        /// What the earlier request made.
        deployment: DeploymentId,
    },
    /// A change belongs to an app or a deployment that is not kept.
    #[error("a change belongs to an app or a deployment that is gone; nothing was changed")]
    Orphan,
    /// A row is too large to keep.
    #[error("a row of {table} would take {bytes} bytes, and {limit} is the limit; nothing was changed")]
    TooLarge {
        /// The table.
        table: &'static str,
        /// How large it would be.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A row asked for by its key cannot be read.
    #[error("the row {key} of {table} cannot be read: {why}. It was left as it is, and so were all others")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// What is wrong with it; holds no part of its content.
        why: String,
    },
    /// No room on the disk. Reading goes on.
    #[error("the disk with {} is full; nothing was changed, and what runs goes on. Free space there, then try again", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        cause: rusqlite::Error,
    },
    /// The data directory was deleted or put back while it is open.
    #[error("the database {} was deleted or replaced while Boatyard runs, so that nothing can be kept; the change was refused, and what runs goes on. Put the directory back, then restart `boatyard serve`", path.display())]
    Replaced {
        /// The database.
        path: PathBuf,
    },
    /// Somebody else holds the database for longer than 5 s.
    #[error("the database {} is busy; nothing was changed. Try again, and close other programs that have it open", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        cause: rusqlite::Error,
    },
    /// Reading took longer than it may.
    #[error("reading from {} took longer than {limit:?} and was ended; nothing was changed. Try again", path.display())]
    TooSlow {
        /// The database.
        path: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// The file is not a sound SQLite database.
    #[error("the database {} is damaged ({detail}); it was left as it is, and running apps are not touched. Stop Boatyard, move the file and its -wal and -shm aside, and put a backup in its place", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// The first error found.
        detail: String,
    },
    /// Written by a newer Boatyard.
    #[error("the database {} has schema {found}, and this version knows {known} at most; nothing was changed. Run the newer version", path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema that this version knows.
        known: u32,
    },
    /// It could not be brought to the current schema.
    #[error("the database {} cannot be brought from schema {from} to {to}; it was left at {from}", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// The schema it has.
        from: u32,
        /// The schema it was to get.
        to: u32,
        /// Why not.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database belongs to another installation.
    #[error("the database {} belongs to installation {found}, and this directory is {expected}; nothing was changed. Put back the directory's own database, or the `installation` and `key` files that belong to this one", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose directory it lies in.
        expected: String,
    },
    /// The key file is not the one the database was sealed with.
    #[error("the key does not open the database {}; nothing was changed. Put back the `key` file that belongs to it", path.display())]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// The file system has no shared memory, as some network file systems.
    #[error("the file system with {} cannot hold a write-ahead log (the journal mode stays {mode}); nothing was changed. Put the data directory on a local disk", path.display())]
    NoLog {
        /// The database.
        path: PathBuf,
        /// The journal mode it stays in.
        mode: String,
    },
    /// Linked with a SQLite that can lose a commit.
    #[error("SQLite {found} is linked, and versions before 3.51.3 can lose data in WAL mode; nothing was opened")]
    OldSqlite {
        /// The linked version.
        found: &'static str,
    },
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        cause: std::io::Error,
    },
    /// Anything else that SQLite refused.
    #[error("the database {} refused; nothing was changed", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        cause: rusqlite::Error,
    },
    /// The thread that writes or reads is gone.
    #[error("the store has stopped; whether the last change was kept is known after a restart. Restart Boatyard")]
    Stopped,
}

impl StoreError {
    /// May go well when tried again, without anybody changing anything but the room on the disk.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::TooSlow { .. }) || self.is_disk_full()
    }

    /// The disk is full: the API answers 507.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::File { cause, .. } => cause.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

/// An error on the way up to the door, where the database's path is known.
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
    /// A statement was ended because its time was over.
    pub(crate) fn is_interruption(&self) -> bool {
        let code = match self {
            Self::Sqlite(cause) => cause.sqlite_error_code(),
            Self::Known(_) => None,
        };
        code == Some(ErrorCode::OperationInterrupted)
    }

    /// The error as callers see it.
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
        // The file beside the database that grows in memory reports a full disk in its own way.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => StoreError::DiskFull { path, cause },
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreError::Busy { path, cause },
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => {
            StoreError::Corrupt { path, detail: cause.to_string() }
        }
        (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::Orphan,
        _ => StoreError::Sqlite { path, cause },
    }
}
