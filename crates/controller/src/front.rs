//! The controller's side of the front door: one table for all apps, sent whole, and what the ingress tells.
//!
//! Apps hand in their parts; the front sends the joined table with the next version and answers when it is acknowledged.
//! Parts that come while one is being sent go together with the next. An app that has not handed in its part, or cannot,
//! keeps the one that the ingress serves. When the ingress dies it is started again within a second, and gets the newest
//! table.

pub(crate) mod door;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ingress::control::News;
use ingress::protocol::{AppRoutes, Counters, Open, RouteRefused, RouteTable, Status};
use rollout::ids::AppId;
use store::Store;
use store::records::{Counted, Served};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::fence::Fence;

/// An ingress that died is back within a second (F73): looked at this often.
const RETRY: Duration = Duration::from_millis(100);
/// Somebody who wants to end it waits so long for one that is being started.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// For an acknowledgement, and for the ingress to be back when it is gone.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);

pub(crate) use door::{Door, Doors, IngressProcess, Unsent};

/// Handed to everybody.
#[derive(Clone)]
pub(crate) struct Front {
    shared: Arc<Shared>,
    work: mpsc::Sender<Work>,
}

struct Shared {
    http: SocketAddr,
    /// Every app's newest part, by app id: in the beginning what the ingress serves.
    parts: Mutex<BTreeMap<String, AppRoutes>>,
    /// Open work by upstream, as last heard.
    open: Mutex<BTreeMap<String, Open>>,
    /// What was counted until the newest table was acknowledged.
    tallies: Mutex<Option<Tallies>>,
    control: Mutex<Option<Arc<dyn Door>>>,
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

impl Front {
    /// Starts the ingress where none answers. Every app of `on_record` keeps the routes that it serves until the app hands
    /// in its part; those of others go with the first table. Errors: a sentence, such as which address it cannot have.
    pub async fn start(
        http: SocketAddr,
        doors: Box<dyn Doors>,
        store: Store,
        on_record: &BTreeSet<AppId>,
        fence: Arc<Fence>,
        stop: CancellationToken,
    ) -> Result<Self, String> {
        let (work, inbox) = mpsc::channel(1024);
        let opened = doors.open().await?;
        let kept = opened.table.apps.into_iter().filter(|it| on_record.contains(&AppId::from(it.app.as_str())));
        let shared = Arc::new(Shared {
            http,
            parts: Mutex::new(kept.map(|it| (it.app.clone(), it)).collect()),
            open: Mutex::default(),
            tallies: Mutex::default(),
            control: Mutex::default(),
            changes: watch::channel(0).0,
        });
        let keeper = Keeper { doors, store, fence, shared: shared.clone(), inbox, refused: Vec::new() };
        tokio::spawn(keeper.run(opened.door, stop));
        Ok(Self { shared, work })
    }

    /// Replaces an app's part; returns when no new request can see the old one. Errors: a sentence; try again.
    pub async fn set(&self, part: AppRoutes) -> Result<(), String> {
        self.parts().insert(part.app.clone(), part);
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
        self.parts().get(app).cloned()
    }

    /// Takes an app out of the table.
    pub async fn forget(&self, app: &str) {
        self.parts().remove(app);
        let (told, heard) = oneshot::channel();
        if self.work.send(Work::Send(told)).await.is_ok() {
            drop(tokio::time::timeout(ACKNOWLEDGED_WITHIN, heard).await);
        }
    }

    /// Open work of an upstream. Heard after the table without it was acknowledged.
    pub fn open(&self, upstream: &str) -> Open {
        self.shared.open.lock().expect("nobody panics holding it").get(upstream).copied().unwrap_or_default()
    }

    /// Ticks when open work changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// What was counted under a window when the newest table was acknowledged; `None` before the first one. Of a window
    /// that no table has named yet it says which process will count it.
    pub fn counted(&self, app: &str, window: &str) -> Option<Counted> {
        let tallies = self.shared.tallies.lock().expect("nobody panics holding it");
        tallies.as_ref().map(|it| it.of(app, window))
    }

    /// What was counted under a window until now; `None` when the ingress cannot be asked.
    pub async fn count(&self, app: &str, window: &str) -> Option<Counted> {
        let status = self.control()?.status().await.ok()?;
        Some(Tallies::from(status).of(app, window))
    }

    /// Where people find an app: the first label of the host is the app's name.
    pub fn domain(&self, app: &str) -> String {
        format!("{app}.localhost")
    }

    /// The same as a URL, with the front door's port.
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

    /// Stops the ingress in order: open requests get `drain`. Returns when it is gone.
    pub async fn shutdown(&self, drain: Duration) -> Result<(), String> {
        let control = self.control().ok_or("the ingress does not answer")?;
        control.shutdown(drain).await
    }

    fn control(&self) -> Option<Arc<dyn Door>> {
        self.shared.control.lock().expect("nobody panics holding it").clone()
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, AppRoutes>> {
        self.shared.parts.lock().expect("nobody panics holding it")
    }
}

impl Tallies {
    fn of(&self, app: &str, window: &str) -> Counted {
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
        Counted { boot_id: self.boot_id.clone(), served }
    }
}

impl From<Status> for Tallies {
    fn from(status: Status) -> Self {
        Self { boot_id: status.boot_id, counters: status.counters }
    }
}

/// The task that talks to the ingress.
struct Keeper {
    doors: Box<dyn Doors>,
    store: Store,
    fence: Arc<Fence>,
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Work>,
    /// What the ingress left out of the newest table.
    refused: Vec<RouteRefused>,
}

impl Keeper {
    async fn run(mut self, control: Arc<dyn Door>, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.keep(control) => {}
        }
        if self.fence.lost().is_cancelled() {
            // Another controller steers it now.
            self.set_control(None);
        }
    }

    /// Ends only when another controller has taken over.
    async fn keep(&mut self, control: Arc<dyn Door>) {
        let mut control = Some(control);
        while let Some(lives) = control.take() {
            let why = self.serve(lives).await;
            self.set_control(None);
            warn!(%why, "the ingress went away; starting it again");
            control = self.open_again().await;
        }
    }

    /// Until it can be had. `None`: it may not have gone away, but listen to somebody else who may.
    async fn open_again(&self) -> Option<Arc<dyn Door>> {
        let mut told = String::new();
        loop {
            tokio::time::sleep(RETRY).await;
            // A hello takes charge of it, so the fence is looked at before, not only from time to time.
            if !self.fence.holds().await {
                return None;
            }
            match self.doors.open().await {
                Ok(opened) => {
                    info!("the ingress is back");
                    return Some(opened.door);
                }
                // Ten times a second the same is told once.
                Err(why) if why != told => {
                    warn!(%why, "the ingress cannot be started; trying again");
                    told = why;
                }
                Err(_) => {}
            }
        }
    }

    fn set_control(&self, control: Option<Arc<dyn Door>>) {
        *self.shared.control.lock().expect("nobody panics holding it") = control;
    }

    /// Works with one living ingress until it is gone; returns why.
    async fn serve(&mut self, control: Arc<dyn Door>) -> String {
        self.set_control(Some(control.clone()));
        let mut news = control.news();
        if let Err(Unsent::Gone(why)) = self.send(control.as_ref(), Vec::new()).await {
            return why;
        }
        loop {
            tokio::select! {
                work = self.inbox.recv() => {
                    let Some(Work::Send(first)) = work else { return "nobody asks any more".into() };
                    let mut told = vec![first];
                    while let Ok(Work::Send(next)) = self.inbox.try_recv() {
                        told.push(next);
                    }
                    if let Err(Unsent::Gone(why)) = self.send(control.as_ref(), told).await {
                        return why;
                    }
                }
                message = news.recv() => match message {
                    Ok(News::Draining { upstream, open }) => self.heard(upstream, open),
                    // What was missed is in its status, which the next table brings; a lost drain ends by its deadline.
                    Err(RecvError::Lagged(_)) => {}
                    Ok(News::Lost) | Err(RecvError::Closed) => return "its control connection ended".into(),
                },
            }
        }
    }

    /// Sends the table, and learns what is open before anybody is told: an upstream that is out of the table and not
    /// among the open ones has nothing left.
    async fn send(&mut self, control: &dyn Door, told: Vec<oneshot::Sender<Result<(), String>>>) -> Result<(), Unsent> {
        let sent = self.exchange(control).await;
        for caller in told {
            let answer = sent.clone().map_err(|(Unsent::Gone(why) | Unsent::Refused(why))| why);
            drop(caller.send(answer));
        }
        sent
    }

    async fn exchange(&mut self, control: &dyn Door) -> Result<(), Unsent> {
        let version = self.store.next_route_version().await.map_err(|error| Unsent::Refused(error.to_string()))?;
        let apps = self.shared.parts.lock().expect("nobody panics holding it").values().cloned().collect();
        control.set_table(RouteTable { version, apps }).await?;
        let mut status = control.status().await.map_err(Unsent::Gone)?;
        self.tell_refused(std::mem::take(&mut status.refused));
        *self.shared.open.lock().expect("nobody panics holding it") = std::mem::take(&mut status.open);
        *self.shared.tallies.lock().expect("nobody panics holding it") = Some(status.into());
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
        let mut all = self.shared.open.lock().expect("nobody panics holding it");
        match open == Open::default() {
            true => drop(all.remove(&upstream)),
            false => drop(all.insert(upstream, open)),
        }
        drop(all);
        self.shared.changes.send_modify(|ticks| *ticks += 1);
    }
}
