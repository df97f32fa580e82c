//! The count: one small record per request, so that every figure is exact and any window can be cut.
//!
//! It costs eight bytes a request, which is 8 MB for a million.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::report::LoadReport;

/// Failures whose words are kept; the others are only counted.
const MESSAGES_KEPT: usize = 1_000;

/// A moment in the count.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    pub at: Instant,
    /// Requests that had ended by then, well or badly.
    pub sent: u64,
    pub failed: u64,
    /// Connections that had been opened by then.
    pub connected: u64,
}

/// How one request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    micros: u32,
    /// 0 where no status arrived.
    pub(super) status: u16,
    pub(super) failed: bool,
}

/// One failed request in words.
struct Message {
    /// Its place among the samples.
    index: u64,
    text: String,
}

pub(super) struct Tally {
    started: Instant,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    samples: Vec<Sample>,
    messages: Vec<Message>,
    failed: u64,
    connected: u64,
}

impl Sample {
    fn new(status: Option<u16>, took: Duration, failed: bool) -> Sample {
        // Over an hour is an hour: no plan waits so long.
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        Sample { micros, status: status.unwrap_or(0), failed }
    }

    pub(super) fn took(self) -> Duration {
        Duration::from_micros(u64::from(self.micros))
    }
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally { started: Instant::now(), log: Mutex::default() }
    }

    pub(super) fn connected(&self) {
        self.log().connected += 1;
    }

    pub(super) fn answered(&self, status: u16, took: Duration) {
        self.log().samples.push(Sample::new(Some(status), took, false));
    }

    pub(super) fn failed(&self, status: Option<u16>, took: Duration, text: String) {
        let at = self.started.elapsed();
        let mut log = self.log();
        let index = log.samples.len() as u64;
        log.samples.push(Sample::new(status, took, true));
        log.failed += 1;
        if log.messages.len() < MESSAGES_KEPT {
            log.messages.push(Message { index, text: format!("{:.3} s: {text}", at.as_secs_f64()) });
        }
    }

    pub(super) fn beginning(&self) -> Snapshot {
        Snapshot { at: self.started, sent: 0, failed: 0, connected: 0 }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let log = self.log();
        Snapshot { at: Instant::now(), sent: log.samples.len() as u64, failed: log.failed, connected: log.connected }
    }

    pub(super) fn report(&self, from: Snapshot, to: Snapshot) -> LoadReport {
        let (samples, messages) = self.cut(from, to);
        let connected = to.connected.saturating_sub(from.connected);
        LoadReport::new(&samples, messages, connected, to.at.saturating_duration_since(from.at))
    }

    /// Copied out, so that sorting a million samples does not hold up the traffic.
    fn cut(&self, from: Snapshot, to: Snapshot) -> (Vec<Sample>, Vec<String>) {
        let log = self.log();
        let end = (to.sent as usize).min(log.samples.len());
        let window = (from.sent as usize).min(end)..end;
        let inside = |message: &&Message| window.contains(&(message.index as usize));
        let messages = log.messages.iter().filter(inside).map(|message| message.text.clone()).collect();
        (log.samples[window.clone()].to_vec(), messages)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while it holds the count")
    }
}
