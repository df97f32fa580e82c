//! Disk space reserved for a full disk.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngCore;

use crate::error::{DataDirError, write};
use crate::private_files;

/// Size of the ballast: 1 MiB. SQLite needs a few pages to finish a cleanup on a full disk.
pub const BALLAST_BYTES: usize = 1024 * 1024;

/// A file of 1 MiB. The store deletes it when the disk is full, so that the controller can still write its records.
#[derive(Debug, Clone)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Deletes the file if it exists.
    pub fn release(&self) {
        if !self.path.exists() {
            return;
        }
        match private_files::remove(&self.path) {
            Ok(()) => tracing::warn!("the disk with the data directory is full: released the reserved 1 MiB"),
            Err(error) => tracing::warn!(%error, "cannot release the disk space reserved for a full disk"),
        }
    }

    /// Reserves the 1 MiB again, unless it is reserved already. Errors: [`DataDirError::is_disk_full`].
    pub fn restore(&self) -> Result<(), DataDirError> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() == BALLAST_BYTES as u64) {
            return Ok(());
        }
        // Random bytes, because a file system may compress other content or omit zeros and then reserve less.
        let mut content = vec![0; BALLAST_BYTES];
        rand::rng().fill_bytes(&mut content);
        write(&self.path, &content)
    }

    /// Reserves the 1 MiB again if it is not reserved and the disk has 16 MiB of free space.
    pub fn restore_if_space_allows(&self) {
        let is_full = |directory| disk_space(directory).is_none_or(|it| it.free_bytes < FREE_SPACE_REQUIRED);
        if self.path.exists() || self.path.parent().is_none_or(is_full) {
            return;
        }
        match self.restore() {
            Ok(()) => tracing::info!("the disk has free space again: reserved 1 MiB for the next full disk"),
            Err(error) => tracing::debug!(%error, "cannot reserve disk space for a full disk yet"),
        }
    }
}

/// Free space required before the ballast is restored: 16 times its size, so that the ballast itself cannot fill the disk.
const FREE_SPACE_REQUIRED: u64 = 16 * 1024 * 1024;

/// The size of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Free bytes that this user may use.
    pub free_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
}

/// The space on the file system of a directory; `None` if the system does not report it.
pub fn disk_space(directory: &Path) -> Option<DiskSpace> {
    let found = rustix::fs::statvfs(directory).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(DiskSpace { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) })
}
