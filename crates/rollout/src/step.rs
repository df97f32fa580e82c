//! The next actions, and the reasons for waiting, as plain data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::health::ProbeFailure;
use crate::ids::{ComponentName, InstanceName, RevisionId};
use crate::observed::{Open, Routes};
use crate::time::Timestamp;

/// One action on an app's instances or routes. The controller records it, carries it out, records the result, and plans
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Record a new instance with a name and an address, and create its container.
    Add {
        /// The component.
        component: ComponentName,
        /// The slot it is for.
        slot: u32,
        /// What it will run.
        revision: RevisionId,
        /// Its restart generation.
        generation: u64,
    },
    /// Create the container of an instance that is already recorded.
    Create {
        /// The instance.
        instance: InstanceName,
    },
    /// Start the process for the first time.
    Start {
        /// The instance.
        instance: InstanceName,
    },
    /// Record that the instance passed its probe.
    MarkReady {
        /// The instance.
        instance: InstanceName,
    },
    /// Record that the instance lost its process or fails its probe.
    MarkUnready {
        /// The instance.
        instance: InstanceName,
    },
    /// Tell the ingress to route exactly these instances, and wait for its acknowledgement.
    Route {
        /// Ready instances by service.
        routes: Routes,
    },
    /// Set the engine's restart policy, so that the engine restarts the instance when its process ends.
    KeepAlive {
        /// The instance.
        instance: InstanceName,
    },
    /// Bring back an instance that served before a person stopped, paused or disconnected it.
    Revive {
        /// The instance.
        instance: InstanceName,
    },
    /// Record that the instance gets no new requests once the next routes apply.
    Drain {
        /// The instance.
        instance: InstanceName,
    },
    /// Send the stop signal, and kill the process after the grace.
    Stop {
        /// The instance.
        instance: InstanceName,
        /// From TERM to KILL.
        grace: Duration,
    },
    /// Remove the container and delete the instance's record.
    Remove {
        /// The instance.
        instance: InstanceName,
    },
    /// A new instance did not become ready: keep its last log lines, remove it, and report the reason.
    GiveUp {
        /// The instance.
        instance: InstanceName,
        /// Why.
        reason: Reason,
    },
}

/// Why a new instance did not become ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// It did not pass its health check in time.
    NotReady {
        /// How much time it had.
        within: Duration,
        /// Why the newest check did not pass; `None` if it has no check, or if no check ran.
        check: Option<ProbeFailure>,
        /// Its limit of processes and threads, if it had reached the limit.
        #[serde(default)]
        process_limit: Option<u64>,
    },
    /// Its process ended before it became ready.
    Exited {
        /// The exit code, if the engine showed it.
        code: Option<i64>,
    },
    /// The kernel killed its process because it exceeded its memory limit.
    OutOfMemory {
        /// Its memory limit in bytes.
        limit: u64,
    },
    /// Its container was removed by hand before it became ready.
    Gone,
    /// The engine refused to create or start it.
    Refused {
        /// The engine's message with all causes.
        message: String,
    },
}

/// Why a step waits, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "waiting", rename_all = "snake_case")]
pub enum Waiting {
    /// For a new instance to pass its health check.
    ForReady {
        /// The component, for people.
        component: ComponentName,
        /// The slot, for people.
        slot: u32,
        /// The instance.
        instance: InstanceName,
        /// When the planner gives it up.
        deadline: Timestamp,
        /// Why the newest check did not pass.
        check: Option<ProbeFailure>,
    },
    /// For a new instance without a health check to stay up for a while.
    ForStayingUp {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// When it has stayed up long enough, or when the planner gives it up.
        until: Timestamp,
    },
    /// For open requests to end.
    ForDrain {
        /// The component, for people.
        component: ComponentName,
        /// The slot, for people.
        slot: u32,
        /// The instance.
        instance: InstanceName,
        /// Open requests and connections.
        open: Open,
        /// When it gets its stop signal, even with open requests.
        deadline: Timestamp,
    },
    /// For other instances to finish draining first.
    ForRoomToDrain {
        /// How many instances drain now.
        draining: usize,
    },
    /// To stop a drained instance until the engine has finished a start: doing both at once slows both down.
    ForQuiet {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
    },
    /// For another instance to start first. The container exists already.
    ForTurn {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
    },
    /// For an instance that served before to recover: to pass its health check again, or to stay up again.
    ForRecovery {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// Why the newest check did not pass.
        check: Option<ProbeFailure>,
    },
    /// For an action that is in progress.
    ForStep {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// The action.
        act: Act,
    },
    /// For the next attempt at a slot whose repair failed.
    ForRetry {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// When the next attempt begins.
        at: Timestamp,
        /// Why the last attempt failed.
        reason: String,
    },
    /// For the next attempt to end a container that the engine cannot stop or remove. Nothing else waits for it.
    ForStuck {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// The instance. Its name is that of the container, which a person may have to remove.
        instance: InstanceName,
        /// When the next attempt begins; `None` while one is in progress.
        again_at: Option<Timestamp>,
    },
    /// For the engine to answer. The planner concludes nothing from the missing answer.
    ForEngine,
    /// For the ingress to report which routes it serves.
    ForIngress,
}

/// The action that is in progress on an instance, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Act {
    Creating,
    Starting,
    /// It did not become ready: the controller keeps its last log lines.
    GivingUp,
    /// The controller sets the restart policy with which the engine restarts the instance.
    KeepingUp,
    BringingBack,
    Stopping,
    Removing,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::GivingUp => "giving up",
            Self::KeepingUp => "setting the restart policy of",
            Self::BringingBack => "bringing back",
            Self::Stopping => "stopping",
            Self::Removing => "removing",
        })
    }
}

impl Waiting {
    /// When to plan again if no news arrives; `None` if only news can change the situation.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::ForReady { deadline, .. } | Self::ForDrain { deadline, .. } => Some(*deadline),
            Self::ForRetry { at, .. } | Self::ForStayingUp { until: at, .. } => Some(*at),
            Self::ForStuck { again_at, .. } => *again_at,
            Self::ForRoomToDrain { .. }
            | Self::ForQuiet { .. }
            | Self::ForTurn { .. }
            | Self::ForRecovery { .. }
            | Self::ForStep { .. }
            | Self::ForEngine
            | Self::ForIngress => None,
        }
    }

    /// The sentence that CLI, panel and API show.
    pub fn why(&self, now: Timestamp) -> String {
        let left = |until: Timestamp| format!("{} s left", until.since(now).as_secs());
        match self {
            Self::ForReady { component, slot, deadline, check, .. } => {
                let left = left(*deadline);
                format!("waiting for {component}.{slot} to pass its health check, {left}{}", so_far(check.as_ref()))
            }
            Self::ForStayingUp { component, slot, until } => {
                format!("waiting for {component}.{slot} to stay up, {}", left(*until))
            }
            Self::ForDrain { component, slot, open, deadline, .. } => {
                format!("waiting for {component}.{slot}: {open}, {}", left(*deadline))
            }
            Self::ForRoomToDrain { draining } => format!("waiting for one of {draining} draining instances to end"),
            Self::ForQuiet { component, slot } => {
                format!("stopping the old {component}.{slot} once the next instance has started")
            }
            Self::ForTurn { component, slot } => format!("{component}.{slot} is next to start"),
            Self::ForRecovery { component, slot, check } => {
                format!("waiting for {component}.{slot} to recover{}", so_far(check.as_ref()))
            }
            Self::ForStep { component, slot, act } => format!("{act} {component}.{slot}"),
            Self::ForRetry { component, slot, at, reason } => {
                format!("trying {component}.{slot} again, {}: {reason}", left(*at))
            }
            Self::ForStuck { component, slot, instance, again_at } => {
                let again = again_at.map_or_else(|| "now".to_owned(), left);
                format!(
                    "{component}.{slot} does not end and was left behind (container {instance}); trying again, {again}"
                )
            }
            Self::ForEngine => "waiting for the container engine to answer".into(),
            Self::ForIngress => "waiting for the ingress to answer".into(),
        }
    }
}

/// The newest health check's failure, after a colon.
fn so_far(check: Option<&ProbeFailure>) -> String {
    let Some(check) = check else { return String::new() };
    let cause = check.usual_cause().map(|it| format!("; {it}")).unwrap_or_default();
    format!(": {check}{cause}")
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: u64| if n == 1 { "" } else { "s" };
        write!(f, "{} open request{}", self.requests, plural(self.requests))?;
        if self.upgraded > 0 {
            write!(f, ", {} open websocket{}", self.upgraded, plural(self.upgraded))?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady { within, check, process_limit } => {
                write!(f, "did not pass its health check within {} s{}", within.as_secs(), so_far(check.as_ref()))?;
                process_limit.map_or(Ok(()), |limit| {
                    write!(f, "; it has {limit} processes and threads, and may have no more: a larger instance_size_slug allows more")
                })
            }
            Self::Exited { code: Some(code) } => write!(f, "ended with exit code {code} before it was ready"),
            Self::Exited { code: None } => write!(f, "ended before it was ready"),
            Self::OutOfMemory { limit } => {
                write!(f, "ran out of memory before it was ready: it may take {} MiB", limit >> 20)
            }
            Self::Gone => write!(f, "was removed by hand before it was ready"),
            Self::Refused { message } => write!(f, "could not be started: {message}"),
        }
    }
}

impl Step {
    /// The instance that the step concerns; `None` for one that does not exist yet, and for routes.
    pub fn instance(&self) -> Option<&InstanceName> {
        match self {
            Self::Add { .. } | Self::Route { .. } => None,
            Self::Create { instance }
            | Self::Start { instance }
            | Self::MarkReady { instance }
            | Self::MarkUnready { instance }
            | Self::KeepAlive { instance }
            | Self::Revive { instance }
            | Self::Drain { instance }
            | Self::Stop { instance, .. }
            | Self::Remove { instance }
            | Self::GiveUp { instance, .. } => Some(instance),
        }
    }
}
