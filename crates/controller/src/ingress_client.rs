//! The controller's side of the ingress: sends one route table for all apps, and receives what the ingress reports.
//!
//! Each app's task submits the routes of that app. One task joins the routes of all apps, sends the table with the next
//! version, and replies when the ingress acknowledges it. Routes that arrive while a table is being sent go into the
//! next table. Until an app's task submits new routes, the app keeps those that the ingress already has. So does an app
//! without a record, because the database may be older than the running containers. Only a deleted app loses its
//! routes.
//!
//! The task restarts an ingress that died. If the ingress refuses a table, the task sends a new hello: after the
//! controller was frozen, another connection may be in charge, and the answer to a hello says which table the ingress
//! has.

pub(crate) mod connection;
mod join;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use ingress::client::IngressEvent;
use ingress::protocol::{
    Address, AppPolicy, AppRoutes, CertificateSet, Counters, Listener, ListenerKind, Open, PathMatch, Rewrite,
    RouteRefused, RouteTable, Rule, Status, Target, Upstream,
};
use rollout::ids::AppId;
use store::records::{IngressCounts, Served};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::certificates::HostName;
use crate::config::WebhookSettings;
use crate::fence::Fence;
use crate::supervise::{Backoff, lock};
use crate::traffic::TrafficReading;

/// The first pause between two attempts to reach the ingress; it doubles up to [`LONGEST_RETRY`]. It is short, so that
/// an ingress that died is back within a second.
const RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// How long a shutdown waits for an ingress that is being restarted.
const RECONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// Timeout for an acknowledgement. It includes restarting an ingress that is gone.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);

/// The name of the webhooks in the table. No app has it, because the id of an app is a UUID.
pub(crate) const WEBHOOKS: &str = "boatyard-webhooks";

/// The host name of an app: the app's name is its first label.
pub(crate) fn domain(app: &str) -> String {
    format!("{app}.localhost")
}

/// The routes of the webhooks: everything under their host name goes to the socket of this process.
pub(crate) fn webhook_routes(settings: &WebhookSettings) -> AppRoutes {
    let upstreams = vec![Upstream { id: WEBHOOKS.into(), address: Address::Unix { unix: settings.socket.clone() } }];
    AppRoutes {
        app: WEBHOOKS.into(),
        hosts: vec![settings.host.clone()],
        window: String::new(),
        policy: AppPolicy::default(),
        internal: None,
        rules: vec![Rule {
            authority: None,
            cors: None,
            path: PathMatch::Prefix("/".into()),
            rewrite: Rewrite::Keep,
            component: "webhooks".into(),
            target: Target::Instances { upstreams },
        }],
    }
}

pub(crate) use connection::{IngressConnection, IngressConnector, IngressProcess, Opened, Unsent};

/// The ports on which clients reach the ingress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicPorts {
    pub http: u16,
    pub https: Option<u16>,
}

/// Handle to the ingress. Clones share one connection.
#[derive(Clone)]
pub(crate) struct IngressClient {
    shared: Arc<Shared>,
    work: mpsc::Sender<Work>,
}

struct Shared {
    listeners: Listeners,
    connector: Box<dyn IngressConnector>,
    /// The newest routes of every app, by app id. At the start, those that the ingress has.
    parts: Mutex<BTreeMap<String, AppRoutes>>,
    /// Apps in `parts` that have no record.
    unknown: Mutex<BTreeSet<String>>,
    /// Apps in `parts` that are being deleted. Their host names are free for other apps.
    released: Mutex<BTreeSet<String>>,
    /// Open connections and requests by upstream, as the ingress last reported them.
    open: Mutex<BTreeMap<String, Open>>,
    /// The parts of the newest table that the ingress left out.
    refused: Mutex<Vec<RouteRefused>>,
    /// Where the ingress listens for containers, as it last reported.
    call_listeners: Mutex<CallListeners>,
    /// Why the ingress could not save the newest table to disk.
    unsaved: Mutex<Option<String>>,
    /// Request counts at the time when the newest table was acknowledged.
    tallies: Mutex<Option<Tallies>>,
    control: Mutex<Option<Arc<dyn IngressConnection>>>,
    changes: watch::Sender<u64>,
    /// Changes with every set of routes that an app submits.
    tables: watch::Sender<u64>,
    /// The certificates that the ingress has or gets next.
    certificates: Mutex<Option<CertificateSet>>,
}

impl Shared {
    /// The routes of all apps, as the next table has them.
    fn table(&self) -> Vec<AppRoutes> {
        let (unknown, released) = (lock(&self.unknown), lock(&self.released));
        join::joined(&lock(&self.parts), &unknown, &released)
    }
}

/// Where the ingress listens, besides in the networks of apps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listeners {
    pub http: SocketAddr,
    pub https: Option<SocketAddr>,
    /// The address at which containers reach the public host names of their app.
    pub public_gateway: Option<Ipv4Addr>,
}

impl Listeners {
    /// Listeners at which containers reach the public host names of their app, on the ports of the public ones.
    fn for_containers(&self) -> Vec<Listener> {
        let Some(gateway) = self.public_gateway else { return Vec::new() };
        let http = Listener { address: (gateway, self.http.port()).into(), kind: ListenerKind::Http };
        let https = self.https.map(|it| Listener { address: (gateway, it.port()).into(), kind: ListenerKind::Https });
        [http].into_iter().chain(https).collect()
    }
}

/// Listeners for containers.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallListeners {
    pub open: BTreeSet<SocketAddr>,
    /// Those that could not be opened, and why.
    pub refused: BTreeMap<SocketAddr, String>,
}

/// Request counts of one ingress process, by app and window.
struct Tallies {
    boot_id: String,
    counters: BTreeMap<String, BTreeMap<String, Counters>>,
}

/// What the records say about apps, when the client starts.
pub(crate) struct RecordedApps<'a> {
    /// Apps with a record.
    pub on_record: &'a BTreeSet<AppId>,
    /// Deleted apps. They lose their routes.
    pub removed: &'a BTreeSet<AppId>,
    /// They lose their host names.
    pub being_deleted: &'a BTreeSet<AppId>,
}

enum Work {
    /// Send the current table, and reply when the ingress acknowledges it.
    Send(oneshot::Sender<Result<(), String>>),
    /// Send the current certificates, and reply when the ingress has them.
    Certificates(oneshot::Sender<Result<(), String>>),
}

impl IngressClient {
    /// Starts the ingress unless one answers. Every app keeps the routes that the ingress has until its task submits new
    /// ones. `own`: routes that belong to no app, and replace those of an earlier process. Errors: a sentence, for example
    /// that the ingress cannot listen on its address.
    pub async fn start(
        listeners: Listeners,
        connector: Box<dyn IngressConnector>,
        own: Option<AppRoutes>,
        apps: RecordedApps<'_>,
        fence: Arc<Fence>,
        stop: CancellationToken,
    ) -> Result<Self, String> {
        let (work, inbox) = mpsc::channel(1024);
        let opened = connector.open().await?;
        let RecordedApps { on_record, removed, being_deleted } = apps;
        let is_kept = |it: &&AppRoutes| it.app != WEBHOOKS && !removed.contains(&AppId::from(it.app.as_str()));
        let kept = opened.table.apps.iter().filter(is_kept).cloned();
        let parts: BTreeMap<_, _> = kept.chain(own).map(|it| (it.app.clone(), it)).collect();
        let of_apps = parts.keys().filter(|it| *it != WEBHOOKS);
        let unknown = of_apps.filter(|it| !on_record.contains(&AppId::from(it.as_str()))).cloned().collect();
        let shared = Arc::new(Shared {
            listeners,
            connector,
            parts: Mutex::new(parts),
            unknown: Mutex::new(unknown),
            released: Mutex::new(being_deleted.iter().map(ToString::to_string).collect()),
            open: Mutex::default(),
            refused: Mutex::default(),
            call_listeners: Mutex::default(),
            unsaved: Mutex::default(),
            tallies: Mutex::default(),
            control: Mutex::default(),
            changes: watch::channel(0).0,
            tables: watch::channel(0).0,
            certificates: Mutex::default(),
        });
        let task = ConnectionTask {
            fence,
            shared: shared.clone(),
            inbox,
            version: 0,
            features: 0,
            refusals: Backoff::new(RETRY, LONGEST_RETRY),
        };
        tokio::spawn(task.run(opened, stop));
        Ok(Self { shared, work })
    }

    /// Replaces an app's routes. Returns when no new request can use the old ones. Errors: a sentence; the caller
    /// should retry.
    pub async fn set(&self, part: AppRoutes) -> Result<(), String> {
        lock(&self.shared.unknown).remove(&part.app);
        lock(&self.shared.parts).insert(part.app.clone(), part);
        self.shared.tables.send_modify(|ticks| *ticks += 1);
        let (reply, replied) = oneshot::channel();
        let gone = || "the controller is stopping".to_owned();
        self.work.send(Work::Send(reply)).await.map_err(|_| gone())?;
        tokio::time::timeout(ACKNOWLEDGED_WITHIN, replied)
            .await
            .map_err(|_| format!("not acknowledged within {} s", ACKNOWLEDGED_WITHIN.as_secs()))?
            .map_err(|_| gone())?
    }

    /// An app's newest routes: those that its task submitted, or those that the ingress already had.
    pub fn part(&self, app: &str) -> Option<AppRoutes> {
        lock(&self.shared.parts).get(app).cloned()
    }

    /// Apps that the ingress routes to although they have no record, with their host names.
    pub fn unknown(&self) -> BTreeMap<String, Vec<String>> {
        let unknown = lock(&self.shared.unknown).clone();
        let parts = lock(&self.shared.parts);
        unknown.into_iter().filter_map(|it| Some((it.clone(), parts.get(&it)?.hosts.clone()))).collect()
    }

    /// Where containers reach the public host names of their app, if the ingress listens there.
    pub fn public_gateway(&self) -> Option<Ipv4Addr> {
        let listeners = &self.shared.listeners;
        let open = self.call_listeners().open;
        let all_open = listeners.for_containers().iter().all(|it| open.contains(&it.address));
        listeners.public_gateway.filter(|_| all_open)
    }

    /// Where the ingress listens for containers. Up to date once it has acknowledged the table.
    pub fn call_listeners(&self) -> CallListeners {
        lock(&self.shared.call_listeners).clone()
    }

    /// Why the ingress could not save the newest table to disk, although the table is in force.
    pub fn unsaved(&self) -> Option<String> {
        lock(&self.shared.unsaved).clone()
    }

    /// Names of all upstreams in the newest table.
    pub fn routed(&self) -> BTreeSet<String> {
        let parts = lock(&self.shared.parts);
        parts.values().flat_map(AppRoutes::upstreams).map(|it| it.id.clone()).collect()
    }

    /// Frees the host names of an app that is being deleted. No later table contains them, so the table that first
    /// gives one of them to another app takes it from this app.
    pub fn release_hosts(&self, app: &str) {
        lock(&self.shared.released).insert(app.to_owned());
    }

    /// Removes an app from the table.
    pub async fn forget(&self, app: &str) {
        lock(&self.shared.unknown).remove(app);
        lock(&self.shared.parts).remove(app);
        // Last, so that no table contains the hosts of a deleted app again.
        lock(&self.shared.released).remove(app);
        let (reply, replied) = oneshot::channel();
        if self.work.send(Work::Send(reply)).await.is_ok() {
            drop(tokio::time::timeout(ACKNOWLEDGED_WITHIN, replied).await);
        }
    }

    /// Replaces the certificates. Returns when new connections get them. A new ingress process gets them, too. Errors: a
    /// sentence.
    pub async fn set_certificates(&self, certificates: CertificateSet) -> Result<(), String> {
        {
            let mut current = lock(&self.shared.certificates);
            if current.as_ref() == Some(&certificates) {
                return Ok(());
            }
            *current = Some(certificates);
        }
        let (reply, replied) = oneshot::channel();
        let gone = || "the controller is stopping".to_owned();
        self.work.send(Work::Certificates(reply)).await.map_err(|_| gone())?;
        tokio::time::timeout(ACKNOWLEDGED_WITHIN, replied)
            .await
            .map_err(|_| format!("not acknowledged within {} s", ACKNOWLEDGED_WITHIN.as_secs()))?
            .map_err(|_| gone())?
    }

    /// The host names that apps have in the newest table, by name, without those that the ingress refused. The webhooks count
    /// as an app.
    pub fn host_names(&self) -> Vec<HostName> {
        let table = self.shared.table();
        let mut names = BTreeMap::new();
        for part in &table {
            for name in part.hosts.iter().filter(|host| self.host_refusal(&part.app, host).is_none()) {
                names.entry(name.clone()).or_insert_with(|| HostName {
                    name: name.clone(),
                    app: part.app.clone(),
                    minimum_tls_version: part.policy.minimum_tls_versions.get(name).cloned(),
                });
            }
        }
        names.into_values().collect()
    }

    /// Why the ingress left a host name of an app out of the newest table.
    pub fn host_refusal(&self, app: &str, host: &str) -> Option<String> {
        let refused = lock(&self.shared.refused);
        let of_host = refused.iter().find(|it| it.app == app && it.host.as_deref() == Some(host));
        of_host.map(|it| it.reason.clone())
    }

    /// Ticks when an app submits routes, and when the ingress refuses other parts of a table than before.
    pub fn tables(&self) -> watch::Receiver<u64> {
        self.shared.tables.subscribe()
    }

    /// Open requests of an upstream. Up to date once the ingress has acknowledged a table without the upstream.
    pub fn open(&self, upstream: &str) -> Open {
        lock(&self.shared.open).get(upstream).copied().unwrap_or_default()
    }

    /// Ticks when open requests change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Request counts of a window at the time when the newest table was acknowledged; `None` before the first table.
    /// For a window that no table has named yet, the result says which ingress process will count it.
    pub fn counted(&self, app: &str, window: &str) -> Option<IngressCounts> {
        let tallies = lock(&self.shared.tallies);
        tallies.as_ref().map(|it| it.of(app, window))
    }

    /// The current request counts of a window; `None` if the ingress does not answer.
    pub async fn count(&self, app: &str, window: &str) -> Option<IngressCounts> {
        let status = self.control()?.status().await.ok()?;
        Some(Tallies::from(status).of(app, window))
    }

    /// The ingress process, and how many bytes it has sent to clients since it started, by app. `None` if the ingress does
    /// not answer.
    pub async fn sent_bytes(&self) -> Option<(String, BTreeMap<AppId, u64>)> {
        let status = self.control()?.status().await.ok()?;
        let by_app = status.sent_bytes.into_iter().map(|(app, bytes)| (AppId::from(app.as_str()), bytes));
        Some((status.boot_id, by_app.collect()))
    }

    /// The ingress's status; `None` if it does not answer.
    pub async fn status(&self) -> Option<Status> {
        self.control()?.status().await.ok()
    }

    /// The current request counts of all apps; `None` if the ingress does not answer.
    pub async fn traffic(&self) -> Option<TrafficReading> {
        let Status { boot_id, counters, .. } = self.control()?.status().await.ok()?;
        Some(TrafficReading { boot_id, counters })
    }

    /// The ports on which clients reach the ingress.
    pub fn ports(&self) -> PublicPorts {
        PublicPorts { http: self.shared.listeners.http.port(), https: self.shared.listeners.https.map(|it| it.port()) }
    }

    /// The host name of an app: the app's name is its first label.
    pub fn domain(&self, app: &str) -> String {
        domain(app)
    }

    /// The URL under which an app always answers, with the port of the ingress.
    pub fn url(&self, app: &str) -> String {
        format!("http://{}", self.authority(app))
    }

    /// The URL of a host name of an app. Domains are reached by HTTPS if the ingress listens for it; the name that every
    /// app has is not, because its certificate is trusted only where somebody has installed the local authority.
    pub fn url_of_host(&self, app: &str, host: &str) -> String {
        match self.shared.listeners.https.map(|it| it.port()) {
            _ if host == self.domain(app) => self.url(app),
            Some(443) => format!("https://{host}"),
            Some(port) => format!("https://{host}:{port}"),
            None if self.shared.listeners.http.port() == 80 => format!("http://{host}"),
            None => format!("http://{host}:{}", self.shared.listeners.http.port()),
        }
    }

    /// The `Host` header that a browser sends to an app.
    pub fn authority(&self, app: &str) -> String {
        match self.shared.listeners.http.port() {
            80 => self.domain(app),
            port => format!("{}:{port}", self.domain(app)),
        }
    }

    /// Waits until an ingress that died is restarted, at most [`RECONNECTED_WITHIN`].
    pub async fn wait_until_connected(&self) {
        let connected = async {
            while self.control().is_none() {
                tokio::time::sleep(RETRY).await;
            }
        };
        // On a timeout the caller's next call to the ingress fails and reports it.
        let _ = tokio::time::timeout(RECONNECTED_WITHIN, connected).await;
    }

    /// Stops the ingress gracefully; open requests get `drain` to end. Returns when the process is gone.
    pub async fn shutdown(&self, drain: Duration) -> Result<(), String> {
        let control = self.control().ok_or("the ingress does not answer")?;
        match control.shutdown(drain).await {
            // Another connection is in charge. A hello on a new connection takes charge again.
            Err(Unsent::Refused(_)) => {
                let opened = self.shared.connector.open().await?;
                opened.connection.shutdown(drain).await.map_err(Unsent::why)
            }
            ended => ended.map_err(Unsent::why),
        }
    }

    fn control(&self) -> Option<Arc<dyn IngressConnection>> {
        lock(&self.shared.control).clone()
    }
}

impl Tallies {
    fn of(&self, app: &str, window: &str) -> IngressCounts {
        let counters = self.counters.get(app).and_then(|windows| windows.get(window)).copied().unwrap_or_default();
        let served = Served {
            requests: counters.requests,
            open_at_start: counters.open_at_start,
            failed: counters.failed,
            app_errors: counters.app_errors,
            client_gone: counters.client_gone,
            requests_cut: counters.requests_cut,
            uploads_cut: counters.uploads_cut,
            upgraded: counters.upgraded,
            upgraded_cut: counters.upgraded_cut,
            slowest_us: counters.slowest_us,
            at_least: false,
        };
        IngressCounts { boot_id: self.boot_id.clone(), served }
    }
}

impl From<Status> for Tallies {
    fn from(status: Status) -> Self {
        Self { boot_id: status.boot_id, counters: status.counters }
    }
}

/// The task that talks to the ingress.
struct ConnectionTask {
    fence: Arc<Fence>,
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Work>,
    /// Version of the table that the ingress has, as far as this task knows.
    version: u64,
    /// What the ingress can do: see [`ingress::features`].
    features: u32,
    refusals: Backoff,
}

/// Why the task stops using a connection to the ingress.
enum Ended {
    /// The ingress does not answer. The sentence says why.
    Gone(String),
    /// The ingress refused a table.
    Refused(String),
    /// A table needs a newer ingress.
    Outdated,
    /// The controller is stopping.
    Idle,
}

impl From<Unsent> for Ended {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Gone(why) => Ended::Gone(why),
            Unsent::Refused(why) => Ended::Refused(why),
            Unsent::Outdated => Ended::Outdated,
        }
    }
}

impl ConnectionTask {
    async fn run(mut self, opened: Opened, stop: CancellationToken) {
        let mut opened = Some(opened);
        loop {
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                ended = AssertUnwindSafe(self.keep(opened.take())).catch_unwind() => ended,
            };
            if ended.is_ok() {
                break;
            }
            error!("the task that talks to the ingress panicked; it connects again");
            tokio::time::sleep(LONGEST_RETRY).await;
        }
        if self.fence.lost().is_cancelled() {
            // Another controller is in charge of the ingress now.
            self.set_control(None);
        }
    }

    /// Returns only when another controller has taken over, or this one stops.
    async fn keep(&mut self, opened: Option<Opened>) {
        let mut opened = match opened {
            Some(opened) => opened,
            None => match self.open_again(false).await {
                Some(opened) => opened,
                None => return,
            },
        };
        loop {
            let ended = self.serve(opened).await;
            let replace = matches!(ended, Ended::Outdated);
            match ended {
                Ended::Gone(why) => {
                    self.set_control(None);
                    warn!(%why, "the connection to the ingress is lost; connecting again, or starting it again");
                }
                Ended::Refused(why) => {
                    warn!(%why, "the ingress refused the routes; sending a new hello");
                    tokio::time::sleep(self.refusals.pause()).await;
                }
                Ended::Outdated => {
                    self.set_control(None);
                    info!(
                        "a table has rules that the running ingress, of an older version, would ignore; replacing it"
                    );
                }
                Ended::Idle => return,
            }
            opened = match self.open_again(replace).await {
                Some(opened) => opened,
                None => return,
            };
        }
    }

    /// Retries until it succeeds. `replace`: with a new process. `None`: another controller has taken over.
    async fn open_again(&mut self, mut replace: bool) -> Option<Opened> {
        let mut pauses = Backoff::new(RETRY, LONGEST_RETRY);
        loop {
            tokio::time::sleep(pauses.pause()).await;
            // A hello takes charge of the ingress, so check the fence before each hello.
            if !self.fence.holds().await {
                return None;
            }
            let opened = match replace {
                true => self.shared.connector.replace().await,
                false => self.shared.connector.open().await,
            };
            match opened {
                Ok(opened) => {
                    info!("connected to the ingress again");
                    return Some(opened);
                }
                Err(why) => warn!(%why, "the ingress cannot be started or does not answer; trying again"),
            }
            // If the older process is gone, there is nothing to replace. If not, its next table shows that.
            replace = false;
        }
    }

    fn set_control(&self, control: Option<Arc<dyn IngressConnection>>) {
        *lock(&self.shared.control) = control;
    }

    /// Uses one connection until it fails or the controller stops.
    async fn serve(&mut self, opened: Opened) -> Ended {
        let control = opened.connection;
        // The next version is always higher than the one that the ingress has, even if the database was restored from a
        // backup.
        self.version = opened.table.version;
        self.features = opened.features;
        self.set_control(Some(control.clone()));
        let mut news = control.news();
        if let Err(unsent) = self.send(control.as_ref(), Vec::new()).await {
            return unsent.into();
        }
        // A new ingress process has at most those of its predecessor.
        if let Err(unsent) = self.send_certificates(control.as_ref()).await {
            return unsent.into();
        }
        loop {
            tokio::select! {
                work = self.inbox.recv() => {
                    let Some(first) = work else { return Ended::Idle };
                    if let Err(unsent) = self.work(control.as_ref(), first).await {
                        return unsent.into();
                    }
                }
                message = news.recv() => match message {
                    Ok(IngressEvent::Draining { upstream, open }) => self.set_open(upstream, open),
                    // Missed events are in the status that follows the next table. If an end of a drain is lost, the
                    // drain's deadline ends it.
                    Err(RecvError::Lagged(_)) => {}
                    Ok(IngressEvent::Lost) | Err(RecvError::Closed) => {
                        return Ended::Gone("its control connection ended".into());
                    }
                },
            }
        }
    }

    /// Does this and all work that waits: one table and one set of certificates are enough for all callers.
    async fn work(&mut self, control: &dyn IngressConnection, first: Work) -> Result<(), Unsent> {
        let (mut of_table, mut of_certificates) = (Vec::new(), Vec::new());
        let waiting = std::iter::from_fn(|| self.inbox.try_recv().ok());
        for work in [first].into_iter().chain(waiting) {
            match work {
                Work::Send(caller) => of_table.push(caller),
                Work::Certificates(caller) => of_certificates.push(caller),
            }
        }
        let sent = match of_table.is_empty() {
            true => Ok(()),
            false => self.send(control, of_table).await,
        };
        if of_certificates.is_empty() {
            return sent;
        }
        let certified = self.send_certificates(control).await;
        for caller in of_certificates {
            drop(caller.send(certified.clone().map_err(Unsent::why)));
        }
        sent.and(certified)
    }

    async fn send_certificates(&self, control: &dyn IngressConnection) -> Result<(), Unsent> {
        let certificates = lock(&self.shared.certificates).clone();
        match certificates {
            Some(certificates) => control.set_certificates(certificates).await,
            None => Ok(()),
        }
    }

    /// Sends the table, and reads the open requests before it replies to callers. So an upstream that is neither in the
    /// table nor among the open ones has no requests left.
    async fn send(
        &mut self,
        control: &dyn IngressConnection,
        callers: Vec<oneshot::Sender<Result<(), String>>>,
    ) -> Result<(), Unsent> {
        let sent = self.exchange(control).await;
        for caller in callers {
            drop(caller.send(sent.clone().map_err(Unsent::why)));
        }
        sent
    }

    async fn exchange(&mut self, control: &dyn IngressConnection) -> Result<(), Unsent> {
        let version = self.version + 1;
        let (apps, for_containers) = (self.shared.table(), self.shared.listeners.for_containers());
        let table = RouteTable { version, apps, for_containers };
        if !ingress::features::understands(self.features, &table) {
            return Err(Unsent::Outdated);
        }
        control.set_table(table).await?;
        self.version = version;
        self.refusals.reset();
        let mut status = control.status().await.map_err(Unsent::Gone)?;
        self.log_refused(std::mem::take(&mut status.refused));
        *lock(&self.shared.open) = std::mem::take(&mut status.open);
        *lock(&self.shared.unsaved) = status.unsaved.take();
        *lock(&self.shared.call_listeners) = CallListeners {
            open: status.internal.iter().copied().collect(),
            refused: std::mem::take(&mut status.internal_refused)
                .into_iter()
                .map(|it| (it.address, it.reason))
                .collect(),
        };
        *lock(&self.shared.tallies) = Some(status.into());
        self.shared.changes.send_modify(|ticks| *ticks += 1);
        Ok(())
    }

    /// Logs each route that the ingress leaves out once, not with every table. The host names that apps have depend on them.
    fn log_refused(&self, refused: Vec<RouteRefused>) {
        let mut known = lock(&self.shared.refused);
        if *known != refused {
            self.shared.tables.send_modify(|ticks| *ticks += 1);
        }
        for it in refused.iter().filter(|it| !known.contains(it)) {
            warn!(app = it.app, reason = it.reason, "the ingress left out some of an app's routes");
        }
        *known = refused;
    }

    fn set_open(&self, upstream: String, open: Open) {
        let mut all = lock(&self.shared.open);
        match open == Open::default() {
            true => drop(all.remove(&upstream)),
            false => drop(all.insert(upstream, open)),
        }
        drop(all);
        self.shared.changes.send_modify(|ticks| *ticks += 1);
    }
}
