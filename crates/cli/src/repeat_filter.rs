//! Leaves repeated warnings and errors out of the log. An operation that is retried every second and fails for hours is
//! logged at growing intervals.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Pause before the same line is logged again. Each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// A line that was not repeated for this long counts as new.
const ENDED_AFTER: Duration = Duration::from_secs(60);
/// Above this number of lines, those that were not repeated recently are forgotten.
const MAX_LINES: usize = 1000;

/// A layer that disables repeated events. Two events are equal if they have the same place in the code, the same span and
/// equal fields.
#[derive(Default)]
pub struct RepeatFilter(Mutex<LoggedLines>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RepeatFilter {
    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::WARN {
            return true;
        }
        let mut line = Fields(DefaultHasher::new());
        event.metadata().callsite().hash(&mut line.0);
        context.event_span(event).map(|span| span.id().into_u64()).hash(&mut line.0);
        event.record(&mut line);
        self.0.lock().is_ok_and(|mut logged| logged.is_due(line.0.finish(), Instant::now()))
    }
}

/// Logged lines, by their hash.
#[derive(Default)]
struct LoggedLines(HashMap<u64, Repeated>);

struct Repeated {
    /// When it last occurred, logged or not.
    occurred: Instant,
    /// When it may be logged again.
    due: Instant,
    pause: Duration,
}

impl LoggedLines {
    fn is_due(&mut self, line: u64, now: Instant) -> bool {
        if self.0.len() > MAX_LINES {
            self.0.retain(|_, it| now - it.occurred < ENDED_AFTER);
        }
        let before = self.0.get(&line).filter(|it| now - it.occurred < ENDED_AFTER || now < it.due);
        let (due, pause) = match before {
            None => (now + FIRST_PAUSE, FIRST_PAUSE),
            Some(it) if now < it.due => (it.due, it.pause),
            Some(it) => {
                let pause = (it.pause * 2).min(LONGEST_PAUSE);
                (now + pause, pause)
            }
        };
        let is_due = before.is_none_or(|it| now >= it.due);
        self.0.insert(line, Repeated { occurred: now, due, pause });
        is_due
    }
}

/// The fields of an event, hashed.
struct Fields(DefaultHasher);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        (field.name(), format!("{value:?}")).hash(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_occurs_every_second_is_logged_at_growing_intervals() {
        let (mut logged, begin) = (LoggedLines::default(), Instant::now());
        let at: Vec<u64> = (0..4000).filter(|at| logged.is_due(1, begin + Duration::from_secs(*at))).collect();
        assert_eq!(at, [0, 5, 15, 35, 75, 155, 315, 635, 1275, 2555]);
    }

    #[test]
    fn a_new_line_is_logged_at_once() {
        let (mut logged, begin) = (LoggedLines::default(), Instant::now());
        let mut at = |line, second| logged.is_due(line, begin + Duration::from_secs(second));
        assert!(at(1, 0) && !at(1, 1) && at(2, 1));
        assert!(at(1, 100), "it was not repeated for 60 s");
        assert!(!at(1, 101));
    }
}
