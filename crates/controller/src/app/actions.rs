//! Actions that run beside the task (a start, a stop, a build) and report when they end. One subject has one action at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use builder::Built;
use engine::{ContainerDetails, EngineError};
use ingress::protocol::AppRoutes;
use rollout::ids::{ComponentName, DeploymentId, InstanceName};
use rollout::job::JobPhase;
use rollout::observed::Routes;
use rollout::step::Reason;
use rollout::time::Timestamp;
use source::CommitId;
use store::records::{Database, Image};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tracing::Instrument;

use super::databases::DatabaseDown;
use crate::clock;

/// What an action works on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Instance(InstanceName),
    /// A job run, by its container.
    Job(InstanceName),
    /// The wait for a job run to end.
    JobEnd(InstanceName),
    /// A database, by its container.
    Database(InstanceName),
    /// A container that no record explains.
    Stray(InstanceName),
    /// The inspection of how an instance's process ended.
    Inspection(InstanceName),
    Image(DeploymentId, ComponentName),
    Routes,
    /// Removal of old images and old history.
    Gc,
    /// Removal of the network and the images of a deleted app.
    Deletion,
}

impl Subject {
    /// The container that the subject refers to.
    pub fn container(&self) -> Option<&InstanceName> {
        match self {
            Self::Instance(name)
            | Self::Job(name)
            | Self::JobEnd(name)
            | Self::Database(name)
            | Self::Stray(name)
            | Self::Inspection(name) => Some(name),
            Self::Image(..) | Self::Routes | Self::Gc | Self::Deletion => None,
        }
    }
}

/// The result of an action.
pub(super) enum ActionResult {
    Instance {
        name: InstanceName,
        action: InstanceAction,
        result: Result<(), EngineError>,
    },
    /// An instance failed to start: the reason, and the last lines of its log.
    GivenUp {
        name: InstanceName,
        reason: Reason,
        tail: Vec<String>,
    },
    /// The inspection of an instance whose process may have ended and restarted.
    Inspected {
        name: InstanceName,
        /// The exit code, as events reported it.
        code: Option<i64>,
        out_of_memory: bool,
        result: Result<Option<ContainerDetails>, EngineError>,
    },
    Routed {
        routes: Routes,
        part: AppRoutes,
        result: Result<(), String>,
    },
    CommitResolved {
        deployment: DeploymentId,
        component: ComponentName,
        commit: CommitId,
    },
    ImageReady {
        deployment: DeploymentId,
        component: ComponentName,
        result: Result<ImageReady, String>,
    },
    /// Whether the engine has an image that a restart needs.
    ImageChecked {
        deployment: DeploymentId,
        component: ComponentName,
        result: Result<(), String>,
    },
    DatabaseUp {
        container: InstanceName,
        name: ComponentName,
        result: Result<Database, DatabaseDown>,
    },
    DatabaseStopped {
        database: Box<Database>,
        result: Result<(), EngineError>,
    },
    JobMoved {
        name: InstanceName,
        result: Result<JobPhase, EngineError>,
    },
    JobCollected {
        name: InstanceName,
        result: Result<(), EngineError>,
    },
    Repaired {
        name: InstanceName,
        result: Result<(), EngineError>,
    },
    StrayRemoved {
        name: InstanceName,
        result: Result<(), EngineError>,
    },
    AppRemoved {
        result: Result<(), EngineError>,
    },
    GcEnded,
    Paused,
}

/// An action on an instance's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InstanceAction {
    Create,
    Start,
    KeepAlive,
    Revive,
    Stop,
    Remove,
}

/// An image that was built or found.
#[derive(Clone)]
pub(super) struct ImageReady {
    pub image: Image,
    /// Recorded for later builds.
    pub built: Option<Built>,
    /// For the deployment's notes.
    pub remark: Option<String>,
}

/// An action that failed and will be tried again.
struct FailedAction {
    /// The subject, what failed, and why.
    what: String,
    again_at: Timestamp,
    /// Consecutive failures.
    failures: u32,
}

#[derive(Default)]
pub(super) struct Actions {
    tasks: JoinSet<(Subject, ActionResult)>,
    running: BTreeMap<Subject, AbortHandle>,
    failed: BTreeMap<Subject, FailedAction>,
}

/// The report of an action that ended.
pub(super) struct Report {
    pub subject: Subject,
    pub result: ActionResult,
    pub failures_before: Option<u32>,
}

impl Actions {
    /// Begins an action. Its subject stays busy until the task takes the report.
    pub fn begin(&mut self, subject: Subject, action: impl Future<Output = ActionResult> + Send + 'static) {
        let about = subject.clone();
        let handle = self.tasks.spawn(async move { (about, action.await) }.in_current_span());
        self.running.insert(subject, handle);
    }

    /// Keeps the subject busy for this long, so that a failed action is not tried again in a tight loop.
    pub fn pause(&mut self, subject: Subject, long: Duration) {
        self.begin(subject, async move {
            tokio::time::sleep(long).await;
            ActionResult::Paused
        });
    }

    /// Aborts an action that is no longer needed. It does not report.
    pub fn end(&mut self, subject: &Subject) {
        if let Some(handle) = self.running.remove(subject) {
            handle.abort();
        }
    }

    pub fn is_running(&self, subject: &Subject) -> bool {
        self.running.contains_key(subject)
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Subjects of all actions under way, in order.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.running.keys()
    }

    /// The next report, without waiting for one.
    pub fn try_next(&mut self) -> Option<Report> {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            if let Some(report) = self.report(ended) {
                return Some(report);
            }
        }
        None
    }

    /// The next report. Never returns while no action runs.
    pub async fn next(&mut self) -> Report {
        loop {
            match self.tasks.join_next_with_id().await {
                Some(ended) => {
                    if let Some(report) = self.report(ended) {
                        return report;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    /// `None` if the action was aborted.
    fn report(&mut self, ended: Result<(Id, (Subject, ActionResult)), JoinError>) -> Option<Report> {
        let (id, (subject, result)) = match ended {
            Ok(ended) => ended,
            Err(ended) if ended.is_cancelled() => return None,
            // It is unknown which action panicked, and the others must not begin twice. Panic here as well: the task
            // then starts again from its records.
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        };
        if self.running.get(&subject).is_none_or(|handle| handle.id() != id) {
            return None;
        }
        self.running.remove(&subject);
        let failures_before = self.failed.get(&subject).map(|it| it.failures);
        Some(Report { subject, result, failures_before })
    }

    /// Notes a failure, so that people can see it. Returns the pause before the next attempt: `first`, doubled after
    /// each failure up to `longest`.
    pub fn failed(&mut self, subject: &Subject, what: String, first: Duration, longest: Duration) -> Duration {
        let failures = self.failed.get(subject).map_or(0, |it| it.failures) + 1;
        let pause = first.saturating_mul(1 << (failures - 1).min(16)).min(longest);
        let again_at = clock::now().plus(pause);
        self.failed.insert(subject.clone(), FailedAction { what, again_at, failures });
        pause
    }

    /// After the task handled a report: clears the failure unless the action failed again.
    pub fn handled(&mut self, subject: &Subject, is_pause: bool, failures_before: Option<u32>) {
        let now = self.failed.get(subject).map(|it| it.failures);
        if !is_pause && now.is_some() && now == failures_before {
            self.failed.remove(subject);
        }
    }

    /// The last failures of actions that will be tried again, as sentences.
    pub fn failures(&self, now: Timestamp) -> impl Iterator<Item = String> {
        self.failed.values().map(move |FailedAction { what, again_at, .. }| {
            format!("{what}; trying again, {} s left", again_at.since(now).as_secs())
        })
    }

    /// After the clock was set or the host slept: shifts all waits.
    pub fn follow_clock(&mut self, by: i64) {
        self.failed.values_mut().for_each(|it| it.again_at = clock::moved(it.again_at, by));
    }
}
