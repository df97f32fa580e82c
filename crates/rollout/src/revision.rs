//! What the instances of a component run.

use serde::{Deserialize, Serialize};

use crate::ids::{AppId, ComponentName, RevisionId};

/// What a component's instances, or a job's runs, are made from. It contains the resolved environment, so the store
/// encrypts it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// A hash over everything below.
    pub id: RevisionId,
    /// The app that it belongs to.
    pub app: AppId,
    /// The service, worker or job.
    pub component: ComponentName,
    /// The engine's image id.
    pub image: String,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// The resolved variables, in order. Contains secrets.
    pub env: Vec<(String, String)>,
    /// Names of the variables whose values must not appear in logs.
    #[serde(default)]
    pub secret_keys: Vec<String>,
    /// A keyed hash of the environment: tells whether two environments are equal, and nothing else.
    pub environment_hash: String,
    /// Thousandths of a CPU.
    pub cpu_millis: u32,
    /// Memory limit of an instance.
    pub memory_bytes: u64,
    /// Port that receives requests; `None` for workers and jobs.
    pub port: Option<u16>,
    /// Whether `port` speaks HTTP/2 without TLS.
    #[serde(default)]
    pub http2: bool,
    /// `None`: no health check.
    pub probe: Option<Probe>,
}

/// How the controller checks the health of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the spec's health check")]
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
