//! The controller's answers: records, joined for one request.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub use data_dir::DiskSpace;
use engine::ProcessCount;
pub use engine::{RegistryLogin, Secret};
pub use ingress::protocol::{ComponentCounts, LATENCY_BOUNDS_US};
pub use rollout::app_rollback::{Condition, RollbackCheck};
use rollout::deployment::{Failure, Stage};
use rollout::ids::{AppId, ComponentName, DeploymentId, InstanceName, RevisionId};
use rollout::instance::InstancePhase;
use rollout::progress::Progress;
use rollout::queue::Build;
use rollout::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
/// Values that records contain and that callers get unchanged.
pub use store::records::{
    AUDIT_ROWS, Actor, AuditEntry, CertificateSource, Delivery, DeliveryApp, Image, LastEnd, Served, SiteContent,
    SlackWebhook, TokenApp, TokenScope, Transition, Unchanged,
};
use store::records::{Deployment, RollbackAction};

use crate::app::Waits;
pub use crate::caller::{AuditDraft, Caller};
use crate::config::Reach;
pub use crate::sessions::LIFETIME as SESSION_LIFETIME;
pub use crate::sign_in_links::LIFETIME as SIGN_IN_LINK_LIFETIME;
pub use crate::tokens::Expiry;

/// An app with the deployments that clients show.
#[derive(Debug, Clone)]
pub struct AppView {
    /// The app's id.
    pub id: AppId,
    /// The app's name, unique among the apps that are not being deleted.
    pub name: String,
    /// The newest spec as App Platform's JSON, with secrets as `EV[…]`.
    pub spec: Value,
    /// When the app was created.
    pub created: Timestamp,
    /// When the spec was last updated.
    pub updated: Timestamp,
    /// The app is being deleted. Only [`crate::Control::status`] returns such an app.
    pub deleting: bool,
    /// The active deployment.
    pub active: Option<DeploymentView>,
    /// The deployment that is being built or rolled out; the one that is rolled out if there are both.
    pub in_progress: Option<DeploymentView>,
    /// The pending deployment.
    pub pending: Option<DeploymentView>,
    /// The newest deployment, in any stage.
    pub newest: Option<DeploymentView>,
    /// The rollback that waits for a commit or a revert. Until then the app takes no new deployment except restarts.
    pub pinned: Option<DeploymentView>,
    /// The URL that every app has: `http://<app>.localhost:<port>`, with the port of the ingress.
    pub default_url: String,
    /// The URL of the PRIMARY domain, else `default_url`.
    pub live_url: String,
    /// The host name of `live_url`, without the port.
    pub live_domain: String,
    /// The domains of the newest spec, in its order.
    pub domains: Vec<DomainView>,
    /// How many instances of services and workers are ready.
    pub ready: usize,
    /// How many instances the active deployment wants.
    pub wanted: usize,
    /// Sentences: what the app waits for, with or without a deployment in progress.
    pub waiting: Vec<String>,
}

/// A domain of an app.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainView {
    /// Stays the same while the app has the domain.
    pub id: String,
    /// The domain in the app's spec.
    pub spec: Value,
    /// Whether the domain can be used.
    pub phase: DomainPhase,
    /// Why it cannot be used yet.
    pub reason: Option<String>,
    /// When its certificate expires.
    pub certificate_expires: Option<Timestamp>,
}

/// Whether a domain can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainPhase {
    /// No deployment with it serves yet.
    Pending,
    /// It has no certificate yet.
    Configuring,
    /// It answers, and has a certificate if the ingress listens for HTTPS.
    Active,
    /// It has no certificate, and the last attempt to get one failed.
    Error,
}

/// One deployment with what it waits for.
#[derive(Debug, Clone)]
pub struct DeploymentView {
    /// The deployment's id.
    pub id: DeploymentId,
    /// The app that it deploys.
    pub app: AppId,
    /// 1, 2, 3 … within the app.
    pub number: u64,
    /// Where it stands.
    pub stage: Stage,
    /// When it reached the stage.
    pub stage_since: Timestamp,
    /// When it was accepted.
    pub created: Timestamp,
    /// When its record last changed.
    pub updated: Timestamp,
    /// What was requested.
    pub kind: DeploymentKind,
    /// It failed after it had replaced instances, and the previous version serves again or will.
    pub rolled_back: bool,
    /// Why it was started, for people: "app spec updated", "restart of web, api".
    pub cause: String,
    /// The token of the request that started it; `None` in records of older versions.
    pub actor: Option<Actor>,
    /// A request that it carries out replaced the app's spec.
    pub updates_spec: bool,
    /// The spec, with secrets as `EV[…]`.
    pub spec: Value,
    /// The deployment that was active when this one was accepted.
    pub previous: Option<DeploymentId>,
    /// The deployment that this one copies: a restart what serves, a rollback of the app an earlier deployment.
    pub cloned_from: Option<DeploymentId>,
    /// The deployment that replaced this one before it was active.
    pub superseded_by: Option<DeploymentId>,
    /// Images by component, as far as they are ready.
    pub images: BTreeMap<ComponentName, Image>,
    /// The progress of each step.
    pub progress: Progress,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Last lines of the instance or job that failed.
    pub log_tail: Vec<String>,
    /// What the record reports about the rollout.
    pub rollout: RolloutView,
    /// Sentences: what the deployment waits for, and until when. Empty if it has ended.
    pub waiting: Vec<String>,
}

/// What a deployment was requested to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentKind {
    /// Replace instances with exact copies.
    Restart,
    /// Replace what changed.
    Deploy,
    /// Build all images again, and replace what changed.
    Rebuild,
    /// Return the app to an earlier deployment.
    Rollback,
    /// Undo a rollback of the app.
    Revert,
}

/// What a deployment's record reports about its rollout.
#[derive(Debug, Clone, Default)]
pub struct RolloutView {
    /// When the ingress acknowledged the last route.
    pub serving_since: Option<Timestamp>,
    /// When the rollout began.
    pub began: Option<Timestamp>,
    /// When the rollout ended.
    pub ended: Option<Timestamp>,
    /// The rollout failed and the previous version could not be restored. The notes say what serves instead.
    pub rollback_abandoned: bool,
    /// Traffic through the ingress during the rollout.
    pub served: Option<Served>,
    /// What a restart left unchanged.
    pub unchanged: Vec<Unchanged>,
    /// Notes for people, such as clamped limits and reused images.
    pub notes: Vec<String>,
}

impl DeploymentView {
    /// A deployment as recorded, with its waits from those that the app's task last published.
    pub(crate) fn new(it: Deployment, waits: &Waits) -> Self {
        // The app's task publishes the waits after the record, so they may be briefly out of date.
        let waiting = waits.deployments.get(&it.id).filter(|_| !it.stage.is_ended()).cloned().unwrap_or_default();
        Self {
            kind: kind(&it),
            rolled_back: is_rolled_back(&it),
            rollout: RolloutView {
                serving_since: it.record.serving_since,
                began: it.record.roll_began,
                ended: it.record.roll_ended,
                rollback_abandoned: it.record.rollback_abandoned,
                served: it.record.served,
                unchanged: it.record.unchanged,
                notes: it.record.notes,
            },
            waiting,
            id: it.id,
            app: it.app,
            number: it.number,
            stage: it.stage,
            stage_since: it.stage_since,
            created: it.created,
            updated: it.updated,
            cause: it.cause,
            actor: it.actor,
            updates_spec: it.updates_spec,
            spec: it.spec,
            previous: it.previous,
            cloned_from: it.cloned_from,
            superseded_by: it.superseded_by,
            images: it.images,
            progress: it.progress,
            failure: it.failure,
            log_tail: it.log_tail,
        }
    }
}

fn kind(it: &Deployment) -> DeploymentKind {
    // A new spec that was merged into a rollback is an update.
    let rollback = it.app_rollback.as_ref().filter(|_| !it.updates_spec).map(|it| it.action);
    match (rollback, it.request.build) {
        (Some(RollbackAction::Rollback), _) => DeploymentKind::Rollback,
        (Some(RollbackAction::Revert), _) => DeploymentKind::Revert,
        (None, Build::Frozen) => DeploymentKind::Restart,
        (None, Build::KeepSources | Build::Recorded | Build::Reuse) => DeploymentKind::Deploy,
        (None, Build::Force | Build::ForceWithoutCache) => DeploymentKind::Rebuild,
    }
}

/// A restart is not rolled back, because its new instances equal the old ones.
fn is_rolled_back(it: &Deployment) -> bool {
    let failed = matches!(it.stage, Stage::RollingBack | Stage::Failed);
    let replaced = it.record.roll_began.is_some() && it.previous.is_some();
    failed && replaced && it.request.build != Build::Frozen && !it.record.rollback_abandoned
}

/// One instance, database or job run.
#[derive(Debug, Clone, Serialize)]
pub struct InstanceView {
    /// Name of the container.
    pub instance_name: InstanceName,
    /// The component that it belongs to.
    pub component_name: ComponentName,
    /// "SERVICE", "WORKER", "JOB" or "DATABASE".
    pub component_type: &'static str,
    /// `COMPONENT-INDEX`.
    pub instance_alias: String,
    /// Phase of the instance; `None` for databases and job runs.
    pub phase: Option<InstancePhase>,
    /// The engine's id of the container, if known.
    pub container_id: Option<String>,
    /// When the engine last started the process, RFC 3339.
    pub started_at: Option<String>,
    /// How often the process exited by itself and was restarted.
    pub restarts: u64,
    /// The last exit of the process.
    pub last_end: Option<LastEnd>,
    /// Number of processes and threads, if the container runs and the engine counts them.
    pub processes: Option<ProcessCount>,
}

/// What happened to an instance at one moment of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceTransition {
    /// Name of the container.
    pub instance_name: InstanceName,
    /// The component that it belongs to.
    pub component_name: ComponentName,
    /// "SERVICE" or "WORKER".
    pub component_type: &'static str,
    /// `COMPONENT-INDEX`.
    pub instance_alias: String,
    /// The index of the alias.
    pub slot: u32,
    /// Number of the deployment that created the instance, if it is on record.
    pub deployment_number: Option<u64>,
    /// Identity of what the instance runs.
    pub revision: RevisionId,
    /// Restart generation of the instance.
    pub generation: u64,
    /// An earlier deployment created the instance.
    pub existed_before: bool,
    /// What happened.
    pub transition: Transition,
    /// When it happened.
    pub at: Timestamp,
}

/// An alert of an app's spec with its destinations. Nothing sends it.
#[derive(Debug, Clone)]
pub struct AlertView {
    /// The same as long as the component has the same rule.
    pub id: String,
    /// The component that the alert watches; `None`: the app.
    pub component: Option<String>,
    /// The alert as the spec has it.
    pub spec: Value,
    /// Email addresses.
    pub emails: Vec<String>,
    /// Webhooks, whose addresses are secrets.
    pub slack_webhooks: Vec<SlackWebhook>,
}

/// One run of a job.
#[derive(Debug, Clone)]
pub struct JobInvocationView {
    /// Derived from the deployment and the job, so that it never changes.
    pub id: String,
    /// The job's name.
    pub job: ComponentName,
    /// The deployment that ran it.
    pub deployment: DeploymentId,
    /// Where it stands.
    pub phase: JobInvocationPhase,
    /// When the run was recorded.
    pub created: Timestamp,
    /// When its container began to start.
    pub started: Option<Timestamp>,
    /// When its end was recorded.
    pub completed: Option<Timestamp>,
}

/// Whether a service or worker has its instances, and how much of their limits these use.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentHealthView {
    /// The component's name.
    pub component: ComponentName,
    /// CPU time in percent of the limit, measured over a second, as the average of the running instances.
    pub cpu_percent: f64,
    /// Memory in percent of the limit, as the average of the running instances.
    pub memory_percent: f64,
    /// How many instances the app wants.
    pub replicas_desired: u32,
    /// How many instances are ready. During a rollout there can be more than wanted.
    pub replicas_ready: usize,
}

/// CPU and memory of one service instance, worker instance or database over the last hour.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceUsage {
    /// Name of the container. The container may be gone already.
    pub instance_name: InstanceName,
    /// The component that it belongs to.
    pub component_name: ComponentName,
    /// `COMPONENT-INDEX`, or the name of a database. Instances that follow each other in one place have the same alias.
    pub instance_alias: String,
    /// The memory limit.
    pub memory_limit_bytes: u64,
    /// Oldest first, about every 15 s.
    pub samples: Vec<UsageSample>,
}

/// What an instance used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsageSample {
    /// When it was measured.
    pub at: Timestamp,
    /// CPU time since the sample before, in percent of the limit.
    pub cpu_percent: f64,
    /// Memory in bytes, without files that the kernel can drop from its cache.
    pub memory_bytes: u64,
    /// Memory in percent of the limit.
    pub memory_percent: f64,
}

/// What the ingress counted for an app during one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficSample {
    /// The end of the interval.
    pub at: Timestamp,
    /// The length of the interval. Intervals differ in length, so divide the counts by it to compare samples.
    pub over: Duration,
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that ended with a 502, 503 or 504 of the ingress, or with a body that was cut off.
    pub failed: u64,
    /// 5xx responses of the app.
    pub app_errors: u64,
}

/// The host, its engine, and the images of this installation.
#[derive(Debug, Clone)]
pub struct HostView {
    /// Boatyard's version.
    pub version: &'static str,
    /// The installation's id, which is part of every name on the engine.
    pub installation_id: String,
    /// The container engine, or why it does not answer.
    pub engine: Result<HostEngine, String>,
    /// The file system of the data directory; `None` if the system does not report it in time.
    pub disk: Option<DiskSpace>,
    /// The images that apps use or used, or why they cannot be listed.
    pub images: Result<Vec<HostImage>, String>,
}

/// The container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEngine {
    /// The engine's version.
    pub version: String,
    /// The version of its API.
    pub api_version: String,
    /// The CPUs of its host.
    pub cpus: u32,
    /// The memory of its host.
    pub memory_bytes: u64,
    /// How this host connects to new instances.
    pub reach: Reach,
    /// The limits that the engine cannot apply to containers.
    pub missing_limits: Vec<&'static str>,
}

/// An image on the engine that an app serves, or that was built for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostImage {
    /// The tag.
    pub reference: String,
    /// Size of all its layers. Images that share layers count them once each.
    pub size_bytes: u64,
    /// When it was built.
    pub created: Timestamp,
    /// The app's name; `None`: the image was built for an app that is not on record.
    pub app: Option<String>,
    /// The component; `None` if the app is not on record.
    pub component: Option<ComponentName>,
    /// Whether what serves now runs it. A restart needs it, and a rollback may need the others.
    pub serves: bool,
}

/// How the components of an app connect to one of its databases. Contains the password, so it has no `Debug`.
#[derive(Clone)]
pub struct DatabaseConnectionView {
    /// The name of the database component.
    pub component: ComponentName,
    /// The host name, which only the app's network knows.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
    /// The name of the database inside the server.
    pub database: String,
    /// All of the above as a URL.
    pub url: String,
}

/// Where a run of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are the clients' own")]
pub enum JobInvocationPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

/// One page of a longer list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many items the whole list has.
    pub total: u64,
}

impl<T> Page<T> {
    /// One page of a list that is at hand. Empty after the end of the list.
    pub fn of(all: Vec<T>, query: PageQuery) -> Self {
        let total = all.len() as u64;
        let before = query.page.saturating_sub(1).saturating_mul(query.per_page);
        let (before, length) = (usize::try_from(before), usize::try_from(query.per_page));
        let items = all.into_iter().skip(before.unwrap_or(usize::MAX)).take(length.unwrap_or(usize::MAX));
        Self { items: items.collect(), total }
    }
}

/// The requested page.
#[derive(Debug, Clone, Copy)]
pub struct PageQuery {
    /// Page number, from 1.
    pub page: u64,
    /// Items per page, 1 to 200.
    pub per_page: u64,
}

/// A created token, without the token itself, which is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// A UUID.
    pub id: String,
    /// Unique among the tokens.
    pub name: String,
    /// What it may do.
    pub scope: TokenScope,
    /// The only app that it may use; `None`: all apps.
    pub app: Option<TokenApp>,
    /// When it was created.
    pub created: Timestamp,
    /// When it expires; `None`: never.
    pub expires: Option<Timestamp>,
    /// Time until it expires, by the controller's clock; `None`: it never does. Zero: it has, and is not accepted.
    pub remaining: Option<Duration>,
}

impl TokenView {
    /// Whether it has expired.
    pub fn is_expired(&self) -> bool {
        self.remaining == Some(Duration::ZERO)
    }
}

/// A login for a registry of images, without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLoginView {
    /// The host, as in the name of an image.
    pub host: String,
    /// The user.
    pub username: String,
    /// When it was added or replaced.
    pub added: Timestamp,
}

/// The certificate of a host name, without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// The host name, or `*.` before one.
    pub name: String,
    /// The app that has the host name.
    pub app: Option<String>,
    /// Where the certificate comes from; `None` if there is none.
    pub source: Option<CertificateSource>,
    /// All names that the certificate is valid for.
    pub names: Vec<String>,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// Whether the name has one, and gets another.
    pub state: CertificateState,
    /// When it is renewed, or when the next attempt begins.
    pub next_attempt: Option<Timestamp>,
    /// Why the last attempt failed, or why there is no attempt.
    pub reason: Option<String>,
}

/// What metrics report about the installation.
#[derive(Debug, Clone, Default)]
pub struct MetricsView {
    /// The names of the apps.
    pub names: BTreeMap<AppId, String>,
    /// How many deployments have ended with each result, since this process started.
    pub deployments: Vec<(AppId, &'static str, u64)>,
    /// How many processes exited by themselves and were restarted, since this process started.
    pub restarts: Vec<(AppId, ComponentName, u64)>,
    /// `None` if the ingress does not answer, or is of a version that does not count these.
    pub ingress: Option<IngressMetrics>,
}

/// What the ingress counted since it started.
#[derive(Debug, Clone, Default)]
pub struct IngressMetrics {
    /// By app and component.
    pub components: BTreeMap<AppId, BTreeMap<String, ComponentCounts>>,
    /// Bytes sent to clients.
    pub sent_bytes: BTreeMap<AppId, u64>,
    /// What was refused before its app was known, by the code of the refusal.
    pub refusals: BTreeMap<String, u64>,
    /// Lines of the access log that were dropped.
    pub log_lines_dropped: u64,
}

/// Whether a host name has a certificate, and gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateState {
    /// No app has the host name, or the ingress does not listen for HTTPS.
    Unused,
    /// A certificate is being ordered.
    Ordering,
    /// It is renewed in time.
    Valid,
    /// It is valid, but the last attempt to renew it failed.
    RenewalFailed,
    /// There is no valid certificate.
    Failed,
}

/// A request for a token.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// 1 to 64 letters, digits and `-_.`.
    pub name: String,
    /// What it may do.
    pub scope: TokenScope,
    /// Id or name of the only app that it may use; `None`: all apps.
    pub app: Option<String>,
    /// When it expires.
    pub expires: Expiry,
}

/// A token that was just created. Nothing can show the token again.
pub struct CreatedToken {
    /// The token.
    pub token: String,
    /// What is on record about it.
    pub view: TokenView,
}

/// A login for a git server, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLoginView {
    /// The host, with a port if it is not the usual one of the protocol.
    pub host: String,
    /// What it is used for.
    pub protocol: SourceProtocol,
    /// The user name that is sent with a token; `None` for ssh, where the address of a repository has it.
    pub user: Option<String>,
    /// The fingerprints of the pinned ssh host keys.
    pub host_keys: Vec<String>,
    /// When it was added.
    pub added: Timestamp,
}

/// How repositories are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceProtocol {
    /// By https, with a token.
    Https,
    /// By ssh, with a key.
    Ssh,
}

/// A request for a login for a git server. Not `Debug`, because it contains a secret.
pub struct NewSourceLogin {
    /// The host, with an optional port.
    pub host: String,
    /// The login.
    pub secret: SourceSecret,
}

/// What to log in with.
pub enum SourceSecret {
    /// By https.
    Token {
        /// `None`: the usual one of the host.
        user: Option<String>,
        /// The token.
        token: String,
    },
    /// By ssh.
    SshKey {
        /// The private key.
        private_key: String,
        /// The fingerprints of the host's keys. Empty: those that the host publishes, if Boatyard knows them.
        host_keys: Vec<String>,
    },
    /// The key stays, and these are the host's keys from now on.
    HostKeys(Vec<String>),
}

/// The key that an ssh server presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyView {
    /// The host, with a port if it is not 22.
    pub host: String,
    /// The fingerprint of its key.
    pub fingerprint: String,
}

/// A webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookView {
    /// The last part of its address.
    pub name: String,
    /// The only app that it may deploy; `None`: all apps that use the repository of a push.
    pub app: Option<TokenApp>,
    /// That app was deleted, so the webhook deploys nothing.
    pub app_deleted: bool,
    /// When it was added.
    pub created: Timestamp,
    /// Where hosts reach it. `None`: `serve` has no host name for webhooks now.
    pub address: Option<String>,
    /// How many deliveries were refused since `serve` started, because their signature was wrong.
    pub refused: u64,
    /// The newest deliveries, newest first. Only in lists.
    pub deliveries: Vec<Delivery>,
}

/// A request for a webhook.
pub struct NewWebhook {
    /// 1 to 64 letters, digits and `-_.`.
    pub name: String,
    /// Id or name of the only app that it may deploy; `None`: all apps.
    pub app: Option<String>,
    /// `None`: a new one is generated.
    pub secret: Option<String>,
}

/// A webhook that was just added. Nothing can show the secret again.
pub struct CreatedWebhook {
    /// The secret, for the settings of the host.
    pub secret: String,
    /// What is on record about it.
    pub view: WebhookView,
}

/// A request to the address of a webhook.
pub struct WebhookRequest {
    /// The last part of the address.
    pub name: String,
    /// Its headers.
    pub headers: hyper::HeaderMap,
    /// Its body, which nothing has parsed.
    pub body: bytes::Bytes,
}

/// The answer to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookAnswer {
    /// There is no such webhook, or the signature is wrong. The sender does not learn which.
    Refused,
    /// The signature is right, but the body cannot be read. The sentence says why.
    Unreadable(String),
    /// Nothing is left to do. The sentence says why.
    Done(String),
    /// The sentence says which apps will be looked at.
    Accepted(String),
}

/// A session of the panel that has not ended, without its secret, which is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// A UUID.
    pub id: String,
    /// Hash of the token that the session belongs to.
    pub token_hash: String,
    /// The created token that the session belongs to; `None`: the admin token.
    pub token: Option<TokenView>,
    /// The address that the person signed in from. Behind a proxy it is the proxy's.
    pub source: Option<IpAddr>,
    /// When the person signed in.
    pub created: Timestamp,
    /// When the session was last used, to a few minutes.
    pub used: Timestamp,
    /// When it ends, unless it is used before: 8 hours after its last use, 7 days after the sign-in at the latest, and never
    /// after its token.
    pub expires: Timestamp,
    /// Time until it ends, by the controller's clock.
    pub remaining: Duration,
}

/// A session that was just started. Nothing can show its secret again.
pub struct CreatedSession {
    /// The secret, for the cookie.
    pub secret: String,
    /// What is on record about it.
    pub view: SessionView,
}

/// Options of a new spec.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpdateOptions {
    /// Deploy the newest version of every source, even if the spec is equal. Otherwise components whose source stays the
    /// same keep the commit or image that serves.
    pub update_sources: bool,
    /// Refuse the update if the app has another spec than this one meanwhile. `None`: replace any spec.
    pub replaces: Option<SpecVersion>,
}

/// Identifies a stored spec. It reveals nothing about secrets, because they are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecVersion([u8; 32]);

impl SpecVersion {
    /// The version of [`AppView::spec`] or [`DeploymentView::spec`].
    pub fn of(stored: &Value) -> Self {
        Self(Sha256::digest(stored.to_string()).into())
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Options of a rollback of an app.
#[derive(Debug, Clone, Copy, Default)]
pub struct RollbackOptions {
    /// Commit the rollback at once: the app takes new deployments.
    pub skip_pin: bool,
}

/// Options of a new deployment.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeployOptions {
    /// Build even if an image exists, and roll it out.
    pub force_build: bool,
    /// Run every build step again; implies `force_build`.
    pub clear_cache: bool,
}

/// Kind of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// Logs of a deployment's builds.
    Build,
    /// Logs of a deployment's jobs, and of an instance that did not become ready.
    Deploy,
    /// Logs of running instances. For a job the same as [`LogKind::Deploy`].
    Run,
    /// Logs of instances before the engine or the controller last restarted them.
    RunRestarted,
}

/// A request for logs.
#[derive(Debug, Clone)]
pub struct LogRequest {
    /// The app.
    pub app: AppId,
    /// The deployment; `None`: the active one, or the newest if none is active. For logs of instances, `None` means all
    /// instances of the app.
    pub deployment: Option<DeploymentId>,
    /// The component; `None`: all, each line with the name of its component.
    pub component: Option<String>,
    /// The kind of logs.
    pub kind: LogKind,
    /// Keep sending new lines as they arrive.
    pub follow: bool,
    /// Only this many of the last existing lines; `None`: all.
    pub tail: Option<usize>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Name of the component: `web`.
    pub component: String,
    /// Time of the line, RFC 3339.
    pub timestamp: String,
    /// The line without its line end, with control characters escaped.
    pub text: String,
}

/// A source of an app: what a deployment of the newest version would build, and what serves now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceHeadView {
    /// The components that use the source, each with the commit that it serves now, if it has one.
    pub components: Vec<(ComponentName, Option<String>)>,
    /// Where the source is.
    pub location: SourceLocation,
    /// What the components would be built with at the newest commit.
    pub builds: Vec<BuildPlanView>,
    /// Why the newest commit cannot be built, as far as that shows before a build. One sentence for each component.
    pub problems: Vec<String>,
}

/// What a component would be built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlanView {
    /// The component.
    pub component: ComponentName,
    /// Its directory in the repository; empty for the root.
    pub source_dir: String,
    /// What it would be built with.
    pub with: BuiltWith,
}

/// What a component would be built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuiltWith {
    /// A Dockerfile of the repository.
    Dockerfile {
        /// Its path.
        path: String,
        /// Why no Dockerfile was generated, although the spec has an `environment_slug`.
        undetected: Option<String>,
    },
    /// A Dockerfile that was generated for the detected language.
    Generated {
        /// The language.
        language: String,
        /// The slug of App Platform's for the language, if there is one.
        slug: Option<String>,
        /// Each decision with its reason, as `package manager pnpm (pnpm-lock.yaml)`.
        findings: Vec<String>,
        /// The start command of the image; `None` if the spec has a `run_command`, and for static files.
        start: Option<String>,
        /// The Dockerfile.
        dockerfile: String,
    },
}

/// Where a source is, and its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceLocation {
    /// A git repository.
    Repository {
        /// Its address, which contains no login.
        address: String,
        /// The branch; `None`: the default branch, whose name is not known.
        branch: Option<String>,
        /// The newest commit of the branch, or a sentence that says why it could not be looked up.
        newest: Result<CommitView, String>,
    },
    /// A prebuilt image. No registry is asked for its newest version.
    Image {
        /// The image, without its tag or digest.
        name: String,
        /// The tag or the digest.
        version: String,
    },
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitView {
    /// All 40 digits of its id.
    pub id: String,
    /// The first line of its message, at most 200 characters.
    pub subject: String,
    /// When it was written, by its author's clock.
    pub authored: Timestamp,
    /// It is checked out in a work tree on this host with uncommitted changes, which a build does not contain.
    pub uncommitted: bool,
}

/// How the instances of a service or worker would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceChanges {
    /// The component.
    pub component: ComponentName,
    /// How many instances are created.
    pub created: usize,
    /// How many instances are stopped and removed.
    pub removed: usize,
}

/// What a request would do, before it does it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Preview {
    /// One line for each field that differs from the active deployment's spec, or from the app's spec if no deployment
    /// was ever active, as `~ services.web.instance_count: 1 → 2`. Empty for a new app. Values of SECRET variables and
    /// credentials are hidden; other values are shown.
    pub changes: Vec<String>,
    /// One sentence per step, in order.
    pub steps: Vec<String>,
    /// The services and workers whose instances change, in the order in which a deployment takes them. The ones that are
    /// removed come last.
    pub instances: Vec<InstanceChanges>,
    /// Variables that need a value before the request can run, each with its path.
    pub needs_values: Vec<String>,
}
