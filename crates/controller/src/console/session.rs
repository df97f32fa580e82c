//! One open console: connects a client with a shell, and ends the shell when either of them goes.

use std::time::Duration;

use engine::{ContainerDetails, ContainerState, EngineError, Shell, ShellEvent, ShellInput, ShellMark};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::{
    Console, ConsoleEnd, ConsoleInput, ConsoleOutput, ConsoleTarget, SHELL_WITHIN, SHUTTING_DOWN, Shells, TerminalSize,
};
use crate::engine_watch::NEEDED_WITHIN;
use crate::error::ControlError;

/// How many messages of a client wait for the shell. Most have one byte.
const INPUT_MESSAGES: usize = 64;
/// How many pieces of output wait for the client. A piece has at most 64 KiB.
const OUTPUT_PIECES: usize = 4;
/// How long the engine may take to show whether a container has stopped, after one of its processes was killed.
const STOP_SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// Pause before the next look at the container.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Exit code of a process that was killed, as all processes of a container are that stops.
const KILLED: i64 = 137;
/// When to look again for a shell whose start failed: the engine may still be starting it. As long as the engine's
/// deadline for a start.
const LATE_START: Duration = Duration::from_secs(30);

/// What a console needs.
pub(crate) struct Session {
    pub shells: Shells,
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
        if let Err(error) = self.shells.store.remember_console(&mark.to_string(), container).await {
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
            Err(error) => {
                drop(opened.send(Err(error)));
                if !self.shells.end(container, &mark).await {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(LATE_START) => {}
                    // The record stays, so the next process looks again.
                    () = self.shells.stop.cancelled() => return,
                }
            }
        }
        self.end_shell(&mark).await;
    }

    async fn end_shell(&self, mark: &ShellMark) {
        if self.shells.end(self.target.instance.as_str(), mark).await {
            self.shells.forget(&mark.to_string()).await;
        }
    }

    /// Returns the shell, and the container before it was started.
    async fn start(&self, mark: &ShellMark) -> Result<(Shell, ContainerDetails), ControlError> {
        let name = self.target.instance.as_str();
        let Shells { engine, watch, .. } = &self.shells;
        let details =
            watch.answer(NEEDED_WITHIN, engine.inspect(name)).await.map_err(|error| self.cannot_open(error))?;
        let details = details.ok_or_else(|| ControlError::Conflict(self.stopped()))?;
        let opened = watch.answer(SHELL_WITHIN, engine.open_shell(name, mark, TerminalSize::default())).await;
        Ok((opened.map_err(|error| self.cannot_open(error))?, details))
    }

    fn cannot_open(&self, error: EngineError) -> ControlError {
        match error {
            EngineError::NotFound { .. } | EngineError::Conflict { .. } => ControlError::Conflict(self.stopped()),
            error => ControlError::of_engine(&format!("no console can be opened in {}", self.target.alias), error),
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
            () = self.shells.stop.cancelled() => Some(ConsoleEnd::Lost(SHUTTING_DOWN.into())),
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
                    if let Err(error) = self.shells.engine.resize_shell(shell, size).await {
                        debug!(%error, "the terminal of a console was not resized");
                    }
                }
            }
        }
    }

    /// Distinguishes a shell that exited from one that ended with its container. The engine reports the end of the shell
    /// first. It shows the end of the container only after it has waited up to 2 s for the output of each process, and has
    /// unmounted and disconnected the container. Until then, only a new program shows that the container still runs: it does
    /// not start in a container whose first process has ended.
    async fn why_ended(&self, code: Option<i64>, before: &ContainerDetails) -> ConsoleEnd {
        if code.is_some_and(|code| code != KILLED) {
            return ConsoleEnd::Exited;
        }
        let (engine, container) = (&self.shells.engine, self.target.instance.as_str());
        let has_stopped = async {
            loop {
                let starts_programs = engine.has_shell(container).await.is_ok();
                if !self.runs_as(before).await {
                    return true;
                }
                if starts_programs {
                    return false;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(STOP_SHOWN_WITHIN, has_stopped).await {
            Ok(true) => ConsoleEnd::Lost(self.stopped()),
            Ok(false) | Err(_) if code.is_some() => ConsoleEnd::Lost("the shell was killed".into()),
            Ok(false) | Err(_) => ConsoleEnd::Lost("the engine no longer knows the shell".into()),
        }
    }

    /// Whether the container still runs the process that it ran before, as far as the engine says.
    async fn runs_as(&self, before: &ContainerDetails) -> bool {
        let Ok(now) = self.shells.engine.inspect(self.target.instance.as_str()).await else { return true };
        now.is_some_and(|now| {
            now.container.state == ContainerState::Running
                && (&now.container.id, &now.started_at) == (&before.container.id, &before.started_at)
        })
    }
}
