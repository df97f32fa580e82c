//! Rows that cannot be read: skipped where rows are listed, told once, remembered until they read well or are gone.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A row that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its table.
    pub table: &'static str,
    /// Its key; parts are joined by `/`.
    pub key: String,
    /// What is wrong with it. Holds no part of its content.
    pub why: String,
}

/// All rows found damaged so far.
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
                "row skipped: it cannot be read"
            );
        }
    }

    /// The row reads well, was written anew, or is gone.
    pub(crate) fn clear(&self, table: &'static str, key: &str) {
        let mut rows = self.rows();
        if !rows.is_empty() {
            rows.remove(&(table, key.to_owned()));
        }
    }

    /// Forgets all; what is still damaged is found again when it is read.
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
        // A map is whole between any two calls, whoever panicked.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
