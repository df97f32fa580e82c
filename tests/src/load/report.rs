//! The figures of a load, or of a window of it.

use std::fmt;
use std::time::Duration;

/// How one request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) took: Duration,
    pub(super) failed: bool,
}

/// Figures over all requests that ended in the window, including the failed ones.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// Requests that ended.
    pub sent: usize,
    pub failed_count: usize,
    /// The first failures, with the seconds since the load began.
    pub failed: Vec<String>,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
    pub lasted: Duration,
    /// Requests ended per second.
    pub per_second: f64,
}

impl LoadReport {
    pub(super) fn new(samples: &[Sample], failed: Vec<String>, lasted: Duration) -> LoadReport {
        let sent = samples.len();
        let mut times: Vec<Duration> = samples.iter().map(|sample| sample.took).collect();
        times.sort_unstable();
        LoadReport {
            sent,
            failed_count: samples.iter().filter(|sample| sample.failed).count(),
            failed,
            p50: nearest_rank(&times, 50),
            p99: nearest_rank(&times, 99),
            max: nearest_rank(&times, 100),
            lasted,
            per_second: if lasted.is_zero() { 0.0 } else { sent as f64 / lasted.as_secs_f64() },
        }
    }
}

/// The smallest time that at least `percent` of all times do not exceed. `times` is sorted. Zero if there are none.
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
        match self.failed_count.saturating_sub(self.failed.len().min(SHOWN)) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
