//! Shells of the fake engine. A shell writes what it reads, exits at Ctrl-D, and is killed at Ctrl-\.

use engine::EngineError;
use engine::port::{Changed, ContainerState};
use engine::shell::{Shell, ShellEvent, ShellMark, TerminalSize};
use futures::{StreamExt, stream};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::FakeEngine;
use crate::containers::KILLED;
use crate::world::World;

const CTRL_D: u8 = 4;
const CTRL_BACKSLASH: u8 = 28;
/// Exit code of a process that SIGHUP ended.
const HUNG_UP: i64 = 129;

/// A running shell.
pub(super) struct FakeShell {
    pub container: String,
    /// When the container's process started. The shell ends with the process.
    started_at: Option<String>,
    pub size: TerminalSize,
}

impl World {
    fn check_shell(&self, container: &str) -> Result<(), EngineError> {
        match self.get(container)?.state {
            ContainerState::Running => Ok(()),
            _ => {
                let what = format!("container {container}");
                Err(EngineError::Conflict { what, detail: "it does not run".into() })
            }
        }
    }

    pub(super) fn has_shell(&self, container: &str) -> Result<bool, EngineError> {
        self.check_shell(container)?;
        Ok(!self.get(container)?.behaviour.without_shell)
    }

    pub(super) fn add_shell(
        &mut self,
        container: &str,
        mark: &ShellMark,
        size: TerminalSize,
    ) -> Result<(), EngineError> {
        self.check_shell(container)?;
        let started_at = self.get(container)?.started_at.clone();
        self.shells.insert(mark.to_string(), FakeShell { container: container.to_owned(), started_at, size });
        Ok(())
    }

    pub(super) fn end_shell(&mut self, mark: &ShellMark) -> Changed {
        match self.shells.remove(&mark.to_string()) {
            Some(_) => Changed::Done,
            None => Changed::AlreadySo,
        }
    }

    /// How the shell ended; `None` while it runs.
    fn shell_end(&self, mark: &str) -> Option<Option<i64>> {
        let Some(shell) = self.shells.get(mark) else { return Some(Some(HUNG_UP)) };
        let process = self.containers.get(&shell.container).filter(|it| it.is_live());
        let is_same = process.is_some_and(|it| it.started_at == shell.started_at);
        (!is_same).then_some(None)
    }
}

impl FakeEngine {
    /// Runs a shell that [`World::add_shell`] has added.
    pub(super) fn run_shell(&self, mark: &ShellMark) -> Shell {
        let mark = mark.to_string();
        let (input, mut typed) = tokio::io::duplex(1024);
        let (sender, events) = mpsc::channel(1);
        let (fake, id) = (self.clone(), mark.clone());
        tokio::spawn(async move {
            let (mut bytes, mut is_connected) = ([0; 1024], true);
            let code = loop {
                tokio::select! {
                    read = typed.read(&mut bytes), if is_connected => match read {
                        Ok(length @ 1..) if bytes[..length].contains(&CTRL_D) => break Some(0),
                        Ok(length @ 1..) if bytes[..length].contains(&CTRL_BACKSLASH) => break Some(KILLED),
                        Ok(length @ 1..) => {
                            let echo = ShellEvent::Output(bytes[..length].to_vec().into());
                            is_connected = sender.send(Ok(echo)).await.is_ok();
                        }
                        Ok(0) | Err(_) => is_connected = false,
                    },
                    code = fake.until(|world| world.shell_end(&mark)) => break code,
                }
            };
            fake.change(|world| world.shells.remove(&mark));
            let _ = sender.send(Ok(ShellEvent::Exited { code })).await;
        });
        let output = stream::unfold(events, async |mut events| Some((events.recv().await?, events))).boxed();
        Shell { id, output, input: Box::pin(input) }
    }
}
