//! Checks that the open database files are still the files at their paths.
//!
//! If the data directory is deleted or replaced while it is open, SQLite keeps writing to the old files, and
//! acknowledged commits would be lost.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The open database and its write-ahead log.
pub(crate) struct OpenFiles {
    database: PathBuf,
    log: PathBuf,
    database_id: Option<FileId>,
    /// Known after the first commit: SQLite creates the log when it needs it, and keeps it while the database is open.
    log_id: Option<FileId>,
}

/// Device and inode.
type FileId = (u64, u64);

impl OpenFiles {
    /// For the database at this path, which has just been opened.
    pub fn at(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self { database: database.to_owned(), log: log.into(), database_id: file_id(database), log_id: None }
    }

    /// Errors: [`StoreError::Replaced`].
    pub fn check(&self) -> Result<(), StoreError> {
        let database_is_same = file_id(&self.database) == self.database_id;
        let log_is_same = self.log_id.is_none() || file_id(&self.log) == self.log_id;
        match database_is_same && log_is_same {
            true => Ok(()),
            false => Err(StoreError::Replaced { path: self.database.clone() }),
        }
    }

    /// Remembers the log, which exists from the first commit on.
    pub fn record_commit(&mut self) {
        if self.log_id.is_none() {
            self.log_id = file_id(&self.log);
        }
    }
}

fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|it| (it.dev(), it.ino()))
}
