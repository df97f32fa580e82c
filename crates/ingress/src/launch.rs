//! How `boatyard serve` connects to the ingress: to the running one, or to a new process that outlives `serve`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::client::{ClientError, ControlClient};
use crate::log_rotation;
use crate::process::socket_path;

/// From process start to the first answer. Normally milliseconds, more on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(15);
/// How long to wait for another process that was started at the same time and holds the lock.
const LOCK_HOLDER_DEADLINE: Duration = Duration::from_secs(1);
/// Interval between two attempts to connect; the socket appears a few milliseconds after the start.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Environment variables passed to the ingress. It gets none of the controller's or of an app.
const PASSED_VARIABLES: [&str; 1] = ["RUST_LOG"];

/// Why no ingress could be reached.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("cannot open the ingress log {path}")]
    Log {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot start {program}")]
    Spawn {
        program: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the ingress ended at once ({status}); its log says why: {log}")]
    Ended { status: std::process::ExitStatus, log: PathBuf },
    #[error("the ingress did not answer within {} s of its start; see its log: {log}", START_DEADLINE.as_secs())]
    Silent {
        log: PathBuf,
        #[source]
        cause: ClientError,
    },
}

/// Connects to the ingress of `data_dir`. If none answers, starts one as `program args…`.
///
/// The new process inherits no file descriptor except its log and no environment variable except `RUST_LOG`, and starts
/// a new session (see [`crate::run`]), so it survives the calling process. While the caller lives, a task waits for the
/// child so that it leaves no zombie.
///
/// # Errors
/// [`LaunchError`]. No process was left running, except for [`LaunchError::Silent`].
pub async fn ensure_running(
    program: &Path,
    args: &[impl AsRef<OsStr>],
    data_dir: &Path,
    log: &Path,
) -> Result<ControlClient, LaunchError> {
    let socket = socket_path(data_dir);
    if let Ok(control) = ControlClient::connect(&socket).await {
        return Ok(control);
    }
    let mut child = Some(spawn(program, args, log)?);
    let started = Instant::now();
    let mut ended = None;
    loop {
        let cause = match ControlClient::connect(&socket).await {
            Ok(control) => {
                reap(child);
                return Ok(control);
            }
            Err(cause) => cause,
        };
        // Another process may have been starting and hold the lock. That one answers shortly.
        if let Some(Ok(Some(status))) = child.as_mut().map(Child::try_wait) {
            (ended, child) = (Some((status, Instant::now())), None);
        }
        if let Some((status, at)) = ended
            && at.elapsed() > LOCK_HOLDER_DEADLINE
        {
            return Err(LaunchError::Ended { status, log: log.to_owned() });
        }
        if started.elapsed() > START_DEADLINE {
            reap(child);
            return Err(LaunchError::Silent { log: log.to_owned(), cause });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Replaces the running ingress of `data_dir` by `program args…`, which takes over its sockets. No connection is refused.
/// The replaced process finishes its open requests and ends.
///
/// # Errors
/// [`LaunchError`]. The running ingress serves as before; after [`LaunchError::Silent`], the new one may still replace it.
pub async fn replace_running(
    program: &Path,
    args: &[impl AsRef<OsStr>],
    data_dir: &Path,
    log: &Path,
) -> Result<ControlClient, LaunchError> {
    let socket = socket_path(data_dir);
    let connected = async || {
        let control = ControlClient::connect(&socket).await.ok()?;
        let status = control.status().await.ok()?;
        Some((control, status.boot_id))
    };
    let replaced = connected().await.map(|(_, boot_id)| boot_id);
    let mut child = spawn(program, args, log)?;
    let started = Instant::now();
    loop {
        if let Some((control, boot_id)) = connected().await
            && Some(&boot_id) != replaced.as_ref()
        {
            reap(Some(child));
            return Ok(control);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(LaunchError::Ended { status, log: log.to_owned() });
        }
        if started.elapsed() > START_DEADLINE {
            // It may be the only one that accepts connections. If it hangs, the running one goes on after a while.
            reap(Some(child));
            return Err(LaunchError::Silent { log: log.to_owned(), cause: ClientError::Lost });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Tells program files apart: device, inode, size and time of the last change.
///
/// # Errors
/// The file cannot be examined.
pub fn program_identity(program: &Path) -> io::Result<String> {
    let file = std::fs::metadata(program)?;
    Ok(format!("{}:{}:{}:{}.{}", file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

fn spawn(program: &Path, args: &[impl AsRef<OsStr>], log: &Path) -> Result<Child, LaunchError> {
    let failed = |cause| LaunchError::Log { path: log.to_owned(), cause };
    let out = log_rotation::open(log).map_err(failed)?;
    let errors = out.try_clone().map_err(failed)?;
    let kept = PASSED_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(kept).stdin(Stdio::null()).stdout(out).stderr(errors).kill_on_drop(false);
    // The child must not lead a process group, because a leader cannot start a new session.
    command.spawn().map_err(|cause| LaunchError::Spawn { program: program.to_owned(), cause })
}

fn reap(child: Option<Child>) {
    let Some(mut child) = child else { return };
    tokio::spawn(async move {
        match child.wait().await {
            Ok(status) => tracing::warn!(%status, "the ingress process exited"),
            Err(error) => tracing::warn!(%error, "cannot wait for the ingress process"),
        }
    });
}
