//! Limits what stays open after the answer to a request: live pages, log streams and consoles.

use std::sync::{Arc, Mutex, MutexGuard};

/// A limit for all sessions together, and for each quota ([`crate::session::Session::quota`]), so that one leaves some to
/// others.
pub(crate) struct Limit {
    /// What is limited, in the plural.
    what: &'static str,
    total: usize,
    per_quota: usize,
    /// The quota of each one that is open.
    open: Mutex<Vec<String>>,
}

/// Counts as open until it is dropped.
pub(crate) struct Permit {
    limit: Arc<Limit>,
    quota: String,
}

impl Limit {
    pub fn new(what: &'static str, total: usize, per_quota: usize) -> Arc<Self> {
        Arc::new(Self { what, total, per_quota, open: Mutex::default() })
    }

    /// Errors: the limit is reached. For people.
    pub fn open(self: &Arc<Self>, quota: &str) -> Result<Permit, String> {
        let mut open = self.lock();
        let too_many = |limit: usize, whose: &str| {
            let what = self.what;
            Err(format!("{limit} {what} {whose} are open, which is the limit. Close one of them first"))
        };
        if open.len() >= self.total {
            return too_many(self.total, "of all sessions");
        }
        if open.iter().filter(|it| *it == quota).count() >= self.per_quota {
            return too_many(self.per_quota, "of this session or its token");
        }
        open.push(quota.to_owned());
        Ok(Permit { limit: self.clone(), quota: quota.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.open.lock().expect("no code panics while it holds this lock")
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limit.lock();
        if let Some(found) = open.iter().position(|it| *it == self.quota) {
            open.swap_remove(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_leaves_some_to_others_and_a_dropped_permit_is_free_again() {
        let limit = Limit::new("log streams", 3, 2);
        let refusal = |quota| limit.open(quota).err().unwrap_or_default();
        let (first, _second) = (limit.open("a"), limit.open("a"));
        assert!(refusal("a").starts_with("2 log streams of this session or its token are open"), "{}", refusal("a"));
        let _third = limit.open("b");
        assert!(refusal("c").starts_with("3 log streams of all sessions are open"), "{}", refusal("c"));
        drop(first);
        assert_eq!(refusal("a"), "");
    }
}
