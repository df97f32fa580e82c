//! The table in force and the upstreams of earlier tables: swaps tables and reports drains.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;

use crate::component_counters::ComponentCounters;
use crate::counters::{AppCounters, CounterRegistry};
use crate::files::{self, OpenSites};
use crate::protocol::{Address, AppRoutes, ComponentCounts, Counters, Message, Open, RouteTable};
use crate::table::Table;
use crate::upstream::Upstream;

/// Minimum interval between two reports of one draining upstream. The last report is sent at once.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);
/// Messages buffered for a slow control connection. One that falls further behind is closed, and reads the status when
/// it connects again.
const EVENT_BUFFER: usize = 4096;

#[derive(Debug)]
pub(crate) struct RoutingState {
    table: ArcSwap<Table>,
    version: watch::Sender<u64>,
    events: broadcast::Sender<Message>,
    /// What is still open in the process that this one replaced, by upstream id.
    of_predecessor: Mutex<BTreeMap<String, Open>>,
    registry: Mutex<Registry>,
}

/// The live objects behind the names in tables. They outlive tables.
#[derive(Debug)]
pub(crate) struct Registry {
    /// With the counters of their components.
    upstreams: HashMap<(String, Address), (Arc<Upstream>, Arc<ComponentCounters>)>,
    counters: CounterRegistry,
    /// The files of the static sites in the table.
    pub sites: OpenSites,
    ended: Arc<Notify>,
}

impl Registry {
    pub fn app_counters(&mut self, app: &str, window: &str) -> Arc<AppCounters> {
        self.counters.app(app, window)
    }

    pub fn component(&mut self, app: &str, name: &str) -> Arc<ComponentCounters> {
        self.counters.component(app, name)
    }

    pub fn upstream(
        &mut self,
        wanted: &crate::protocol::Upstream,
        component: &Arc<ComponentCounters>,
    ) -> Arc<Upstream> {
        let ended = &self.ended;
        let entry = self.upstreams.entry((wanted.id.clone(), wanted.address.clone()));
        let new = || (Arc::new(Upstream::new(wanted, Arc::clone(ended))), Arc::clone(component));
        Arc::clone(&entry.or_insert_with(new).0)
    }
}

impl RoutingState {
    /// An empty table, version 0. The task that reports drains runs as long as this value lives.
    pub fn start() -> Arc<Self> {
        let ended = Arc::new(Notify::new());
        let registry = Registry {
            upstreams: HashMap::new(),
            counters: CounterRegistry::default(),
            sites: OpenSites::default(),
            ended: Arc::clone(&ended),
        };
        let routing = Arc::new(RoutingState {
            table: ArcSwap::default(),
            version: watch::Sender::new(0),
            events: broadcast::Sender::new(EVENT_BUFFER),
            of_predecessor: Mutex::default(),
            registry: Mutex::new(registry),
        });
        tokio::spawn(report_drains(Arc::downgrade(&routing), ended));
        routing
    }

    pub fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Changes with every new table.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// [`Message::Draining`] for every upstream that is no longer in the table, until its counts are zero.
    pub fn events(&self) -> broadcast::Receiver<Message> {
        self.events.subscribe()
    }

    /// Opens the files of the sites that a table names. Blocks while it reads the indexes of new ones, but no lock is held.
    pub fn open_sites(&self, wanted: &RouteTable) -> OpenSites {
        let known = self.registry().sites.clone();
        files::open(wanted, &known)
    }

    /// Opens the files of sites and calls [`Self::install_with`].
    pub fn install(&self, wanted: &RouteTable) {
        self.install_with(wanted, self.open_sites(wanted));
    }

    /// Puts a table in force, except for the parts listed in [`Table::refused`]. When this returns, no new request can
    /// be admitted at an upstream that the table leaves out. `sites`: what [`Self::open_sites`] returned for it.
    pub fn install_with(&self, wanted: &RouteTable, sites: OpenSites) {
        let mut registry = self.registry();
        registry.sites = sites;
        let table = Table::compile(wanted, &self.table(), &mut registry);
        let routed = upstreams_of(wanted);
        let apps: BTreeSet<&str> = wanted.apps.iter().map(|app| app.app.as_str()).collect();
        registry.counters.drop_unrouted(&apps);
        registry.counters.drop_components(&components_of(wanted));
        for (key, (upstream, _)) in &registry.upstreams {
            if upstream.is_draining() && routed.contains(&(key.0.as_str(), &key.1)) {
                upstream.route();
            }
        }
        // Table before flags: a request that a draining upstream turns away finds the new table.
        self.table.store(Arc::new(table));
        for (key, (upstream, _)) in &registry.upstreams {
            if !upstream.is_draining() && !routed.contains(&(key.0.as_str(), &key.1)) {
                upstream.drain();
            }
        }
        self.version.send_replace(wanted.version);
    }

    /// Open requests by upstream id. Upstreams without open requests are absent.
    pub fn open(&self) -> BTreeMap<String, Open> {
        let mut open = self.of_predecessor().clone();
        for (upstream, _) in self.registry().upstreams.values() {
            let now = upstream.open();
            if now != Open::default() {
                *open.entry(upstream.id.clone()).or_default() += now;
            }
        }
        open
    }

    /// Updates what is still open in the process that this one replaced. Its upstreams are drained only when nothing of them
    /// is open there either.
    pub fn set_open_of_predecessor(&self, now: BTreeMap<String, Open>) {
        let before = std::mem::replace(&mut *self.of_predecessor(), now.clone());
        if before == now {
            return;
        }
        let (known, ended) = {
            let registry = self.registry();
            let known: BTreeSet<String> = registry.upstreams.keys().map(|(id, _)| id.clone()).collect();
            (known, Arc::clone(&registry.ended))
        };
        ended.notify_one();
        // Upstreams that this process never had in a table.
        for upstream in before.keys().chain(now.keys()).filter(|id| !known.contains(*id)) {
            let open = now.get(upstream).copied().unwrap_or_default();
            let _ = self.events.send(Message::Draining { upstream: upstream.clone(), open });
        }
    }

    fn of_predecessor(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.of_predecessor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn counters(&self) -> BTreeMap<String, BTreeMap<String, Counters>> {
        self.registry().counters.read()
    }

    /// Counts for metrics, by app id and component.
    pub fn components(&self) -> BTreeMap<String, BTreeMap<String, ComponentCounts>> {
        let registry = self.registry();
        let mut all: BTreeMap<String, BTreeMap<String, ComponentCounts>> = BTreeMap::new();
        for (app, name, counters) in registry.counters.components() {
            let mut counts = counters.read();
            for (upstream, _) in registry.upstreams.values().filter(|(_, of)| Arc::ptr_eq(of, counters)) {
                let open = upstream.open();
                counts.open_requests += open.requests;
                counts.open_upgraded += open.upgraded;
                counts.draining += u64::from(upstream.is_draining());
            }
            all.entry(app.to_owned()).or_default().insert(name.to_owned(), counts);
        }
        all
    }

    /// Bytes sent to clients, by app id.
    pub fn sent_bytes(&self) -> BTreeMap<String, u64> {
        self.registry().counters.sent_bytes()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Code under this lock only updates maps and counters, so a panic elsewhere cannot have left it half done.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draining upstreams and their counts. Those at zero are removed, so this is their last report.
    fn draining(&self) -> Vec<(String, Address, Open)> {
        let elsewhere = self.of_predecessor().clone();
        let mut registry = self.registry();
        let draining = registry.upstreams.values().filter(|(upstream, _)| upstream.is_draining());
        let count = |(upstream, _): &(Arc<Upstream>, _)| {
            let mut open = upstream.open();
            open += elsewhere.get(&upstream.id).copied().unwrap_or_default();
            (upstream.id.clone(), upstream.address.clone(), open)
        };
        let counts: Vec<_> = draining.map(count).collect();
        for (id, address, open) in &counts {
            if *open == Open::default()
                && let Some((_, component)) = registry.upstreams.remove(&(id.clone(), address.clone()))
            {
                component.drained();
            }
        }
        counts
    }
}

fn upstreams_of(table: &RouteTable) -> BTreeSet<(&str, &Address)> {
    let upstreams = table.apps.iter().flat_map(AppRoutes::upstreams);
    upstreams.map(|upstream| (upstream.id.as_str(), &upstream.address)).collect()
}

/// Pairs of app and component. Every app has a component without a name.
fn components_of(table: &RouteTable) -> BTreeSet<(&str, &str)> {
    fn of_app(app: &AppRoutes) -> Vec<(&str, &str)> {
        let services = app.internal.iter().flat_map(|it| &it.services).map(|it| it.name.as_str());
        let components = app.rules.iter().map(|rule| rule.component.as_str()).chain(services).chain([""]);
        components.map(|component| (app.app.as_str(), component)).collect()
    }
    table.apps.iter().flat_map(of_app).collect()
}

/// Reports the counts of draining upstreams as they change: at most every 250 ms each, and at once when they reach
/// zero.
async fn report_drains(routing: std::sync::Weak<RoutingState>, ended: Arc<Notify>) {
    let mut reported: HashMap<(String, Address), (Open, Instant)> = HashMap::new();
    let mut next_report: Option<Instant> = None;
    loop {
        let waited = async {
            match next_report {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ended.notified() => {}
            () = waited => {}
            // Wakes up to notice that the process is ending.
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
        let Some(routing) = routing.upgrade() else { return };
        next_report = None;
        let counts = routing.draining();
        reported.retain(|key, _| counts.iter().any(|(id, address, _)| key.0 == *id && key.1 == *address));
        for (id, address, open) in counts {
            let key = (id.clone(), address);
            let last = reported.get(&key).copied();
            if last.is_some_and(|(before, _)| before == open) {
                continue;
            }
            let due =
                last.map(|(_, at)| at + REPORT_INTERVAL).filter(|due| *due > Instant::now() && open != Open::default());
            if let Some(due) = due {
                next_report = Some(next_report.map_or(due, |other| other.min(due)));
                continue;
            }
            if open == Open::default() {
                // The last report of this drain. If the upstream is routed and drained again, that drain is reported
                // from the beginning.
                reported.remove(&key);
            } else {
                reported.insert(key, (open, Instant::now()));
            }
            // Without a control connection nothing receives this. A controller that connects later reads the status.
            let _ = routing.events.send(Message::Draining { upstream: id, open });
        }
    }
}
