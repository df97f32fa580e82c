//! Counts requests that the ingress refused before it knew their app.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counts by the code of the refusal.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    /// Counts one refusal. Logs the first one of each code, and then at each doubling, so that a flood of such requests does
    /// not fill the log.
    pub fn count(&self, code: &'static str) {
        let count = {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(code).or_default();
            *count += 1;
            *count
        };
        if count.is_power_of_two() {
            tracing::info!(code, count, "requests refused");
        }
    }

    pub fn read(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect()
    }
}
