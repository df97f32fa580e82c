//! A disk of a few megabytes that a test fills up.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A tmpfs, unmounted on drop.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it at a directory that exists. Needs root.
    pub fn mount(at: &Path, bytes: u64) -> Result<Self> {
        let options = std::ffi::CString::new(format!("size={bytes}"))?;
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), options.as_c_str())
            .with_context(|| format!("a tmpfs cannot be mounted at {}", at.display()))?;
        Ok(Self(at.to_owned()))
    }

    /// Uses all the space that is left. May be called again after something was deleted.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.filler())?;
        // Small writes fill the last bytes.
        for piece in [vec![b' '; 64 << 10], vec![b' '; 1]] {
            loop {
                match filler.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("the disk cannot be filled"),
                }
            }
        }
        Ok(())
    }

    /// Frees the space that [`SmallDisk::fill`] used.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.0.display());
        }
    }
}
