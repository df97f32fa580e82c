//! The controller's answers: records, joined for one request.

use engine::ProcessCount;
use rollout::ids::{AppId, ComponentName, DeploymentId, InstanceName};
use rollout::instance::InstancePhase;
use serde::Serialize;
use store::records::{App, Deployment, LastEnd};

/// An app with the deployments that clients show.
#[derive(Debug, Clone)]
pub struct AppView {
    /// The app.
    pub app: App,
    /// The active deployment.
    pub active: Option<Deployment>,
    /// The deployment that is being built or rolled out; the one that is rolled out if there are both.
    pub in_progress: Option<Deployment>,
    /// The pending deployment.
    pub waiting: Option<Deployment>,
    /// The newest deployment, in any stage.
    pub newest: Option<Deployment>,
    /// The app's URL: `http://<app>.localhost:<port>`, with the port of the ingress.
    pub live_url: String,
    /// The host name of `live_url`, without the port.
    pub live_domain: String,
    /// How many instances of services and workers are ready.
    pub ready: usize,
    /// How many instances the active deployment wants.
    pub wanted: usize,
    /// What the app waits for, with or without a deployment in progress.
    pub waiting_for: Vec<String>,
}

/// One deployment with what it waits for.
#[derive(Debug, Clone)]
pub struct DeploymentView {
    /// The deployment.
    pub deployment: Deployment,
    /// Sentences: what the deployment waits for, and until when. Empty if it has ended.
    pub waiting: Vec<String>,
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

/// One page of a longer list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many items the whole list has.
    pub total: u64,
}

/// The requested page.
#[derive(Debug, Clone, Copy)]
pub struct PageQuery {
    /// Page number, from 1.
    pub page: u64,
    /// Items per page, 1 to 200.
    pub per_page: u64,
}

/// The caller of a request. Equal requests of one caller are recognised by these fields.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Hash of the caller's token.
    pub token_hash: String,
    /// The `Idempotency-Key` header, if sent.
    pub idempotency_key: Option<String>,
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
    /// Logs of a deployment's jobs, and the last lines of instances that did not become ready.
    Deploy,
    /// Logs of running instances.
    Run,
    /// Logs of instances before the engine last restarted them.
    RunRestarted,
}

/// A request for logs.
#[derive(Debug, Clone)]
pub struct LogRequest {
    /// The app.
    pub app: AppId,
    /// The deployment; `None`: the active one, or the newest if none is active.
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

/// What a request would do, before it does it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Preview {
    /// One line for each field that differs from the active deployment's spec, or from the app's spec if no deployment
    /// was ever active, as `~ services.web.instance_count: 1 → 2`. Empty for a new app. Values of SECRET variables and
    /// credentials are hidden; other values are shown.
    pub changes: Vec<String>,
    /// One sentence per step, in order.
    pub steps: Vec<String>,
    /// Variables that need a value before the request can run, each with its path.
    pub needs_values: Vec<String>,
}
