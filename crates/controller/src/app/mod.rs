//! One task owns one app: it alone changes the app's records, containers and routes.
//!
//! It looks, asks `rollout` for the next step, writes it down, begins it, and looks again. Long acts (a start, a stop, a
//! build) run beside it and report; requests and news only wake it up. It may be killed between any two lines: what it
//! needs to go on is in the store and on the engine.

mod accept;
mod builds;
mod compose;
mod databases;
mod deploy;
mod done;
mod drift;
mod housekeeping;
mod instances;
mod jobs;
mod line;
mod look;
mod memory;
mod mend;
mod newer;
mod record;
mod restarts;
mod routing;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use app_spec::AppSpec;
use data_dir::Sealer;
use engine::Engine;
use futures::FutureExt;
use ingress::protocol::AppRoutes;
use rollout::ids::{ComponentName, DeploymentId, InstanceName};
use rollout::observed::{ContainerSeen, Ending, Routes, Setback};
use store::Store;
use store::records::{AppState, Counted, Deployment};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span};

use crate::clock;
use crate::config::Config;
use crate::engine_watch::{EngineView, EngineWatch};
use crate::error::ControlError;
use crate::fence::Fence;
use crate::front::Front;
use crate::logbook::Logbook;
use crate::names::Names;
use crate::probe::{self, Asker, Health, Prober};
use crate::specs::Specs;
use crate::supervise::Repeated;
use crate::workshop::Workshop;

pub(crate) use accept::{Ask, check_restart, unchanged};
pub(crate) use builds::{build_args, image_is_gone};
pub(crate) use compose::{Composed, active, compose, restarted};
pub(crate) use databases::STOP_GRACE as DATABASE_GRACE;
pub(crate) use databases::{databases_unwanted_by, kept_version};
use done::Done;
pub(crate) use housekeeping::secret_values;
pub(crate) use jobs::grace as job_grace_of;
pub(crate) use line::InLine;

/// What all app tasks share.
pub(crate) struct Shared {
    pub config: Config,
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub watch: EngineWatch,
    pub front: Front,
    /// Who asks instances and databases whether they are well.
    pub asker: Arc<dyn Asker>,
    /// Who makes images from sources.
    pub workshop: Arc<dyn Workshop>,
    pub names: Names,
    pub sealer: Sealer,
    pub logbook: Logbook,
    /// Ticks whenever any app's records changed.
    pub changes: watch::Sender<u64>,
    /// Nothing is begun or written any more: the process ends, or the fence is lost.
    pub stop: CancellationToken,
    /// CPUs and memory of the engine's host.
    pub host: engine::Limits,
    pub fence: Arc<Fence>,
    /// The database is older than what this installation has done; found at the start.
    pub older_database: bool,
    /// Network numbers being given out.
    pub networks: tokio::sync::Mutex<()>,
}

/// The way to an app's task.
#[derive(Clone)]
pub(crate) struct AppHandle {
    requests: mpsc::Sender<Request>,
    task: AbortHandle,
    pub waiting: watch::Receiver<Arc<Waits>>,
}

/// What an app waits for, in sentences for people.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Waits {
    /// By deployment, for those under way.
    pub deployments: BTreeMap<DeploymentId, Vec<String>>,
    /// What the app itself waits for, whether a deployment is under way or not.
    pub app: Vec<String>,
}

/// Something that failed and is tried again.
#[derive(Debug)]
struct Trouble {
    /// Who could not do what, and why.
    what: String,
    /// When it is tried again.
    again_at: rollout::time::Timestamp,
    /// Failures in a row.
    failures: u32,
}

/// Asked of an app's task. Answered once it is written down.
pub(crate) enum Request {
    Deploy { ask: Box<Ask>, reply: oneshot::Sender<Result<Deployment, ControlError>> },
    Cancel { deployment: DeploymentId, reply: oneshot::Sender<Result<Deployment, ControlError>> },
    Delete { reply: oneshot::Sender<Result<(), ControlError>> },
}

/// How long a caller waits for its request to be written down.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Drift that nobody told of is found this soon (F36).
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// After the store refused: its disk may be full, or it is being looked at.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl AppHandle {
    /// Starts the task of an app that is on record. One that ends badly is started again from the records (F23): its
    /// neighbours never notice.
    pub fn start(shared: Arc<Shared>, state: AppState) -> Self {
        let (requests, inbox) = mpsc::channel(64);
        let (waiting_sender, waiting) = watch::channel(Arc::default());
        let span = info_span!("app", app = %state.app.name);
        let inbox = Arc::new(Mutex::new(inbox));
        let supervised = async move {
            let mut state = Some(state);
            while let Some(current) = state.take() {
                let id = current.app.id.clone();
                let task =
                    AppTask::new(shared.clone(), current, inbox.clone().lock_owned().await, waiting_sender.clone());
                // The acts of a task that panicked end with it; what they did is seen by the next look.
                if AssertUnwindSafe(task.run()).catch_unwind().await.is_ok() {
                    return;
                }
                error!("the app's task ended badly; it begins again from the records");
                while !shared.stop.is_cancelled() {
                    tokio::time::sleep(STORE_PAUSE).await;
                    match shared.store.app_state(&id).await {
                        Ok(Some(read)) if !read.is_whole() => error!("what serves cannot be read; trying again"),
                        Ok(read) => {
                            state = read;
                            break;
                        }
                        Err(problem) => error!(error = %problem, "the app's records cannot be read; trying again"),
                    }
                }
            }
        };
        let task = tokio::spawn(supervised.instrument(span));
        Self { requests, task: task.abort_handle(), waiting }
    }

    /// Ends the task and its acts wherever they are, as a crash does.
    pub fn end(&self) {
        self.task.abort();
    }

    /// Its app is gone, or nobody works on it any more.
    pub fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Asks and waits for the answer. Errors: the task's own, and [`ControlError::Unavailable`] when the task ended,
    /// panicked or is busy; whether the app still exists is for the caller to find out.
    pub async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, ControlError>>) -> Request,
    ) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        let ended = || ControlError::Unavailable("the app's task ended before it answered; try again".into());
        self.requests.send(request(reply)).await.map_err(|_| ended())?;
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer.map_err(|_| ended())?,
            Err(_) => Err(ControlError::Unavailable(format!(
                "the request was not taken within {} s; look again before repeating it",
                ANSWER_WITHIN.as_secs()
            ))),
        }
    }
}

/// The task's own memory. What is in `state` is what the store has; the rest is seen again after a restart.
pub(crate) struct AppTask {
    shared: Arc<Shared>,
    state: AppState,
    inbox: OwnedMutexGuard<mpsc::Receiver<Request>>,
    waiting: watch::Sender<Arc<Waits>>,
    engine_view: watch::Receiver<Arc<EngineView>>,
    front_view: watch::Receiver<u64>,
    /// Containers whose state an act of ours changed after the engine's list was asked for.
    acted: HashMap<InstanceName, (ContainerSeen, Instant)>,
    /// When an act of ours on a container ended last: what was looked at before may be out of date.
    touched: HashMap<InstanceName, Instant>,
    /// Containers that differ from their records in what can be put right while they run.
    mending: HashMap<InstanceName, mend::Tries>,
    /// Addresses of the app's network that something else held when they were needed, and when that was.
    held: HashMap<Ipv4Addr, Instant>,
    probers: HashMap<InstanceName, Prober>,
    health: HashMap<InstanceName, Health>,
    /// What was heard of the ends of serving instances when they were last looked at.
    ends_counted: HashMap<InstanceName, restarts::Heard>,
    probe_news: (mpsc::UnboundedSender<probe::News>, mpsc::UnboundedReceiver<probe::News>),
    /// Instances, jobs and databases that an act is under way on.
    busy: HashSet<InstanceName>,
    acts: JoinSet<Done>,
    /// Job runs whose end is waited for.
    awaited: HashMap<InstanceName, AbortHandle>,
    /// Acknowledged by the ingress, and the part of the table it came from.
    routes: Option<(Routes, AppRoutes)>,
    routing: bool,
    /// What was counted when they were acknowledged, and under which window.
    counted: Option<(String, Counted)>,
    builds: BTreeMap<(DeploymentId, ComponentName), AbortHandle>,
    build_failures: BTreeMap<(DeploymentId, ComponentName), String>,
    /// Images that a restart needs and that were found on the engine.
    images_found: HashSet<(DeploymentId, ComponentName)>,
    /// Images that were had and could not be written down yet.
    unwritten: BTreeMap<(DeploymentId, ComponentName), done::Had>,
    databases_up: HashSet<ComponentName>,
    database_failures: BTreeMap<ComponentName, String>,
    /// Why a wanted database is not up, by the newest try.
    databases_down: BTreeMap<ComponentName, String>,
    setbacks: Vec<Setback>,
    /// Why an instance of the previous targets did not come up in the rollback under way.
    restore_failed: Option<String>,
    /// Instances that are being stopped or removed.
    endings: HashMap<InstanceName, Ending>,
    /// Specs of deployments, opened once.
    specs_of: std::sync::Mutex<HashMap<DeploymentId, Arc<AppSpec>>>,
    /// Why-lines as last planned.
    why: Vec<String>,
    /// Acts that failed last, by what they are about.
    troubles: BTreeMap<InstanceName, Trouble>,
    look_again: Option<rollout::time::Timestamp>,
    pace: clock::Pace,
    /// The deployment after which old images and old history were last removed.
    swept_after: Option<DeploymentId>,
    /// Troubles that last are logged after growing pauses.
    store_trouble: Repeated,
    route_trouble: Repeated,
    /// Everything of the app is gone.
    ended: bool,
}

impl AppTask {
    fn new(
        shared: Arc<Shared>,
        mut state: AppState,
        inbox: OwnedMutexGuard<mpsc::Receiver<Request>>,
        waiting: watch::Sender<Arc<Waits>>,
    ) -> Self {
        clock::not_after(clock::now(), &mut state);
        Self {
            engine_view: shared.watch.view(),
            front_view: shared.front.changes(),
            shared,
            state,
            inbox,
            waiting,
            acted: HashMap::new(),
            touched: HashMap::new(),
            mending: HashMap::new(),
            held: HashMap::new(),
            probers: HashMap::new(),
            health: HashMap::new(),
            ends_counted: HashMap::new(),
            probe_news: mpsc::unbounded_channel(),
            busy: HashSet::new(),
            acts: JoinSet::new(),
            awaited: HashMap::new(),
            routes: None,
            routing: false,
            counted: None,
            builds: BTreeMap::new(),
            build_failures: BTreeMap::new(),
            images_found: HashSet::new(),
            unwritten: BTreeMap::new(),
            databases_up: HashSet::new(),
            database_failures: BTreeMap::new(),
            databases_down: BTreeMap::new(),
            setbacks: Vec::new(),
            restore_failed: None,
            endings: HashMap::new(),
            specs_of: std::sync::Mutex::default(),
            why: Vec::new(),
            troubles: BTreeMap::new(),
            look_again: None,
            pace: clock::Pace::new(),
            swept_after: None,
            store_trouble: Repeated::default(),
            route_trouble: Repeated::default(),
            ended: false,
        }
    }

    async fn run(mut self) {
        let stop = self.shared.stop.clone();
        while !self.ended && !stop.is_cancelled() {
            let pause = match self.turn().await {
                Ok(true) => {
                    self.store_trouble.clear();
                    continue;
                }
                Ok(false) => None,
                Err(problem) => {
                    if self.store_trouble.is_due(&problem.to_string()) {
                        error!(error = %problem, "cannot write to the store; trying again");
                    }
                    Some(STORE_PAUSE)
                }
            };
            self.tell_why();
            tokio::select! {
                // First: news may lead to a write.
                biased;
                () = stop.cancelled() => return,
                () = self.news(pause) => {}
            }
        }
    }

    /// Does one thing, if there is one to do. Errors: the store refused; nothing was begun.
    async fn turn(&mut self) -> Result<bool, store::StoreError> {
        self.follow_clock();
        if let Some(done) = self.acts.try_join_next() {
            self.finish(done).await?;
            return Ok(true);
        }
        if let Ok(request) = self.inbox.try_recv() {
            self.answer(request).await;
            return Ok(true);
        }
        self.keep_probing();
        self.count_restarts();
        if self.note_newer().await? {
            return Ok(true);
        }
        let stands_still = self.stands_still();
        Ok(self.advance_deployments().await?
            || (!stands_still && self.advance_instances().await?)
            || (!stands_still && self.advance_routes().await?)
            || self.show_rollout().await?
            || self.write_late_image().await?
            || self.note_containers().await?
            || self.mend()
            || self.keep_house().await?)
    }

    /// Where the system's clock moved beside the time that passed, every wait that is open moves along. Comes before whatever
    /// writes a moment down.
    pub(super) fn follow_clock(&mut self) {
        let by = self.pace.jump();
        if by == 0 {
            return;
        }
        info!(seconds = by / 1000, "the system's clock moved beside the time that passed; waits go on as before");
        // What was written down in the moment of the jump is not moved beyond now: it would hang.
        let now = clock::now();
        clock::move_waits(by, &mut self.state);
        clock::not_after(now, &mut self.state);
        let shift = |at: &mut rollout::time::Timestamp| *at = clock::moved(*at, by).min(now);
        self.setbacks.iter_mut().for_each(|it| shift(&mut it.last));
        for ending in self.endings.values_mut() {
            shift(&mut ending.since);
            ending.failed.as_mut().map(shift);
        }
        self.troubles.values_mut().for_each(|it| it.again_at = clock::moved(it.again_at, by));
        self.look_again = self.look_again.map(|at| clock::moved(at, by));
    }

    /// Waits for anything that may change the plan. What it was is not looked at: the next turn looks at everything.
    async fn news(&mut self, pause: Option<Duration>) {
        if let Some(pause) = pause {
            return tokio::time::sleep(pause).await;
        }
        let until_look = self.look_again.map_or(LOOK_AT_LEAST_EVERY, |at| {
            at.since(clock::now()).min(LOOK_AT_LEAST_EVERY) + Duration::from_millis(1)
        });
        tokio::select! {
            Some(done) = self.acts.join_next(), if !self.acts.is_empty() => self.finish_or_retry(done).await,
            Some(request) = self.inbox.recv() => self.answer(request).await,
            Some(news) = self.probe_news.1.recv() => drop(self.health.insert(news.instance, news.health)),
            // An error means that the controller stops: the other branches go on.
            Ok(()) = self.engine_view.changed() => {}
            Ok(()) = self.front_view.changed() => {}
            () = tokio::time::sleep(until_look) => {}
        }
    }

    fn specs(&self) -> Specs<'_> {
        Specs::of(&self.state.app.id, &self.shared.sealer)
    }

    /// The spec of a deployment, unsealed. `None`: this version cannot read it.
    fn spec_of(&self, deployment: &Deployment) -> Option<Arc<AppSpec>> {
        let mut opened = self.specs_of.lock().expect("nobody panics holding it");
        if let Some(spec) = opened.get(&deployment.id) {
            return Some(spec.clone());
        }
        opened.retain(|id, _| self.deployment(id).is_some());
        let spec = Arc::new(self.specs().open(&deployment.spec)?);
        opened.insert(deployment.id.clone(), spec.clone());
        Some(spec)
    }

    /// Begins an act beside the task. `about` is busy until it reports.
    fn begin(&mut self, about: InstanceName, act: impl Future<Output = Done> + Send + 'static) -> AbortHandle {
        self.busy.insert(about);
        self.acts.spawn(act.in_current_span())
    }

    /// It counts as busy for this long: what fails is not tried again in a tight loop.
    fn pause(&mut self, about: InstanceName, long: Duration) {
        self.begin(about.clone(), async move {
            tokio::time::sleep(long).await;
            Done::Paused { about }
        });
    }

    fn tell_why(&mut self) {
        let now = clock::now();
        let troubles = self.troubles.values().map(|it| {
            let Trouble { what, again_at, .. } = it;
            format!("{what}; trying again, {} s left", again_at.since(now).as_secs())
        });
        let app: Vec<_> = self.why.iter().cloned().chain(troubles).collect();
        let under_way = self.state.deployments.iter().filter(|it| !it.stage.is_ended());
        let lines = |it: &Deployment| match it.stage.rolls() {
            true => [self.why_beside_rolling(), app.clone()].concat(),
            false => self.why_not_rolling(it),
        };
        let deployments = under_way.map(|it| (it.id.clone(), lines(it))).collect();
        let waits = Waits { deployments, app };
        if **self.waiting.borrow() != waits {
            self.waiting.send_replace(Arc::new(waits));
            self.changed();
        }
    }

    /// Whoever shows this app looks again.
    fn changed(&self) {
        self.shared.changes.send_modify(|ticks| *ticks += 1);
    }
}

impl Shared {
    /// What people should know when the database is older than the installation.
    pub fn older_database(&self) -> Option<String> {
        let sentence = "the database is older than what this installation has done: it was put back from a backup, or lost \
                        its last commits. What runs and is newer stays as it is: boatyard unknown list";
        self.older_database.then(|| sentence.to_owned())
    }

    /// Remembers that a deleted app's volume was left on purpose: nothing exists that the store does not explain (I3).
    pub async fn keep_volume(
        &self,
        app: &store::records::App,
        database: &store::records::Database,
    ) -> Result<(), store::StoreError> {
        let told = format!("database {} of the deleted app {}", database.name, app.name);
        self.store.set_meta(&format!("kept_volume/{}", database.volume), &told).await
    }
}
