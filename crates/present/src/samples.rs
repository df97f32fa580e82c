//! A deployment for tests.

use serde_json::json;

use crate::Deployment;

/// Deployment 42 of one service. The arguments are its phase and the statuses of its leaves: build, deploy, wait.
pub fn deployment(phase: &str, build: &str, deploy: &str, wait: &str) -> Deployment {
    let leaf = |name: &str, message: &str, status: &str| {
        let mut leaf = json!({ "name": name, "component_name": "web", "message_base": message, "status": status });
        if status != "PENDING" {
            leaf["started_at"] = "2026-03-01T10:00:00Z".into();
        }
        if status == "SUCCESS" || status == "ERROR" {
            leaf["ended_at"] = "2026-03-01T10:00:03.200Z".into();
        }
        leaf
    };
    let deployment = json!({
        "id": "d-42", "phase": phase, "cause": "app spec updated",
        "created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-01T10:00:04.200Z",
        "progress": { "steps": [
            { "name": "build", "status": build, "steps": [
                { "name": "components", "status": build, "steps": [leaf("web", "Building service", build)] } ] },
            { "name": "deploy", "status": wait, "steps": [
                { "name": "components", "status": wait, "steps": [
                    { "name": "web", "status": wait, "component_name": "web", "steps": [
                        leaf("deploy", "Deploying service", deploy), leaf("wait", "Waiting for service", wait) ] } ] } ] },
        ] },
        "boatyard": { "number": 42, "kind": "deploy", "record": { "roll_began": "2026-03-01T10:00:01Z" } },
    });
    serde_json::from_value(deployment).expect("a deployment")
}
