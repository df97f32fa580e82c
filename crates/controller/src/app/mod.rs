//! One task owns one app: it alone changes the app's records, containers and routes.
//!
//! A turn of the task ([`task`]) takes one snapshot, asks `rollout` for the next step, writes it down and begins it. Long
//! actions (a start, a stop, a build) run beside the task and report; requests and news only wake it up. The task may be killed
//! between any two lines: what it needs to go on is in the store and on the engine.
//!
//! In reading order:
//! - [`records`]: what is on record; [`observe`] with [`probes`] and [`drift`]: what is there; [`actions`]: what is under way;
//!   [`context`]: the three together;
//! - [`accept`]: requests become deployments; [`deployments`]: their stages; [`restart`]: copies of what serves; [`compose`]: what a deployment comes to;
//! - [`instances`], [`containers`], [`routing`], [`images`], [`databases`], [`jobs`]: what each stage has done;
//! - [`rollout_report`]: what a rollout shows of itself;
//! - [`restart_counter`], [`repair`], [`newer`], [`strays`], [`network_move`]: what others do to containers, networks and records;
//! - [`gc`], [`deletion`]: what goes.

mod accept;
mod actions;
mod compose;
mod containers;
mod context;
mod databases;
mod deletion;
mod deployments;
mod drift;
mod gc;
mod images;
mod instances;
mod jobs;
mod network_move;
mod newer;
mod observe;
mod probes;
mod records;
mod repair;
mod restart;
mod restart_counter;
mod rollout_report;
mod routing;
mod strays;
mod task;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use data_dir::Sealer;
use engine::Engine;
use futures::FutureExt;
use rollout::ids::DeploymentId;
use store::Store;
use store::records::{AppState, Deployment};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span};

use crate::config::Config;
use crate::engine_watch::EngineWatch;
use crate::error::ControlError;
use crate::fence::Fence;
use crate::image_builder::ImageBuilder;
use crate::ingress_client::IngressClient;
use crate::logbook::Logbook;
use crate::names::Names;
use crate::probe::Asker;

pub(crate) use accept::{DeployRequest, check_restart, unchanged};
pub(crate) use compose::{Composed, active, compose};
pub(crate) use databases::STOP_GRACE as DATABASE_GRACE;
pub(crate) use databases::{databases_unwanted_by, kept_version};
pub(crate) use images::{build_args, image_is_gone};
pub(crate) use jobs::grace as job_grace_of;
pub(crate) use records::{queued, secret_values};
use task::AppTask;

/// What all app tasks share.
pub(crate) struct Shared {
    pub config: Config,
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub watch: EngineWatch,
    pub ingress: IngressClient,
    /// Asks instances and databases whether they are well.
    pub asker: Arc<dyn Asker>,
    /// Makes images from sources.
    pub image_builder: Arc<dyn ImageBuilder>,
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
    requests: mpsc::Sender<AppCommand>,
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

/// Asked of an app's task. Answered once it is written down.
pub(crate) enum AppCommand {
    Deploy { request: Box<DeployRequest>, reply: oneshot::Sender<Result<Deployment, ControlError>> },
    Cancel { deployment: DeploymentId, reply: oneshot::Sender<Result<Deployment, ControlError>> },
    Delete { reply: oneshot::Sender<Result<(), ControlError>> },
}

/// How long a caller waits for its request to be written down.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A change that no event reports is found this soon.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// After the store refused: its disk may be full, or it is being looked at.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl AppHandle {
    /// Starts the task of an app that is on record. A task that panics is started again from the records; the other apps are
    /// not affected.
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
                // The actions of a task that panicked end with it; the next snapshot shows what they did.
                if AssertUnwindSafe(task.run()).catch_unwind().await.is_ok() {
                    return;
                }
                error!("the app's task panicked; it begins again from the records");
                while !shared.stop.is_cancelled() {
                    tokio::time::sleep(STORE_PAUSE).await;
                    match shared.store.app_state(&id).await {
                        Ok(Some(read)) if !read.is_complete() => error!("what serves cannot be read; trying again"),
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

    /// Ends the task and its actions wherever they are, as a crash does.
    pub fn end(&self) {
        self.task.abort();
    }

    /// The app is gone, or its task is.
    pub fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Asks and waits for the answer. Errors: the task's own, and [`ControlError::Unavailable`] when the task ended,
    /// panicked or is busy; whether the app still exists is for the caller to find out.
    pub async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, ControlError>>) -> AppCommand,
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

impl Shared {
    /// Wakes up what shows apps.
    pub fn changed(&self) {
        self.changes.send_modify(|ticks| *ticks += 1);
    }

    /// What people should know when the database is older than the installation.
    pub fn older_database(&self) -> Option<String> {
        let sentence = "the database is older than what this installation has done: it was put back from a backup, or lost \
                        its last commits. What runs and is newer stays as it is: boatyard unknown list";
        self.older_database.then(|| sentence.to_owned())
    }

    /// Remembers that a deleted app's volume was left on purpose: nothing exists that the store does not explain.
    pub async fn keep_volume(
        &self,
        app: &store::records::App,
        database: &store::records::Database,
    ) -> Result<(), store::StoreError> {
        let note = format!("database {} of the deleted app {}", database.name, app.name);
        self.store.set_meta(&format!("kept_volume/{}", database.volume), &note).await
    }
}
