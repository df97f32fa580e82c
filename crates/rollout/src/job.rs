//! One run of a job, at most once: written down, created, its container's id stored, started, its code taken.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What we wrote down about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum JobPhase {
    /// Its container's name is decided; whether the engine has heard of it is not known.
    Intended,
    /// The container exists and its id is stored. It may have been started since.
    Created {
        /// The engine's id.
        container: String,
        /// When it was stored: the run's time limit counts from here.
        since: Timestamp,
    },
    /// It ended, and this is its code.
    Ended {
        /// Exit code.
        code: i64,
    },
    /// The kernel ended it, because it took more memory than it may.
    OutOfMemory,
    /// It was ended by us after its time limit.
    TimedOut,
    /// It cannot be said whether it ran. It is not run again.
    Unknown,
    /// The engine refused to create or start it: it never ran.
    Refused {
        /// The engine's words.
        message: String,
    },
}

/// What the engine shows under the run's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobSeen {
    /// No such container.
    Missing,
    /// Exists, was never started.
    Created,
    /// Runs.
    Running,
    /// Has ended.
    Exited {
        /// Exit code, where the engine's list shows it.
        code: Option<i64>,
    },
}

/// The next act on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStep {
    /// Create the container (or find it by its name) and store its id.
    Create,
    /// Start it.
    Start,
    /// Wait for its end and store its code.
    Await,
    /// End it: its time is over.
    TimeOut,
    /// Write down that it is not known whether it ran.
    GiveUp,
    /// It has ended.
    Nothing,
}

/// How a run stands, for its deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// There is something to do.
    Open,
    /// Being worked on.
    UnderWay,
    /// Ended with code 0.
    Succeeded,
    /// Ended otherwise; the sentence says how.
    Failed(String),
}

/// The next act on a run. After a crash: no id and no such name, it never ran; created, start it; running or ended, wait
/// or take its code; its id stored but the container gone: it was removed, and it is not known whether the job ran.
pub fn next_step(phase: &JobPhase, seen: JobSeen, limit: Duration, now: Timestamp) -> JobStep {
    match (phase, seen) {
        (JobPhase::Intended, _) => JobStep::Create,
        (JobPhase::Created { .. }, JobSeen::Missing) => JobStep::GiveUp,
        (JobPhase::Created { .. }, JobSeen::Created) => JobStep::Start,
        (JobPhase::Created { since, .. }, JobSeen::Running) if now >= since.plus(limit) => JobStep::TimeOut,
        (JobPhase::Created { .. }, JobSeen::Running | JobSeen::Exited { .. }) => JobStep::Await,
        (JobPhase::Ended { .. } | JobPhase::OutOfMemory | JobPhase::TimedOut, _) => JobStep::Nothing,
        (JobPhase::Unknown | JobPhase::Refused { .. }, _) => JobStep::Nothing,
    }
}

impl JobPhase {
    /// How the run stands; `busy` when an act on it is under way.
    pub fn outcome(&self, busy: bool) -> JobOutcome {
        match self {
            Self::Ended { code: 0 } => JobOutcome::Succeeded,
            Self::Ended { code } => JobOutcome::Failed(format!("it ended with exit code {code}")),
            Self::OutOfMemory => JobOutcome::Failed("it ran out of memory".into()),
            Self::TimedOut => JobOutcome::Failed("it was ended after its time limit".into()),
            Self::Unknown => JobOutcome::Failed(
                "its outcome is unknown: its container was removed by somebody else, and it is not run again".into(),
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
    fn after_a_crash_the_next_act_follows_from_what_was_stored_and_what_is_there() {
        let created = JobPhase::Created { container: "c1".into(), since: Timestamp(1_000) };
        let cases = [
            ("written down, never created", JobPhase::Intended, JobSeen::Missing, JobStep::Create),
            ("created, its id not stored", JobPhase::Intended, JobSeen::Created, JobStep::Create),
            ("created and stored", created.clone(), JobSeen::Created, JobStep::Start),
            ("running", created.clone(), JobSeen::Running, JobStep::Await),
            ("ended, code not stored", created.clone(), JobSeen::Exited { code: Some(0) }, JobStep::Await),
            ("stored, then removed by somebody", created, JobSeen::Missing, JobStep::GiveUp),
            ("ended", JobPhase::Ended { code: 0 }, JobSeen::Missing, JobStep::Nothing),
            ("unknown stays unknown", JobPhase::Unknown, JobSeen::Missing, JobStep::Nothing),
        ];
        for (name, phase, seen, expected) in cases {
            assert_eq!(next_step(&phase, seen, LIMIT, Timestamp(2_000)), expected, "{name}");
        }
    }

    #[test]
    fn a_run_is_ended_when_its_time_is_over_and_never_started_twice() {
        let phase = JobPhase::Created { container: "c1".into(), since: Timestamp(0) };
        let late = Timestamp(0).plus(LIMIT);
        assert_eq!(next_step(&phase, JobSeen::Running, LIMIT, late), JobStep::TimeOut);
        assert_eq!(next_step(&phase, JobSeen::Exited { code: Some(3) }, LIMIT, late), JobStep::Await);
        assert_eq!(next_step(&JobPhase::TimedOut, JobSeen::Exited { code: None }, LIMIT, late), JobStep::Nothing);
    }

    #[test]
    fn only_code_zero_is_a_success() {
        assert_eq!(JobPhase::Ended { code: 0 }.outcome(false), JobOutcome::Succeeded);
        for failed in [JobPhase::Ended { code: 3 }, JobPhase::Unknown, JobPhase::TimedOut] {
            assert!(matches!(failed.outcome(false), JobOutcome::Failed(_)), "{failed:?}");
        }
    }
}
