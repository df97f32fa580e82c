//! Disk space that is kept back for the moment when the disk is full.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngCore;

use crate::error::{DataDirError, write};
use crate::private_files;

/// Size of the ballast: 1 MiB. SQLite needs a few pages to finish a clean-up on a full disk.
pub const BALLAST_BYTES: usize = 1024 * 1024;

/// A file of 1 MiB. It is deleted when the disk is full, so that the controller can still write its records.
#[derive(Debug, Clone)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Deletes the file. Does nothing if it was deleted before.
    pub fn release(&self) {
        if !self.path.exists() {
            return;
        }
        match private_files::remove(&self.path) {
            Ok(()) => tracing::warn!("the disk with the data directory is full: 1 MiB kept for this was given back"),
            Err(error) => tracing::warn!(%error, "the room kept for a full disk could not be given back"),
        }
    }

    /// Takes the 1 MiB again. Does nothing when it is there. Errors: [`DataDirError::is_disk_full`].
    pub fn restore(&self) -> Result<(), DataDirError> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() == BALLAST_BYTES as u64) {
            return Ok(());
        }
        // Noise, so that a file system that compresses or leaves out zeros keeps the room for real.
        let mut noise = vec![0; BALLAST_BYTES];
        rand::rng().fill_bytes(&mut noise);
        write(&self.path, &noise)
    }

    /// Takes the 1 MiB again once the disk has room to spare.
    pub fn restore_if_there_is_room(&self) {
        if self.path.exists() || self.path.parent().is_none_or(|it| room(it) < ROOM_TO_SPARE) {
            return;
        }
        match self.restore() {
            Ok(()) => tracing::info!("the disk has room again: 1 MiB of it is kept for the next time"),
            Err(error) => tracing::debug!(%error, "no room is kept for a full disk yet"),
        }
    }
}

/// Free space required before the ballast is restored: 16 times its size, so that the ballast itself cannot fill the disk.
const ROOM_TO_SPARE: u64 = 16 * 1024 * 1024;

/// Bytes that this user may still write.
fn room(directory: &Path) -> u64 {
    rustix::fs::statvfs(directory).map_or(0, |it| it.f_bavail.saturating_mul(it.f_frsize))
}
