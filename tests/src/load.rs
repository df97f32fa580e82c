//! Steady HTTP traffic, and an honest count of what became of it.
//!
//! [`Load::start`] holds keep-alive connections to one address and sends a mix of requests over them until it is
//! stopped. Every request ends in the count: answered as expected, or failed. [`Load::snapshot`] marks a moment, so
//! that what happened during one restart can be told apart from the rest.
//!
//! What counts as failed: a refused or reset connection, no answer, an answer cut short, another status than expected
//! (2xx unless the request says otherwise), another body than expected, or none of it by the deadline. What does not:
//! a server that closes a connection *between* two requests. HTTP allows it, and we connect again.
//!
//! It refuses to hide anything: no request is sent twice, and nothing is left out for having been under way.

mod exchange;
mod plan;
mod report;
mod tally;
#[cfg(test)]
mod tests;
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use plan::{Expected, LoadPlan, Request};
pub use report::LoadReport;
pub use tally::Snapshot;

use tally::Tally;
use traffic::Traffic;

/// Traffic that is running. Dropping it ends the traffic at once; [`Load::stop`] ends it in order.
pub struct Load {
    tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    connections: JoinSet<()>,
}

/// [`Load::reach`] waited in vain.
#[derive(Debug, Error)]
#[error("only {done} of {wanted} requests were done after {waited:?}; {failed} of them failed")]
pub struct TooSlow {
    pub done: u64,
    pub wanted: u64,
    pub failed: u64,
    pub waited: Duration,
}

impl Load {
    /// Starts the traffic that `plan` describes. Needs a running Tokio runtime.
    ///
    /// # Panics
    /// If the plan holds no request, no connection, or a rate that is not above zero: such a run would prove nothing.
    pub fn start(plan: LoadPlan) -> Load {
        plan.assert_sends_something();
        let tally = Arc::new(Tally::new());
        let (stop, stopped) = watch::channel(false);
        let count = plan.connections;
        let traffic = Arc::new(Traffic::new(plan, tally.clone()));
        let mut connections = JoinSet::new();
        for _ in 0..count {
            connections.spawn(traffic.clone().run_one_connection(stopped.clone()));
        }
        Load { tally, stop, connections }
    }

    /// This moment in the count. Requests belong to the window in which they *ended*.
    pub fn snapshot(&self) -> Snapshot {
        self.tally.snapshot()
    }

    /// What happened between two snapshots of this load.
    pub fn between(&self, from: Snapshot, to: Snapshot) -> LoadReport {
        self.tally.report(from, to)
    }

    /// What happened since a snapshot of this load.
    pub fn since(&self, from: Snapshot) -> LoadReport {
        self.between(from, self.snapshot())
    }

    /// Waits until `wanted` requests have ended, well or badly, counted from the start.
    pub async fn reach(&self, wanted: u64, within: Duration) -> Result<Snapshot, TooSlow> {
        let started = Instant::now();
        loop {
            let now = self.snapshot();
            if now.sent >= wanted {
                return Ok(now);
            }
            let waited = started.elapsed();
            if waited >= within {
                return Err(TooSlow { done: now.sent, wanted, failed: now.failed, waited });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Sends nothing new, waits for what is under way (at most the plan's deadline per request), and reports it all.
    pub async fn stop(mut self) -> LoadReport {
        self.stop.send_replace(true);
        while let Some(ended) = self.connections.join_next().await {
            if let Err(error) = ended {
                // A bug of ours must not look like a quiet connection.
                self.tally.failed(None, Duration::ZERO, format!("the load generator itself failed: {error}"));
            }
        }
        self.tally.report(self.tally.beginning(), self.tally.snapshot())
    }
}
