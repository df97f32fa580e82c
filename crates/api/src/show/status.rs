//! Instances in App Platform's words, and the whole state of an app in ours.

use controller::view::{AppView, DeploymentView, InstanceView};
use serde_json::{Value, json};

use super::deployment::deployment;
use super::fields::Fields;

/// App Platform's list: services, workers and jobs. Databases are not instances there.
pub(crate) fn instances(all: &[InstanceView]) -> Vec<Value> {
    let known = all.iter().filter(|it| it.component_type != "DATABASE");
    known
        .map(|it| {
            json!({
                "component_name": it.component_name,
                "instance_name": it.instance_name,
                "component_type": it.component_type,
                "instance_alias": it.instance_alias,
                "boatyard": {
                    "phase": it.phase, "container_id": it.container_id, "started_at": it.started_at,
                    "restarts": it.restarts, "last_end": it.last_end,
                    "processes": it.processes.map(|it| it.running), "process_limit": it.processes.map(|it| it.limit),
                },
            })
        })
        .collect()
}

/// Everything of an app that a person or a test wants to see at once: each instance, database and job run with its
/// container, and the deployments that matter with why they wait.
pub(crate) fn status(view: &AppView, instances: &[InstanceView], deployments: &[DeploymentView]) -> Value {
    Fields::new()
        .set("id", view.app.id.as_str())
        .set("name", view.app.name.as_str())
        .set("deleting", view.app.deleting)
        .set("live_url", view.live_url.as_str())
        .serialized("instances", &instances)
        .set("deployments", deployments.iter().map(deployment).collect::<Vec<_>>())
        .build()
}
