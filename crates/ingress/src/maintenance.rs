//! Periodic work of the process: bounds the log, saves the snapshot, and listens again after the data directory was
//! replaced.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::connection_limit::ConnectionLimit;
use crate::control_server::{self, ControlServer};
use crate::log_rotation;
use crate::process::{self, IngressError};

const INTERVAL: Duration = Duration::from_secs(1);
/// Every so many rounds the log is bounded and an unsaved snapshot is written again.
const SLOW_CHECKS_EVERY: u32 = 10;
/// A larger log is rotated.
const LOG_BYTES: u64 = 8 * 1024 * 1024;

/// Memory is released when the number of connections has dropped by more than this.
const RELEASE_THRESHOLD: usize = 500;

/// The control socket of this process.
pub(crate) struct ControlEndpoint {
    data_dir: PathBuf,
    path: PathBuf,
    /// Device and inode of the bound socket.
    socket: (u64, u64),
}

impl ControlEndpoint {
    /// Binds the socket. This process has the lock of the directory.
    pub fn bind(data_dir: &Path) -> Result<(Self, UnixListener), IngressError> {
        let path = process::socket_path(data_dir);
        let failed = |cause| IngressError::Socket { path: path.clone(), cause };
        let listener = control_server::bind(&path).map_err(failed)?;
        let socket = identity(&path).map_err(failed)?;
        Ok((Self { data_dir: data_dir.to_owned(), path, socket }, listener))
    }

    /// Whether the socket was removed or replaced, because the data directory was deleted or restored from a backup.
    fn is_replaced(&self) -> bool {
        !identity(&self.path).is_ok_and(|it| it == self.socket)
    }

    /// Whether the data directory holds an installation. Nothing is created in a directory that is being deleted.
    fn has_installation(&self) -> bool {
        ["installation", "key", "boatyard.db"].iter().all(|name| self.data_dir.join(name).exists())
    }

    /// Removes the socket, unless another process has replaced it.
    pub fn close(self) {
        if !self.is_replaced() {
            // The lock is still held here: the next holder binds a new socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Runs until it is dropped; control connections end with it. A shutdown closes `endpoint`.
pub(crate) async fn run_maintenance(
    server: Arc<ControlServer>,
    endpoint: Arc<tokio::sync::Mutex<ControlEndpoint>>,
    socket: UnixListener,
    clients: Arc<ConnectionLimit>,
) {
    let mut peak = 0;
    let mut listening = JoinSet::new();
    listening.spawn(Arc::clone(&server).serve(socket));
    let (mut replaced_for, mut round) = (0_u32, 0_u32);
    loop {
        tokio::time::sleep(INTERVAL).await;
        round = round.wrapping_add(1);
        peak = peak.max(clients.in_use());
        let mut endpoint = endpoint.lock().await;
        if server.is_handing_over() {
            continue;
        }
        replaced_for = if endpoint.is_replaced() && endpoint.has_installation() { replaced_for + 1 } else { 0 };
        // Twice in a row, so that a restore in progress is complete.
        if replaced_for >= 2 {
            match bind_again(&server, &endpoint.data_dir) {
                Ok((new, socket)) => {
                    tracing::warn!(socket = %new.path.display(), "the data directory was replaced; listening in the new one");
                    *endpoint = new;
                    // The old socket stays open: a controller may still be connected through it.
                    listening.spawn(Arc::clone(&server).serve(socket));
                    server.save().await;
                }
                Err(error) if replaced_for == 2 => {
                    tracing::warn!(%error, "the data directory was replaced; cannot listen in the new one yet");
                }
                Err(_) => {}
            }
        }
        if round.is_multiple_of(SLOW_CHECKS_EVERY) {
            let now = clients.in_use();
            if peak > 2 * now + RELEASE_THRESHOLD {
                release_memory();
                peak = now;
            }
            server.save_if_unsaved().await;
            if let Err(error) = log_rotation::rotate_output(&endpoint.data_dir.join("ingress.log"), LOG_BYTES) {
                tracing::debug!(%error, "cannot rotate the log");
            }
        }
    }
}

/// Binds the socket in the directory that is there now. It is the same one after a new process bound the socket and then
/// ended. Takes the lock of another one.
fn bind_again(server: &ControlServer, data_dir: &Path) -> Result<(ControlEndpoint, UnixListener), IngressError> {
    let folder = process::prepare_directory(data_dir)?;
    if !server.has_lock_of(&folder) {
        server.set_lock(process::lock_directory(&folder, data_dir)?);
    }
    ControlEndpoint::bind(data_dir)
}

/// glibc keeps the memory of closed connections in fragments between blocks in use. `malloc_trim` returns whole pages
/// to the system.
#[cfg(target_env = "gnu")]
fn release_memory() {
    // `malloc_trim` takes a number, touches only the allocator's own lists, and may be called on any thread at any
    // time.
    #[expect(unsafe_code, reason = "no crate wraps this call; the comment above says why it is sound")]
    let released = unsafe { libc::malloc_trim(0) };
    tracing::debug!(released, "released memory of closed connections");
}

/// Other C libraries release memory on their own.
#[cfg(not(target_env = "gnu"))]
fn release_memory() {}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|it| (it.dev(), it.ino()))
}
