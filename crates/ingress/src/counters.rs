//! What came of requests, by app and window. Counts only grow; nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::protocol::Counters;

/// Windows remembered per app: the newest, by when a table last named them.
const WINDOWS_PER_APP: usize = 16;
/// Apps remembered after no table names them any more.
const GONE_APPS: usize = 64;

/// The counters of one app in one window.
#[derive(Debug, Default)]
pub(crate) struct Window {
    requests: AtomicU64,
    failed: AtomicU64,
    app_errors: AtomicU64,
    client_gone: AtomicU64,
    upgraded_cut: AtomicU64,
    slowest_us: AtomicU64,
}

impl Window {
    pub fn read(&self) -> Counters {
        Counters {
            requests: self.requests.load(Relaxed),
            failed: self.failed.load(Relaxed),
            app_errors: self.app_errors.load(Relaxed),
            client_gone: self.client_gone.load(Relaxed),
            upgraded_cut: self.upgraded_cut.load(Relaxed),
            slowest_us: self.slowest_us.load(Relaxed),
        }
    }

    pub fn upgraded_cut(&self) {
        self.upgraded_cut.fetch_add(1, Relaxed);
    }

    fn answered_after(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // Read first: almost no request is the slowest, and a plain read keeps the line shared between cores.
        if micros > self.slowest_us.load(Relaxed) {
            self.slowest_us.fetch_max(micros, Relaxed);
        }
    }
}

/// One request's entry: counted when made, and with exactly one outcome. Dropped without one, the client left.
#[derive(Debug)]
pub(crate) struct Tally {
    window: Arc<Window>,
    started: Instant,
    settled: bool,
}

impl Tally {
    pub fn new(window: &Arc<Window>, started: Instant) -> Self {
        window.requests.fetch_add(1, Relaxed);
        Tally { window: Arc::clone(window), started, settled: false }
    }

    /// A newer table routes the request after all: it belongs there.
    pub fn move_to(&mut self, window: &Arc<Window>) {
        if Arc::ptr_eq(&self.window, window) {
            return;
        }
        window.requests.fetch_add(1, Relaxed);
        self.window.requests.fetch_sub(1, Relaxed);
        self.window = Arc::clone(window);
    }

    /// The answer's head is there.
    pub fn head(&self) {
        self.window.answered_after(self.started.elapsed());
    }

    pub fn app_error(&self) {
        self.window.app_errors.fetch_add(1, Relaxed);
    }

    /// Nothing more to say: the answer was whole.
    pub fn settle(&mut self) {
        self.settled = true;
    }

    /// A 502, 503 or 504 of ours, or a body that was cut.
    pub fn failed(&mut self) {
        self.settled = true;
        self.window.failed.fetch_add(1, Relaxed);
    }

    pub fn window(&self) -> &Arc<Window> {
        &self.window
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.settled {
            self.window.client_gone.fetch_add(1, Relaxed);
        }
    }
}

type Windows = VecDeque<(String, Arc<Window>)>;

/// All windows, oldest first, within bounds.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    apps: VecDeque<(String, Windows)>,
}

impl Ledger {
    /// The window of that name, made when new, and now the app's newest.
    pub fn window(&mut self, app: &str, name: &str) -> Arc<Window> {
        let windows = self.windows_of(app);
        let known = windows.iter().position(|(known, _)| known == name).and_then(|at| windows.remove(at));
        let entry = known.unwrap_or_else(|| (name.to_owned(), Arc::default()));
        let window = Arc::clone(&entry.1);
        windows.push_back(entry);
        while windows.len() > WINDOWS_PER_APP {
            windows.pop_front();
        }
        window
    }

    fn windows_of(&mut self, app: &str) -> &mut Windows {
        let at = self.apps.iter().position(|(known, _)| known == app).unwrap_or_else(|| {
            self.apps.push_back((app.to_owned(), Windows::new()));
            self.apps.len() - 1
        });
        &mut self.apps[at].1
    }

    /// Drops the oldest apps that no table names any more, when there are too many of them.
    pub fn forget_gone(&mut self, routed: &BTreeSet<&str>) {
        let gone = self.apps.iter().filter(|(app, _)| !routed.contains(app.as_str())).count();
        let mut surplus = gone.saturating_sub(GONE_APPS);
        self.apps.retain(|(app, _)| {
            let drop = surplus > 0 && !routed.contains(app.as_str());
            surplus -= usize::from(drop);
            !drop
        });
    }

    pub fn read(&self) -> BTreeMap<String, BTreeMap<String, Counters>> {
        let read = |windows: &Windows| windows.iter().map(|(name, window)| (name.clone(), window.read())).collect();
        self.apps.iter().map(|(app, windows)| (app.clone(), read(windows))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_keeps_its_sixteen_newest_windows() {
        let mut ledger = Ledger::default();
        for number in 0..40 {
            ledger.window("shop", &format!("d{number:02}"));
        }
        ledger.window("shop", "d30");
        let names: Vec<String> = ledger.read()["shop"].keys().cloned().collect();
        assert_eq!(names.len(), WINDOWS_PER_APP);
        assert_eq!(names.first().map(String::as_str), Some("d24"));
    }

    #[test]
    fn a_window_named_again_goes_on_counting() {
        let mut ledger = Ledger::default();
        Tally::new(&ledger.window("shop", "d1"), Instant::now()).settle();
        ledger.window("shop", "d2");
        Tally::new(&ledger.window("shop", "d1"), Instant::now()).settle();
        assert_eq!(ledger.read()["shop"]["d1"].requests, 2);
    }

    #[test]
    fn apps_that_are_gone_are_forgotten_oldest_first_and_routed_ones_never() {
        let mut ledger = Ledger::default();
        for number in 0..GONE_APPS + 10 {
            ledger.window(&format!("app{number:03}"), "d1");
        }
        ledger.forget_gone(&BTreeSet::from(["app000"]));
        let apps = ledger.read();
        assert!(apps.contains_key("app000"));
        assert!(!apps.contains_key("app001"));
        assert_eq!(apps.len(), GONE_APPS + 1);
    }

    #[test]
    fn every_request_has_one_outcome_and_belongs_to_one_window() {
        let (old, new) = (Arc::new(Window::default()), Arc::new(Window::default()));
        drop(Tally::new(&old, Instant::now()));
        let mut moved = Tally::new(&old, Instant::now());
        moved.move_to(&new);
        moved.failed();
        drop(moved);
        assert_eq!(old.read(), Counters { requests: 1, client_gone: 1, ..Counters::default() });
        assert_eq!(new.read(), Counters { requests: 1, failed: 1, ..Counters::default() });
    }
}
