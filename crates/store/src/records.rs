//! The records: one struct for each table. Keys are columns and the rest is a JSON body, so a new field needs no migration.
//!
//! No secret is stored in clear text: specs contain sealed `EV[…]` values, and the bodies of revisions, databases, alert
//! destinations, logins for hosts and webhooks are sealed.

mod access;
mod certificate;
mod host_login;
mod rollback;
mod transition;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use access::{AUDIT_ROWS, Actor, AuditEntry, Session, Token, TokenApp, TokenScope};
pub use certificate::{AcmeAccount, AcmeAnswer, AcmeOrder, Certificate, CertificateAttempts, CertificateSource};
pub use host_login::{HostLogin, LoginKind};
pub use rollback::{AppRollback, BeforeRollback, RollbackAction, ServedVersion};
use rollout::deployment::{Failure, Stage};
use rollout::ids::{AppId, ComponentName, DeploymentId, InstanceName, RevisionId};
use rollout::instance::InstancePhase;
use rollout::job::JobPhase;
use rollout::progress::Progress;
use rollout::queue::Request;
pub use rollout::revision::{Probe, Revision};
use rollout::site_files::EarlierBySite;
use rollout::sources::Origin;
use rollout::target::{ComponentKind, StopTimes, Target};
use rollout::time::Timestamp;
use serde::{Deserialize, Serialize};
pub use transition::{InstanceTransition, Transition};
pub use webhook::{DELIVERIES, Delivery, DeliveryApp, Webhook};

/// An app: its spec and its counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    pub id: AppId,
    /// Unique among the apps of the installation that are not being deleted.
    pub name: String,
    /// Number of the app's network in the pool. Free again after the app is deleted.
    pub network: u32,
    /// The newest spec as App Platform's JSON, with secrets as `EV[…]`.
    pub spec: serde_json::Value,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// The app is being deleted: the controller is removing its containers, images and networks.
    pub deleting: bool,
    /// The active deployment.
    pub active: Option<DeploymentId>,
    /// Number of the newest deployment.
    pub deployments: u64,
    /// Number of the newest instance. Instance names are never reused.
    pub serial: u64,
    /// Newest restart generation.
    pub generation: u64,
    /// Targets and routing rules that replace those of the active deployment after an abandoned rollback.
    #[serde(default)]
    pub kept: Option<ServingOverride>,
    /// Containers that are newer than these records.
    #[serde(default)]
    pub newer: Newer,
    /// The rollback that waits for a commit or a revert. Until then the app takes no new deployment except restarts.
    #[serde(default)]
    pub pinned: Option<DeploymentId>,
    /// Whether Dockerfiles of the repository get secret variables as build arguments.
    #[serde(default)]
    pub secret_build_arguments: bool,
    /// The number of the newest deployment that cleared the build cache. It distinguishes the caches of package managers that
    /// builds of the app use from older ones. 0: none did.
    #[serde(default)]
    pub build_caches: u64,
    /// By static site, newest first: what served before the active deployment.
    #[serde(default)]
    pub earlier_files: EarlierBySite,
}

impl App {
    /// The ended deployments whose records the app needs: the active one, those of which a part stayed after an
    /// abandoned rollback, and the one that the app is pinned to.
    pub fn needs(&self) -> impl Iterator<Item = &DeploymentId> {
        let kept = self.kept.iter().flat_map(|it| it.deployments.iter().chain(&it.rules));
        self.active.iter().chain(kept).chain(&self.pinned)
    }
}

/// The targets and rules that serve after a rollback that could not restore the active deployment's targets. The next
/// successful deployment replaces them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingOverride {
    /// Targets of services and workers, in place of the active deployment's targets.
    pub targets: Vec<Target>,
    /// The failed deployments that some of the targets come from. Their records and images are kept.
    pub deployments: BTreeSet<DeploymentId>,
    /// The failed deployment whose routing rules apply; `None`: those of the active deployment.
    pub rules: Option<DeploymentId>,
}

/// Containers of an app that are newer than its records, because the database was restored from a backup or lost commits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newer {
    pub containers: BTreeSet<InstanceName>,
    /// [`App::deployments`] when they were found. Later deployments replace these containers.
    pub deployments: u64,
}

/// One attempt to make a spec real.
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
    /// Human-readable reason for the deployment: "app spec updated", "restart of web, api".
    pub cause: String,
    /// A request that this deployment carries out replaced the app's spec. False in rows of older versions.
    #[serde(default)]
    pub updates_spec: bool,
    /// The spec, with secrets as `EV[…]`.
    pub spec: serde_json::Value,
    /// The deployment that was active when this one was accepted.
    pub previous: Option<DeploymentId>,
    /// The deployment that this one copies: a restart what serves, a rollback of the app an earlier deployment.
    pub cloned_from: Option<DeploymentId>,
    /// Set if this deployment carries out a rollback of the app, or its revert.
    #[serde(default)]
    pub app_rollback: Option<AppRollback>,
    pub superseded_by: Option<DeploymentId>,
    #[serde(rename = "cancel_asked")]
    pub cancel_requested: bool,
    /// Hash of the caller's token. Equal requests of one caller become one deployment.
    pub caller: String,
    /// The token of the request. `None` in rows of older versions.
    #[serde(default)]
    pub actor: Option<Actor>,
    /// Resolved commits by component. A build that is started again after a crash uses the same commit.
    #[serde(default)]
    pub commits: BTreeMap<ComponentName, String>,
    /// The newest versions that a push or a poll found, if it requested this deployment. They count as tried even if the
    /// deployment ends before it has fetched them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found_versions: BTreeMap<ComponentName, String>,
    /// Images by component, added as each one is ready.
    pub images: BTreeMap<ComponentName, Image>,
    /// Targets of services and workers. Set once all images are ready.
    pub targets: Option<Vec<Target>>,
    /// Revisions of jobs. Set together with the targets.
    pub job_revisions: BTreeMap<ComponentName, RevisionId>,
    /// The deployment changes nothing: no job runs and no instance is replaced.
    #[serde(default)]
    pub nothing_to_do: bool,
    pub progress: Progress,
    pub failure: Option<Failure>,
    /// Last lines of the instance or job that failed.
    pub log_tail: Vec<String>,
    /// What the ingress counted during the rollout, and what a restart left unchanged.
    pub record: Record,
}

impl Deployment {
    /// The ids of the files of its static sites.
    pub fn site_files(&self) -> BTreeMap<ComponentName, String> {
        let id = |(name, image): (&ComponentName, &Image)| Some((name.clone(), image.files.as_ref()?.id.clone()));
        self.images.iter().filter_map(id).collect()
    }

    /// Whether it became active, even if a newer deployment is active now.
    pub fn has_served(&self) -> bool {
        self.stage == Stage::Active || self.stage == Stage::Superseded && self.progress.has_succeeded()
    }
}

/// Image of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The engine's id, `sha256:…`.
    pub id: String,
    /// The tag under which the engine keeps it.
    pub reference: String,
    /// Commit of the source; `None` for a prebuilt image.
    pub commit: Option<String>,
    /// Whether it was built for this deployment rather than reused.
    pub built: bool,
    /// One human-readable sentence: "reused: tree unchanged since deployment 41".
    pub note: String,
    /// `NAME@sha256:…`, under which a registry has a prebuilt image. `None` if no registry is known to have it.
    #[serde(default)]
    pub digest: Option<String>,
    /// What it was made from. `None` in rows of older versions; then the deployment's spec has it.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// The files of a static site, which were taken out of the image.
    #[serde(default)]
    pub files: Option<SiteContent>,
}

/// The stored files of a static site. They never change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SiteContent {
    /// The name of their directory, below that of the app. It follows from the image and the spec.
    pub id: String,
    /// Number of files.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// What the deployment record reports about a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// When the ingress acknowledged the last route.
    pub serving_since: Option<Timestamp>,
    /// Start and end of the rollout.
    pub roll_began: Option<Timestamp>,
    pub roll_ended: Option<Timestamp>,
    /// The rollout failed and the previous targets could not be restored. The notes say what serves instead.
    #[serde(default)]
    pub rollback_abandoned: bool,
    /// Traffic during the rollout: the sum of `counted`.
    pub served: Option<Served>,
    /// Latest reading of the counters of each ingress process; the first entry is from the start of the rollout. The counters
    /// are in the memory of the ingress, so they survive a killed controller.
    #[serde(default)]
    pub counted: Vec<IngressCounts>,
    /// What a restart left unchanged.
    pub unchanged: Vec<Unchanged>,
    /// Human-readable notes, such as clamped limits and reused images.
    pub notes: Vec<String>,
}

/// Traffic through the ingress during a rollout. `ingress::protocol::Counters` defines these counts. Requests between
/// components do not pass through the ingress and are not counted. Counts that an older version did not record are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Served {
    /// Requests that started during the rollout.
    pub requests: u64,
    /// Requests that were open when the rollout started.
    #[serde(default)]
    pub open_at_start: u64,
    pub failed: u64,
    pub app_errors: u64,
    pub client_gone: u64,
    /// Failed requests that the stop of an instance cut while they waited for or received a response.
    #[serde(default)]
    pub requests_cut: u64,
    /// Failed requests that the stop of an instance cut while they were sending a body.
    #[serde(default)]
    pub uploads_cut: u64,
    /// Upgraded connections that were open at the start of the rollout or opened during it.
    #[serde(default)]
    pub upgraded: u64,
    /// Upgraded connections that were cut.
    pub upgraded_cut: u64,
    pub slowest_us: u64,
    /// The real counts may be higher: an ingress process died, and its counts since the last reading are lost.
    #[serde(default)]
    pub at_least: bool,
}

/// Counts of one ingress process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressCounts {
    /// Id of one start of the process. Its counters start at zero.
    pub boot_id: String,
    pub served: Served,
}

/// What a restart left unchanged in one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchanged {
    pub component: ComponentName,
    pub image: String,
    /// A keyed hash, which shows only whether two environments are equal.
    pub environment_hash: String,
    pub revision: RevisionId,
}

/// One instance. Its row is written before its container is created and deleted after the container is removed.
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
    /// Its ports that are published on 127.0.0.1, with the port there. Chosen before its container is created. Empty if the
    /// host reaches the container's address, and in rows of older versions.
    #[serde(default)]
    pub published: BTreeMap<u16, u16>,
    /// Services that its container may find at the ingress, by `/etc/hosts`. Chosen before its container is created.
    #[serde(default)]
    pub calls: BTreeSet<String>,
    /// Set when the instance is created. `None` in rows of older versions; then the component's target has them.
    #[serde(default)]
    pub stop_times: Option<StopTimes>,
    /// Whether the engine's restart policy is on.
    pub kept_alive: bool,
    /// The engine's error if it refused to create or start the container.
    pub refused: Option<String>,
    pub created: Timestamp,
    /// The engine's id of the container. It identifies the container even after a rename. `None` until the controller has seen
    /// the container.
    #[serde(default)]
    pub container_id: Option<String>,
    /// Restarts after the process ended unexpectedly.
    #[serde(default)]
    pub restarts: Restarts,
}

impl Instance {
    /// Where this host reaches a port of the instance.
    pub fn reached_at(&self, port: u16) -> SocketAddr {
        match self.published.get(&port) {
            Some(published) => (Ipv4Addr::LOCALHOST, *published).into(),
            None => (self.address, port).into(),
        }
    }
}

/// How often the process ended unexpectedly and was started again, by the engine or by the controller.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Restarts {
    pub count: u64,
    /// The engine's restart count at the last reading. The engine resets it when a user starts the container.
    pub by_engine: u64,
    /// The most recent end.
    pub last: Option<LastEnd>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEnd {
    /// RFC 3339 time from the engine.
    pub at: String,
    /// Exit code, if known.
    pub code: Option<i64>,
    /// The kernel killed the process because it exceeded its memory limit.
    pub out_of_memory: bool,
}

/// One run of a job for one deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRun {
    pub deployment: DeploymentId,
    pub job: ComponentName,
    pub app: AppId,
    /// Name of the container.
    pub name: InstanceName,
    pub revision: RevisionId,
    pub address: Ipv4Addr,
    pub phase: JobPhase,
    pub since: Timestamp,
    /// Grace period between the stop signal and SIGKILL, set when the run is recorded. `None` in rows of older versions, which
    /// means the default.
    #[serde(default)]
    pub grace: Option<Duration>,
    /// A person canceled the run.
    #[serde(default)]
    pub cancel_requested: bool,
    /// The log was saved and the container was removed.
    pub collected: bool,
    /// See [`Instance::container_id`].
    #[serde(default)]
    pub container_id: Option<String>,
}

/// A database of an app. Stored sealed, because it contains the password.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Database {
    pub app: AppId,
    pub name: ComponentName,
    pub engine: String,
    pub version: String,
    /// The image that it was created from. Does not change.
    pub image: String,
    pub user: String,
    pub password: String,
    pub database: String,
    pub port: u16,
    pub address: Ipv4Addr,
    /// Name of the container.
    pub container: InstanceName,
    pub volume: String,
    /// Whether the active spec contains it. If not, it is stopped and its volume is kept.
    pub wanted: bool,
    /// Whether it has accepted a connection once. After that the controller only monitors it.
    pub created: bool,
    /// See [`Instance::container_id`]. The controller creates another container if this one was removed.
    #[serde(default)]
    pub container_id: Option<String>,
}

/// An image that was built, for reuse by an identical build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// Hash of the repository tree, the Dockerfile, the build arguments and the base image.
    pub identity: String,
    pub app: AppId,
    pub image: String,
    pub reference: String,
    pub commit: String,
    pub built: Timestamp,
}

/// Where an alert of an app would be sent. Stored sealed, because the address of a webhook is a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertDestinations {
    pub app: AppId,
    /// The id of the alert.
    pub alert: String,
    pub emails: Vec<String>,
    pub slack_webhooks: Vec<SlackWebhook>,
}

/// A webhook of Slack. Everyone who knows its address can post to the channel.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackWebhook {
    pub url: String,
    pub channel: String,
}

/// An accepted request. For 24 h the same key of the same caller returns the same deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// See [`Deployment::caller`].
    pub caller: String,
    /// The caller's `Idempotency-Key`.
    pub key: String,
    /// The deployment that the request started.
    pub deployment: DeploymentId,
    pub created: Timestamp,
}

/// How long an idempotency key is valid. Our choice.
pub const IDEMPOTENCY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// One change. A commit applies a list of changes completely or not at all.
#[derive(Clone)]
pub enum Change {
    App(App),
    ForgetApp(AppId),
    Deployment(Box<Deployment>),
    /// Also deletes its job runs and the transitions of instances.
    ForgetDeployment(DeploymentId),
    Instance(Instance),
    ForgetInstance(InstanceName),
    /// A transition that is already on record stays as it is.
    Transition(Box<InstanceTransition>),
    Revision(Revision),
    ForgetRevision(AppId, RevisionId),
    JobRun(JobRun),
    Database(Database),
    ForgetDatabase(AppId, ComponentName),
    BuiltImage(BuiltImage),
    ForgetBuiltImage(String),
    AlertDestinations(AlertDestinations),
    /// By the id of the alert.
    ForgetAlertDestinations(AppId, String),
    /// A key that is already in use fails the whole commit.
    Idempotency(Idempotency),
    Token(Token),
    /// By the id of the token.
    ForgetToken(String),
    Session(Session),
    /// Deletes the session of the panel with this id.
    ForgetSession(String),
    HostLogin(HostLogin),
    ForgetHostLogin(LoginKind, String),
    Certificate(Box<Certificate>),
    /// By the name for which it was added.
    ForgetCertificate(String),
    CertificateAttempts(CertificateAttempts),
    /// By the name.
    ForgetCertificateAttempts(String),
    AcmeAccount(AcmeAccount),
    Webhook(Webhook),
    /// Deletes the webhook with this name and its deliveries.
    ForgetWebhook(String),
    /// Deletes the oldest rows beyond [`AUDIT_ROWS`].
    Audit(Box<AuditEntry>),
}

/// All records of one app except its older deployments.
#[derive(Clone)]
pub struct AppState {
    pub app: App,
    /// Running deployments, those that [`App::needs`] names, and the newest one.
    pub deployments: Vec<Deployment>,
    pub instances: Vec<Instance>,
    pub revisions: Vec<Revision>,
    pub job_runs: Vec<JobRun>,
    pub databases: Vec<Database>,
}

impl AppState {
    /// An app without deployments.
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

    /// Targets of services and workers while no rollout is running.
    pub fn targets_in_force(&self) -> &[Target] {
        let active = self.deployments.iter().find(|it| Some(&it.id) == self.app.active.as_ref());
        match (&self.app.kept, active) {
            (Some(kept), _) => &kept.targets,
            (None, active) => active.and_then(|it| it.targets.as_deref()).unwrap_or_default(),
        }
    }

    /// Drain and grace periods of an instance. Rows of older versions lack them. Then the target that the instance was
    /// created for provides them, or else the newest target of its component.
    pub fn stop_times(&self, instance: &Instance) -> StopTimes {
        let of = |it: &&Deployment| {
            let target = it.targets.iter().flatten().find(|target| target.component == instance.component)?;
            Some(target.timing.stop_times())
        };
        let created_by = self.deployments.iter().find(|it| it.id == instance.deployment);
        let by_target =
            || created_by.as_ref().and_then(of).or_else(|| self.deployments.iter().rev().find_map(|it| of(&it)));
        instance.stop_times.or_else(by_target).unwrap_or_default()
    }

    /// The recorded containers: the name that each was created with, and its id if known.
    pub fn containers(&self) -> impl Iterator<Item = (&InstanceName, Option<&str>)> {
        let instances = self.instances.iter().map(|it| (&it.name, it.container_id.as_deref()));
        let runs = self.job_runs.iter().filter(|it| !it.collected);
        let runs = runs.map(|it| (&it.name, it.container_id.as_deref()));
        let databases = self.databases.iter().map(|it| (&it.container, it.container_id.as_deref()));
        instances.chain(runs).chain(databases)
    }

    /// Whether the active deployment and the revisions of all instances could be read. If not, the controller must not
    /// act on this state: without the deployment it would treat all instances as unneeded, and without its revision an
    /// instance cannot be routed.
    pub fn is_complete(&self) -> bool {
        let is_present = |id: &DeploymentId| self.deployments.iter().any(|it| it.id == *id);
        let has_revision = |it: &Instance| self.revisions.iter().any(|revision| revision.id == it.revision);
        self.app.active.as_ref().is_none_or(is_present) && self.instances.iter().all(has_revision)
    }
}

impl std::fmt::Debug for SlackWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hidden = format_args!("hidden");
        f.debug_struct("SlackWebhook").field("url", &hidden).field("channel", &self.channel).finish()
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
