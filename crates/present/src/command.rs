//! Commands that a message suggests.

/// Shows the `build` or `deploy` log of a deployment, of one component or of all.
pub fn logs(app: &str, component: Option<&str>, log: &str, deployment: &str) -> String {
    let component = component.map(|name| format!(" {name}")).unwrap_or_default();
    format!("boatyard apps logs {app}{component} --type {log} --deployment {deployment}")
}

/// Shows the output of a component's instances before their process was last started again.
pub fn restarted_logs(app: &str, component: &str) -> String {
    format!("boatyard apps logs {app} {component} --type run_restarted")
}

/// Lists the deployments of an app.
pub fn list_deployments(app: &str) -> String {
    format!("boatyard apps list-deployments {app}")
}

/// Cancels a deployment.
pub fn cancel_deployment(app: &str, deployment: &str) -> String {
    format!("boatyard apps cancel-deployment {app} {deployment}")
}

/// Keeps a rollback of an app.
pub fn rollback_commit(app: &str) -> String {
    format!("boatyard apps rollback commit {app}")
}

/// Undoes a rollback of an app.
pub fn rollback_revert(app: &str) -> String {
    format!("boatyard apps rollback revert {app}")
}

/// Follows a deployment to its end.
pub fn follow(app: &str, deployment: &str) -> String {
    format!("boatyard apps get-deployment {app} {deployment} --wait")
}

/// Whether a message already names a command.
pub fn is_named_in(message: &str) -> bool {
    message.contains("boatyard ")
}
