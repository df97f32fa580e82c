//! Whether the files that commits go to are still the ones at their paths.
//!
//! A data directory that is deleted or put back while it is open leaves SQLite writing into files that nobody can open
//! again: each commit would be acknowledged and lost.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The open database and its log.
pub(crate) struct OpenFiles {
    database: PathBuf,
    log: PathBuf,
    of_database: Option<Identity>,
    /// Known from the first commit on: SQLite makes it when it needs it, and keeps it while it is open.
    of_log: Option<Identity>,
}

/// Device and inode.
type Identity = (u64, u64);

impl OpenFiles {
    /// The database that was just opened.
    pub fn at(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self { database: database.to_owned(), log: log.into(), of_database: identity(database), of_log: None }
    }

    /// Errors: [`StoreError::Replaced`].
    pub fn check(&self) -> Result<(), StoreError> {
        let is_there = identity(&self.database) == self.of_database;
        let log_is_there = self.of_log.is_none() || identity(&self.log) == self.of_log;
        match is_there && log_is_there {
            true => Ok(()),
            false => Err(StoreError::Replaced { path: self.database.clone() }),
        }
    }

    /// A commit was made, so that the log exists.
    pub fn committed(&mut self) {
        if self.of_log.is_none() {
            self.of_log = identity(&self.log);
        }
    }
}

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|it| (it.dev(), it.ino()))
}
