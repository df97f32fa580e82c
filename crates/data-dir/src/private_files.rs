//! Files and directories that only their owner may read, written so that a crash leaves the old one or the new one.
//!
//! It never loosens or repairs a mode that it finds: whoever could read a secret may have done so, and a person has
//! to know.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Largest file that is read whole: 64 KiB. Keys, ids and tokens are far smaller.
const READ_LIMIT: u64 = 64 * 1024;

/// Makes the directory, with its parents, for the owner alone. An existing one is left as it is.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The mode of what exists when group or others have any right on it.
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

/// Opens a file for reading and writing, making it empty and private when it is not there.
pub fn open_or_make(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Puts a whole file in place at once: after a crash there is the old one or the new one.
/// Only one writer a path at a time, which the lock of the data directory sees to.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft_of(path);
    let written = write_draft(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The draft may be half a file on a full disk. The error that matters is the first one.
        let _ = fs::remove_file(&draft);
    }
    written?;
    sync_directory_of(path)
}

/// The bytes of a small file; `None` when it is not there. Errors also when it is larger than 64 KiB.
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

/// Removes a file; one that is gone already is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Makes a rename or a new name survive a power loss.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// The name beside `path` under which its next content is prepared.
pub fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn write_draft(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    // Left by a crash: it must not lend its mode to the new file.
    remove(draft)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}
