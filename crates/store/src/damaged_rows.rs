//! Rows that cannot be read. Lists skip them. Each is logged once and remembered until it can be read again or is deleted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The table.
    pub table: &'static str,
    /// The key. Its parts are joined by `/`.
    pub key: String,
    /// What is wrong with it, without any of its content.
    pub why: String,
}

/// All damaged rows found so far.
#[derive(Default)]
pub(crate) struct DamagedRows {
    rows: Mutex<BTreeMap<(&'static str, String), String>>,
}

impl DamagedRows {
    /// Remembers a damaged row, and logs it the first time.
    pub(crate) fn add(&self, damaged: &Damaged) {
        let key = (damaged.table, damaged.key.clone());
        if self.rows().insert(key, damaged.why.clone()).is_none() {
            tracing::error!(
                table = damaged.table,
                key = damaged.key,
                why = damaged.why,
                "skipped a row that cannot be read"
            );
        }
    }

    /// Forgets a row that was read, rewritten or deleted.
    pub(crate) fn clear(&self, table: &'static str, key: &str) {
        let mut rows = self.rows();
        if !rows.is_empty() {
            rows.remove(&(table, key.to_owned()));
        }
    }

    /// Forgets all rows of a table whose key begins with `first`.
    pub(crate) fn clear_within(&self, table: &'static str, first: &str) {
        let is_within = |key: &str| key.strip_prefix(first).is_some_and(|rest| rest.starts_with('/'));
        self.rows().retain(|(of, key), _| *of != table || !is_within(key));
    }

    /// Forgets all rows. A row that is still damaged is found again by the next read.
    pub(crate) fn clear_all(&self) {
        self.rows().clear();
    }

    pub(crate) fn list(&self) -> Vec<Damaged> {
        let one = |((table, key), why): (&(&'static str, String), &String)| Damaged {
            table,
            key: key.clone(),
            why: why.clone(),
        };
        self.rows().iter().map(one).collect()
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), String>> {
        // Each method makes one change to the map, so a panic cannot leave it half changed.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
