//! What the process looks after from time to time: its log, its snapshot, and the endpoint to it.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::connection_limit::ConnectionLimit;
use crate::control_server::{self, ControlServer};
use crate::process::{self, IngressError};

const INTERVAL: Duration = Duration::from_secs(1);
/// The log is bounded, and the snapshot written again, this often.
const SLOW_CHECKS_EVERY: u32 = 10;
/// When the log is larger than this it becomes `ingress.log.1`, and a new one begins.
const LOG_BYTES: u64 = 8 * 1024 * 1024;

/// So many connections more than now were open a while ago: their memory is given back.
const RELEASE_THRESHOLD: usize = 500;

/// The endpoint to this process: a lock that says whose the data directory is, and a socket.
pub(crate) struct ControlEndpoint {
    data_dir: PathBuf,
    path: PathBuf,
    /// Device and inode of the bound socket.
    socket: (u64, u64),
    _lock: OwnedFd,
}

impl ControlEndpoint {
    /// Takes the lock and binds the socket.
    pub fn open(data_dir: &Path) -> Result<(Self, UnixListener), IngressError> {
        let folder = process::prepare_directory(data_dir)?;
        let lock = process::lock_directory(&folder, data_dir)?;
        Self::bind(data_dir, lock)
    }

    /// Binds the socket; `lock` is held already.
    pub fn bind(data_dir: &Path, lock: OwnedFd) -> Result<(Self, UnixListener), IngressError> {
        let path = process::socket_path(data_dir);
        let failed = |cause| IngressError::Socket { path: path.clone(), cause };
        let listener = control_server::bind(&path).map_err(failed)?;
        let socket = identity(&path).map_err(failed)?;
        Ok((Self { data_dir: data_dir.to_owned(), path, socket, _lock: lock }, listener))
    }

    /// Somebody removed or replaced the socket: the data directory was deleted, or put back from a backup.
    fn is_replaced(&self) -> bool {
        !identity(&self.path).is_ok_and(|it| it == self.socket)
    }

    /// The data directory is there, with an installation in it. While it is being deleted nothing is made in it.
    fn has_installation(&self) -> bool {
        ["installation", "key", "boatyard.db"].iter().all(|name| self.data_dir.join(name).exists())
    }

    /// Removes the socket, unless it is somebody else's by now.
    pub fn close(self) {
        if !self.is_replaced() {
            // Gone before the lock is: whoever holds it next binds a socket of its own.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Runs until it is dropped, and the control connections with it. `endpoint` is what a shutdown has to close.
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
        replaced_for = if endpoint.is_replaced() && endpoint.has_installation() { replaced_for + 1 } else { 0 };
        // Twice in a row: what is just being put back is whole then.
        if replaced_for >= 2 {
            match ControlEndpoint::open(&endpoint.data_dir) {
                Ok((new, socket)) => {
                    tracing::warn!(socket = %new.path.display(), "the data directory was replaced; listening in the new one");
                    *endpoint = new;
                    // The old socket stays: a controller may still be connected through it.
                    listening.spawn(Arc::clone(&server).serve(socket));
                    server.save().await;
                }
                Err(error) if replaced_for == 2 => {
                    tracing::warn!(%error, "the data directory was replaced, and cannot be listened in yet");
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
            if let Err(error) = truncate_log(&endpoint.data_dir.join("ingress.log")) {
                tracing::debug!(%error, "the log could not be bounded");
            }
        }
    }
}

/// glibc keeps what thousands of closed connections had, in pieces between what is still used; this gives whole pages of
/// it back to the system.
#[cfg(target_env = "gnu")]
fn release_memory() {
    // The call takes a number, touches nothing but the allocator's own lists, and may be made at any time on any thread.
    #[expect(unsafe_code, reason = "no crate wraps this call; see above why it is sound")]
    let released = unsafe { libc::malloc_trim(0) };
    tracing::debug!(released, "memory of closed connections given back");
}

/// Other C libraries give memory back by themselves.
#[cfg(not(target_env = "gnu"))]
fn release_memory() {}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|it| (it.dev(), it.ino()))
}

/// Our output goes on into the same file, at its end, which is its beginning after it was cut.
fn truncate_log(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.len() > LOG_BYTES => {}
        _ => return Ok(()),
    }
    // On a full disk the old lines are lost, and the room is given back.
    let kept = fs::copy(path, path.with_extension("log.1"));
    File::options().write(true).open(path)?.set_len(0)?;
    kept.map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_has_grown_begins_anew_for_those_who_write_to_it_and_the_last_lines_stay_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ingress.log");
        let mut log = File::options().append(true).create(true).open(&path).unwrap();
        log.write_all(b"short\n").unwrap();
        truncate_log(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short\n");
        log.write_all(&vec![b'x'; 9 * 1024 * 1024]).unwrap();
        truncate_log(&path).unwrap();
        log.write_all(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "next\n");
        assert!(fs::metadata(path.with_extension("log.1")).unwrap().len() > LOG_BYTES);
    }
}
