//! What is kept: one struct a table. Keys are columns, the rest is a JSON body, so that a new field needs no migration.
//!
//! Nothing here is secret in the clear: specs hold `EV[…]` texts, revisions and databases hold sealed bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use rollout::deployment::{Failure, Stage};
use rollout::ids::{AppId, ComponentName, DeploymentId, InstanceName, RevisionId};
use rollout::instance::InstancePhase;
use rollout::job::JobPhase;
use rollout::progress::Progress;
use rollout::queue::Request;
use rollout::target::{ComponentKind, StopTimes, Target};
use rollout::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An app: what its owner put, and what serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    pub id: AppId,
    /// Unique in the installation.
    pub name: String,
    /// Which network of the pool is its own; given again only after the app is gone.
    pub network: u32,
    /// The newest spec, in App Platform's JSON, secrets as `EV[…]`.
    pub spec: serde_json::Value,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Tombstone: everything of it is being removed (F19).
    pub deleting: bool,
    /// The deployment that serves.
    pub active: Option<DeploymentId>,
    /// Last number given to a deployment.
    pub deployments: u64,
    /// Last number given to an instance: names are never used twice.
    pub serial: u64,
    /// Last generation given to a restart or a rebuild.
    pub generation: u64,
    /// What is in force since a rollback was abandoned; `None`: the targets and rules of the active deployment.
    #[serde(default)]
    pub kept: Option<KeptServing>,
    /// What runs of it and is newer than these records.
    #[serde(default)]
    pub newer: Newer,
}

/// What serves on after a rollback that could not restore the active deployment's targets. The next deployment that
/// succeeds replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptServing {
    /// What is wanted of services and workers, in place of the active deployment's targets.
    pub targets: Vec<Target>,
    /// The failed deployments that some of the targets come from: they keep their images and stay on record.
    pub deployments: BTreeSet<DeploymentId>,
    /// The failed deployment whose routing rules are in force; `None`: the active deployment's are.
    pub rules: Option<DeploymentId>,
}

/// Containers of an app that are newer than its records: the database was put back from a backup, or lost commits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newer {
    pub containers: BTreeSet<InstanceName>,
    /// [`App::deployments`] when they were found: deployments after that replace them.
    pub deployments: u64,
}

/// One try to make a spec real.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    pub app: AppId,
    /// 1, 2, 3 … within the app.
    pub number: u64,
    pub stage: Stage,
    pub stage_since: Timestamp,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub request: Request,
    /// Why it exists, for people: "app spec updated", "restart of web, api".
    pub cause: String,
    /// The spec it makes real, secrets as `EV[…]`.
    pub spec: serde_json::Value,
    /// The deployment that served when this one was accepted.
    pub previous: Option<DeploymentId>,
    /// The deployment whose frozen revisions this one copies.
    pub cloned_from: Option<DeploymentId>,
    pub superseded_by: Option<DeploymentId>,
    pub cancel_asked: bool,
    /// Who asked, as a hash of the token: equal requests of one caller are one (§7.3 of the contract).
    pub caller: String,
    /// Commits by component, as they are resolved: what is begun again after a crash is the same build (F12).
    #[serde(default)]
    pub commits: BTreeMap<ComponentName, String>,
    /// Images by component, as they come.
    pub images: BTreeMap<ComponentName, Image>,
    /// What is wanted of services and workers: frozen once the images are there.
    pub targets: Option<Vec<Target>>,
    /// Revisions of jobs, frozen with the targets.
    pub job_revisions: BTreeMap<ComponentName, RevisionId>,
    /// Nothing it brings differs from what serves: no job runs, nothing is replaced.
    #[serde(default)]
    pub nothing_to_do: bool,
    pub progress: Progress,
    pub failure: Option<Failure>,
    /// Last lines of the instance or job that failed.
    pub log_tail: Vec<String>,
    /// What the ingress counted while it rolled, and what stayed the same.
    pub record: Record,
}

/// Where a component's image came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The engine's id, `sha256:…`.
    pub id: String,
    /// The name it is kept under.
    pub reference: String,
    /// The commit it was built from; `None` for a prebuilt image.
    pub commit: Option<String>,
    /// It was built for this deployment, not found.
    pub built: bool,
    /// One sentence for people: "reused: tree unchanged since deployment 41".
    pub note: String,
}

/// The proof that a deployment shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// When the last route was acknowledged.
    pub serving_since: Option<Timestamp>,
    /// When instances began to be replaced, and when that ended.
    pub roll_began: Option<Timestamp>,
    pub roll_ended: Option<Timestamp>,
    /// It failed, and the targets before it could not be restored: the notes say what serves instead.
    #[serde(default)]
    pub rollback_abandoned: bool,
    /// Counted while it rolled: the sum of `counted` at the end of it.
    pub served: Option<Served>,
    /// What each ingress process has counted of it, as last read; the first one is read at the start. They count in their
    /// own memory, so that killing control loses none.
    #[serde(default)]
    pub counted: Vec<Counted>,
    /// What a restart left as it was.
    pub unchanged: Vec<Unchanged>,
    /// Notes for people: clamped limits, reused images.
    pub notes: Vec<String>,
}

/// What a roll put at risk, as far as it passed the ingress, which defines these counts (`ingress::protocol::Counters`).
/// Calls from component to component do not pass it and are not counted. Counts that older versions did not take are zero
/// in their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Served {
    /// Requests that came during the roll.
    pub requests: u64,
    /// Requests that were open when it began.
    #[serde(default)]
    pub open_at_start: u64,
    pub failed: u64,
    pub app_errors: u64,
    pub client_gone: u64,
    /// Of the failed ones: those that the stop of an instance cut, while they waited for an answer or received it, and
    /// while they were sending their body.
    #[serde(default)]
    pub requests_cut: u64,
    #[serde(default)]
    pub uploads_cut: u64,
    /// Upgraded connections that were open when it began or came during it, and those of them that were cut.
    #[serde(default)]
    pub upgraded: u64,
    pub upgraded_cut: u64,
    pub slowest_us: u64,
    /// There was more: an ingress died, and what it had counted since it was last read went with it.
    #[serde(default)]
    pub at_least: bool,
}

/// What one ingress process has counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// New at every start of the process, which begins at zero.
    pub boot_id: String,
    pub served: Served,
}

/// What stayed the same of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchanged {
    pub component: ComponentName,
    pub image: String,
    /// A keyed hash: tells equal from different, tells nothing else.
    pub environment_hash: String,
    pub revision: RevisionId,
}

/// What a component's instances, or a job's runs, are made from. Table sealed: it holds the resolved environment.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub id: RevisionId,
    pub app: AppId,
    pub component: ComponentName,
    /// The engine's image id.
    pub image: String,
    pub command: Option<Vec<String>>,
    /// Resolved, in order; holds secrets.
    pub env: Vec<(String, String)>,
    /// Names of the variables whose values no log may show.
    #[serde(default)]
    pub secret_keys: Vec<String>,
    /// For the record: see [`Unchanged::environment_hash`].
    pub environment_hash: String,
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    /// Port that gets requests; `None` for workers and jobs.
    pub port: Option<u16>,
    pub probe: Option<Probe>,
}

/// How to ask an instance whether it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub port: u16,
    /// `None`: a TCP connection is enough.
    pub http_path: Option<String>,
    pub initial_delay_seconds: u32,
    pub period_seconds: u32,
    pub timeout_seconds: u32,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

/// One instance. Its row is written before its container is created, and deleted after it is removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub name: InstanceName,
    pub app: AppId,
    pub component: ComponentName,
    pub kind: ComponentKind,
    pub slot: u32,
    pub revision: RevisionId,
    pub generation: u64,
    pub deployment: DeploymentId,
    pub phase: InstancePhase,
    pub since: Timestamp,
    pub address: Ipv4Addr,
    /// Fixed when it was made. `None` in rows of older versions: then its component's target says them.
    #[serde(default)]
    pub stop_times: Option<StopTimes>,
    /// The engine starts it again by itself.
    pub kept_alive: bool,
    /// The engine's words when it refused it.
    pub refused: Option<String>,
    pub created: Timestamp,
    /// The engine's id of its container: proves which one it is, also after somebody renamed it. `None` until the container
    /// was first seen.
    #[serde(default)]
    pub container_id: Option<String>,
    /// Ends of its process that nobody asked for.
    #[serde(default)]
    pub restarts: Restarts,
}

/// How often a process ended by itself and was started again, by the engine or by us.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Restarts {
    pub count: u64,
    /// The engine's own count when it was last read. It begins at zero again when a person starts the container.
    pub by_engine: u64,
    /// The newest end.
    pub last: Option<LastEnd>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEnd {
    /// RFC 3339, as the engine says.
    pub at: String,
    /// Exit code, where it is known.
    pub code: Option<i64>,
    /// The kernel ended it, because it took more memory than it may.
    pub out_of_memory: bool,
}

/// One run of a job for one deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRun {
    pub deployment: DeploymentId,
    pub job: ComponentName,
    pub app: AppId,
    /// Its container's name.
    pub name: InstanceName,
    pub revision: RevisionId,
    pub address: Ipv4Addr,
    pub phase: JobPhase,
    pub since: Timestamp,
    /// From the stop signal to KILL, fixed when the run was recorded. `None` in rows of older versions: the default.
    #[serde(default)]
    pub grace: Option<Duration>,
    /// Its container is gone and its log is kept.
    pub collected: bool,
    /// See [`Instance::container_id`].
    #[serde(default)]
    pub container_id: Option<String>,
}

/// A database of an app. Table sealed: it holds the password.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Database {
    pub app: AppId,
    pub name: ComponentName,
    pub engine: String,
    pub version: String,
    /// The image it was first made from; it stays.
    pub image: String,
    pub user: String,
    pub password: String,
    pub database: String,
    pub port: u16,
    pub address: Ipv4Addr,
    /// Name of its container.
    pub container: InstanceName,
    pub volume: String,
    /// Named in the active spec. When not: stopped, its volume kept.
    pub wanted: bool,
    /// It answered once; from then on it is only watched.
    pub created: bool,
    /// See [`Instance::container_id`]. A database gets another container where its own was removed.
    #[serde(default)]
    pub container_id: Option<String>,
}

/// An image built once for what went into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// Hash over repository tree, Dockerfile, arguments, base.
    pub identity: String,
    pub app: AppId,
    pub image: String,
    pub reference: String,
    pub commit: String,
    pub built: Timestamp,
}

/// A request accepted once: the same caller's same key means the same deployment for 24 h.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Who asked, as in [`Deployment::caller`].
    pub caller: String,
    /// What the caller named its request.
    pub key: String,
    /// What it made.
    pub deployment: DeploymentId,
    pub created: Timestamp,
}

/// How long a request is remembered: 24 h, ours.
pub const IDEMPOTENCY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// One change of what is kept. A commit is a list of them: all or nothing.
#[derive(Clone)]
pub enum Change {
    App(App),
    ForgetApp(AppId),
    Deployment(Box<Deployment>),
    /// With its job runs.
    ForgetDeployment(DeploymentId),
    Instance(Instance),
    ForgetInstance(InstanceName),
    Revision(Revision),
    ForgetRevision(AppId, RevisionId),
    JobRun(JobRun),
    Database(Database),
    ForgetDatabase(AppId, ComponentName),
    BuiltImage(BuiltImage),
    ForgetBuiltImage(String),
    /// Refused when the key is known: then the whole commit is.
    Idempotency(Idempotency),
}

/// Everything kept of one app, but for its older deployments.
#[derive(Clone)]
pub struct AppState {
    pub app: App,
    /// Those under way, the one that serves, those that [`App::kept`] names, and the newest one.
    pub deployments: Vec<Deployment>,
    pub instances: Vec<Instance>,
    pub revisions: Vec<Revision>,
    pub job_runs: Vec<JobRun>,
    pub databases: Vec<Database>,
}

impl AppState {
    /// An app that nothing was deployed of yet.
    pub fn new(app: App) -> Self {
        Self {
            app,
            deployments: Vec::new(),
            instances: Vec::new(),
            revisions: Vec::new(),
            job_runs: Vec::new(),
            databases: Vec::new(),
        }
    }

    /// What is wanted of services and workers while no deployment rolls.
    pub fn targets_in_force(&self) -> &[Target] {
        let active = self.deployments.iter().find(|it| Some(&it.id) == self.app.active.as_ref());
        match (&self.app.kept, active) {
            (Some(kept), _) => &kept.targets,
            (None, active) => active.and_then(|it| it.targets.as_deref()).unwrap_or_default(),
        }
    }

    /// How long an instance's way out may take. Rows of older versions do not say it: there the target counts that the
    /// instance was made for, else any of its component.
    pub fn stop_times(&self, instance: &Instance) -> StopTimes {
        let of = |it: &&Deployment| {
            let target = it.targets.iter().flatten().find(|target| target.component == instance.component)?;
            Some(target.timing.stop_times())
        };
        let maker = self.deployments.iter().find(|it| it.id == instance.deployment);
        let by_target = || maker.as_ref().and_then(of).or_else(|| self.deployments.iter().rev().find_map(|it| of(&it)));
        instance.stop_times.or_else(by_target).unwrap_or_default()
    }

    /// The containers that are on record: the name each was made under, and its id where that is known.
    pub fn containers(&self) -> impl Iterator<Item = (&InstanceName, Option<&str>)> {
        let instances = self.instances.iter().map(|it| (&it.name, it.container_id.as_deref()));
        let runs = self.job_runs.iter().filter(|it| !it.collected);
        let runs = runs.map(|it| (&it.name, it.container_id.as_deref()));
        let databases = self.databases.iter().map(|it| (&it.container, it.container_id.as_deref()));
        instances.chain(runs).chain(databases)
    }

    /// What serves could be read. Without its deployment nothing would seem to be wanted, without the revisions of its
    /// instances nothing could be routed: such a state is not to be acted on.
    pub fn is_whole(&self) -> bool {
        let is_here = |id: &DeploymentId| self.deployments.iter().any(|it| it.id == *id);
        let has_revision = |it: &Instance| self.revisions.iter().any(|revision| revision.id == it.revision);
        self.app.active.as_ref().is_none_or(is_here) && self.instances.iter().all(has_revision)
    }
}

impl std::fmt::Debug for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revision")
            .field("id", &self.id)
            .field("app", &self.app)
            .field("component", &self.component)
            .field("image", &self.image)
            .field("env", &format_args!("{} hidden", self.env.len()))
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("app", &self.app)
            .field("name", &self.name)
            .field("engine", &self.engine)
            .field("version", &self.version)
            .field("user", &self.user)
            .field("password", &format_args!("hidden"))
            .field("container", &self.container)
            .field("volume", &self.volume)
            .field("wanted", &self.wanted)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}
