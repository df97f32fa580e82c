//! Steady HTTP traffic, with the result of every request.
//!
//! [`Load::start`] keeps connections open to one address and sends requests over them until it is stopped. Every
//! request is counted: answered as expected, or failed. [`Load::snapshot`] marks a moment, so that one restart can be
//! evaluated separately.
//!
//! A request fails on a refused or reset connection, no answer, a truncated answer, a status other than 2xx, an
//! unexpected body, or no complete answer by the deadline. A server that closes a connection *between* two requests
//! causes no failure: HTTP allows it, and the load connects again. The load sends no request twice and counts every
//! one.

mod exchange;
mod plan;
mod report;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

pub use plan::{Expected, LoadPlan, Request};
pub use report::LoadReport;

use exchange::Connection;
use report::Sample;

/// Pause after a failure. Without it, a server that refuses connections would cause failures as fast as they can be
/// counted.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);
/// How many failures keep their text. All are counted.
const MESSAGES_KEPT: usize = 1_000;

/// Running traffic. Dropping it ends the traffic at once; [`Load::stop`] lets open requests finish.
pub struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    connections: JoinSet<()>,
}

/// A moment in the count.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    at: Instant,
    /// Requests that had ended by then, including the failed ones.
    pub sent: usize,
}

struct Shared {
    plan: LoadPlan,
    started: Instant,
    /// Requests that connections have taken so far.
    taken: AtomicUsize,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    samples: Vec<Sample>,
    /// The failures, each with its index among the samples.
    messages: Vec<(usize, String)>,
}

impl Load {
    /// Starts the traffic of `plan`.
    ///
    /// # Panics
    /// If the plan has no request, no connection, or a rate that is not positive: such a load would prove nothing.
    pub fn start(plan: LoadPlan) -> Load {
        plan.assert_sends_something();
        let count = plan.connections;
        let (stop, stopped) = watch::channel(false);
        let (taken, log) = (AtomicUsize::new(0), Mutex::default());
        let shared = Arc::new(Shared { plan, started: Instant::now(), taken, log });
        let connections = (0..count).map(|_| Arc::clone(&shared).run_connection(stopped.clone())).collect();
        Load { shared, stop, connections }
    }

    /// This moment in the count. A request belongs to the window in which it *ended*.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { at: Instant::now(), sent: self.shared.log().samples.len() }
    }

    /// What happened between two snapshots.
    pub fn between(&self, from: Snapshot, to: Snapshot) -> LoadReport {
        let (samples, messages) = self.shared.log().window(from.sent, to.sent);
        LoadReport::new(&samples, messages, to.at - from.at)
    }

    /// What happened since a snapshot.
    pub fn since(&self, from: Snapshot) -> LoadReport {
        self.between(from, self.snapshot())
    }

    /// Waits until `wanted` requests have ended, counted from the start.
    pub async fn reach(&self, wanted: usize, within: Duration) -> Result<Snapshot> {
        let deadline = Instant::now() + within;
        loop {
            let now = self.snapshot();
            if now.sent >= wanted {
                return Ok(now);
            }
            ensure!(now.at < deadline, "only {} of {wanted} requests have ended after {within:?}", now.sent);
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops sending, waits for open requests, and reports everything.
    pub async fn stop(mut self) -> LoadReport {
        self.stop.send_replace(true);
        while let Some(ended) = self.connections.join_next().await {
            ended.expect("the load generator does not panic");
        }
        self.since(Snapshot { at: self.shared.started, sent: 0 })
    }
}

impl Shared {
    async fn run_connection(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut connection = Connection::new(&self.plan);
        while let Some((request, due)) = self.next_request(&mut stopped).await {
            let outcome = connection.exchange(request).await;
            let pause = if outcome.is_err() { PAUSE_AFTER_FAILURE } else { Duration::ZERO };
            let failure = outcome.err().map(|error| format!("{} {}: {error:#}", request.method, request.path));
            self.record(due.elapsed(), failure);
            let pause = pause.max(self.plan.think_time);
            if !pause.is_zero() && !wait_until(Instant::now() + pause, &mut stopped).await {
                return;
            }
        }
    }

    /// The next request once it is due, and when it was due, from which its time counts. `None` if the load was
    /// stopped.
    async fn next_request(&self, stopped: &mut watch::Receiver<bool>) -> Option<(&Request, Instant)> {
        if *stopped.borrow() {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let request = &self.plan.requests[number % self.plan.requests.len()];
        let Some(rate) = self.plan.rate else { return Some((request, Instant::now())) };
        let due = self.started + Duration::from_secs_f64(number as f64 / rate);
        wait_until(due, stopped).await.then_some((request, due))
    }

    fn record(&self, took: Duration, failure: Option<String>) {
        let at = self.started.elapsed().as_secs_f64();
        let mut log = self.log();
        log.samples.push(Sample { took, failed: failure.is_some() });
        let index = log.samples.len() - 1;
        if let Some(text) = failure.filter(|_| log.messages.len() < MESSAGES_KEPT) {
            log.messages.push((index, format!("{at:.3} s: {text}")));
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while it holds the count")
    }
}

impl Log {
    /// A copy, so that sorting does not delay the traffic.
    fn window(&self, from: usize, to: usize) -> (Vec<Sample>, Vec<String>) {
        let inside = self.messages.iter().filter(|(index, _)| (from..to).contains(index));
        (self.samples[from..to].to_vec(), inside.map(|(_, text)| text.clone()).collect())
    }
}

/// False if the load was stopped or dropped before `moment`.
async fn wait_until(moment: Instant, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => false,
        () = sleep_until(moment) => true,
    }
}
