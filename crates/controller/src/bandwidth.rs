//! Counts what the ingress sends to clients, by app and day.
//!
//! A task reads the counts of the ingress every minute and stores them. If the ingress dies, what it sent since the last
//! reading is not counted. What it sends around midnight may count on the day after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rollout::ids::AppId;
use rollout::time::Timestamp;
use tokio::sync::Mutex;
use tracing::warn;

use crate::app::Shared;
use crate::clock;

/// How often the counts are read. Our choice.
const READ_EVERY: Duration = Duration::from_secs(60);

/// What was recorded last: one commit a minute for an idle ingress would wear the disk for nothing.
#[derive(Default)]
pub(crate) struct Bandwidth(Mutex<Option<Reading>>);

#[derive(PartialEq)]
struct Reading {
    ingress: String,
    sent: BTreeMap<AppId, u64>,
}

/// Reads and records the counts again and again.
pub(crate) async fn watch(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(READ_EVERY).await;
        read(&shared).await;
    }
}

/// Records the current counts. If the ingress does not answer, or the disk is full, the next reading includes them.
pub(crate) async fn read(shared: &Shared) {
    let Some((ingress, sent)) = shared.ingress.sent_bytes().await else { return };
    let reading = Reading { ingress, sent };
    let mut last = shared.bandwidth.0.lock().await;
    if last.as_ref() == Some(&reading) {
        return;
    }
    match shared.store.record_sent(day(clock::now()), reading.ingress.clone(), reading.sent.clone()).await {
        Ok(()) => *last = Some(reading),
        Err(error) => warn!(%error, "the bytes sent for apps could not be recorded; trying again"),
    }
}

/// Days since 1970-01-01 in UTC.
pub(crate) fn day(at: Timestamp) -> u64 {
    at.0 / (24 * 60 * 60 * 1000)
}
