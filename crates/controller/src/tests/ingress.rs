//! An ingress in memory: accepts tables, records when each came into force, and can be made to fail.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use engine_fake::FakeEngine;
use ingress::client::IngressEvent;
use ingress::protocol::{
    CertificateSet, Counters, InternalRefused, InternalRoutes, Open, RouteRefused, RouteTable, Status,
};
use rollout::ids::AppId;
use tokio::sync::{broadcast, watch};

use crate::ingress_client::connection::Opened;
use crate::ingress_client::{IngressConnection, IngressConnector, Unsent};

/// A table that came into force.
#[derive(Debug, Clone)]
pub struct Taken {
    pub table: RouteTable,
    /// How many calls the engine had received by then.
    pub calls: usize,
    /// How many upstreams of each component would have accepted a connection then.
    pub listening: BTreeMap<String, usize>,
}

/// The ingress process. Clones share one process, which survives a controller.
#[derive(Clone)]
pub struct MemoryIngress {
    engine: FakeEngine,
    state: Arc<Mutex<State>>,
    /// While true, tables come into force without an acknowledgement.
    silent: watch::Sender<bool>,
    news: broadcast::Sender<IngressEvent>,
}

#[derive(Default)]
struct State {
    dead: bool,
    /// The process runs, but refuses every table.
    refuses: bool,
    /// Another connection is in charge until the next hello.
    listens_to_another: bool,
    opened: usize,
    taken: Vec<Taken>,
    /// Tables from this number on get no acknowledgement.
    silent_at: Option<usize>,
    /// Hosts that the process leaves out, by app.
    refused: Vec<RouteRefused>,
    open: BTreeMap<String, Open>,
    /// Counts of the current process, by app and window.
    counters: BTreeMap<String, BTreeMap<String, Counters>>,
    /// Bytes that the current process has sent, by app.
    sent_bytes: BTreeMap<String, u64>,
    deaths: usize,
    /// Why no listener for calls between components can be opened.
    calls_refused: Option<String>,
    /// The process is of a version before features had a number.
    is_first_version: bool,
    certificates: CertificateSet,
}

impl MemoryIngress {
    pub fn new(engine: FakeEngine) -> Self {
        Self { engine, state: Arc::default(), silent: watch::Sender::new(false), news: broadcast::Sender::new(4096) }
    }

    /// All tables so far, in order.
    pub fn taken(&self) -> Vec<Taken> {
        self.state().taken.clone()
    }

    /// How often a connection took charge.
    pub fn opened(&self) -> usize {
        self.state().opened
    }

    /// Names of the upstreams in force for a component.
    pub fn upstreams(&self, component: &str) -> Vec<String> {
        let state = self.state();
        let rules = state.taken.last().into_iter().flat_map(|it| &it.table.apps).flat_map(|app| &app.rules);
        let mut names: Vec<_> = rules
            .filter(|rule| rule.component == component)
            .flat_map(|rule| rule.upstreams().iter().map(|it| it.id.clone()))
            .collect();
        names.sort();
        names
    }

    /// No listener for calls between components can be opened from now on.
    pub fn refuse_calls(&self, why: &str) {
        self.state().calls_refused = Some(why.to_owned());
    }

    /// Sets the open requests of an upstream, and reports them.
    pub fn set_open(&self, upstream: &str, open: Open) {
        if open == Open::default() {
            self.state().open.remove(upstream);
        } else {
            self.state().open.insert(upstream.to_owned(), open);
        }
        let _ = self.news.send(IngressEvent::Draining { upstream: upstream.to_owned(), open });
    }

    /// Counts this many answered requests for every app, in the current window.
    pub fn serve(&self, requests: u64) {
        self.count(|counters| {
            counters.requests += requests;
            counters.slowest_us = counters.slowest_us.max(requests * 1000);
        });
    }

    /// Changes the counters of every app, in the current window.
    pub fn count(&self, change: impl Fn(&mut Counters)) {
        let mut state = self.state();
        let apps = state.taken.last().map(|it| it.table.apps.clone()).unwrap_or_default();
        for app in apps {
            change(state.counters.entry(app.app).or_default().entry(app.window).or_default());
        }
    }

    /// Sends this many bytes to clients of an app.
    pub fn send_bytes(&self, app: &AppId, bytes: u64) {
        *self.state().sent_bytes.entry(app.to_string()).or_default() += bytes;
    }

    /// The `nth` table from now on (1 is the next) and all later ones come into force without an acknowledgement.
    pub fn fall_silent_at(&self, nth: usize) {
        let mut state = self.state();
        state.silent_at = Some(state.taken.len() + nth);
    }

    /// Whether the process has stopped acknowledging.
    pub fn is_silent(&self) -> bool {
        *self.silent.borrow()
    }

    /// Acknowledges tables again.
    pub fn speak(&self) {
        self.state().silent_at = None;
        self.silent.send_replace(false);
    }

    /// While true, refuses every table but keeps serving.
    pub fn refuse(&self, refuses: bool) {
        self.state().refuses = refuses;
    }

    /// From the next table on, leaves out a host of an app.
    pub fn refuse_host(&self, app: &str, host: &str) {
        let refused = RouteRefused { app: app.into(), host: Some(host.into()), reason: format!("{host} is taken") };
        self.state().refused.push(refused);
    }

    /// Puts another connection in charge until the next hello.
    pub fn listen_to_another(&self) {
        self.state().listens_to_another = true;
    }

    /// How many processes have ended.
    pub fn deaths(&self) -> usize {
        self.state().deaths
    }

    /// The process that runs now is of a version before features had a number.
    pub fn be_of_the_first_version(&self) {
        self.state().is_first_version = true;
    }

    /// Ends the process; its counts are lost, and it cannot be started until [`Self::recover`].
    pub fn die(&self) {
        let mut state = self.state();
        state.dead = true;
        state.counters.clear();
        state.sent_bytes.clear();
        state.deaths += 1;
        drop(state);
        let _ = self.news.send(IngressEvent::Lost);
    }

    /// Lets the process start again, with its saved table.
    pub fn recover(&self) {
        self.state().dead = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn take(&self, table: RouteTable) -> Result<(), Unsent> {
        let mut listening = BTreeMap::new();
        for rule in table.apps.iter().flat_map(|app| &app.rules) {
            let serving = rule.upstreams().iter().filter(|it| self.engine.listening(&it.id)).count();
            listening.insert(rule.component.clone(), serving);
        }
        let calls = self.engine.calls().len();
        let mut state = self.state();
        if state.dead {
            return Err(Unsent::Gone("the connection to the ingress is lost".into()));
        }
        if state.taken.last().is_some_and(|it| it.table.version >= table.version) {
            return Err(Unsent::Refused(format!("version {} is not newer", table.version)));
        }
        state.taken.push(Taken { table, calls, listening });
        if state.silent_at == Some(state.taken.len()) {
            self.silent.send_replace(true);
        }
        Ok(())
    }
}

/// Where the table says to listen for containers.
fn call_listeners(table: &RouteTable) -> Vec<SocketAddr> {
    let of_app = |it: &InternalRoutes| {
        let gateway = it.gateway;
        it.services.iter().flat_map(|it| it.ports.clone()).map(move |port| (gateway, port).into()).collect::<Vec<_>>()
    };
    let calls = table.apps.iter().filter_map(|it| it.internal.as_ref()).flat_map(of_app);
    calls.chain(table.for_containers.iter().map(|it| it.address)).collect()
}

#[async_trait]
impl IngressConnector for MemoryIngress {
    async fn open(&self) -> Result<Opened, String> {
        let mut state = self.state();
        if state.dead {
            return Err("the ingress does not start".into());
        }
        state.opened += 1;
        state.listens_to_another = false;
        let table = state.taken.last().map(|it| it.table.clone()).unwrap_or_default();
        let features = if state.is_first_version { 0 } else { ingress::features::FEATURES };
        Ok(Opened { connection: Arc::new(self.clone()), table, features })
    }

    async fn replace(&self) -> Result<Opened, String> {
        self.die();
        self.recover();
        self.state().is_first_version = false;
        self.open().await
    }
}

#[async_trait]
impl IngressConnection for MemoryIngress {
    async fn set_table(&self, table: RouteTable) -> Result<(), Unsent> {
        tokio::task::yield_now().await;
        if self.state().refuses {
            return Err(Unsent::Refused("cannot write the snapshot: no space left on device".into()));
        }
        if self.state().listens_to_another {
            return Err(Unsent::Refused("this connection is not in charge".into()));
        }
        self.take(table)?;
        // Cannot fail: the sender lives in `self`.
        let _ = self.silent.subscribe().wait_for(|silent| !silent).await;
        Ok(())
    }

    async fn set_certificates(&self, certificates: CertificateSet) -> Result<(), Unsent> {
        self.state().certificates = certificates;
        Ok(())
    }

    async fn status(&self) -> Result<Status, String> {
        tokio::task::yield_now().await;
        let state = self.state();
        if state.dead {
            return Err("the connection to the ingress is lost".into());
        }
        let listeners = state.taken.last().map(|it| call_listeners(&it.table)).unwrap_or_default();
        Ok(Status {
            boot_id: format!("life-{}", state.deaths),
            open: state.open.clone(),
            counters: state.counters.clone(),
            sent_bytes: state.sent_bytes.clone(),
            refused: state.refused.clone(),
            internal: listeners.iter().copied().filter(|_| state.calls_refused.is_none()).collect(),
            internal_refused: state
                .calls_refused
                .iter()
                .flat_map(|why| listeners.iter().map(move |it| (why, it)))
                .map(|(why, it)| InternalRefused { address: *it, reason: why.clone() })
                .collect(),
            ..Status::default()
        })
    }

    async fn shutdown(&self, drain: Duration) -> Result<(), Unsent> {
        let mut news = self.news();
        let drained = async {
            while !self.state().open.is_empty() {
                drop(news.recv().await);
            }
        };
        drop(tokio::time::timeout(drain, drained).await);
        self.die();
        Ok(())
    }

    fn news(&self) -> broadcast::Receiver<IngressEvent> {
        self.news.subscribe()
    }
}
