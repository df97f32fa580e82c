//! Polling, for repositories whose host cannot report pushes: checks the sources of every app at an interval.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rollout::ids::AppId;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::Controller;
use super::pushes::{CheckRequest, CheckResult, Trigger};

/// How often the list of apps is read, and the shortest time between two checks.
const TURN: Duration = Duration::from_secs(5);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// When an app is checked next.
struct Schedule {
    next: Instant,
    failures: u32,
    /// Gets the result of the check that is under way.
    running: Option<oneshot::Receiver<CheckResult>>,
}

impl Controller {
    /// Checks every app again and again. Each app has its own times, so that not all of them are checked together.
    pub(crate) async fn poll(self, interval: Duration) {
        let mut apps: BTreeMap<AppId, Schedule> = BTreeMap::new();
        loop {
            sleep(TURN).await;
            let Ok(living) = self.0.shared.store.app_ids().await else { continue };
            apps.retain(|app, _| living.contains(app));
            for app in living {
                let first = || Schedule {
                    next: Instant::now() + interval.mul_f64(rand::rng().random()),
                    failures: 0,
                    running: None,
                };
                let schedule = apps.entry(app.clone()).or_insert_with(first);
                schedule.receive_result(&app, interval);
                if schedule.running.is_none() && schedule.next <= Instant::now() {
                    let (reply, result) = oneshot::channel();
                    schedule.running = Some(result);
                    self.request_check(&app, CheckRequest { trigger: Trigger::Poll, reply: Some(reply) });
                }
            }
        }
    }
}

impl Schedule {
    /// If the check has ended, determines when the next one begins. Logs when checks begin to fail, and when they succeed
    /// again.
    fn receive_result(&mut self, app: &AppId, interval: Duration) {
        let Some(running) = &mut self.running else { return };
        let result = match running.try_recv() {
            Ok(result) => result,
            Err(oneshot::error::TryRecvError::Empty) => return,
            Err(oneshot::error::TryRecvError::Closed) => CheckResult::Failed { why: "it was interrupted".into() },
        };
        self.running = None;
        match result {
            CheckResult::Failed { why } => {
                if self.failures == 0 {
                    warn!(%app, why, "the sources of an app cannot be looked up; what serves goes on, and polling tries again");
                }
                self.failures += 1;
            }
            CheckResult::Deployed { .. } | CheckResult::NotDeployed { .. } => {
                if self.failures > 0 {
                    info!(%app, "the sources of an app can be looked up again");
                }
                self.failures = 0;
            }
        }
        self.next = Instant::now() + pause(interval, self.failures).mul_f64(rand::rng().random_range(0.9..1.1));
    }
}

/// The interval, doubled for every failure, but not beyond [`LONGEST_PAUSE`] or the interval itself.
fn pause(interval: Duration, failures: u32) -> Duration {
    let doubled = interval.saturating_mul(2_u32.saturating_pow(failures.min(16)));
    doubled.min(LONGEST_PAUSE.max(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_pauses_longer_after_each_failure() {
        let minute = Duration::from_secs(60);
        let minutes = [0, 1, 2, 5, 6, 7, 1000].map(|failures| pause(minute, failures).as_secs() / 60);
        assert_eq!(minutes, [1, 2, 4, 32, 60, 60, 60]);
        assert_eq!(pause(minute * 120, 9), minute * 120, "never shorter than the interval");
    }
}
