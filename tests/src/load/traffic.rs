//! Who sends what when: each connection takes the next request that is due, sends it, and counts how it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::exchange::Line;
use super::plan::{LoadPlan, Request};
use super::tally::Tally;

/// After a connection could not be opened. Without it a refusing server would be counted as fast as we can fail.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(5);

pub(super) struct Traffic {
    plan: LoadPlan,
    tally: Arc<Tally>,
    started: Instant,
    /// Requests handed out so far.
    next: AtomicU64,
}

/// One request, handed to one connection.
struct Turn<'a> {
    request: &'a Request,
    /// Its time counts from here.
    due: Instant,
}

impl Traffic {
    pub(super) fn new(plan: LoadPlan, tally: Arc<Tally>) -> Traffic {
        Traffic { plan, tally, started: Instant::now(), next: AtomicU64::new(0) }
    }

    pub(super) async fn run_one_connection(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut line = Line::new(&self.plan, &self.tally);
        while let Some(turn) = self.next_turn(&mut stopped).await {
            let pause = self.take(turn, &mut line).await;
            if !pause.is_zero() && !wait_unless_stopped(Instant::now() + pause, &mut stopped).await {
                return;
            }
        }
    }

    /// Sends one request and counts it; returns how long this connection now rests.
    async fn take(&self, turn: Turn<'_>, line: &mut Line<'_>) -> Duration {
        let think_time = self.plan.think_time.unwrap_or_default();
        match line.exchange(turn.request).await {
            Ok(status) => {
                self.tally.answered(status.as_u16(), turn.due.elapsed());
                think_time
            }
            Err(failure) => {
                let Request { method, path, .. } = turn.request;
                let text = format!("{method} {path}: {failure}");
                self.tally.failed(failure.status(), turn.due.elapsed(), text);
                if failure.is_refusal() { think_time.max(PAUSE_AFTER_REFUSAL) } else { think_time }
            }
        }
    }

    /// The next request of the mix, once it is due. `None` when the load was stopped.
    async fn next_turn(&self, stopped: &mut watch::Receiver<bool>) -> Option<Turn<'_>> {
        if *stopped.borrow() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let request = &self.plan.mix[(number % self.plan.mix.len() as u64) as usize];
        let Some(rate) = self.plan.rate else { return Some(Turn { request, due: Instant::now() }) };
        let due = self.started + Duration::from_secs_f64(number as f64 / rate);
        wait_unless_stopped(due, stopped).await.then_some(Turn { request, due })
    }
}

/// False if the load was stopped, or its handle dropped, before `moment`.
async fn wait_unless_stopped(moment: Instant, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => false,
        () = sleep_until(moment) => true,
    }
}
