//! Which lines of a container's log were written before its process was last started.

use chrono::{DateTime, FixedOffset};
use engine::{ContainerDetails, ContainerState};

/// The time until the last process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlierRuns {
    /// The container has no process now.
    All,
    Until(DateTime<FixedOffset>),
}

impl EarlierRuns {
    pub fn contains(self, timestamp: &str) -> bool {
        match (self, DateTime::parse_from_rfc3339(timestamp)) {
            (Self::All, _) => true,
            (Self::Until(until), Ok(at)) => at < until,
            (Self::Until(_), Err(_)) => false,
        }
    }
}

/// `None` if no process of the container has ended yet.
///
/// The engine reads the last lines of a process after it has seen the end, and records the start after the new process
/// may have written lines. Both delays are short, and the engine waits between end and start, so the limit is the middle.
pub(super) fn earlier_runs(details: &ContainerDetails) -> Option<EarlierRuns> {
    let moment = |text: &Option<String>| DateTime::parse_from_rfc3339(text.as_deref()?).ok();
    let ended = moment(&details.finished_at)?;
    match (details.container.state, moment(&details.started_at)) {
        (ContainerState::Running | ContainerState::Paused, Some(started)) if started > ended => {
            Some(EarlierRuns::Until(ended + (started - ended) / 2))
        }
        _ => Some(EarlierRuns::All),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::samples::container_details;

    fn details(state: ContainerState, started_at: &str, finished_at: Option<&str>) -> ContainerDetails {
        let mut details = container_details();
        details.container.state = state;
        details.started_at = Some(started_at.into());
        details.finished_at = finished_at.map(str::to_owned);
        details
    }

    #[test]
    fn lines_around_the_end_belong_to_the_old_process_and_lines_around_the_start_to_the_new_one() {
        let running = ContainerState::Running;
        let first = details(running, "2026-01-01T00:00:01Z", None);
        assert_eq!(earlier_runs(&first), None);

        let again = details(running, "2026-01-01T00:00:10.5Z", Some("2026-01-01T00:00:10.123Z"));
        let earlier = earlier_runs(&again).expect("it was started again");
        for old in
            ["2026-01-01T00:00:01.000000000Z", "2026-01-01T00:00:10.123000000Z", "2026-01-01T00:00:10.140000000Z"]
        {
            assert!(earlier.contains(old), "{old}");
        }
        for new in ["2026-01-01T00:00:10.490000000Z", "2026-01-01T00:00:11.000000000Z", "no time"] {
            assert!(!earlier.contains(new), "{new}");
        }

        let waits = details(ContainerState::Restarting, "2026-01-01T00:00:05Z", Some("2026-01-01T00:00:10Z"));
        assert_eq!(earlier_runs(&waits), Some(EarlierRuns::All));
    }
}
