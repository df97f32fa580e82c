//! Deterministic names: the engine's unique names are our compare-and-swap (M1). All carry the installation's id.

use rollout::ids::{AppId, ComponentName, InstanceName};

/// Names of one installation.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    installation: String,
}

impl Names {
    pub fn new(installation: &str) -> Self {
        Self { installation: installation.to_owned() }
    }

    /// An instance. The serial is never given twice in an app, so the name is never used twice.
    pub fn instance(&self, app: &str, component: &ComponentName, slot: u32, serial: u64) -> InstanceName {
        InstanceName::new(format!("by-{}-{app}-{component}-{slot}-{serial}", self.installation))
    }

    /// A run of a job.
    pub fn job(&self, app: &str, job: &ComponentName, serial: u64) -> InstanceName {
        InstanceName::new(format!("by-{}-{app}-{job}-run-{serial}", self.installation))
    }

    /// A database's container. It carries the app's id: a new app of the same name gets a database of its own.
    pub fn database(&self, app: &AppId, database: &ComponentName) -> InstanceName {
        InstanceName::new(format!("by-{}-{}-{database}-db", self.installation, short(app)))
    }

    /// A database's volume.
    pub fn volume(&self, app: &AppId, database: &ComponentName) -> String {
        format!("by-{}-{}-{database}-data", self.installation, short(app))
    }

    /// An app's network.
    pub fn network(&self, app: &AppId) -> String {
        format!("by-{}-{}", self.installation, short(app))
    }

    /// The object that says which controller is the newest (F44).
    pub fn fence(&self, epoch: u64) -> String {
        format!("by-{}-fence-{epoch}", self.installation)
    }

    /// Where built images of a component are tagged.
    pub fn repository(&self, app: &AppId, component: &ComponentName) -> String {
        format!("boatyard-{}/{}-{component}", self.installation, short(app))
    }

    /// Prefix of the tags of all images of an app.
    pub fn repositories_of(&self, app: &AppId) -> String {
        format!("boatyard-{}/{}-", self.installation, short(app))
    }

    /// Prefix of all image tags of this installation.
    pub fn repositories(&self) -> String {
        format!("boatyard-{}/", self.installation)
    }
}

/// The first group of the app's UUID: unique enough beside the installation's id, and short enough to read.
fn short(app: &AppId) -> &str {
    app.as_str().split('-').next().unwrap_or(app.as_str())
}
