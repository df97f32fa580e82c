//! Health checks of instances. The controller sends them itself and does not use the engine's HEALTHCHECK, whose result
//! is wrong after the engine restarts. Probes go only to the instance's address and port and do not follow redirects,
//! so an app cannot direct them elsewhere.

mod health_check;
mod postgres;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use rollout::health::ProbeFailure;
use rollout::ids::InstanceName;
use rollout::observed::ProbeSeen;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub(crate) use health_check::{HealthCheck, HealthChecker, NetworkHealthChecker};
use verdict::Verdict;

/// The pause after the first probe. Each pause is a fifth longer than the last one, so a new instance is found ready
/// late by at most a fifth of its start-up time, or 5 ms. Frequent probes are cheap, because a closed port refuses at
/// once.
const FIRST_PERIOD: Duration = Duration::from_millis(5);

/// The health of an instance, as its health check shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Health {
    /// The verdict, after thresholds.
    pub seen: ProbeSeen,
    /// Why the last check failed; `None` if it passed.
    pub failure: Option<ProbeFailure>,
}

/// A change of the verdict, or of the reason why checks fail.
pub(crate) struct HealthChange {
    pub instance: InstanceName,
    pub health: Health,
}

/// Probes one instance until it is dropped.
pub(crate) struct Prober(AbortHandle);

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Prober {
    /// Starts probing and sends every change to `news`. `served`: the instance had passed before this controller
    /// started, so it becomes failing only after as many failures as its spec allows.
    pub fn start(
        health_checker: Arc<dyn HealthChecker>,
        instance: InstanceName,
        check: HealthCheck,
        served: bool,
        news: mpsc::UnboundedSender<HealthChange>,
    ) -> Self {
        let task = tokio::spawn(async move {
            let probe = &check.probe;
            let began = Instant::now();
            let delay = Duration::from_secs(probe.initial_delay_seconds.into());
            let period = Duration::from_secs(probe.period_seconds.max(1).into());
            let mut pause = if served { period } else { FIRST_PERIOD };
            let mut verdict = Verdict::new(probe, served);
            let mut reported = Health::default();
            loop {
                let failure = health_checker.check_instance(&instance, &check).await.err();
                let passed = failure.is_none();
                // During the initial delay failures do not count, but a success counts at once.
                let counts = passed || served || began.elapsed() >= delay;
                let changed = counts.then(|| verdict.take(passed)).flatten();
                let health = Health { seen: changed.unwrap_or(reported.seen), failure };
                if health != reported {
                    if news.send(HealthChange { instance: instance.clone(), health: health.clone() }).is_err() {
                        return;
                    }
                    reported = health;
                }
                let settled = verdict.has_passed();
                tokio::time::sleep(if settled { period } else { pause }).await;
                pause = (pause + pause / 5).min(period);
            }
        });
        Self(task.abort_handle())
    }
}
