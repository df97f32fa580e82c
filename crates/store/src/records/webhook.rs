//! Webhooks of hosts of repositories, and what was delivered to them.

use std::collections::BTreeMap;

use rollout::ids::{AppId, ComponentName, DeploymentId};
use rollout::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::TokenApp;

/// An address at which hosts of repositories report pushes. Stored sealed, because of the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Unique. The path of the address.
    pub name: String,
    /// The key with which hosts sign deliveries. GitLab sends it instead.
    pub secret: String,
    /// The only app that is looked at; `None`: all apps that use the repository.
    #[serde(default)]
    pub app: Option<TokenApp>,
    pub created: Timestamp,
}

/// A verified request to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub webhook: String,
    /// Chosen by the host. A host that repeats a delivery keeps its id.
    pub id: String,
    pub at: Timestamp,
    /// The host's software: "GitHub".
    pub host: String,
    /// The event, in the host's words: "push".
    pub event: String,
    /// The repository, as the host names it.
    #[serde(default)]
    pub repository: Option<String>,
    /// The branches and tags that changed.
    #[serde(default)]
    pub refs: Vec<String>,
    /// What the host was answered.
    pub answer: String,
    /// The apps that are looked at because of it.
    #[serde(default)]
    pub apps: Vec<DeliveryApp>,
}

/// An app that is looked at because of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryApp {
    pub id: AppId,
    pub name: String,
    /// The commit that the push named for the branch of each component. Empty in rows of older versions.
    #[serde(default)]
    pub commits: BTreeMap<ComponentName, String>,
    /// The result, as a sentence. `None`: not known yet.
    #[serde(default)]
    pub result: Option<String>,
    /// The deployment that was started.
    #[serde(default)]
    pub deployment: Option<DeploymentId>,
}

impl Delivery {
    /// Whether some apps have not been looked at yet.
    pub fn is_open(&self) -> bool {
        self.apps.iter().any(|it| it.result.is_none())
    }
}

/// The newest deliveries of each webhook that are kept. A repeated delivery is recognized among them. Our choice.
pub const DELIVERIES: u64 = 1_000;

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).field("app", &self.app).finish_non_exhaustive()
    }
}
