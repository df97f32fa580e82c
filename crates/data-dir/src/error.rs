//! Why a data directory cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::private_files;

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Another process has it. The binary exits 75.
    #[error("the data directory is held by {holder}; nothing was changed. Stop that one, or choose another directory")]
    Held {
        /// "process 4711", or what is known of it.
        holder: String,
    },
    /// Group or others have rights on it.
    #[error("{} can be opened by others (mode {mode:04o}); nothing was changed. If no other user has read it, run: chmod {wanted:o} {}", path.display(), path.display())]
    OpenToOthers {
        /// The directory or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        wanted: u32,
    },
    /// A file stands where the directory should be.
    #[error("{} is not a directory; nothing was changed. Choose another data directory", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
    },
    /// There is a database, and the key that opens it is gone.
    #[error("{} is missing, and the database beside it cannot be read without it; nothing was changed. Put the key back from your backup", path.display())]
    KeyMissing {
        /// Where the key belongs.
        path: PathBuf,
    },
    /// The content of one of our small files is not what we wrote.
    #[error("{} does not hold {expected}; nothing was changed. Put it back from your backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried: "create", "read".
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the file system said.
        #[source]
        cause: io::Error,
    },
}

impl DataDirError {
    /// May pass by itself: the holder ends, or room is made.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Held { .. }) || self.is_disk_full()
    }

    /// The disk, or the quota on it, is used up.
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
