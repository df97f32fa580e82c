//! Consoles: interactive shells in running instances.
//!
//! `choice` decides in which instance a console opens, and `session` runs one console. The store remembers every open
//! console, so that `shells` can end those of a process that was killed.

mod choice;
mod session;
mod shells;

use std::time::Duration;

use bytes::Bytes;
pub use engine::TerminalSize;
use rollout::ids::{AppId, ComponentName, DeploymentId, InstanceName};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) use choice::{RunningInstance, RunningInstances, choose};
pub(crate) use session::{Session, open};
pub(crate) use shells::{Shells, end_leftover_shells};

/// How long a person waits until a program starts in an instance. A busy host may need some seconds.
pub(crate) const SHELL_WITHIN: Duration = Duration::from_secs(10);
/// Why consoles and log streams end when the server does.
pub const SHUTTING_DOWN: &str = "boatyard serve is shutting down";

/// A request for a console.
#[derive(Debug, Clone)]
pub struct ConsoleRequest {
    /// The app.
    pub app: AppId,
    /// The component.
    pub component: String,
    /// Name or alias of the instance; `None`: the first one that runs, those that serve first.
    pub instance: Option<String>,
    /// Only instances of this deployment.
    pub deployment: Option<DeploymentId>,
}

/// An instance in which a console can be opened. It may stop at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleTarget {
    /// The app.
    pub app: AppId,
    /// The app's name.
    pub app_name: String,
    /// The component.
    pub component: ComponentName,
    /// Name of the container.
    pub instance: InstanceName,
    /// `COMPONENT-INDEX`, or the name of the job.
    pub alias: String,
}

/// An open console. Dropping `input` or `output` ends its shell, as a terminal does that hangs up.
pub struct Console {
    /// What the client sends. It is taken as fast as the shell reads.
    pub input: mpsc::Sender<ConsoleInput>,
    /// What the client gets. While the client does not take it, the shell waits. The last item is
    /// [`ConsoleOutput::End`].
    pub output: mpsc::Receiver<ConsoleOutput>,
    /// Completes when no process of the shell is left, or this process may no longer act.
    pub ended: JoinHandle<()>,
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleInput {
    /// Bytes for the shell.
    Bytes(Bytes),
    /// A new size of the terminal.
    Resize(TerminalSize),
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleOutput {
    /// Bytes from the shell. A character may be split between two of them.
    Bytes(Bytes),
    /// The console has ended.
    End(ConsoleEnd),
}

/// Why a console has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleEnd {
    /// The shell exited.
    Exited,
    /// The shell was ended, for a reason that the sentence gives.
    Lost(String),
}
