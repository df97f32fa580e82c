//! Leaves repeated warnings and errors out of the log. An operation that is retried every second and fails for hours is logged
//! at growing intervals.

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

/// Before the same line is logged for the second time. Each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// What was not repeated for so long has ended: when it comes again, it is new.
const ENDED_AFTER: Duration = Duration::from_secs(60);
/// So many lines are remembered before those that have ended are forgotten.
const REMEMBERED: usize = 1000;

/// A layer that disables events. Two are the same if they come from one place in the code and one span with equal fields.
#[derive(Default)]
pub struct Repeats(Mutex<Told>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::WARN {
            return true;
        }
        let mut line = Fields(DefaultHasher::new());
        event.metadata().callsite().hash(&mut line.0);
        context.event_span(event).map(|span| span.id().into_u64()).hash(&mut line.0);
        event.record(&mut line);
        self.0.lock().is_ok_and(|mut told| told.is_due(line.0.finish(), Instant::now()))
    }
}

/// Logged lines, by their hash.
#[derive(Default)]
struct Told(HashMap<u64, Repeated>);

struct Repeated {
    /// When it was last emitted, logged or not.
    came: Instant,
    /// When it may be logged again.
    due: Instant,
    pause: Duration,
}

impl Told {
    fn is_due(&mut self, line: u64, now: Instant) -> bool {
        if self.0.len() > REMEMBERED {
            self.0.retain(|_, it| now - it.came < ENDED_AFTER);
        }
        let before = self.0.get(&line).filter(|it| now - it.came < ENDED_AFTER || now < it.due);
        let (due, pause) = match before {
            None => (now + FIRST_PAUSE, FIRST_PAUSE),
            Some(it) if now < it.due => (it.due, it.pause),
            Some(it) => {
                let pause = (it.pause * 2).min(LONGEST_PAUSE);
                (now + pause, pause)
            }
        };
        let is_due = before.is_none_or(|it| now >= it.due);
        self.0.insert(line, Repeated { came: now, due, pause });
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
    fn a_line_that_comes_every_second_is_told_at_growing_pauses() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let at: Vec<u64> = (0..4000).filter(|at| told.is_due(1, begin + Duration::from_secs(*at))).collect();
        assert_eq!(at, [0, 5, 15, 35, 75, 155, 315, 635, 1275, 2555]);
    }

    #[test]
    fn another_line_and_one_that_had_ended_are_told_at_once() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let mut at = |line, second| told.is_due(line, begin + Duration::from_secs(second));
        assert!(at(1, 0) && !at(1, 1) && at(2, 1));
        assert!(at(1, 100), "it had ended");
        assert!(!at(1, 101));
    }
}
