//! Instances as App Platform lists them, and Boatyard's status of an app.

use controller::view::{AppView, DeploymentView, InstanceView};
use serde_json::Value;
use web::view;

use super::deployment::deployment;
use super::object::Object;

/// Services, workers and jobs. App Platform does not list databases as instances.
pub(crate) fn instances(all: &[InstanceView]) -> Vec<present::Instance> {
    all.iter().filter(|it| it.component_type != "DATABASE").map(view::instance).collect()
}

/// The status of an app: each instance, database and job run with its container, and the deployments that matter with what
/// they wait for.
pub(crate) fn status(view: &AppView, instances: &[InstanceView]) -> Value {
    let mut deployments: Vec<&DeploymentView> = Vec::new();
    for it in [&view.pending, &view.in_progress, &view.active, &view.newest].into_iter().flatten() {
        if deployments.iter().all(|known| known.id != it.id) {
            deployments.push(it);
        }
    }
    Object::new()
        .set("id", view.id.as_str())
        .set("name", view.name.as_str())
        .set("deleting", view.deleting)
        .set("live_url", view.live_url.as_str())
        .set("waiting", view.waiting.clone())
        .serialized("instances", &instances)
        .set("deployments", deployments.into_iter().map(deployment).collect::<Vec<_>>())
        .build()
}
