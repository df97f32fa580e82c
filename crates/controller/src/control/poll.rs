//! Polling, for repositories whose host cannot report pushes: looks at every app at an interval.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rollout::ids::AppId;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::Controller;
use super::pushes::{Cause, Looked, Reason};

/// How often the list of apps is read, and the shortest time between two looks.
const TURN: Duration = Duration::from_secs(5);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// When an app is looked at next.
struct Schedule {
    next: Instant,
    failures: u32,
    /// The result of the look that is under way.
    waits_for: Option<oneshot::Receiver<Looked>>,
}

impl Controller {
    /// Looks at every app again and again. Each app has its own times, so that not all of them are looked at together.
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
                    waits_for: None,
                };
                let schedule = apps.entry(app.clone()).or_insert_with(first);
                schedule.note_result(&app, interval);
                if schedule.waits_for.is_none() && schedule.next <= Instant::now() {
                    let (reply, result) = oneshot::channel();
                    schedule.waits_for = Some(result);
                    self.look_later(&app, Reason { cause: Cause::Poll, reply: Some(reply) });
                }
            }
        }
    }
}

impl Schedule {
    /// If the look has ended, determines when the next one begins. Logs when looks begin to fail, and when they succeed
    /// again.
    fn note_result(&mut self, app: &AppId, interval: Duration) {
        let Some(waits) = &mut self.waits_for else { return };
        let looked = match waits.try_recv() {
            Ok(looked) => looked,
            Err(oneshot::error::TryRecvError::Empty) => return,
            Err(oneshot::error::TryRecvError::Closed) => Looked::Failed { why: "it was interrupted".into() },
        };
        self.waits_for = None;
        match looked {
            Looked::Failed { why } => {
                if self.failures == 0 {
                    warn!(%app, why, "the sources of an app cannot be looked up; what serves goes on, and polling tries again");
                }
                self.failures += 1;
            }
            Looked::Deployed { .. } | Looked::Nothing { .. } => {
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
