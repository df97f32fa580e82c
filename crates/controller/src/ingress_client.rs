//! The controller's side of the ingress: one table for all apps, sent whole, and what the ingress reports.
//!
//! Apps submit their parts; one task sends the joined table with the next version and reports when the ingress has
//! acknowledged it. Parts that arrive while a table is being sent go together with the next one. An app keeps the part
//! that the ingress serves until its task submits a new one, and so does an app that has no record: the database may be
//! older than what runs. Only an app that was deleted loses its part.
//!
//! An ingress that died is started again, and one that refuses a table hears a new hello: after it was frozen, another
//! connection may be in charge of it, and its answer to a hello says which table it has.

pub(crate) mod connection;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use ingress::client::IngressEvent;
use ingress::protocol::{AppRoutes, Counters, Open, RouteRefused, RouteTable, Rule, Status};
use rollout::ids::AppId;
use store::records::{IngressCounts, Served};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::fence::Fence;
use crate::supervise::{Backoff, lock};

/// Between two attempts to reach the ingress; doubles up to [`LONGEST_RETRY`], so that one that died is back within a
/// second.
const RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// Somebody who wants to end it waits so long for one that is being started.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// For an acknowledgement, and for the ingress to be back when it is gone.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);

pub(crate) use connection::{IngressConnection, IngressConnector, IngressProcess, Opened, Unsent};

/// Handed to everybody.
#[derive(Clone)]
pub(crate) struct IngressClient {
    shared: Arc<Shared>,
    work: mpsc::Sender<Work>,
}

struct Shared {
    http: SocketAddr,
    connector: Box<dyn IngressConnector>,
    /// Every app's newest part, by app id: in the beginning what the ingress serves.
    parts: Mutex<BTreeMap<String, AppRoutes>>,
    /// Apps among them that have no record.
    unknown: Mutex<BTreeSet<String>>,
    /// Open work by upstream, as last heard.
    open: Mutex<BTreeMap<String, Open>>,
    /// Why the ingress could not write the newest table down.
    unsaved: Mutex<Option<String>>,
    /// What was counted until the newest table was acknowledged.
    tallies: Mutex<Option<Tallies>>,
    control: Mutex<Option<Arc<dyn IngressConnection>>>,
    changes: watch::Sender<u64>,
}

/// What one ingress process has counted, by app and window.
struct Tallies {
    boot_id: String,
    counters: BTreeMap<String, BTreeMap<String, Counters>>,
}

enum Work {
    /// Send the table as it is now, tell when it is acknowledged.
    Send(oneshot::Sender<Result<(), String>>),
}

impl IngressClient {
    /// Starts the ingress where none answers. Every app keeps the routes that the ingress has until its task submits new
    /// ones, except for the apps in `deleted`. Errors: a sentence, such as which address the ingress cannot have.
    pub async fn start(
        http: SocketAddr,
        connector: Box<dyn IngressConnector>,
        on_record: &BTreeSet<AppId>,
        deleted: &BTreeSet<AppId>,
        fence: Arc<Fence>,
        stop: CancellationToken,
    ) -> Result<Self, String> {
        let (work, inbox) = mpsc::channel(1024);
        let opened = connector.open().await?;
        let kept = opened.table.apps.iter().filter(|it| !deleted.contains(&AppId::from(it.app.as_str())));
        let parts: BTreeMap<_, _> = kept.map(|it| (it.app.clone(), it.clone())).collect();
        let unknown = parts.keys().filter(|it| !on_record.contains(&AppId::from(it.as_str()))).cloned().collect();
        let shared = Arc::new(Shared {
            http,
            connector,
            parts: Mutex::new(parts),
            unknown: Mutex::new(unknown),
            open: Mutex::default(),
            unsaved: Mutex::default(),
            tallies: Mutex::default(),
            control: Mutex::default(),
            changes: watch::channel(0).0,
        });
        let task = ConnectionTask {
            fence,
            shared: shared.clone(),
            inbox,
            version: 0,
            refused: Vec::new(),
            refusals: Backoff::new(RETRY, LONGEST_RETRY),
        };
        tokio::spawn(task.run(opened, stop));
        Ok(Self { shared, work })
    }

    /// Replaces an app's part; returns when no new request can see the old one. Errors: a sentence; try again.
    pub async fn set(&self, part: AppRoutes) -> Result<(), String> {
        lock(&self.shared.unknown).remove(&part.app);
        lock(&self.shared.parts).insert(part.app.clone(), part);
        let (told, heard) = oneshot::channel();
        let gone = || "the controller is stopping".to_owned();
        self.work.send(Work::Send(told)).await.map_err(|_| gone())?;
        tokio::time::timeout(ACKNOWLEDGED_WITHIN, heard)
            .await
            .map_err(|_| format!("not acknowledged within {} s", ACKNOWLEDGED_WITHIN.as_secs()))?
            .map_err(|_| gone())?
    }

    /// An app's newest part: handed in by it, or served from before.
    pub fn part(&self, app: &str) -> Option<AppRoutes> {
        lock(&self.shared.parts).get(app).cloned()
    }

    /// Apps that the ingress serves although they have no record, with their host names.
    pub fn unknown(&self) -> BTreeMap<String, Vec<String>> {
        let unknown = lock(&self.shared.unknown).clone();
        let parts = lock(&self.shared.parts);
        unknown.into_iter().filter_map(|it| Some((it.clone(), parts.get(&it)?.hosts.clone()))).collect()
    }

    /// Why the ingress could not write the newest table to its disk, though the table is in force.
    pub fn unsaved(&self) -> Option<String> {
        lock(&self.shared.unsaved).clone()
    }

    /// Names of all upstreams in the newest table.
    pub fn routed(&self) -> BTreeSet<String> {
        let parts = lock(&self.shared.parts);
        let upstreams = parts.values().flat_map(|it| &it.rules).flat_map(|it| &it.upstreams);
        upstreams.map(|it| it.id.clone()).collect()
    }

    /// Takes an app out of the table.
    pub async fn forget(&self, app: &str) {
        lock(&self.shared.unknown).remove(app);
        lock(&self.shared.parts).remove(app);
        let (told, heard) = oneshot::channel();
        if self.work.send(Work::Send(told)).await.is_ok() {
            drop(tokio::time::timeout(ACKNOWLEDGED_WITHIN, heard).await);
        }
    }

    /// Open work of an upstream. Heard after the table without it was acknowledged.
    pub fn open(&self, upstream: &str) -> Open {
        lock(&self.shared.open).get(upstream).copied().unwrap_or_default()
    }

    /// Ticks when open work changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// What was counted under a window when the newest table was acknowledged; `None` before the first one. Of a window
    /// that no table has named yet it says which process will count it.
    pub fn counted(&self, app: &str, window: &str) -> Option<IngressCounts> {
        let tallies = lock(&self.shared.tallies);
        tallies.as_ref().map(|it| it.of(app, window))
    }

    /// What was counted under a window until now; `None` when the ingress cannot be asked.
    pub async fn count(&self, app: &str, window: &str) -> Option<IngressCounts> {
        let status = self.control()?.status().await.ok()?;
        Some(Tallies::from(status).of(app, window))
    }

    /// Where people find an app: the first label of the host is the app's name.
    pub fn domain(&self, app: &str) -> String {
        format!("{app}.localhost")
    }

    /// The same as a URL, with the port of the ingress.
    pub fn url(&self, app: &str) -> String {
        format!("http://{}", self.authority(app))
    }

    /// The `Host` header that a browser sends to it.
    pub fn authority(&self, app: &str) -> String {
        match self.shared.http.port() {
            80 => self.domain(app),
            port => format!("{}:{port}", self.domain(app)),
        }
    }

    /// Waits until an ingress that went away is started again, [`BACK_WITHIN`] at most.
    pub async fn back(&self) {
        let back = async {
            while self.control().is_none() {
                tokio::time::sleep(RETRY).await;
            }
        };
        // Whoever needs it finds out that it is not there.
        let _ = tokio::time::timeout(BACK_WITHIN, back).await;
    }

    /// Stops the ingress in order; open requests get `drain`. Returns when it is gone.
    pub async fn shutdown(&self, drain: Duration) -> Result<(), String> {
        let control = self.control().ok_or("the ingress does not answer")?;
        match control.shutdown(drain).await {
            // Another connection is in charge: a hello on a new one changes that.
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

/// The table for all apps. A host name belongs to one app: an app without a record gives it up once an app with a record
/// has instances to serve it, and keeps it until then.
fn joined(parts: &BTreeMap<String, AppRoutes>, unknown: &BTreeSet<String>) -> Vec<AppRoutes> {
    let is_unknown = |it: &AppRoutes| unknown.contains(&it.app);
    let serves = |it: &AppRoutes| it.rules.iter().any(|rule: &Rule| !rule.upstreams.is_empty());
    let hosts_of = |these: &dyn Fn(&AppRoutes) -> bool| -> BTreeSet<String> {
        parts.values().filter(|it| these(it)).flat_map(|it| it.hosts.iter().cloned()).collect()
    };
    let served = hosts_of(&|it| !is_unknown(it) && serves(it));
    let of_unknown = hosts_of(&is_unknown);
    let without_others_hosts = |part: &AppRoutes| {
        let mut part = part.clone();
        let may_have = |host: &String| match unknown.contains(&part.app) {
            true => !served.contains(host),
            false => served.contains(host) || !of_unknown.contains(host),
        };
        part.hosts.retain(may_have);
        part
    };
    parts.values().map(without_others_hosts).collect()
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
    /// Of the table that the ingress has, as far as is known.
    version: u64,
    /// What the ingress left out of the newest table.
    refused: Vec<RouteRefused>,
    refusals: Backoff,
}

/// Why a connection to the ingress is not used any longer.
enum Ended {
    /// The ingress does not answer on it. The sentence says why.
    Gone(String),
    /// The ingress refused a table.
    Refused(String),
    /// The controller stops.
    Idle,
}

impl From<Unsent> for Ended {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Gone(why) => Ended::Gone(why),
            Unsent::Refused(why) => Ended::Refused(why),
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
            // Another controller steers it now.
            self.set_control(None);
        }
    }

    /// Ends only when another controller has taken over, or this one stops.
    async fn keep(&mut self, opened: Option<Opened>) {
        let mut opened = match opened {
            Some(opened) => opened,
            None => match self.open_again().await {
                Some(opened) => opened,
                None => return,
            },
        };
        loop {
            match self.serve(opened).await {
                Ended::Gone(why) => {
                    self.set_control(None);
                    warn!(%why, "the connection to the ingress is lost; connecting again, or starting it again");
                }
                Ended::Refused(why) => {
                    warn!(%why, "the ingress refused the routes; saying hello again");
                    tokio::time::sleep(self.refusals.pause()).await;
                }
                Ended::Idle => return,
            }
            opened = match self.open_again().await {
                Some(opened) => opened,
                None => return,
            };
        }
    }

    /// Tries until it succeeds. `None`: another controller has taken over.
    async fn open_again(&mut self) -> Option<Opened> {
        let mut pauses = Backoff::new(RETRY, LONGEST_RETRY);
        loop {
            tokio::time::sleep(pauses.pause()).await;
            // A hello takes charge of the ingress, so the fence is looked at before each one.
            if !self.fence.holds().await {
                return None;
            }
            match self.shared.connector.open().await {
                Ok(opened) => {
                    info!("connected to the ingress again");
                    return Some(opened);
                }
                Err(why) => warn!(%why, "the ingress cannot be started or does not answer; trying again"),
            }
        }
    }

    fn set_control(&self, control: Option<Arc<dyn IngressConnection>>) {
        *lock(&self.shared.control) = control;
    }

    /// Works with one connection until it is of no use any longer.
    async fn serve(&mut self, opened: Opened) -> Ended {
        let control = opened.connection;
        // Whatever the ingress has, the next table is newer, also after the database went back in time.
        self.version = opened.table.version;
        self.set_control(Some(control.clone()));
        let mut news = control.news();
        if let Err(unsent) = self.send(control.as_ref(), Vec::new()).await {
            return unsent.into();
        }
        loop {
            tokio::select! {
                work = self.inbox.recv() => {
                    let Some(Work::Send(first)) = work else { return Ended::Idle };
                    let mut told = vec![first];
                    while let Ok(Work::Send(next)) = self.inbox.try_recv() {
                        told.push(next);
                    }
                    if let Err(unsent) = self.send(control.as_ref(), told).await {
                        return unsent.into();
                    }
                }
                message = news.recv() => match message {
                    Ok(IngressEvent::Draining { upstream, open }) => self.heard(upstream, open),
                    // What was missed is in its status, which the next table brings; a lost drain ends by its deadline.
                    Err(RecvError::Lagged(_)) => {}
                    Ok(IngressEvent::Lost) | Err(RecvError::Closed) => {
                        return Ended::Gone("its control connection ended".into());
                    }
                },
            }
        }
    }

    /// Sends the table, and learns what is open before anybody is told: an upstream that is out of the table and not
    /// among the open ones has nothing left.
    async fn send(
        &mut self,
        control: &dyn IngressConnection,
        told: Vec<oneshot::Sender<Result<(), String>>>,
    ) -> Result<(), Unsent> {
        let sent = self.exchange(control).await;
        for caller in told {
            drop(caller.send(sent.clone().map_err(Unsent::why)));
        }
        sent
    }

    async fn exchange(&mut self, control: &dyn IngressConnection) -> Result<(), Unsent> {
        let version = self.version + 1;
        let apps = joined(&lock(&self.shared.parts), &lock(&self.shared.unknown));
        control.set_table(RouteTable { version, apps }).await?;
        self.version = version;
        self.refusals.reset();
        let mut status = control.status().await.map_err(Unsent::Gone)?;
        self.tell_refused(std::mem::take(&mut status.refused));
        *lock(&self.shared.open) = std::mem::take(&mut status.open);
        *lock(&self.shared.unsaved) = status.unsaved.take();
        *lock(&self.shared.tallies) = Some(status.into());
        self.shared.changes.send_modify(|ticks| *ticks += 1);
        Ok(())
    }

    /// What the ingress leaves out of the table is told once, and not with every table.
    fn tell_refused(&mut self, refused: Vec<RouteRefused>) {
        for it in refused.iter().filter(|it| !self.refused.contains(it)) {
            warn!(app = it.app, reason = it.reason, "the ingress leaves a part of an app's routes out");
        }
        self.refused = refused;
    }

    fn heard(&self, upstream: String, open: Open) {
        let mut all = lock(&self.shared.open);
        match open == Open::default() {
            true => drop(all.remove(&upstream)),
            false => drop(all.insert(upstream, open)),
        }
        drop(all);
        self.shared.changes.send_modify(|ticks| *ticks += 1);
    }
}

#[cfg(test)]
mod tests {
    use ingress::protocol::{PathMatch, Rewrite, Upstream};

    use super::*;

    fn part(app: &str, host: &str, upstreams: usize) -> (String, AppRoutes) {
        let upstream = |number: usize| Upstream { id: format!("{app}-{number}"), address: ([10, 0, 0, 1], 80).into() };
        let rule = Rule {
            path: PathMatch::Prefix("/".into()),
            rewrite: Rewrite::Keep,
            component: "web".into(),
            upstreams: (0..upstreams).map(upstream).collect(),
        };
        let part = AppRoutes { app: app.into(), hosts: vec![host.into()], window: String::new(), rules: vec![rule] };
        (app.into(), part)
    }

    #[test]
    fn a_host_name_stays_with_an_app_without_a_record_until_another_app_of_that_name_serves() {
        let unknown = BTreeSet::from(["lost".to_owned()]);
        for (instances, owner) in [(0, "lost"), (1, "new")] {
            let parts = BTreeMap::from([part("lost", "shop", 2), part("new", "shop", instances), part("b", "b", 0)]);
            let table = joined(&parts, &unknown);
            let with_host = |host: &str| -> Vec<_> {
                table.iter().filter(|it| it.hosts.iter().any(|it| it == host)).map(|it| it.app.as_str()).collect()
            };
            assert_eq!((with_host("shop"), with_host("b")), (vec![owner], vec!["b"]));
        }
    }
}
