//! The one place that asks what time it is.

#[cfg(not(test))]
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use rollout::time::Timestamp;

/// Now, by tokio's clock: tests pause it, and deadlines of ours pass together with its timers.
#[cfg(test)]
pub(crate) fn now() -> Timestamp {
    use std::sync::LazyLock;
    use tokio::time::Instant;

    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    /// 2026, in milliseconds. A paused clock may have stopped a little before the beginning.
    const THEN: u64 = 1_767_225_600_000;
    let (beginning, now) = (*BEGINNING, Instant::now());
    let millis = |long: std::time::Duration| u64::try_from(long.as_millis()).unwrap_or_default();
    Timestamp(THEN + millis(now - beginning) - millis(beginning - now))
}

/// Now, by the system's clock.
#[cfg(not(test))]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(DateTime::<Utc>::from_timestamp_millis).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
