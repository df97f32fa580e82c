//! The next acts, and the reasons for holding still, as plain data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::health::ProbeFailure;
use crate::ids::{ComponentName, InstanceName, RevisionId};
use crate::observed::{Open, Routes};
use crate::time::Timestamp;

/// One act on an app's instances or routes. The shell writes it down, does it, writes the result, and looks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Write down a new instance with a name and an address of its own, and create its container.
    Add {
        /// The component.
        component: ComponentName,
        /// The slot it is for.
        slot: u32,
        /// What it will run.
        revision: RevisionId,
        /// The generation it is made for.
        generation: u64,
    },
    /// Create the container of an instance that is written down.
    Create {
        /// The instance.
        instance: InstanceName,
    },
    /// Start its process for the first time.
    Start {
        /// The instance.
        instance: InstanceName,
    },
    /// Record that it passed its probe.
    MarkReady {
        /// The instance.
        instance: InstanceName,
    },
    /// Record that it lost its process or fails its probe.
    MarkUnready {
        /// The instance.
        instance: InstanceName,
    },
    /// Have the ingress route exactly these, and wait for its acknowledgement.
    Route {
        /// Ready instances by service.
        routes: Routes,
    },
    /// Have the engine start it again by itself from now on.
    KeepAlive {
        /// The instance.
        instance: InstanceName,
    },
    /// Bring back an instance that served and that a person stopped, paused or disconnected.
    Revive {
        /// The instance.
        instance: InstanceName,
    },
    /// Record that it gets no new request from the next routes on.
    Drain {
        /// The instance.
        instance: InstanceName,
    },
    /// Ask it to end, and end it after the grace.
    Stop {
        /// The instance.
        instance: InstanceName,
        /// From TERM to KILL.
        grace: Duration,
    },
    /// Remove its container and forget it.
    Remove {
        /// The instance.
        instance: InstanceName,
    },
    /// A new instance did not come up: keep its log tail, remove it, and say so.
    GiveUp {
        /// The instance.
        instance: InstanceName,
        /// Why.
        reason: Reason,
    },
}

/// Why a new instance did not come up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// It did not pass its health check in time.
    NotReady {
        /// How long it had.
        within: Duration,
        /// Why the newest check did not pass; `None` for one that has no check, or was not asked.
        check: Option<ProbeFailure>,
        /// Its limit of processes and threads, when it had reached it.
        #[serde(default)]
        process_limit: Option<u64>,
    },
    /// Its process ended before it was ready.
    Exited {
        /// With this code, where the engine showed it.
        code: Option<i64>,
    },
    /// The kernel ended its process, because it took more memory than it may.
    OutOfMemory {
        /// What it may take, in bytes.
        limit: u64,
    },
    /// Its container was removed by somebody else before it was ready.
    Gone,
    /// The engine refused to create or start it; in the engine's words.
    Refused {
        /// The whole chain.
        message: String,
    },
}

/// Why nothing more can be done right now, and until when.
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
        /// When it is given up.
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
        /// When it has stayed up long enough, or is given up.
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
        /// What is open.
        open: Open,
        /// When TERM is sent whatever is open.
        deadline: Timestamp,
    },
    /// For other instances to finish draining first.
    ForRoomToDrain {
        /// How many drain now.
        draining: usize,
    },
    /// With the stop of a drained instance, until the engine is done with a start: the two slow each other down.
    ForQuiet {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
    },
    /// For its turn to start: another is starting. Its container is there already.
    ForTurn {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
    },
    /// For an instance that served to come back: to pass its health check again, or to stay up again.
    ForRecovery {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// Why the newest check did not pass.
        check: Option<ProbeFailure>,
    },
    /// For an act that is under way.
    ForStep {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// What is done.
        act: Act,
    },
    /// For the next try at a slot whose repair failed.
    ForRetry {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// Not before this.
        at: Timestamp,
        /// Why the last try failed.
        reason: String,
    },
    /// For the next try to end a container that the engine cannot stop or remove. Nothing else waits for it.
    ForStuck {
        /// The component.
        component: ComponentName,
        /// The slot.
        slot: u32,
        /// The instance: the name of its container, which a person may have to remove.
        instance: InstanceName,
        /// Not before this; `None` while a try is under way.
        again_at: Option<Timestamp>,
    },
    /// For the engine to answer: nothing is concluded from its silence.
    ForEngine,
    /// For the ingress to report which routes it serves.
    ForIngress,
}

/// What is being done to an instance, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Act {
    Creating,
    Starting,
    /// It did not come up: its last log lines are kept.
    GivingUp,
    /// The engine gets the restart policy with which it starts the instance again by itself.
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
    /// When to look again if nothing else happens; `None` when only news can change it.
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

/// What the newest health check said, after a colon.
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
            Self::Gone => write!(f, "was removed by somebody else before it was ready"),
            Self::Refused { message } => write!(f, "could not be started: {message}"),
        }
    }
}

impl Step {
    /// The instance it is about; `None` for one that is not there yet, and for routes.
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
