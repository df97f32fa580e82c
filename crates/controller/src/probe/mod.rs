//! Asking instances whether they are well. Our own, not the engine's HEALTHCHECK, which lies after a restart of the
//! engine (M5). Probes go to the instance's own address and port only, and follow no redirect (S62).

mod ask;
mod postgres;
mod verdict;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rollout::ids::InstanceName;
use rollout::observed::ProbeSeen;
use store::records::Probe;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub(crate) use ask::{Asker, OverTheNetwork};
use verdict::Verdict;

/// The first probes come quickly, and each pause is a fifth longer than the one before: a new instance is found ready at
/// most a fifth of its start-up time late, or 5 ms. A port that is not open yet refuses at once.
const FIRST_PERIOD: Duration = Duration::from_millis(5);

/// A changed verdict.
pub(crate) struct News {
    pub instance: InstanceName,
    pub seen: ProbeSeen,
}

/// A prober that runs until it is dropped.
pub(crate) struct Prober(AbortHandle);

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Prober {
    /// Probes from now on and tells changes of the verdict. `served`: it passed before we were started, so that it is not
    /// doubted before it fails as often as its spec allows.
    pub fn start(
        asker: Arc<dyn Asker>,
        instance: InstanceName,
        address: Ipv4Addr,
        probe: Probe,
        served: bool,
        news: mpsc::UnboundedSender<News>,
    ) -> Self {
        let task = tokio::spawn(async move {
            let address = SocketAddr::from((address, probe.port));
            let began = Instant::now();
            let delay = Duration::from_secs(probe.initial_delay_seconds.into());
            let period = Duration::from_secs(probe.period_seconds.max(1).into());
            let mut pause = if served { period } else { FIRST_PERIOD };
            let mut verdict = Verdict::new(&probe, served);
            loop {
                let passed = asker.instance(&instance, address, &probe).await;
                // In the initial delay failures do not count; a success counts at once.
                let counts = passed || served || began.elapsed() >= delay;
                if let Some(seen) = counts.then(|| verdict.take(passed)).flatten()
                    && news.send(News { instance: instance.clone(), seen }).is_err()
                {
                    return;
                }
                let settled = verdict.has_passed();
                tokio::time::sleep(if settled { period } else { pause }).await;
                pause = (pause + pause / 5).min(period);
            }
        });
        Self(task.abort_handle())
    }
}
