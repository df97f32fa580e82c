//! Counts requests and their outcomes, by app and window. Counters only increase, and no decision depends on them.
//!
//! A deployment's record covers everything that its rollout puts at risk. So a window counts the requests that were
//! open when it began as well as new ones, and every end counts in the window in force when it happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use crate::component_counters::ComponentCounters;
use crate::protocol::Counters;

/// Windows kept per app: the ones that a table named last.
const WINDOWS_PER_APP: usize = 16;
/// Apps kept that no table names any more.
const UNROUTED_APPS: usize = 64;

/// The counters of one app in one window.
#[derive(Debug, Default)]
struct Window {
    requests: AtomicU64,
    open_at_start: AtomicU64,
    failed: AtomicU64,
    app_errors: AtomicU64,
    client_gone: AtomicU64,
    requests_cut: AtomicU64,
    uploads_cut: AtomicU64,
    upgraded: AtomicU64,
    upgraded_cut: AtomicU64,
    slowest_us: AtomicU64,
}

impl Window {
    fn read(&self) -> Counters {
        Counters {
            requests: self.requests.load(Relaxed),
            open_at_start: self.open_at_start.load(Relaxed),
            failed: self.failed.load(Relaxed),
            app_errors: self.app_errors.load(Relaxed),
            client_gone: self.client_gone.load(Relaxed),
            requests_cut: self.requests_cut.load(Relaxed),
            uploads_cut: self.uploads_cut.load(Relaxed),
            upgraded: self.upgraded.load(Relaxed),
            upgraded_cut: self.upgraded_cut.load(Relaxed),
            slowest_us: self.slowest_us.load(Relaxed),
        }
    }

    fn answered_after(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // Read first: almost no request is the slowest, and a plain read keeps the cache line shared between cores.
        if micros > self.slowest_us.load(Relaxed) {
            self.slowest_us.fetch_max(micros, Relaxed);
        }
    }
}

/// One app: the window in force, the number of open requests, and the bytes sent.
#[derive(Debug, Default)]
pub(crate) struct AppCounters {
    /// Locked for writing while a window begins, so that each event counts either before it or in it.
    window: RwLock<Arc<Window>>,
    requests: AtomicU64,
    upgraded: AtomicU64,
    /// See [`crate::protocol::Status::sent_bytes`].
    sent_bytes: AtomicU64,
}

impl AppCounters {
    fn window(&self) -> RwLockReadGuard<'_, Arc<Window>> {
        // Counting cannot panic half-way.
        self.window.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// `new`: no table has named this window before.
    fn begin_window(&self, next: &Arc<Window>, new: bool) {
        let mut window = self.window.write().unwrap_or_else(PoisonError::into_inner);
        if new {
            next.open_at_start.fetch_add(self.requests.load(Relaxed), Relaxed);
            next.upgraded.fetch_add(self.upgraded.load(Relaxed), Relaxed);
        }
        *window = Arc::clone(next);
    }
}

/// What a stopping instance cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutKind {
    /// Waiting for the response or receiving it.
    Request,
    /// Sending the request body.
    Upload,
}

/// One request: counted when created, with exactly one outcome. If dropped without an outcome, the client left.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    counters: Arc<AppCounters>,
    /// Set when the request matches a rule.
    component: Option<Arc<ComponentCounters>>,
    started: Instant,
    finished: bool,
    /// Whether the response leaves the app's network, so that its bytes count.
    leaves: bool,
}

impl RequestRecord {
    pub fn new(counters: &Arc<AppCounters>, started: Instant) -> Self {
        let window = counters.window();
        window.requests.fetch_add(1, Relaxed);
        counters.requests.fetch_add(1, Relaxed);
        drop(window);
        RequestRecord { counters: Arc::clone(counters), component: None, started, finished: false, leaves: true }
    }

    /// A call of another component of the app.
    pub fn internal(counters: &Arc<AppCounters>, started: Instant) -> Self {
        let mut record = RequestRecord::new(counters, started);
        record.leaves = false;
        record
    }

    /// A newer table gives the request's host to another app. Counts the request there instead.
    pub fn move_to(&mut self, counters: &Arc<AppCounters>) {
        if Arc::ptr_eq(&self.counters, counters) {
            return;
        }
        self.counters.window().requests.fetch_sub(1, Relaxed);
        let mut new = RequestRecord::new(counters, self.started);
        new.leaves = self.leaves;
        std::mem::replace(self, new).finished = true;
    }

    /// Counts the response for this component, in place of an earlier one.
    pub fn belongs_to(&mut self, component: &Arc<ComponentCounters>) {
        self.component = Some(Arc::clone(component));
    }

    /// The response head has arrived.
    pub fn response_started(&self, status: StatusCode) {
        let after = self.started.elapsed();
        self.counters.window().answered_after(after);
        if let Some(component) = &self.component {
            component.answered(status, after);
        }
    }

    /// The ingress answers by itself. `code`: set if that is an error.
    pub fn answered_by_ingress(&self, status: StatusCode, code: Option<&'static str>) {
        let Some(component) = &self.component else { return };
        component.answered(status, self.started.elapsed());
        if let Some(code) = code {
            component.refused(code);
        }
    }

    pub fn app_error(&self) {
        self.counters.window().app_errors.fetch_add(1, Relaxed);
    }

    /// These bytes of the response body were handed over for sending.
    pub fn sent(&self, bytes: usize) {
        if self.leaves {
            self.counters.sent_bytes.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// The response was complete.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// A 502, 503 or 504 of the ingress, or a truncated body. `cut`: a stopping instance is the cause.
    pub fn failed(&mut self, cut: Option<CutKind>) {
        self.finished = true;
        let window = self.counters.window();
        window.failed.fetch_add(1, Relaxed);
        match cut {
            Some(CutKind::Request) => window.requests_cut.fetch_add(1, Relaxed),
            Some(CutKind::Upload) => window.uploads_cut.fetch_add(1, Relaxed),
            None => 0,
        };
        if let (Some(component), Some(_)) = (&self.component, cut) {
            component.cut();
        }
    }

    /// The request became an upgraded connection.
    pub fn upgrade(mut self) -> UpgradeRecord {
        self.finished = true;
        let window = self.counters.window();
        window.upgraded.fetch_add(1, Relaxed);
        self.counters.upgraded.fetch_add(1, Relaxed);
        drop(window);
        let component = self.component.take();
        UpgradeRecord {
            counters: Arc::clone(&self.counters),
            component,
            cut: AtomicBool::new(false),
            leaves: self.leaves,
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let window = self.counters.window();
        self.counters.requests.fetch_sub(1, Relaxed);
        if !self.finished {
            window.client_gone.fetch_add(1, Relaxed);
        }
    }
}

/// An open upgraded connection.
#[derive(Debug)]
pub(crate) struct UpgradeRecord {
    counters: Arc<AppCounters>,
    component: Option<Arc<ComponentCounters>>,
    cut: AtomicBool,
    leaves: bool,
}

impl UpgradeRecord {
    /// Ended by the ingress or by a stopping instance. Counts once, however often it is called.
    pub fn cut(&self) {
        if !self.cut.swap(true, Relaxed) {
            self.counters.window().upgraded_cut.fetch_add(1, Relaxed);
            if let Some(component) = &self.component {
                component.cut();
            }
        }
    }

    /// These bytes of the instance were handed over for sending to the client.
    pub fn sent(&self, bytes: usize) {
        if self.leaves {
            self.counters.sent_bytes.fetch_add(bytes as u64, Relaxed);
        }
    }
}

impl Drop for UpgradeRecord {
    fn drop(&mut self) {
        let _window = self.counters.window();
        self.counters.upgraded.fetch_sub(1, Relaxed);
    }
}

/// An app's windows, oldest first.
#[derive(Debug, Default)]
struct Windows {
    counters: Arc<AppCounters>,
    known: VecDeque<(String, Arc<Window>)>,
    components: BTreeMap<String, Arc<ComponentCounters>>,
}

/// All apps, oldest first, up to a limit.
#[derive(Debug, Default)]
pub(crate) struct CounterRegistry {
    apps: VecDeque<(String, Windows)>,
}

impl CounterRegistry {
    /// The counters of the app, which count in the named window from now on.
    pub fn app(&mut self, app: &str, window: &str) -> Arc<AppCounters> {
        let Windows { counters, known, .. } = self.windows(app);
        if known.back().is_none_or(|(newest, _)| newest != window) {
            let before = known.iter().position(|(known, _)| known == window).and_then(|at| known.remove(at));
            let new = before.is_none();
            let entry = before.unwrap_or_else(|| (window.to_owned(), Arc::default()));
            counters.begin_window(&entry.1, new);
            known.push_back(entry);
            while known.len() > WINDOWS_PER_APP {
                known.pop_front();
            }
        }
        Arc::clone(counters)
    }

    /// The counters of a component. `name` is empty for what matches no rule of the app.
    pub fn component(&mut self, app: &str, name: &str) -> Arc<ComponentCounters> {
        let components = &mut self.windows(app).components;
        if !components.contains_key(name) {
            components.insert(name.to_owned(), Arc::default());
        }
        Arc::clone(&components[name])
    }

    /// Drops the counters of components that no rule names any more. `named` are pairs of app and component.
    pub fn drop_components(&mut self, named: &BTreeSet<(&str, &str)>) {
        for (app, windows) in &mut self.apps {
            windows.components.retain(|name, _| named.contains(&(app.as_str(), name.as_str())));
        }
    }

    /// The counters of all components, with their app and name.
    pub fn components(&self) -> impl Iterator<Item = (&str, &str, &Arc<ComponentCounters>)> {
        self.apps.iter().flat_map(|(app, windows)| {
            windows.components.iter().map(move |(name, counters)| (app.as_str(), name.as_str(), counters))
        })
    }

    fn windows(&mut self, app: &str) -> &mut Windows {
        let at = self.apps.iter().position(|(known, _)| known == app).unwrap_or_else(|| {
            self.apps.push_back((app.to_owned(), Windows::default()));
            self.apps.len() - 1
        });
        &mut self.apps[at].1
    }

    /// Drops the oldest apps that no table names any more, if there are too many of them.
    pub fn drop_unrouted(&mut self, routed: &BTreeSet<&str>) {
        let gone = self.apps.iter().filter(|(app, _)| !routed.contains(app.as_str())).count();
        let mut surplus = gone.saturating_sub(UNROUTED_APPS);
        self.apps.retain(|(app, _)| {
            let drop = surplus > 0 && !routed.contains(app.as_str());
            surplus -= usize::from(drop);
            !drop
        });
    }

    pub fn read(&self) -> BTreeMap<String, BTreeMap<String, Counters>> {
        let read =
            |windows: &Windows| windows.known.iter().map(|(name, window)| (name.clone(), window.read())).collect();
        self.apps.iter().map(|(app, windows)| (app.clone(), read(windows))).collect()
    }

    pub fn sent_bytes(&self) -> BTreeMap<String, u64> {
        let sent = |windows: &Windows| windows.counters.sent_bytes.load(Relaxed);
        self.apps.iter().map(|(app, windows)| (app.clone(), sent(windows))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_keeps_its_sixteen_newest_windows() {
        let mut registry = CounterRegistry::default();
        for number in 0..40 {
            registry.app("shop", &format!("d{number:02}"));
        }
        registry.app("shop", "d30");
        let names: Vec<String> = registry.read()["shop"].keys().cloned().collect();
        assert_eq!(names.len(), WINDOWS_PER_APP);
        assert_eq!(names.first().map(String::as_str), Some("d24"));
    }

    #[test]
    fn a_window_named_again_continues_counting() {
        let mut registry = CounterRegistry::default();
        RequestRecord::new(&registry.app("shop", "d1"), Instant::now()).finish();
        registry.app("shop", "d2");
        RequestRecord::new(&registry.app("shop", "d1"), Instant::now()).finish();
        assert_eq!(registry.read()["shop"]["d1"].requests, 2);
    }

    #[test]
    fn unrouted_apps_are_dropped_oldest_first_and_routed_ones_never() {
        let mut registry = CounterRegistry::default();
        for number in 0..UNROUTED_APPS + 10 {
            registry.app(&format!("app{number:03}"), "d1");
        }
        registry.drop_unrouted(&BTreeSet::from(["app000"]));
        let apps = registry.read();
        assert!(apps.contains_key("app000"));
        assert!(!apps.contains_key("app001"));
        assert_eq!(apps.len(), UNROUTED_APPS + 1);
    }

    #[test]
    fn every_request_has_one_outcome_and_belongs_to_one_app() {
        let mut registry = CounterRegistry::default();
        let (old, new) = (registry.app("old", "d1"), registry.app("new", "d1"));
        drop(RequestRecord::new(&old, Instant::now()));
        let mut moved = RequestRecord::new(&old, Instant::now());
        moved.move_to(&new);
        moved.failed(None);
        drop(moved);
        let read = registry.read();
        assert_eq!(read["old"]["d1"], Counters { requests: 1, client_gone: 1, ..Counters::default() });
        assert_eq!(read["new"]["d1"], Counters { requests: 1, failed: 1, ..Counters::default() });
        assert_eq!((old.requests.load(Relaxed), new.requests.load(Relaxed)), (0, 0), "no request stays open");
    }

    #[test]
    fn a_window_begins_with_what_is_open_and_counts_its_end() {
        let mut registry = CounterRegistry::default();
        let counters = registry.app("shop", "d1");
        let (mut request, mut upload) =
            (RequestRecord::new(&counters, Instant::now()), RequestRecord::new(&counters, Instant::now()));
        let socket = RequestRecord::new(&counters, Instant::now()).upgrade();
        registry.app("shop", "d2");
        request.failed(Some(CutKind::Request));
        upload.failed(Some(CutKind::Upload));
        socket.cut();
        drop((request, upload, socket));
        let read = registry.read();
        assert_eq!(read["shop"]["d1"], Counters { requests: 3, upgraded: 1, ..Counters::default() });
        let second = Counters {
            open_at_start: 2,
            failed: 2,
            requests_cut: 1,
            uploads_cut: 1,
            upgraded: 1,
            upgraded_cut: 1,
            ..Counters::default()
        };
        assert_eq!(read["shop"]["d2"], second);
        registry.app("shop", "d3");
        assert_eq!(registry.read()["shop"]["d3"], Counters::default(), "ended requests are not open");
    }

    #[test]
    fn a_window_that_is_named_in_every_table_begins_once() {
        let mut registry = CounterRegistry::default();
        let counters = registry.app("shop", "d1");
        let _open = RequestRecord::new(&counters, Instant::now());
        registry.app("shop", "d1");
        assert_eq!(registry.read()["shop"]["d1"].open_at_start, 0);
    }
}
