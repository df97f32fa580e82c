//! Why a data directory cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::private_files;

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Another process holds the directory. The binary then exits with code 75.
    #[error(
        "the data directory is in use by {holder}; nothing was changed. Stop that process, or choose another directory"
    )]
    Held {
        /// "process 4711", or "another process" if its id is unknown.
        holder: String,
    },
    /// Group or others have permissions on the directory or on a secret in it.
    #[error("{} can be opened by others (mode {mode:04o}); nothing was changed. If no other user has read it, run: chmod {wanted:o} {}", path.display(), path.display())]
    OpenToOthers {
        /// The directory or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The required mode.
        wanted: u32,
    },
    /// The path is a file.
    #[error("{} is not a directory; nothing was changed. Choose another data directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// A database exists, but not its key.
    #[error("{} is missing, and the database beside it cannot be read without it; nothing was changed. Restore the key from a backup", path.display())]
    KeyMissing {
        /// Path of the missing key.
        path: PathBuf,
    },
    /// The key, the installation id or the admin token has invalid content.
    #[error("{} does not contain {expected}; nothing was changed. Restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the file should contain.
        expected: &'static str,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// The operation, as a verb: "create", "read".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error from the file system.
        #[source]
        cause: io::Error,
    },
}

impl DataDirError {
    /// Whether a retry may succeed later, because the other process ends or disk space is freed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Held { .. }) || self.is_disk_full()
    }

    /// Whether the disk is full or its quota is used up.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::File { cause, .. }
            if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, DataDirError> {
    private_files::read_small(path).map_err(|cause| failed("read", path, cause))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    private_files::write_whole(path, bytes).map_err(|cause| failed("write", path, cause))
}

pub(crate) fn failed(doing: &'static str, path: &Path, cause: io::Error) -> DataDirError {
    DataDirError::File { doing, path: path.to_owned(), cause }
}
