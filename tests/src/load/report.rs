//! What a load, or a window of it, came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::tally::Sample;

/// Figures over all requests that ended in the window, the failed ones included.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// Requests that ended, well or badly: `ok + failed_count`.
    pub sent: u64,
    pub ok: u64,
    pub failed_count: u64,
    /// The first failures in words, oldest first, with the seconds since the load began.
    pub failed: Vec<String>,
    /// Answers by status, good and bad ones; a request without an answer is in none.
    pub by_status: BTreeMap<u16, u64>,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
    /// Connections opened, the first ones and those that replaced one the server had closed.
    pub connected: u64,
    pub lasted: Duration,
    /// Requests ended per second.
    pub per_second: f64,
}

impl LoadReport {
    pub(super) fn new(samples: &[Sample], failed: Vec<String>, connected: u64, lasted: Duration) -> LoadReport {
        let sent = samples.len() as u64;
        let failed_count = samples.iter().filter(|sample| sample.failed).count() as u64;
        let mut by_status = BTreeMap::new();
        for sample in samples.iter().filter(|sample| sample.status != 0) {
            *by_status.entry(sample.status).or_default() += 1;
        }
        let mut times: Vec<Duration> = samples.iter().map(|sample| sample.took()).collect();
        times.sort_unstable();
        LoadReport {
            sent,
            ok: sent - failed_count,
            failed_count,
            failed,
            by_status,
            p50: nearest_rank(&times, 50),
            p99: nearest_rank(&times, 99),
            max: nearest_rank(&times, 100),
            connected,
            lasted,
            per_second: if lasted.is_zero() { 0.0 } else { sent as f64 / lasted.as_secs_f64() },
        }
    }
}

/// The smallest time that `percent` of all do not exceed. `times` is sorted; zero if there are none.
fn nearest_rank(times: &[Duration], percent: usize) -> Duration {
    let rank = (times.len() * percent).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// One line, and one more for each of the first failures.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        write!(f, "{} requests in {:.1} s ({:.0}/s), ", self.sent, self.lasted.as_secs_f64(), self.per_second)?;
        write!(f, "{} failed, ", self.failed_count)?;
        write!(f, "p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms", ms(self.p50), ms(self.p99), ms(self.max))?;
        for message in self.failed.iter().take(SHOWN) {
            write!(f, "\n  {message}")?;
        }
        let unsaid = self.failed_count.saturating_sub(self.failed.len().min(SHOWN) as u64);
        if unsaid > 0 {
            write!(f, "\n  and {unsaid} more")?;
        }
        Ok(())
    }
}
