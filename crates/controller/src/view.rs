//! What the controller answers: records as they are, joined for one question.

use engine::ProcessCount;
use rollout::ids::{AppId, ComponentName, DeploymentId, InstanceName};
use rollout::instance::InstancePhase;
use serde::Serialize;
use store::records::{App, Deployment, LastEnd};

/// An app with the deployments that clients ask for.
#[derive(Debug, Clone)]
pub struct AppView {
    /// The app.
    pub app: App,
    /// The one that serves.
    pub active: Option<Deployment>,
    /// The one that is built or rolled; the rolling one where both are under way.
    pub in_progress: Option<Deployment>,
    /// The one in the waiting place.
    pub waiting: Option<Deployment>,
    /// The newest one, whatever became of it.
    pub newest: Option<Deployment>,
    /// `http://<app>.localhost:<port>`, where the ingress listens.
    pub live_url: String,
    /// Host part of the same, without port.
    pub live_domain: String,
    /// Instances, as they stand.
    pub instances: Vec<InstanceView>,
    /// How many instances of services and workers serve.
    pub ready: usize,
    /// How many the deployment that serves wants.
    pub wanted: usize,
    /// What the app waits for, whether a deployment is under way or not.
    pub waiting_for: Vec<String>,
}

/// One deployment with what it waits for.
#[derive(Debug, Clone)]
pub struct DeploymentView {
    /// The deployment.
    pub deployment: Deployment,
    /// Why-lines: what is waited for and until when. Empty when it has ended.
    pub waiting: Vec<String>,
}

/// One instance, database or job run as people see it.
#[derive(Debug, Clone, Serialize)]
pub struct InstanceView {
    /// Its container's name.
    pub instance_name: InstanceName,
    /// Whose it is.
    pub component_name: ComponentName,
    /// "SERVICE", "WORKER", "JOB" or "DATABASE".
    pub component_type: &'static str,
    /// `COMPONENT-INDEX`.
    pub instance_alias: String,
    /// Where it stands; `None` for what has no phases of ours.
    pub phase: Option<InstancePhase>,
    /// The engine's id of its container, where it is known.
    pub container_id: Option<String>,
    /// When its process was started, RFC 3339, as the engine says.
    pub started_at: Option<String>,
    /// How often its process ended by itself and was started again.
    pub restarts: u64,
    /// How it ended last.
    pub last_end: Option<LastEnd>,
    /// How many processes and threads it has, where it runs and the engine counts them.
    pub processes: Option<ProcessCount>,
}

/// One page of a longer list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// This page's part.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}

/// Which page is wanted.
#[derive(Debug, Clone, Copy)]
pub struct PageQuery {
    /// From 1.
    pub page: u64,
    /// 1 to 200.
    pub per_page: u64,
}

/// Who asks: what equal requests of one caller are recognised by.
#[derive(Debug, Clone)]
pub struct Caller {
    /// A hash of the token.
    pub token_hash: String,
    /// `Idempotency-Key`, where sent.
    pub idempotency_key: Option<String>,
}

/// What a create-deployment asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeployOptions {
    /// Build even what was built before, and roll it.
    pub force_build: bool,
    /// Run every build step again; implies `force_build`.
    pub clear_cache: bool,
}

/// Which logs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// Of the builds of a deployment.
    Build,
    /// Of its jobs, and the last lines of instances that did not come up.
    Deploy,
    /// Of instances that run.
    Run,
    /// Of instances before their last restart by the engine.
    RunRestarted,
}

/// A question for logs.
#[derive(Debug, Clone)]
pub struct LogRequest {
    /// Whose.
    pub app: AppId,
    /// Of which deployment; `None`: the one that serves, else the newest.
    pub deployment: Option<DeploymentId>,
    /// Of which component; `None`: all, each line with its component's name.
    pub component: Option<String>,
    /// Which.
    pub kind: LogKind,
    /// Go on with new lines as they come.
    pub follow: bool,
    /// Only the last so many of what exists; `None`: all.
    pub tail: Option<usize>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Component, and slot where it has several instances: `web`.
    pub component: String,
    /// RFC 3339.
    pub timestamp: String,
    /// The line, without its end, with control characters escaped.
    pub text: String,
}

/// What would be done, shown before it is done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Preview {
    /// One line for each field that would differ from what serves now, or where nothing ever served from the app's spec,
    /// as `~ services.web.instance_count: 1 → 2`. Empty for a new app. The value of a variable of type SECRET, and what
    /// stands for credentials, is not in it; other values are.
    pub changes: Vec<String>,
    /// One sentence a step, in order.
    pub steps: Vec<String>,
    /// What someone must give a value before any of this can be done, each with its path.
    pub needs_values: Vec<String>,
}
