//! A directory of stored files.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use thiserror::Error;

use crate::index::{Entry, Index};

/// The name of the index in its directory. It is no hash, so no stored file has this name.
pub(crate) const INDEX: &str = "index.json";

/// The largest index that is read. An index of the largest site is smaller, even if each byte of its paths is escaped.
const INDEX_LIMIT: u64 = 128 << 20;

/// The extension of directories that [`remove`] has not removed yet.
const REMOVED: &str = "removed";

/// An open directory of stored files. The files of a directory never change.
#[derive(Debug)]
pub struct StoredSite {
    directory: OwnedFd,
    /// Its files.
    pub index: Index,
}

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be opened or read.
    #[error("cannot read the files of the site in {path}: {cause}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Its index is damaged, or from a newer version.
    #[error("the index of the site in {path} cannot be used: {why}")]
    Index {
        /// The directory.
        path: PathBuf,
        /// The reason.
        why: String,
    },
}

impl StoredSite {
    /// Opens a directory that [`crate::unpack`] filled. Errors: [`ReadError`].
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |cause: io::Error| ReadError::Io { path: path.to_owned(), cause };
        let unusable = |why: String| ReadError::Index { path: path.to_owned(), why };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let mut bytes = Vec::new();
        let file = File::open(path.join(INDEX)).map_err(failed)?;
        file.take(INDEX_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > INDEX_LIMIT {
            return Err(unusable(format!("it is larger than {} MiB", INDEX_LIMIT >> 20)));
        }
        let index: Index = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        if !index.is_readable() {
            return Err(unusable("it was written by a newer version".into()));
        }
        Ok(Self { directory, index })
    }

    /// Whether the path still leads to this directory. It does not if the directory was removed and its files were stored
    /// again.
    pub fn is_at(&self, path: &Path) -> bool {
        match (rustix::fs::fstat(self.directory.as_fd()), rustix::fs::stat(path)) {
            (Ok(open), Ok(found)) => (open.st_dev, open.st_ino) == (found.st_dev, found.st_ino),
            _ => false,
        }
    }

    /// Opens a directory if it contains all files of a site.
    pub fn open_complete(path: &Path) -> Option<Self> {
        Self::open(path).ok().filter(Self::is_complete)
    }

    /// Whether every file of the index is there with its size. One may be missing after damage to the disk, or if a removal
    /// of the directory was interrupted.
    fn is_complete(&self) -> bool {
        let size = |entry: &Entry| {
            let found = rustix::fs::statat(self.directory.as_fd(), entry.sha256.to_string(), AtFlags::SYMLINK_NOFOLLOW);
            found.ok().and_then(|it| u64::try_from(it.st_size).ok())
        };
        self.index.files.values().all(|entry| size(entry) == Some(entry.size))
    }

    /// Opens one of the files. Its name is a hash, so it lies in the directory, and no link is followed. `cached`: only if
    /// that needs no access to a disk; else, and on kernels before 5.12, the error is [`io::ErrorKind::WouldBlock`].
    pub fn file(&self, entry: &Entry, cached: bool) -> io::Result<File> {
        let (directory, name) = (self.directory.as_fd(), entry.sha256.to_string());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = match cached {
            false => rustix::fs::openat(directory, name, flags, Mode::empty()),
            true => match rustix::fs::openat2(directory, name, flags, Mode::empty(), ResolveFlags::CACHED) {
                Err(Errno::NOSYS | Errno::INVAL) => Err(Errno::WOULDBLOCK),
                other => other,
            },
        };
        Ok(File::from(opened?))
    }
}

/// Removes a directory of stored files. It loses its name first, so that an interrupted removal leaves no directory that
/// looks complete. What is left has a name with [`REMOVED`], and may be removed at any time.
///
/// Errors: the directory cannot be renamed or removed.
pub fn remove(path: &Path) -> io::Result<()> {
    let is_renamed = path.extension().is_some_and(|it| it == REMOVED);
    let renamed = if is_renamed {
        path.to_owned()
    } else {
        path.with_extension(format!("{}.{REMOVED}", uuid::Uuid::new_v4().simple()))
    };
    if !is_renamed {
        std::fs::rename(path, &renamed)?;
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    std::fs::remove_dir_all(&renamed)
}
