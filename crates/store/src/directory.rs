//! The data directory: one holder at a time, a key, an installation id, and where everything else lies.
//!
//! It refuses a directory or a secret file that others may read, and never makes a new key where a database exists
//! that was sealed with another one.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::{Rng, RngCore, TryRngCore};
use thiserror::Error;

use crate::private_files;
use crate::sealing::{Sealer, keyed_digest};

/// Size of the ballast: 1 MiB, ours; SQLite needs a few pages of room to finish a clean-up on a full disk.
pub const BALLAST_BYTES: usize = 1024 * 1024;

const KEY_BYTES: usize = 32;
const INSTALLATION_CHARS: usize = 10;
/// Letters and digits that nobody mistakes for one another, and that every engine takes in a name.
const INSTALLATION_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A data directory that is ours as long as this value, or a store opened in it, lives.
pub struct DataDir {
    root: PathBuf,
    key: [u8; KEY_BYTES],
    installation: String,
    lock: Arc<File>,
}

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
    #[error("{} can be opened by others (mode {mode:04o}); nothing was changed. If nobody else has read it, run: chmod {wanted:o} {}", path.display(), path.display())]
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

impl DataDir {
    /// Takes the directory, making it (0700) with its key and installation id when it is new. A full disk is no
    /// obstacle to one that exists.
    ///
    /// Errors: [`DataDirError::Held`] while another process has it; [`DataDirError::OpenToOthers`] when it, or a
    /// secret in it, may be read by group or others.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataDirError> {
        let root = path.as_ref().to_owned();
        make_root(&root)?;
        let lock = take_lock(&root.join("lock"))?;
        for name in ["key", "installation", "admin-token", DATABASE, "boatyard.db-wal", "boatyard.db-shm"] {
            refuse_open_to_others(&root.join(name), 0o600)?;
        }
        let key = load_key(&root)?;
        let installation = load_installation(&root.join("installation"))?;
        let directory = Self { root, key, installation, lock: Arc::new(lock) };
        for inner in [directory.logs(), directory.sources(), directory.ingress()] {
            private_files::make_directory(&inner).map_err(|cause| failed("create", &inner, cause))?;
        }
        if let Err(cause) = directory.ballast().restore() {
            tracing::warn!(error = &cause as &dyn std::error::Error, "no ballast: the disk is nearly full");
        }
        Ok(directory)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The installation's id: 10 lower-case letters and digits, made once.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// A key for one purpose: HMAC-SHA256 over its name. Knowing it tells nothing of the key file or of other purposes.
    pub fn derived_key(&self, purpose: &str) -> [u8; 32] {
        keyed_digest(&self.key, "derived-key", purpose.as_bytes())
    }

    /// Seals and opens values with this installation's key.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(self.derived_key("sealing"))
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    /// Build and job logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Mirrors of repositories.
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    /// Control socket, snapshot and log of the ingress.
    pub fn ingress(&self) -> PathBuf {
        self.root.join("ingress")
    }

    /// Where the admin token lies, for the command line on the same host.
    pub fn admin_token_file(&self) -> PathBuf {
        self.root.join("admin-token")
    }

    /// Where the running server says how it is reached.
    pub fn runtime_file(&self) -> PathBuf {
        Self::runtime_file_of(&self.root)
    }

    /// The runtime file of a directory that somebody else holds: the command line reads it.
    pub fn runtime_file_of(root: &Path) -> PathBuf {
        root.join("runtime.json")
    }

    /// The admin token; `None` before one was written.
    pub fn admin_token(&self) -> Result<Option<String>, DataDirError> {
        let path = self.admin_token_file();
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| DataDirError::Damaged { path, expected: "a token" })?;
        Ok(Some(text.trim_end().to_owned()))
    }

    /// Writes the admin token (0600), whole or not at all.
    pub fn write_admin_token(&self, token: &str) -> Result<(), DataDirError> {
        write(&self.admin_token_file(), format!("{token}\n").as_bytes())
    }

    /// Writes the runtime file (0600), whole or not at all.
    pub fn write_runtime(&self, bytes: &[u8]) -> Result<(), DataDirError> {
        write(&self.runtime_file(), bytes)
    }

    /// Removes the runtime file; one that is gone already is fine.
    pub fn remove_runtime(&self) -> Result<(), DataDirError> {
        let path = self.runtime_file();
        private_files::remove(&path).map_err(|cause| failed("remove", &path, cause))
    }

    /// The room that is kept for a full disk.
    pub fn ballast(&self) -> Ballast {
        Ballast { path: self.root.join("ballast") }
    }

    /// Keeps the directory ours while a store is open in it.
    pub(crate) fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// Notes how far the database has come, outside of it.
    pub(crate) fn high_water_file(&self) -> PathBuf {
        self.root.join("high-water")
    }
}

impl std::fmt::Debug for DataDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataDir")
            .field("root", &self.root)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

/// 1 MiB in a file of its own, given back to a full disk, so that what has to be written down then can be.
#[derive(Debug, Clone)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Gives the 1 MiB back. Does nothing when it was given back before.
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
    pub(crate) fn restore_if_there_is_room(&self) {
        if self.path.exists() || self.path.parent().is_none_or(|it| room(it) < ROOM_TO_SPARE) {
            return;
        }
        match self.restore() {
            Ok(()) => tracing::info!("the disk has room again: 1 MiB of it is kept for the next time"),
            Err(error) => tracing::debug!(%error, "no room is kept for a full disk yet"),
        }
    }
}

/// 16 MiB, ours: many times what is taken.
const ROOM_TO_SPARE: u64 = 16 * 1024 * 1024;

/// Bytes that this user may still write.
fn room(directory: &Path) -> u64 {
    rustix::fs::statvfs(directory).map_or(0, |it| it.f_bavail.saturating_mul(it.f_frsize))
}

const DATABASE: &str = "boatyard.db";

fn make_root(root: &Path) -> Result<(), DataDirError> {
    match fs::metadata(root) {
        Ok(found) if !found.is_dir() => return Err(DataDirError::NotADirectory { path: root.to_owned() }),
        Ok(_) => {}
        Err(_) => private_files::make_directory(root).map_err(|cause| failed("create", root, cause))?,
    }
    refuse_open_to_others(root, 0o700)
}

fn refuse_open_to_others(path: &Path, wanted: u32) -> Result<(), DataDirError> {
    match private_files::open_to_others(path).map_err(|cause| failed("look at", path, cause))? {
        Some(mode) => Err(DataDirError::OpenToOthers { path: path.to_owned(), mode, wanted }),
        None => Ok(()),
    }
}

fn take_lock(path: &Path) -> Result<File, DataDirError> {
    let mut lock = private_files::open_or_make(path).map_err(|cause| failed("open", path, cause))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DataDirError::Held { holder: holder_in(path) }),
        Err(TryLockError::Error(cause)) => return Err(failed("lock", path, cause)),
    }
    // Only for people: the lock holds without it, also on a full disk.
    let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    if let Err(cause) = noted {
        tracing::warn!(error = &cause as &dyn std::error::Error, "cannot note in the lock file who holds it");
    }
    Ok(lock)
}

fn holder_in(path: &Path) -> String {
    let text = private_files::read_small(path).ok().flatten().unwrap_or_default();
    match String::from_utf8_lossy(&text).trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
    }
}

fn load_key(root: &Path) -> Result<[u8; KEY_BYTES], DataDirError> {
    let path = root.join("key");
    if let Some(bytes) = read(&path)? {
        return bytes.try_into().map_err(|_| DataDirError::Damaged { path, expected: "32 bytes of key" });
    }
    if fs::metadata(root.join(DATABASE)).is_ok_and(|found| found.len() > 0) {
        return Err(DataDirError::KeyMissing { path });
    }
    let mut key = [0; KEY_BYTES];
    rand::rngs::OsRng
        .try_fill_bytes(&mut key)
        .map_err(|cause| failed("draw randomness for", &path, io::Error::other(cause)))?;
    write(&path, &key)?;
    Ok(key)
}

fn load_installation(path: &Path) -> Result<String, DataDirError> {
    let Some(bytes) = read(path)? else {
        let id = new_installation();
        write(path, format!("{id}\n").as_bytes())?;
        return Ok(id);
    };
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    let well_formed = text.len() == INSTALLATION_CHARS && text.bytes().all(|it| INSTALLATION_ALPHABET.contains(&it));
    if well_formed {
        Ok(text)
    } else {
        Err(DataDirError::Damaged { path: path.to_owned(), expected: "an installation id" })
    }
}

fn new_installation() -> String {
    let mut rng = rand::rng();
    (0..INSTALLATION_CHARS)
        .map(|_| char::from(INSTALLATION_ALPHABET[rng.random_range(0..INSTALLATION_ALPHABET.len())]))
        .collect()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, DataDirError> {
    private_files::read_small(path).map_err(|cause| failed("read", path, cause))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    private_files::write_whole(path, bytes).map_err(|cause| failed("write", path, cause))
}

fn failed(doing: &'static str, path: &Path, cause: io::Error) -> DataDirError {
    DataDirError::File { doing, path: path.to_owned(), cause }
}
