//! The parent's side of a worker process: starts it, sends one request, reads frames with deadlines, and kills it when
//! dropped.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use crate::error::SourceError;
use crate::protocol::{FrameKind, Request, parse_head, sanitize};
use crate::source::SourceSettings;

/// Bytes kept of stderr; a panic message fits.
const STDERR_KEPT: usize = 4 * 1024;

/// A running worker process. Dropping it kills the process.
pub(crate) struct WorkerProcess {
    repo: String,
    child: Child,
    /// Kept open while the worker runs. The worker exits when this closes.
    _stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<Vec<u8>>>,
    stall: Duration,
    started: Instant,
    deadline: Instant,
}

impl WorkerProcess {
    /// Starts a worker and sends the request.
    pub(crate) async fn start(
        settings: &SourceSettings,
        request: &Request,
        deadline: Instant,
    ) -> Result<Self, SourceError> {
        let started = Instant::now();
        let mut child = Command::new(&settings.worker)
            .args(&settings.worker_args)
            // Nothing is inherited: no tokens, no proxy settings, no HOME with a git configuration.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal must reach only the parent, which then ends its workers.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| SourceError::Worker {
                why: format!("cannot start {}: {error}", settings.worker.display()),
            })?;
        let taken = "the pipe was requested above and is taken once";
        let mut stdin = child.stdin.take().expect(taken);
        let stdout = BufReader::new(child.stdout.take().expect(taken));
        let stderr = collect_stderr(child.stderr.take().expect(taken));
        let mut line = serde_json::to_vec(request).map_err(|error| SourceError::Worker { why: error.to_string() })?;
        line.push(b'\n');
        let stall = settings.limits.stall;
        // If the worker exits at once the write fails; reading its answer then gives the reason.
        let written = tokio::time::timeout(stall, stdin.write_all(&line)).await;
        if written.is_err() {
            return Err(SourceError::Stalled { repo: request.repo.clone(), seconds: stall.as_secs() });
        }
        Ok(Self { repo: request.repo.clone(), child, _stdin: stdin, stdout, stderr, stall, started, deadline })
    }

    /// The next frame. Errors: the error that the worker reports, a stall, the deadline, and a worker that exits
    /// without an answer.
    pub(crate) async fn next(&mut self) -> Result<(FrameKind, Bytes), SourceError> {
        let now = Instant::now();
        let until = self.deadline.min(now + self.stall);
        let Ok(frame) = tokio::time::timeout_at(until, read_frame(&mut self.stdout)).await else {
            return Err(self.timeout_error());
        };
        match frame {
            Ok(Some((FrameKind::Failed, payload))) => Err(decode(&payload).unwrap_or_else(|error| error)),
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(self.exit_error().await),
            Err(why) => Err(SourceError::Worker { why }),
        }
    }

    fn timeout_error(&self) -> SourceError {
        let repo = self.repo.clone();
        if Instant::now() >= self.deadline {
            let seconds = self.deadline.saturating_duration_since(self.started).as_secs();
            return SourceError::Deadline { repo, seconds };
        }
        SourceError::Stalled { repo, seconds: self.stall.as_secs() }
    }

    /// The output ended without a final frame. Returns how the worker exited. A worker that closed its output and still
    /// runs is killed.
    async fn exit_error(&mut self) -> SourceError {
        let how = match tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await {
            Ok(Ok(status)) => describe(status),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its output".to_owned(),
        };
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        SourceError::WorkerDied {
            repo: self.repo.clone(),
            how,
            stderr: sanitize(&String::from_utf8_lossy(&stderr), STDERR_KEPT),
        }
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        // Signals of resource limits, in words.
        (_, Some(signal)) if signal == rustix::process::Signal::XFSZ.as_raw() => {
            "it wrote more than allowed".to_owned()
        }
        (_, Some(signal)) if signal == rustix::process::Signal::XCPU.as_raw() => {
            "it used more CPU time than allowed".to_owned()
        }
        (_, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

async fn read_frame(stdout: &mut (impl AsyncRead + Unpin)) -> Result<Option<(FrameKind, Bytes)>, String> {
    let mut head = [0; 5];
    match stdout.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    let (kind, len) = parse_head(head).ok_or("it does not use this version's frame format")?;
    let mut payload = vec![0; len as usize];
    match stdout.read_exact(&mut payload).await {
        Ok(_) => Ok(Some((kind, payload.into()))),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a JSON payload.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(payload).map_err(|error| SourceError::Worker { why: error.to_string() })
}

/// Reads stderr, so that the worker never blocks on it, and keeps the last bytes.
fn collect_stderr(mut stderr: impl AsyncRead + Unpin + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let tail = Arc::clone(&kept);
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
            let mut kept = tail.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&buffer[..read]);
            let excess = kept.len().saturating_sub(STDERR_KEPT);
            kept.drain(..excess);
        }
    });
    kept
}
