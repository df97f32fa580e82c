//! Deterministic names. The engine accepts each name once, so two attempts to create the same object cannot both
//! succeed. All names contain the installation's id.

use rollout::ids::{AppId, ComponentName, InstanceName};
use store::records::App;

/// Generates the names of one installation.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    installation: String,
}

impl Names {
    pub fn new(installation: &str) -> Self {
        Self { installation: installation.to_owned() }
    }

    /// Name of an instance. An app uses each serial once, so the name is unique. The app's name is for people; the
    /// app's id keeps names with dashes apart (`shop` with `web-api`, `shop-web` with `api`).
    pub fn instance(&self, app: &App, component: &ComponentName, slot: u32, serial: u64) -> InstanceName {
        InstanceName::new(format!("{}-{}-{component}-{slot}-{serial}", self.of(&app.id), app.name))
    }

    /// Name of a job run's container.
    pub fn job(&self, app: &App, job: &ComponentName, serial: u64) -> InstanceName {
        InstanceName::new(format!("{}-{}-{job}-run-{serial}", self.of(&app.id), app.name))
    }

    /// Name of a database's container. It contains the app's id, so a new app of the same name gets a new database.
    pub fn database(&self, app: &AppId, database: &ComponentName) -> InstanceName {
        InstanceName::new(format!("{}-{database}-db", self.of(app)))
    }

    /// Name of a database's volume.
    pub fn volume(&self, app: &AppId, database: &ComponentName) -> String {
        format!("{}-{database}-data", self.of(app))
    }

    /// Name of the container from which the files of a static site are read.
    pub fn files(&self, app: &AppId, site: &ComponentName, deployment: u64) -> String {
        format!("{}-{site}-files-{deployment}", self.of(app))
    }

    /// Name of an app's network.
    pub fn network(&self, app: &AppId) -> String {
        self.of(app)
    }

    /// Name of the container that checks whether containers of an app reach this host.
    pub fn connect_check(&self, app: &AppId) -> String {
        format!("{}-connect-check", self.of(app))
    }

    /// Tag of the image of these containers.
    pub fn connect_check_image(&self) -> String {
        format!("boatyard-{}/connect-check:1", self.installation)
    }

    /// Name of the network that has the address at which containers reach public host names.
    pub fn public_network(&self) -> String {
        format!("by-{}-public", self.installation)
    }

    /// Name of the network with which a start finds out whether this host reaches the engine's networks.
    pub fn trial_network(&self) -> String {
        format!("by-{}-reach", self.installation)
    }

    fn of(&self, app: &AppId) -> String {
        format!("by-{}-{}", self.installation, short(app))
    }

    /// Name of the volume that marks the newest controller.
    pub fn fence(&self, epoch: u64) -> String {
        format!("by-{}-fence-{epoch}", self.installation)
    }

    /// Repository under which the built images of a component are tagged.
    pub fn repository(&self, app: &AppId, component: &ComponentName) -> String {
        format!("boatyard-{}/{}-{component}", self.installation, short(app))
    }

    /// Prefix of all image tags of an app.
    pub fn repositories_of(&self, app: &AppId) -> String {
        format!("boatyard-{}/{}-", self.installation, short(app))
    }

    /// Prefix of all image tags of this installation.
    pub fn repositories(&self) -> String {
        format!("boatyard-{}/", self.installation)
    }
}

/// The first group of the app's UUID. Together with the installation's id it is unique enough, and it is short enough
/// to read.
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
            pinned: None,
            secret_build_arguments: false,
            build_caches: 0,
            earlier_files: Default::default(),
            newer: Default::default(),
        }
    }

    #[test]
    fn dashes_never_give_two_components_the_same_name() {
        let names = Names::new("i");
        let (shop, shop_web) = (app("0aaaaaaa-1", "shop"), app("0bbbbbbb-1", "shop-web"));
        assert_ne!(names.instance(&shop, &"web-api".into(), 0, 1), names.instance(&shop_web, &"api".into(), 0, 1));
        assert_ne!(names.job(&shop, &"web-api".into(), 1), names.job(&shop_web, &"api".into(), 1));
        assert_eq!(names.instance(&shop, &"web".into(), 0, 1).as_str(), "by-i-0aaaaaaa-shop-web-0-1");
    }
}
