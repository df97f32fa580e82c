//! The one place that asks what time it is.
//!
//! Waits and deadlines are distances between what this clock tells, so it never jumps (F45). It goes by the monotonic clock
//! and follows the system's by a tenth of what passes: one that is set by an hour ends no wait and hangs none, and what
//! people read is right again after ten hours, or after the next start.

use std::time::Duration;
#[cfg(not(test))]
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use rollout::job::JobPhase;
use rollout::time::Timestamp;
use store::records::AppState;
use tokio::time::Instant;

/// Now, by tokio's clock: tests pause it, and deadlines of ours pass together with its timers.
#[cfg(test)]
pub(crate) fn now() -> Timestamp {
    use std::sync::LazyLock;

    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    /// 2026, in milliseconds. A paused clock may have stopped a little before the beginning.
    const THEN: u64 = 1_767_225_600_000;
    let (beginning, now) = (*BEGINNING, Instant::now());
    Timestamp(THEN + millis(now - beginning) - millis(beginning - now))
}

/// Now. It begins as the system's clock stands at the first question.
#[cfg(not(test))]
pub(crate) fn now() -> Timestamp {
    use std::sync::Mutex;

    static CLOCK: Mutex<Option<Steady>> = Mutex::new(None);
    let mut clock = CLOCK.lock().expect("nobody panics holding it");
    let (system, at) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now());
    let clock = clock.get_or_insert(Steady { told: system, at });
    Timestamp(millis(clock.tell(system, at)))
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(DateTime::<Utc>::from_timestamp_millis).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What was written while the clock was ahead counts as written now: a wait that begins in the future would hang.
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

/// What was told last, since the Unix epoch, and when.
struct Steady {
    told: Duration,
    at: Instant,
}

impl Steady {
    fn tell(&mut self, system: Duration, at: Instant) -> Duration {
        let passed = at - self.at;
        let alone = self.told + passed;
        self.told = system.clamp(alone - passed / 10, alone + passed / 10);
        self.at = at;
        self.told
    }
}

fn millis(long: Duration) -> u64 {
    u64::try_from(long.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const THEN: Duration = Duration::from_secs(1_767_225_600);

    /// What is told after a minute in which the system's clock was set like this.
    fn a_minute_later(system: Duration) -> Duration {
        let at = Instant::now();
        let mut clock = Steady { told: THEN, at };
        clock.tell(system, at + Duration::from_secs(60)) - THEN
    }

    #[test]
    fn a_system_clock_that_is_set_anew_changes_a_minute_by_a_tenth_at_most() {
        let minute = Duration::from_secs(60);
        for (name, system, told) in [
            ("left alone", THEN + minute, 60),
            ("a second off, as when it is adjusted", THEN + minute + Duration::from_secs(1), 61),
            ("an hour ahead", THEN + minute + HOUR, 66),
            ("an hour back", THEN + minute - HOUR, 54),
            ("1970", Duration::ZERO, 54),
            ("2038", Duration::from_secs(1 << 31), 66),
        ] {
            assert_eq!(a_minute_later(system), Duration::from_secs(told), "{name}");
        }
    }

    #[test]
    fn the_hour_is_made_good_in_ten_however_often_it_is_asked_for() {
        let begin = Instant::now();
        let mut clock = Steady { told: THEN, at: begin };
        let mut last = THEN;
        for second in 1..=10 * 3600 {
            let passed = Duration::from_secs(second);
            let told = clock.tell(THEN + HOUR + passed, begin + passed);
            assert!(told > last, "it never stands still or goes back");
            last = told;
        }
        assert_eq!(last, THEN + HOUR * 11);
    }
}
