//! One run of a job. A job runs at most once: the controller records the run, creates the container, stores the
//! container's id, starts it, and stores its exit code.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The recorded phase of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum JobPhase {
    /// The container's name is decided; the engine may or may not have created the container.
    Intended,
    /// The container exists and its id is stored. The process may have been started since.
    Created {
        /// The engine's id.
        container: String,
        /// When the id was stored: the run's time limit counts from here.
        since: Timestamp,
    },
    /// The process ended with this code.
    Ended {
        /// Exit code.
        code: i64,
    },
    /// The kernel killed the process because it exceeded its memory limit.
    OutOfMemory,
    /// The controller ended it at its time limit.
    TimedOut,
    /// A person canceled it, before or while it ran.
    Canceled,
    /// The controller cannot tell whether the job ran, and does not run it again.
    Unknown,
    /// The engine refused to create or start the container: the job never ran.
    Refused {
        /// The engine's message.
        message: String,
    },
}

/// What the engine shows under the run's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobSeen {
    /// No such container.
    Missing,
    /// Exists, and was never started.
    Created,
    /// Runs.
    Running,
    /// Has ended.
    Exited {
        /// Exit code, if the engine's list shows it.
        code: Option<i64>,
    },
}

/// The next action for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStep {
    /// Create the container (or find it by name) and store its id.
    Create,
    /// Start the container.
    Start,
    /// Wait until the process ends and store its code.
    Await,
    /// Stop it: its time limit has passed.
    TimeOut,
    /// Stop it, if it runs: a person canceled it.
    Cancel,
    /// Record that it is unknown whether the job ran.
    GiveUp,
    /// The run has ended; there is nothing to do.
    Nothing,
}

/// The state of a run, as its deployment sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// The run needs an action.
    Open,
    /// An action is in progress.
    UnderWay,
    /// Ended with code 0.
    Succeeded,
    /// Ended in another way; the sentence says how.
    Failed(String),
}

/// The next action for a run. After a crash of the controller: if no id is stored, the process never started, so create
/// the container or find it by name. If the container was created, start it; if it runs or has ended, wait for its
/// code. If an id is stored and the container is missing, a person removed it: it is unknown whether the job ran.
///
/// `canceled`: a person canceled the run. A process that has ended by itself keeps its exit code.
pub fn next_step(phase: &JobPhase, seen: JobSeen, canceled: bool, limit: Duration, now: Timestamp) -> JobStep {
    match (phase, seen) {
        (JobPhase::Intended, _) if canceled => JobStep::Cancel,
        (JobPhase::Intended, _) => JobStep::Create,
        (JobPhase::Created { .. }, JobSeen::Missing) => JobStep::GiveUp,
        (JobPhase::Created { .. }, JobSeen::Created | JobSeen::Running) if canceled => JobStep::Cancel,
        (JobPhase::Created { .. }, JobSeen::Created) => JobStep::Start,
        (JobPhase::Created { since, .. }, JobSeen::Running) if now >= since.plus(limit) => JobStep::TimeOut,
        (JobPhase::Created { .. }, JobSeen::Running | JobSeen::Exited { .. }) => JobStep::Await,
        (JobPhase::Ended { .. } | JobPhase::OutOfMemory | JobPhase::TimedOut | JobPhase::Canceled, _) => {
            JobStep::Nothing
        }
        (JobPhase::Unknown | JobPhase::Refused { .. }, _) => JobStep::Nothing,
    }
}

impl JobPhase {
    /// The state of the run; `busy` while an action on it is in progress.
    pub fn outcome(&self, busy: bool) -> JobOutcome {
        match self {
            Self::Ended { code: 0 } => JobOutcome::Succeeded,
            Self::Ended { code } => JobOutcome::Failed(format!("it ended with exit code {code}")),
            Self::OutOfMemory => JobOutcome::Failed("it ran out of memory".into()),
            Self::TimedOut => JobOutcome::Failed("it was ended after its time limit".into()),
            Self::Canceled => JobOutcome::Failed("it was canceled".into()),
            Self::Unknown => JobOutcome::Failed(
                "its outcome is unknown: its container was removed by hand, and Boatyard does not run it again".into(),
            ),
            Self::Refused { message } => JobOutcome::Failed(format!("it could not be started: {message}")),
            Self::Intended | Self::Created { .. } if busy => JobOutcome::UnderWay,
            Self::Intended | Self::Created { .. } => JobOutcome::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1800);

    #[test]
    fn after_a_crash_the_next_step_follows_from_the_record_and_the_container() {
        let created = JobPhase::Created { container: "c1".into(), since: Timestamp(1_000) };
        let cases = [
            ("written down, never created", JobPhase::Intended, JobSeen::Missing, JobStep::Create),
            ("created, its id not stored", JobPhase::Intended, JobSeen::Created, JobStep::Create),
            ("created and stored", created.clone(), JobSeen::Created, JobStep::Start),
            ("running", created.clone(), JobSeen::Running, JobStep::Await),
            ("ended, code not stored", created.clone(), JobSeen::Exited { code: Some(0) }, JobStep::Await),
            ("stored, then removed by hand", created, JobSeen::Missing, JobStep::GiveUp),
            ("ended", JobPhase::Ended { code: 0 }, JobSeen::Missing, JobStep::Nothing),
            ("unknown stays unknown", JobPhase::Unknown, JobSeen::Missing, JobStep::Nothing),
        ];
        for (name, phase, seen, expected) in cases {
            assert_eq!(next_step(&phase, seen, false, LIMIT, Timestamp(2_000)), expected, "{name}");
        }
    }

    #[test]
    fn a_canceled_run_is_stopped_unless_it_has_ended() {
        let created = JobPhase::Created { container: "c1".into(), since: Timestamp(1_000) };
        let cases = [
            ("not created yet", JobPhase::Intended, JobSeen::Missing, JobStep::Cancel),
            ("created, its id not stored", JobPhase::Intended, JobSeen::Created, JobStep::Cancel),
            ("created and stored", created.clone(), JobSeen::Created, JobStep::Cancel),
            ("running", created.clone(), JobSeen::Running, JobStep::Cancel),
            ("ended by itself", created.clone(), JobSeen::Exited { code: Some(0) }, JobStep::Await),
            ("removed by hand", created, JobSeen::Missing, JobStep::GiveUp),
            ("canceled before", JobPhase::Canceled, JobSeen::Exited { code: None }, JobStep::Nothing),
        ];
        for (name, phase, seen, expected) in cases {
            assert_eq!(next_step(&phase, seen, true, LIMIT, Timestamp(2_000)), expected, "{name}");
        }
    }

    #[test]
    fn a_run_is_stopped_at_its_time_limit_and_never_started_twice() {
        let phase = JobPhase::Created { container: "c1".into(), since: Timestamp(0) };
        let late = Timestamp(0).plus(LIMIT);
        assert_eq!(next_step(&phase, JobSeen::Running, false, LIMIT, late), JobStep::TimeOut);
        assert_eq!(next_step(&phase, JobSeen::Exited { code: Some(3) }, false, LIMIT, late), JobStep::Await);
        assert_eq!(
            next_step(&JobPhase::TimedOut, JobSeen::Exited { code: None }, false, LIMIT, late),
            JobStep::Nothing
        );
    }

    #[test]
    fn only_code_zero_is_a_success() {
        assert_eq!(JobPhase::Ended { code: 0 }.outcome(false), JobOutcome::Succeeded);
        for failed in [JobPhase::Ended { code: 3 }, JobPhase::Unknown, JobPhase::TimedOut, JobPhase::Canceled] {
            assert!(matches!(failed.outcome(false), JobOutcome::Failed(_)), "{failed:?}");
        }
    }
}
