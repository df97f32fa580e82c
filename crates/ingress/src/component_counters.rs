//! Counts for metrics, by component. No decision depends on them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;

use crate::protocol::{ComponentCounts, LATENCY_BOUNDS_US};
use crate::worker;

/// What the ingress counted for one component since a table first named it.
#[derive(Debug)]
pub(crate) struct ComponentCounters {
    /// One for each worker, so that cores do not share a cache line.
    shards: Box<[Shard]>,
    retries: AtomicU64,
    cut: AtomicU64,
    drained: AtomicU64,
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// From 1xx to 5xx.
    statuses: [AtomicU64; 5],
    /// Responses by the bucket of their latency. The last one has no bound.
    latencies: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    latency_sum_us: AtomicU64,
}

impl Default for ComponentCounters {
    fn default() -> Self {
        ComponentCounters {
            shards: (0..worker::count()).map(|_| Shard::default()).collect(),
            retries: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            drained: AtomicU64::new(0),
            errors: Mutex::default(),
        }
    }
}

impl ComponentCounters {
    /// A response head is on its way to the client, this long after the request head.
    pub fn answered(&self, status: StatusCode, after: Duration) {
        let shard = &self.shards[worker::current()];
        let class = usize::from(status.as_u16() / 100).clamp(1, shard.statuses.len()) - 1;
        shard.statuses[class].fetch_add(1, Relaxed);
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < micros);
        shard.latencies[bucket].fetch_add(1, Relaxed);
        shard.latency_sum_us.fetch_add(micros, Relaxed);
    }

    /// The ingress answered with an error of its own.
    pub fn refused(&self, code: &'static str) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// A request was sent again.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// A stopping instance cut off a request or an upgraded connection.
    pub fn cut(&self) {
        self.cut.fetch_add(1, Relaxed);
    }

    /// A draining instance has no open requests left.
    pub fn drained(&self) {
        self.drained.fetch_add(1, Relaxed);
    }

    /// Without what is open now, which the instances know.
    pub fn read(&self) -> ComponentCounts {
        let sum = |count: &dyn Fn(&Shard) -> &AtomicU64| self.shards.iter().map(|it| count(it).load(Relaxed)).sum();
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        ComponentCounts {
            statuses: std::array::from_fn(|class| sum(&|shard| &shard.statuses[class])),
            latencies: std::array::from_fn(|bucket| sum(&|shard| &shard.latencies[bucket])),
            latency_sum_us: sum(&|shard| &shard.latency_sum_us),
            errors: errors.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect(),
            retries: self.retries.load(Relaxed),
            cut: self.cut.load(Relaxed),
            drained: self.drained.load(Relaxed),
            ..ComponentCounts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_count_by_status_and_in_the_bucket_whose_bound_they_do_not_exceed() {
        let counters = ComponentCounters::default();
        for (status, micros) in [(200, 1), (204, 5_000), (404, 5_001), (503, 10_000_001), (999, 0)] {
            let status = StatusCode::from_u16(status).expect("it is a status");
            counters.answered(status, Duration::from_micros(micros));
        }
        let read = counters.read();
        assert_eq!(read.statuses, [0, 2, 0, 1, 2]);
        assert_eq!((read.latencies[0], read.latencies[1], read.latencies[LATENCY_BOUNDS_US.len()]), (3, 1, 1));
        assert_eq!(read.latency_sum_us, 10_010_003);
    }

    #[test]
    fn errors_of_the_ingress_count_by_code() {
        let counters = ComponentCounters::default();
        ["no-answer", "no-instance", "no-answer"].into_iter().for_each(|code| counters.refused(code));
        let expected = BTreeMap::from([("no-answer".to_owned(), 2), ("no-instance".to_owned(), 1)]);
        assert_eq!(counters.read().errors, expected);
    }
}
