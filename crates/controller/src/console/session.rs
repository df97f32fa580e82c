//! One open console: connects a client with a shell, and ends the shell when either of them goes.

use std::sync::Arc;
use std::time::Duration;

use engine::{ContainerDetails, ContainerState, Engine, EngineError, Shell, ShellEvent, ShellInput, ShellMark};
use futures::StreamExt;
use store::Store;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Console, ConsoleEnd, ConsoleInput, ConsoleOutput, ConsoleTarget, TerminalSize};
use crate::error::ControlError;

/// How many messages of a client wait for the shell. Most have one byte.
const INPUT_MESSAGES: usize = 64;
/// How many pieces of output wait for the client. A piece has at most 64 KiB.
const OUTPUT_PIECES: usize = 4;
/// How long the engine may take to show that a container has stopped, after its processes were killed.
const STOP_SHOWN_WITHIN: Duration = Duration::from_secs(2);
/// How often to look at the container.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Exit code of a process that was killed, as all processes of a container are that stops.
const KILLED: i64 = 137;
/// Pause before the next attempt to end a shell. It doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a console needs. It does not hold the controller's shared state, so that it cannot outlive its stop.
pub(crate) struct Session {
    pub engine: Arc<dyn Engine>,
    pub store: Store,
    pub stop: CancellationToken,
    pub target: ConsoleTarget,
}

/// Opens a console. The session is a separate task, so that the shell ends even if the caller goes. Errors: the instance
/// has stopped, or the engine does not start a shell.
pub(crate) async fn open(session: Session) -> Result<Console, ControlError> {
    let (input, from_client) = mpsc::channel(INPUT_MESSAGES);
    let (to_client, output) = mpsc::channel(OUTPUT_PIECES);
    let (opened, answer) = oneshot::channel();
    let ended = tokio::spawn(session.run(from_client, to_client, opened));
    let stopping = || ControlError::Unavailable("the controller is stopping; try again".into());
    answer.await.map_err(|_| stopping())??;
    Ok(Console { input, output, ended })
}

impl Session {
    async fn run(
        self,
        from_client: mpsc::Receiver<ConsoleInput>,
        to_client: mpsc::Sender<ConsoleOutput>,
        opened: oneshot::Sender<Result<(), ControlError>>,
    ) {
        let mark = ShellMark::random();
        let container = self.target.instance.as_str();
        // Recorded before the shell starts, so that the next process can end it if this one is killed. If the disk is
        // full, a console may be what helps, so it opens without the record.
        if let Err(error) = self.store.remember_console(&mark.to_string(), container).await {
            warn!(%error, container, "a console could not be recorded, so it would outlive a crash of this process");
        }
        match self.start(&mark).await {
            Ok((shell, details)) => {
                info!(app = %self.target.app_name, instance = %self.target.alias, "console opened");
                if opened.send(Ok(())).is_ok() {
                    let end = self.connect(shell, &details, from_client, &to_client).await;
                    info!(app = %self.target.app_name, instance = %self.target.alias, ?end, "console ended");
                    let end = end.map(ConsoleOutput::End);
                    // A client that takes nothing does not delay the end of the shell.
                    let (_, ()) = tokio::join!(async { to_client.send(end?).await.ok() }, self.end_shell(&mark));
                    return;
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        }
        self.end_shell(&mark).await;
    }

    /// Returns the shell, and the container before it was started.
    async fn start(&self, mark: &ShellMark) -> Result<(Shell, ContainerDetails), ControlError> {
        let name = self.target.instance.as_str();
        let details = self.engine.inspect(name).await.map_err(|error| self.cannot_open(error))?;
        let details = details.ok_or_else(|| ControlError::Conflict(self.stopped()))?;
        let opened = self.engine.open_shell(name, mark, TerminalSize::default()).await;
        Ok((opened.map_err(|error| self.cannot_open(error))?, details))
    }

    fn cannot_open(&self, error: EngineError) -> ControlError {
        match error {
            EngineError::NotFound { .. } | EngineError::Conflict { .. } => ControlError::Conflict(self.stopped()),
            error => ControlError::Internal {
                message: format!("no console can be opened in {}: {error}", self.target.alias),
                cause: error.into(),
            },
        }
    }

    fn stopped(&self) -> String {
        let ConsoleTarget { app_name, component, alias, .. } = &self.target;
        format!(
            "{alias} has stopped. To open a console in an instance that runs: boatyard apps console {app_name} {component}"
        )
    }

    /// Connects both sides until one of them ends. `None`: the client has gone.
    async fn connect(
        &self,
        shell: Shell,
        details: &ContainerDetails,
        from_client: mpsc::Receiver<ConsoleInput>,
        to_client: &mpsc::Sender<ConsoleOutput>,
    ) -> Option<ConsoleEnd> {
        let Shell { id, mut output, input } = shell;
        let shown = async {
            loop {
                match output.next().await {
                    Some(Ok(ShellEvent::Output(bytes))) => to_client.send(ConsoleOutput::Bytes(bytes)).await.ok()?,
                    Some(Ok(ShellEvent::Exited { code })) => return Some(self.why_ended(code, details).await),
                    Some(Err(error)) => return Some(ConsoleEnd::Lost(error.to_string())),
                    None => return Some(ConsoleEnd::Lost("the engine closed the connection".into())),
                }
            }
        };
        tokio::select! {
            end = shown => end,
            () = self.type_in(&id, input, from_client) => None,
            () = to_client.closed() => None,
            () = self.stop.cancelled() => Some(ConsoleEnd::Lost("boatyard serve is shutting down".into())),
        }
    }

    /// Passes on what the client sends, until the client has gone.
    async fn type_in(&self, shell: &str, mut input: ShellInput, mut from_client: mpsc::Receiver<ConsoleInput>) {
        while let Some(message) = from_client.recv().await {
            match message {
                ConsoleInput::Bytes(bytes) => {
                    // A failure means that the shell has ended, which its output reports.
                    let _ = input.write_all(&bytes).await;
                    let _ = input.flush().await;
                }
                ConsoleInput::Resize(size) => {
                    if let Err(error) = self.engine.resize_shell(shell, size).await {
                        debug!(%error, "the terminal of a console was not resized");
                    }
                }
            }
        }
    }

    /// Distinguishes a shell that exited from one that ended with its container. The engine may report the end of the shell
    /// before that of the container.
    async fn why_ended(&self, code: Option<i64>, before: &ContainerDetails) -> ConsoleEnd {
        if code.is_some_and(|code| code != KILLED) {
            return ConsoleEnd::Exited;
        }
        let stopped = async {
            while self.runs_as(before).await {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(STOP_SHOWN_WITHIN, stopped).await {
            Ok(()) => ConsoleEnd::Lost(self.stopped()),
            Err(_) if code.is_some() => ConsoleEnd::Lost("the shell was killed".into()),
            Err(_) => ConsoleEnd::Lost("the engine no longer knows the shell".into()),
        }
    }

    /// Whether the container still runs the process that it ran before.
    async fn runs_as(&self, before: &ContainerDetails) -> bool {
        let now = self.engine.inspect(self.target.instance.as_str()).await.ok().flatten();
        now.is_some_and(|now| {
            now.container.state == ContainerState::Running
                && (&now.container.id, &now.started_at) == (&before.container.id, &before.started_at)
        })
    }

    /// Ends the shell and what it started, and then deletes the record. Tries again until it succeeds or the controller
    /// stops; then the next process finds the record.
    async fn end_shell(&self, mark: &ShellMark) {
        let name = self.target.instance.as_str();
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.engine.end_shell(name, mark).await {
            warn!(%error, instance = name, "the processes of a console could not be ended yet; trying again");
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = self.stop.cancelled() => return,
            }
        }
        if self.stop.is_cancelled() {
            return;
        }
        if let Err(error) = self.store.forget_console(&mark.to_string()).await {
            warn!(%error, "the record of an ended console could not be deleted");
        }
    }
}
