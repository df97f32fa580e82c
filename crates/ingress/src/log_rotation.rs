//! Log files that are renamed when they are large: `x.log` becomes `x.log.1`, and the oldest one is deleted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many older files are kept of each log.
pub(crate) const KEPT: u32 = 4;

/// Opens a log to append to it. Only the owner may read it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Renames the files of a log, so that `path` is free. The oldest one is replaced.
pub(crate) fn rotate(path: &Path) -> io::Result<()> {
    for number in (1..KEPT).rev() {
        match fs::rename(older(path, number), older(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, older(path, 1))
}

fn older(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Whether the file at `path` is the open one. Another program may have renamed or deleted it.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let identity = |it: fs::Metadata| (it.dev(), it.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(found)) => identity(open) == identity(found),
        _ => false,
    }
}

/// Rotates the file that standard output and standard error append to, if it is larger than `most` bytes.
///
/// Does nothing if they lead elsewhere, for example to the journal.
pub(crate) fn rotate_output(path: &Path, most: u64) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.len() > most => {}
        _ => return Ok(()),
    }
    let output = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 0)?);
    if !is_at(&output, path) {
        return Ok(());
    }
    rotate(path)?;
    let new = open(path)?;
    rustix::stdio::dup2_stdout(&new)?;
    Ok(rustix::stdio::dup2_stderr(&new)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_newest_older_file_has_the_number_one_and_the_oldest_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        for round in 0..10 {
            fs::write(&path, round.to_string()).unwrap();
            rotate(&path).unwrap();
        }
        let read = |number| fs::read_to_string(older(&path, number)).ok();
        assert_eq!((1..=KEPT).map(read).collect::<Option<Vec<_>>>().unwrap(), ["9", "8", "7", "6"]);
        assert_eq!((read(KEPT + 1), path.exists()), (None, false));
    }

    #[test]
    fn a_log_that_another_program_moved_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = open(&path).unwrap();
        assert!(is_at(&log, &path));
        fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(!is_at(&log, &path));
        open(&path).unwrap();
        assert!(!is_at(&log, &path));
    }

    #[test]
    fn a_large_log_that_is_not_the_output_of_this_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ingress.log");
        fs::write(&path, "text").unwrap();
        rotate_output(&path, 1).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
