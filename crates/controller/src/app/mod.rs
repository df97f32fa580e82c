//! One task owns one app: it alone changes the app's records, containers and routes.
//!
//! A turn of the task ([`task`]) takes one snapshot, asks `rollout` for the next step, records the step and begins it.
//! Long actions (a start, a stop, a build) run beside the task and report when they end. Requests and events only wake
//! the task up. The process may be killed between any two lines: everything that the task needs to continue is in the
//! store and on the engine.
//!
//! In reading order:
//! - [`records`]: the app's stored records; [`observe`] with [`probes`] and [`drift`]: the observed state; [`actions`]:
//!   the running actions; [`context`]: these three together;
//! - [`accept`]: turns requests into deployments; [`deployments`]: moves deployments through their stages; [`restart`]:
//!   copies what serves; [`app_rollback`]: returns to an earlier deployment; [`compose`]: computes a deployment's databases, revisions and targets;
//! - [`serving_images`]: the images that serve, and which of them a deployment keeps; [`images`], [`prebuilt`]: provide
//!   the images; [`site_files`]: takes the files of static sites out of theirs; [`instances`], [`containers`], [`routing`], [`calls`], [`databases`], [`jobs`]: carry out the work of each stage;
//! - [`rollout_report`]: reports how a rollout went;
//! - [`restart_counter`], [`repair`], [`newer`], [`strays`], [`network_move`]: handle changes to containers, networks
//!   and records that the task did not make;
//! - [`gc`], [`deletion`]: remove what is no longer needed.

mod accept;
mod actions;
mod app_rollback;
mod calls;
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
mod prebuilt;
mod probes;
mod records;
mod repair;
mod restart;
mod restart_counter;
mod rollout_report;
mod route_rules;
mod routing;
mod serving_images;
pub(crate) mod site_files;
mod strays;
mod task;
mod timeline;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_dir::Sealer;
use engine::Engine;
use futures::FutureExt;
use rollout::ids::{ComponentName, DeploymentId};
use store::Store;
use store::records::{AppState, Deployment};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span};

use crate::bandwidth::Bandwidth;
use crate::certificates::Certificates;
use crate::config::{Config, Reach};
use crate::connect_check::ConnectCheck;
use crate::engine_watch::EngineWatch;
use crate::error::ControlError;
use crate::fence::Fence;
use crate::image_builder::ImageBuilder;
use crate::ingress_client::IngressClient;
use crate::logbook::Logbook;
use crate::metrics::EventCounts;
use crate::names::Names;
use crate::network::AppNetwork;
use crate::ports::PublishedPorts;
use crate::probe::HealthChecker;
use crate::traffic::TrafficHistory;
use crate::usage::UsageHistory;
use crate::view::Caller;

pub(crate) use accept::{DeployRequest, NewSpec, check_restart, unchanged};
pub(crate) use app_rollback::{
    Revert, RollbackRequest, check_not_pinned, check_rollback, inherited_rollback, refuse, return_to, revert,
};
pub(crate) use calls::CallChecks;
pub(crate) use compose::{Composed, active, compose, connection};
pub(crate) use databases::LIMITS as DATABASE_LIMITS;
pub(crate) use databases::STOP_GRACE as DATABASE_GRACE;
pub(crate) use databases::{databases_unwanted_by, kept_version};
pub(crate) use images::{image_is_gone, written_secrets};
pub(crate) use jobs::grace as job_grace_of;
pub(crate) use prebuilt::Pull;
pub(crate) use records::{queued, secret_values};
pub(crate) use serving_images::{KeptFrom, Sourcing, serving_images, sourcing};
use task::AppTask;

/// What all app tasks share.
pub(crate) struct Shared {
    pub config: Config,
    /// The directory of the files of static sites. Absolute, because the ingress runs elsewhere.
    pub sites: PathBuf,
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub watch: EngineWatch,
    pub ingress: IngressClient,
    pub certificates: Certificates,
    pub bandwidth: Bandwidth,
    pub traffic: TrafficHistory,
    pub usage: UsageHistory,
    pub events: EventCounts,
    /// Probes the health of instances and databases.
    pub health_checker: Arc<dyn HealthChecker>,
    /// How this host connects to new instances and to databases.
    pub reach: Reach,
    /// The ports that instances publish.
    pub ports: PublishedPorts,
    /// Checks whether containers can connect to this host.
    pub connect_check: Arc<dyn ConnectCheck>,
    /// Whether containers reach the ingress in their app's network.
    pub call_checks: CallChecks,
    /// The network of the address at which containers reach the public host names of their app.
    pub public_network: Option<AppNetwork>,
    /// Builds images from sources.
    pub image_builder: Arc<dyn ImageBuilder>,
    pub names: Names,
    pub sealer: Sealer,
    pub logbook: Logbook,
    /// Incremented whenever the records of any app change, or what it waits for.
    pub changes: watch::Sender<u64>,
    /// Incremented whenever a deployment of any app has ended.
    pub deployment_ends: watch::Sender<u64>,
    /// Once it is cancelled, no task begins or writes anything: the process is ending, or it has lost the fence.
    pub stop: CancellationToken,
    /// CPUs and memory of the engine's host.
    pub host: engine::Limits,
    pub fence: Arc<Fence>,
    /// The database is older than the last known state of this installation. Determined at startup.
    pub older_database: bool,
    /// Held while a task assigns a network number.
    pub networks: tokio::sync::Mutex<()>,
}

/// Sends requests to an app's task.
#[derive(Clone)]
pub(crate) struct AppHandle {
    requests: mpsc::Sender<AppCommand>,
    task: AbortHandle,
    pub waiting: watch::Receiver<Arc<Waits>>,
}

/// What an app waits for, in sentences for people.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Waits {
    /// For each deployment under way.
    pub deployments: BTreeMap<DeploymentId, Vec<String>>,
    /// What the app itself waits for, whether a deployment is under way or not.
    pub app: Vec<String>,
}

/// A request to an app's task. The task replies once it has recorded the result.
pub(crate) enum AppCommand {
    Deploy { request: Box<DeployRequest>, reply: oneshot::Sender<Result<Deployment, ControlError>> },
    RollBack { request: Box<RollbackRequest>, reply: oneshot::Sender<Result<Deployment, ControlError>> },
    CommitRollback { reply: oneshot::Sender<Result<(), ControlError>> },
    RevertRollback { caller: Caller, reply: oneshot::Sender<Result<Deployment, ControlError>> },
    Cancel { deployment: DeploymentId, reply: oneshot::Sender<Result<Deployment, ControlError>> },
    CancelJob { deployment: DeploymentId, job: ComponentName, reply: oneshot::Sender<Result<(), ControlError>> },
    SetSecretBuildArguments { allowed: bool, reply: oneshot::Sender<Result<(), ControlError>> },
    Delete { reply: oneshot::Sender<Result<(), ControlError>> },
}

/// How long a caller waits for the task to record its request.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The longest time between two turns, so that the task finds changes that no event reports.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// The longest time between two turns while people may look at how the time of a wait runs out.
const COUNT_DOWN_EVERY: Duration = Duration::from_secs(1);
/// Pause after the store refused a write, for example because the disk is full.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl AppHandle {
    /// Starts the task of an app that is on record. A task that panics starts again from the records; the other apps
    /// are not affected.
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
                        Ok(Some(read)) if !read.is_complete() => {
                            error!("some of the records cannot be read; trying again")
                        }
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

    /// Aborts the task and its actions immediately, as a crash would.
    pub fn end(&self) {
        self.task.abort();
    }

    /// Whether the task has ended: the app is deleted, or the task was aborted.
    pub fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Sends a request and waits for the reply. Errors: those of the task, and [`ControlError::Unavailable`] if the
    /// task ended, panicked or is busy. The caller has to find out whether the app still exists.
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
                "the app did not accept the request within {} s; check its state before repeating it",
                ANSWER_WITHIN.as_secs()
            ))),
        }
    }
}

impl Shared {
    /// Notifies everything that displays apps.
    pub fn changed(&self) {
        self.changes.send_modify(|ticks| *ticks += 1);
    }

    /// A message for people if the database is older than the installation.
    pub fn older_database(&self) -> Option<String> {
        let sentence = "the database is older than the last known state of this installation: it was restored from a backup, \
                        or lost its last commits. Newer containers keep running. See: boatyard unknown list";
        self.older_database.then(|| sentence.to_owned())
    }

    /// Records that a deleted app's volume was kept on purpose, so that the store explains everything that exists.
    pub async fn keep_volume(
        &self,
        app: &store::records::App,
        database: &store::records::Database,
    ) -> Result<(), store::StoreError> {
        let note = format!("database {} of the deleted app {}", database.name, app.name);
        self.store.set_meta(&format!("kept_volume/{}", database.volume), &note).await
    }
}
