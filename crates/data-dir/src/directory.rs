//! Opens and locks the directory, and defines its layout.
//!
//! Refuses a directory or a secret file that others may read. Never creates a new key beside a database, because the
//! database is sealed with another key.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ballast::Ballast;
use crate::error::{DataDirError, failed, read, write};
use crate::identity::{self, KEY_BYTES};
use crate::private_files;
use crate::sealing::{Sealer, keyed_digest};

/// File name of the database.
pub(crate) const DATABASE: &str = "boatyard.db";

/// The data directory. This process holds its lock until this value and every store opened in it are dropped.
pub struct DataDir {
    root: PathBuf,
    key: [u8; KEY_BYTES],
    installation: String,
    lock: Arc<File>,
}

impl DataDir {
    /// Opens and locks the directory. Creates it (mode 0700) with its key and installation id if it does not exist. An
    /// existing directory can be opened even if the disk is full.
    ///
    /// Errors: [`DataDirError::Held`] if another process holds it; [`DataDirError::OpenToOthers`] if group or others
    /// have any permission on the directory or on a secret in it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataDirError> {
        let root = path.as_ref().to_owned();
        make_root(&root)?;
        let lock = take_lock(&root.join("lock"))?;
        for name in ["key", "installation", "admin-token", DATABASE, "boatyard.db-wal", "boatyard.db-shm"] {
            refuse_open_to_others(&root.join(name), 0o600)?;
        }
        let key = identity::load_key(&root)?;
        let installation = identity::load_installation(&root.join("installation"))?;
        let directory = Self { root, key, installation, lock: Arc::new(lock) };
        for inner in [directory.logs(), directory.sources(), directory.ingress()] {
            private_files::make_directory(&inner).map_err(|cause| failed("create", &inner, cause))?;
        }
        if let Err(cause) = directory.ballast().restore() {
            tracing::warn!(error = &cause as &dyn std::error::Error, "cannot reserve disk space for a full disk");
        }
        Ok(directory)
    }

    /// Path of the directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The installation's id: 10 lower-case letters and digits, generated once.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// A key for one purpose: HMAC-SHA256 of the purpose's name. It reveals neither the key file nor the other keys.
    pub fn derived_key(&self, purpose: &str) -> [u8; 32] {
        keyed_digest(&self.key, "derived-key", purpose.as_bytes())
    }

    /// Seals and opens values with this installation's key.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(self.derived_key("sealing"))
    }

    /// Path of the database.
    pub fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    /// Directory of build and job logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Directory of repository mirrors.
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    /// Directory of the repositories that `boatyard dev` makes of working copies, in a data directory that another process
    /// holds. Specs may clone repositories in it.
    pub fn working_copies_of(root: &Path) -> PathBuf {
        root.join("working-copies")
    }

    /// Directory of the files of static sites. The ingress reads them.
    pub fn sites(&self) -> PathBuf {
        self.root.join("sites")
    }

    /// Directory of the ingress: its control socket, snapshot and log.
    pub fn ingress(&self) -> PathBuf {
        self.root.join("ingress")
    }

    /// Path of the socket to which the ingress forwards deliveries to webhooks, in a data directory that this or another
    /// process holds.
    pub fn webhooks_socket_of(root: &Path) -> PathBuf {
        root.join("ingress").join("hooks.sock")
    }

    /// Path of the admin token, which the command line on this host reads.
    pub fn admin_token_file(&self) -> PathBuf {
        self.root.join("admin-token")
    }

    /// Path of the runtime file, in which the running server publishes its address.
    pub fn runtime_file(&self) -> PathBuf {
        Self::runtime_file_of(&self.root)
    }

    /// Path of the runtime file in a directory that another process holds. The command line reads it.
    pub fn runtime_file_of(root: &Path) -> PathBuf {
        root.join("runtime.json")
    }

    /// Directory of the API's certificate authority, in a data directory that this or another process holds.
    pub fn certificate_authority_of(root: &Path) -> PathBuf {
        root.join("tls")
    }

    /// The admin token; `None` if it has not been written yet.
    pub fn admin_token(&self) -> Result<Option<String>, DataDirError> {
        let path = self.admin_token_file();
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| DataDirError::Damaged { path, expected: "a token" })?;
        Ok(Some(text.trim_end().to_owned()))
    }

    /// Writes the admin token (mode 0600) atomically.
    pub fn write_admin_token(&self, token: &str) -> Result<(), DataDirError> {
        write(&self.admin_token_file(), format!("{token}\n").as_bytes())
    }

    /// Writes the runtime file (mode 0600) atomically.
    pub fn write_runtime(&self, bytes: &[u8]) -> Result<(), DataDirError> {
        write(&self.runtime_file(), bytes)
    }

    /// Removes the runtime file if it exists.
    pub fn remove_runtime(&self) -> Result<(), DataDirError> {
        let path = self.runtime_file();
        private_files::remove(&path).map_err(|cause| failed("remove", &path, cause))
    }

    /// Disk space reserved for a full disk.
    pub fn ballast(&self) -> Ballast {
        Ballast::at(self.root.join("ballast"))
    }

    /// The lock of the directory. A store holds it while the database is open, so that no second process uses the directory.
    pub fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// Path of the number of the last commit. The store keeps it outside the database, to detect lost commits.
    pub fn high_water_file(&self) -> PathBuf {
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

fn make_root(root: &Path) -> Result<(), DataDirError> {
    match fs::metadata(root) {
        Ok(found) if !found.is_dir() => return Err(DataDirError::NotADirectory { path: root.to_owned() }),
        Ok(_) => {}
        Err(_) => private_files::make_directory(root).map_err(|cause| failed("create", root, cause))?,
    }
    refuse_open_to_others(root, 0o700)
}

fn refuse_open_to_others(path: &Path, wanted: u32) -> Result<(), DataDirError> {
    match private_files::open_to_others(path).map_err(|cause| failed("check the mode of", path, cause))? {
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
    // Only error messages use the process id. Without it, for example on a full disk, the lock still works.
    let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    if let Err(cause) = written {
        tracing::warn!(error = &cause as &dyn std::error::Error, "cannot write the process id to the lock file");
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
