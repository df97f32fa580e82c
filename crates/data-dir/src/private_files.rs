//! Files and directories that only their owner can read. A crash during a write leaves either the old or the new file.
//!
//! This module never changes the mode of an existing file: if others could read a secret, the operator has to know.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Largest file that [`read_small`] reads. Keys, ids and tokens are far smaller.
const READ_LIMIT: u64 = 64 * 1024;

/// Creates the directory and its parents with mode 0700. Does not change an existing one.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The mode of the path if group or others have any permission on it.
pub fn open_to_others(path: &Path) -> io::Result<Option<u32>> {
    match fs::metadata(path) {
        Ok(found) => {
            let mode = found.permissions().mode() & 0o777;
            Ok((mode & 0o077 != 0).then_some(mode))
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Opens a file for reading and writing. Creates it with mode 0600 if it does not exist.
pub fn open_or_make(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Replaces a file atomically: after a crash either the old or the new file exists. Two writers of one path are not
/// allowed; the lock of the data directory prevents them.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft_of(path);
    let written = write_draft(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // On a full disk the draft may be incomplete. The first error is the one to return.
        let _ = fs::remove_file(&draft);
    }
    written?;
    sync_directory_of(path)
}

/// The content of a small file; `None` if it does not exist. Errors: also if it is larger than 64 KiB.
pub fn read_small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let mut bytes = Vec::new();
    file.take(READ_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 KiB"));
    }
    Ok(Some(bytes))
}

/// Removes a file if it exists.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Syncs the directory of `path`, so that a new name or a rename survives a power loss.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// The name of the temporary file beside `path`.
pub fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn write_draft(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    // A file that a crash left here could have another mode.
    remove(draft)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}
