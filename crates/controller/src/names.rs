//! Deterministic names: the engine's unique names are our compare-and-swap (M1). All carry the installation's id.

use rollout::ids::{AppId, ComponentName, InstanceName};
use store::records::App;

/// Names of one installation.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    installation: String,
}

impl Names {
    pub fn new(installation: &str) -> Self {
        Self { installation: installation.to_owned() }
    }

    /// An instance. The serial is never given twice in an app, so the name is never used twice. The app's name is there for
    /// people; its id before it tells apart what names with dashes would not (`shop` with `web-api`, `shop-web` with `api`).
    pub fn instance(&self, app: &App, component: &ComponentName, slot: u32, serial: u64) -> InstanceName {
        InstanceName::new(format!("{}-{}-{component}-{slot}-{serial}", self.of(&app.id), app.name))
    }

    /// A run of a job.
    pub fn job(&self, app: &App, job: &ComponentName, serial: u64) -> InstanceName {
        InstanceName::new(format!("{}-{}-{job}-run-{serial}", self.of(&app.id), app.name))
    }

    /// A database's container: a new app of the same name gets a database of its own.
    pub fn database(&self, app: &AppId, database: &ComponentName) -> InstanceName {
        InstanceName::new(format!("{}-{database}-db", self.of(app)))
    }

    /// A database's volume.
    pub fn volume(&self, app: &AppId, database: &ComponentName) -> String {
        format!("{}-{database}-data", self.of(app))
    }

    /// An app's network.
    pub fn network(&self, app: &AppId) -> String {
        self.of(app)
    }

    fn of(&self, app: &AppId) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str, name: &str) -> App {
        App {
            id: id.into(),
            name: name.into(),
            network: 0,
            spec: serde_json::Value::Null,
            created: rollout::time::Timestamp(0),
            updated: rollout::time::Timestamp(0),
            deleting: false,
            active: None,
            deployments: 0,
            serial: 0,
            generation: 0,
            kept: None,
            newer: Default::default(),
        }
    }

    #[test]
    fn apps_and_components_with_dashes_never_share_a_name() {
        let names = Names::new("i");
        let (shop, shop_web) = (app("0aaaaaaa-1", "shop"), app("0bbbbbbb-1", "shop-web"));
        assert_ne!(names.instance(&shop, &"web-api".into(), 0, 1), names.instance(&shop_web, &"api".into(), 0, 1));
        assert_ne!(names.job(&shop, &"web-api".into(), 1), names.job(&shop_web, &"api".into(), 1));
        assert_eq!(names.instance(&shop, &"web".into(), 0, 1).as_str(), "by-i-0aaaaaaa-shop-web-0-1");
    }
}
