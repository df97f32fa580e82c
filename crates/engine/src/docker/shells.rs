//! Interactive shells, as execs of the engine.
//!
//! An engine cannot end an exec, and an exec does not end with its connection. So every shell gets a mark in its
//! environment, which its programs inherit, and a script in the same container signals all processes that have the mark.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::lookup::missing;
use super::{DEADLINE, DockerEngine, failure};
use crate::error::EngineError;
use crate::port::*;
use crate::shell::*;

/// The variable that contains the mark.
const MARK: &str = "BOATYARD_CONSOLE";
/// Prefers bash, which most people expect, and takes the shell that every other image has. The shell replaces the script.
const OPEN: &str = "command -v bash >/dev/null 2>&1 && exec bash; exec sh";
/// See the file.
const END: &str = include_str!("end_console.sh");
/// Shell programs get this long to handle the hangup before they are killed: time to write a history file or to
/// remove a temporary one.
const HANGUP_GRACE: Duration = Duration::from_millis(500);
/// How often to kill what is left. One pass is enough, unless a process forks faster than the script reads.
const KILL_PASSES: usize = 10;
/// Pause between two passes.
const PASS_PAUSE: Duration = Duration::from_millis(100);
/// How long the engine may take to report the exit code after the end of the output.
const EXIT_CODE_DEADLINE: Duration = Duration::from_secs(2);
/// How often to ask for the exit code.
const POLL: Duration = Duration::from_millis(20);
/// Largest piece of output that is read at once.
const PIECE: usize = 64 * 1024;
/// The engine disconnects a terminal on which these keys are typed, and holds back the first one until the next key. Its
/// default is Ctrl-P Ctrl-Q, which breaks Ctrl-P in shells. This sequence is long, and begins with a rare key.
const DETACH_KEYS: &str = "ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^";

type ExecOptions = CreateExecOptions<String>;

impl DockerEngine {
    pub(super) async fn has_shell_in(&self, name: &str) -> Result<bool, EngineError> {
        let container = self.running(name).await?;
        let answer = self.run_script(name, &container, "echo found", &[]).await?;
        if answer.trim() == "found" {
            return Ok(true);
        }
        match failure::start_failure(name, failure::refused("exec", None, answer)) {
            EngineError::NoShell { .. }
            | EngineError::CommandNotFound { .. }
            | EngineError::CommandNotExecutable { .. }
            | EngineError::WrongArchitecture { .. } => Ok(false),
            error => Err(error),
        }
    }

    pub(super) async fn start_shell(
        &self,
        name: &str,
        mark: &ShellMark,
        size: TerminalSize,
    ) -> Result<Shell, EngineError> {
        let container = self.running(name).await?;
        let options = ExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(true),
            detach_keys: Some(DETACH_KEYS.into()),
            env: Some(vec![format!("{MARK}={mark}"), "TERM=xterm-256color".into()]),
            cmd: Some(script(OPEN, &[])),
            ..Default::default()
        };
        let id = self.create_exec(name, &container, options).await?;
        let (output, input) = self.attach(&id).await?;
        self.set_shell_size(&id, size).await?;
        let output = self.events_of(&id, output).boxed();
        Ok(Shell { id, output, input })
    }

    pub(super) async fn set_shell_size(&self, id: &str, size: TerminalSize) -> Result<(), EngineError> {
        let options = ResizeExecOptions { width: size.width, height: size.height };
        match self.call("resize", DEADLINE, self.docker.resize_exec(id, options)).await {
            // The shell has ended, which its output reports.
            Err(EngineError::Other { status: Some(404 | 409 | 500), .. }) => Ok(()),
            result => result,
        }
    }

    pub(super) async fn hang_up(&self, name: &str, mark: &ShellMark) -> Result<Changed, EngineError> {
        let Some(container) = self.find(name).await? else { return Ok(Changed::AlreadySo) };
        let mark = format!("{MARK}={mark}");
        if self.signal_marked(name, &container, &mark, "HUP").await? == 0 {
            return Ok(Changed::AlreadySo);
        }
        tokio::time::sleep(HANGUP_GRACE).await;
        for _ in 0..KILL_PASSES {
            if self.signal_marked(name, &container, &mark, "KILL").await? == 0 {
                return Ok(Changed::Done);
            }
            tokio::time::sleep(PASS_PAUSE).await;
        }
        let detail = "processes of a console do not end".into();
        Err(EngineError::Conflict { what: format!("container {name}"), detail })
    }

    /// How many processes were found. None run in a container that does not run.
    async fn signal_marked(
        &self,
        name: &str,
        container: &Container,
        mark: &str,
        signal: &str,
    ) -> Result<usize, EngineError> {
        let answer = match self.run_script(name, container, END, &[mark, signal]).await {
            Ok(answer) => answer,
            Err(error) => return if self.has_no_process(name).await? { Ok(0) } else { Err(error) },
        };
        match answer.trim().parse() {
            Ok(found) => Ok(found),
            // The container may have stopped under the script.
            Err(_) if self.has_no_process(name).await? => Ok(0),
            Err(_) => Err(EngineError::Other { verb: "end a shell", status: None, message: answer.trim().to_owned() }),
        }
    }

    async fn has_no_process(&self, name: &str) -> Result<bool, EngineError> {
        let found = self.find(name).await?;
        Ok(!found.is_some_and(|it| matches!(it.state, ContainerState::Running | ContainerState::Paused)))
    }

    async fn running(&self, name: &str) -> Result<Container, EngineError> {
        let container = self.find(name).await?.ok_or_else(|| missing(name))?;
        match container.state {
            ContainerState::Running => Ok(container),
            _ => Err(EngineError::Conflict { what: format!("container {name}"), detail: "it does not run".into() }),
        }
    }

    /// Runs a script as the container's user and returns what it wrote, or the message of the engine if the container has
    /// no shell.
    async fn run_script(
        &self,
        name: &str,
        container: &Container,
        text: &str,
        arguments: &[&str],
    ) -> Result<String, EngineError> {
        let options = ExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(script(text, arguments)),
            // The container's working directory may have been deleted.
            working_dir: Some("/".into()),
            ..Default::default()
        };
        let read = async {
            let id = self.create_exec(name, container, options).await?;
            let (mut output, _input) = self.attach(&id).await?;
            let mut answer = Vec::new();
            while let Some(piece) = output.next().await {
                let piece = piece?;
                answer.extend_from_slice(&piece[..piece.len().min(PIECE.saturating_sub(answer.len()))]);
            }
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let verb = "exec";
        tokio::time::timeout(DEADLINE, read).await.unwrap_or(Err(EngineError::Timeout { verb, after: DEADLINE }))
    }

    async fn create_exec(
        &self,
        name: &str,
        container: &Container,
        options: ExecOptions,
    ) -> Result<String, EngineError> {
        let created = self.call("exec", DEADLINE, self.docker.create_exec(&container.id, options)).await;
        match created {
            Ok(answer) => Ok(answer.id),
            Err(error) if failure::status(&error) == Some(404) => Err(missing(name)),
            Err(error) => Err(failure::conflict(&format!("container {name}"), error)),
        }
    }

    /// Starts an exec. `tty: false` makes the engine frame the output, although the exec has a terminal. Without frames,
    /// bollard takes output that begins with the bytes 0, 1 or 2 for the header of a frame.
    async fn attach(
        &self,
        id: &str,
    ) -> Result<(impl Stream<Item = Result<Bytes, EngineError>> + Send + Unpin + use<>, ShellInput), EngineError> {
        let options = StartExecOptions { detach: false, tty: false, output_capacity: Some(PIECE) };
        let started = self.call("exec", DEADLINE, self.docker.start_exec(id, Some(options))).await?;
        let StartExecResults::Attached { output, input } = started else {
            let message = "the engine did not attach".into();
            return Err(EngineError::Other { verb: "exec", status: None, message });
        };
        let socket = self.socket.clone();
        let pieces = output.map(move |item| match item {
            Ok(LogOutput::StdOut { message } | LogOutput::StdErr { message } | LogOutput::Console { message }) => {
                Ok(message)
            }
            Ok(LogOutput::StdIn { .. }) => Ok(Bytes::new()),
            Err(error) => Err(failure::translate(&socket, "exec", error)),
        });
        Ok((pieces, input))
    }

    /// The output, and then the exit code.
    fn events_of(
        &self,
        id: &str,
        output: impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
    ) -> impl Stream<Item = Result<ShellEvent, EngineError>> + Send + 'static {
        let (docker, id) = (self.docker.clone(), id.to_owned());
        let exited = async move {
            let code = async {
                loop {
                    match docker.inspect_exec(&id).await {
                        Ok(answer) if answer.running == Some(true) => tokio::time::sleep(POLL).await,
                        Ok(answer) => return answer.exit_code,
                        // The engine forgets an exec with its container.
                        Err(_) => return None,
                    }
                }
            };
            Ok(ShellEvent::Exited { code: tokio::time::timeout(EXIT_CODE_DEADLINE, code).await.unwrap_or(None) })
        };
        output.map(|piece| piece.map(ShellEvent::Output)).chain(futures::stream::once(exited))
    }
}

/// A command that runs a script with arguments.
fn script(text: &str, arguments: &[&str]) -> Vec<String> {
    ["sh", "-c", text, "boatyard-console"].iter().chain(arguments).map(|it| (*it).to_owned()).collect()
}
