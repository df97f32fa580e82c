//! The only module that reads the clock.
//!
//! Records show the system clock, so the times that people read are correct as soon as the clock was set or the host
//! woke up. Waits follow the monotonic clock: when the two clocks move apart, [`ClockJumps`] measures the difference and
//! [`move_waits`] moves the start of every open wait by it. So no deadline passes early, and no wait hangs.

use std::time::Duration;
#[cfg(not(test))]
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use rollout::job::JobPhase;
use rollout::time::Timestamp;
use store::records::AppState;
use tokio::time::Instant;

/// The current time by tokio's clock. Tests pause that clock, so the controller's deadlines pass together with tokio's
/// timers.
#[cfg(test)]
pub(crate) fn now() -> Timestamp {
    use std::sync::LazyLock;

    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    /// The start of 2026, in milliseconds. A paused clock may have stopped shortly before `BEGINNING`.
    const THEN: u64 = 1_767_225_600_000;
    let (beginning, now) = (*BEGINNING, Instant::now());
    moved(Timestamp(THEN + millis(now - beginning) - millis(beginning - now)), tests::SET.get())
}

/// The current time by the system clock.
#[cfg(not(test))]
pub(crate) fn now() -> Timestamp {
    Timestamp(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

/// Compares the system clock with the monotonic clock between two calls of [`ClockJumps::jump`].
pub(crate) struct ClockJumps {
    system: Timestamp,
    monotonic: Instant,
}

impl ClockJumps {
    pub fn new() -> Self {
        Self { system: now(), monotonic: Instant::now() }
    }

    /// How many milliseconds the system clock moved ahead of the time that passed since the last call. It jumps when
    /// someone sets it, or when the host sleeps: the monotonic clock does not count sleep. Zero for an adjustment of
    /// less than a second.
    pub fn jump(&mut self) -> i64 {
        let before = std::mem::replace(self, Self::new());
        jump(before.system, self.system, self.monotonic - before.monotonic)
    }
}

fn jump(before: Timestamp, now: Timestamp, passed: Duration) -> i64 {
    const ADJUSTED: i64 = 1_000;
    let expected = before.plus(passed).0;
    let jump = i64::try_from(i128::from(now.0) - i128::from(expected)).unwrap_or_default();
    if jump.abs() < ADJUSTED { 0 } else { jump }
}

/// The time that the clock showed, or would have shown, at a moment in the past.
pub(crate) fn time_of(moment: Instant) -> Timestamp {
    Timestamp(now().0.saturating_sub(millis(moment.elapsed())))
}

/// Formats a time as RFC 3339 in UTC, with milliseconds.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(DateTime::<Utc>::from_timestamp_millis).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Replaces times in the future by `now`. A record may hold such a time if the system clock was ahead when it was
/// written, and a wait that starts in the future would hang.
pub(crate) fn not_after(now: Timestamp, state: &mut AppState) {
    let hold = |at: &mut Timestamp| *at = (*at).min(now);
    state.instances.iter_mut().for_each(|it| hold(&mut it.since));
    for run in &mut state.job_runs {
        hold(&mut run.since);
        if let JobPhase::Created { since, .. } = &mut run.phase {
            hold(since);
        }
    }
    for deployment in state.deployments.iter_mut().filter(|it| !it.stage.is_ended()) {
        hold(&mut deployment.stage_since);
        hold(&mut deployment.created);
        deployment.progress.leaves.iter_mut().filter_map(|it| it.started.as_mut()).for_each(hold);
    }
}

/// Moves the start of every open wait by this many milliseconds.
pub(crate) fn move_waits(by: i64, state: &mut AppState) {
    let shift = |at: &mut Timestamp| *at = moved(*at, by);
    state.instances.iter_mut().for_each(|it| shift(&mut it.since));
    for run in &mut state.job_runs {
        if let JobPhase::Created { since, .. } = &mut run.phase {
            shift(since);
        }
    }
    for deployment in state.deployments.iter_mut().filter(|it| !it.stage.is_ended()) {
        shift(&mut deployment.stage_since);
        deployment.progress.leaves.iter_mut().filter_map(|it| it.started.as_mut()).for_each(shift);
    }
}

/// The start of the second. A countdown to a deadline, computed at this time, changes once a second.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp(at.0 / 1000 * 1000)
}

/// The time this many milliseconds later, or earlier if `by` is negative.
pub(crate) fn moved(at: Timestamp, by: i64) -> Timestamp {
    Timestamp(at.0.saturating_add_signed(by))
}

fn millis(long: Duration) -> u64 {
    u64::try_from(long.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// By how many milliseconds a simulation set the clock of this thread.
        pub(crate) static SET: Cell<i64> = const { Cell::new(0) };
    }

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_clock_jump_is_distinguished_from_time_that_passes() {
        let minute = Duration::from_secs(60);
        let begin = Timestamp(1_767_225_600_000);
        for (name, shown, expected) in [
            ("left alone", 60_000, 0),
            ("adjusted a little", 60_900, 0),
            ("set an hour ahead, or the host slept for an hour", 60_000 + HOUR, HOUR),
            ("set an hour back", 60_000 - HOUR, -HOUR),
        ] {
            assert_eq!(jump(begin, moved(begin, shown), minute), expected, "{name}");
        }
        assert_eq!(jump(begin, Timestamp(0), minute), -1_767_225_660_000, "1970");
    }
}
