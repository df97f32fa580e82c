//! How far the database has come, noted outside of it.
//!
//! A log file cut short or deleted takes SQLite back in time without a word. Each commit raises a number in the
//! database and then here; when the database is behind at its opening, it went back.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use data_dir::private_files;

/// The database lost commits that it had acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WentBack {
    /// The number of the last commit that it still has.
    pub kept: u64,
    /// The number of the last commit that it once had.
    pub seen: u64,
}

/// The open note.
pub(crate) struct HighWater {
    file: File,
}

impl HighWater {
    /// Opens the note and reads it; 0 when it is new or cannot be read.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let text = private_files::read_small(path)?.unwrap_or_default();
        let seen = String::from_utf8_lossy(&text).trim().parse().unwrap_or(0);
        Ok((Self { file: private_files::open_or_make(path)? }, seen))
    }

    /// Notes a commit. Written in place and not synced: it needs no room and may lag behind after a power loss, which
    /// raises no false alarm.
    pub(crate) fn note(&self, sequence: u64) {
        if let Err(cause) = self.file.write_all_at(format!("{sequence:020}\n").as_bytes(), 0) {
            tracing::warn!(error = &cause as &dyn std::error::Error, sequence, "cannot note the last commit");
        }
    }
}
