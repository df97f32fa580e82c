//! Detects lost commits with a high-water mark outside the database.
//!
//! If the -wal file is truncated or deleted, SQLite opens an older state without an error. Each commit therefore raises a
//! number in the database and then in this file. A database whose number is lower than the file's has lost commits.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use data_dir::private_files;

/// Acknowledged commits are missing from the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostCommits {
    /// Number of the last commit that the database contains.
    pub last_kept: u64,
    /// Number of the last commit that was acknowledged.
    pub last_seen: u64,
}

/// The open file.
pub(crate) struct HighWater {
    file: File,
}

impl HighWater {
    /// Opens the file and reads the number: 0 if the file is new or cannot be parsed.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let text = private_files::read_small(path)?.unwrap_or_default();
        let seen = String::from_utf8_lossy(&text).trim().parse().unwrap_or(0);
        Ok((Self { file: private_files::open_or_make(path)? }, seen))
    }

    /// Records a commit. Overwrites the number without a sync: this needs no disk space, and a file that lags after a power
    /// loss cannot raise a false alarm.
    pub(crate) fn record(&self, sequence: u64) {
        if let Err(cause) = self.file.write_all_at(format!("{sequence:020}\n").as_bytes(), 0) {
            tracing::warn!(
                error = &cause as &dyn std::error::Error,
                sequence,
                "cannot record the number of the last commit"
            );
        }
    }
}
