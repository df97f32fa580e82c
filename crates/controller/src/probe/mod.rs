//! Asking instances whether they are well. Our own, not the engine's HEALTHCHECK, which lies after a restart of the
//! engine (M5). Probes go to the instance's own address and port only, and follow no redirect (S62).

mod ask;
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

pub(crate) use ask::{Asker, OverTheNetwork, Question};
use verdict::Verdict;

/// The first probes come quickly, and each pause is a fifth longer than the one before: a new instance is found ready at
/// most a fifth of its start-up time late, or 5 ms. A port that is not open yet refuses at once.
const FIRST_PERIOD: Duration = Duration::from_millis(5);

/// How an instance is, as far as its health check tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Health {
    /// The verdict: thresholds applied.
    pub seen: ProbeSeen,
    /// Why the newest check did not pass.
    pub failure: Option<ProbeFailure>,
}

/// Something changed: the verdict, or the reason for which checks do not pass.
pub(crate) struct News {
    pub instance: InstanceName,
    pub health: Health,
}

/// A prober that runs until it is dropped.
pub(crate) struct Prober(AbortHandle);

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Prober {
    /// Probes from now on and tells changes. `served`: it passed before we were started, so that it is not
    /// doubted before it fails as often as its spec allows.
    pub fn start(
        asker: Arc<dyn Asker>,
        instance: InstanceName,
        question: Question,
        served: bool,
        news: mpsc::UnboundedSender<News>,
    ) -> Self {
        let task = tokio::spawn(async move {
            let probe = &question.probe;
            let began = Instant::now();
            let delay = Duration::from_secs(probe.initial_delay_seconds.into());
            let period = Duration::from_secs(probe.period_seconds.max(1).into());
            let mut pause = if served { period } else { FIRST_PERIOD };
            let mut verdict = Verdict::new(probe, served);
            let mut told = Health::default();
            loop {
                let failure = asker.instance(&instance, &question).await.err();
                let passed = failure.is_none();
                // In the initial delay failures do not count; a success counts at once.
                let counts = passed || served || began.elapsed() >= delay;
                let changed = counts.then(|| verdict.take(passed)).flatten();
                let health = Health { seen: changed.unwrap_or(told.seen), failure };
                if health != told {
                    if news.send(News { instance: instance.clone(), health: health.clone() }).is_err() {
                        return;
                    }
                    told = health;
                }
                let settled = verdict.has_passed();
                tokio::time::sleep(if settled { period } else { pause }).await;
                pause = (pause + pause / 5).min(period);
            }
        });
        Self(task.abort_handle())
    }
}
