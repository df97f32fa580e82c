//! Alerts: rules of an app stand at the app, rules of a component at the component.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{Alert, AlertRule, AppSpec, Component};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (path, component) in spec.components_with_paths() {
        for (i, alert) in of(component).iter().enumerate() {
            if let Some(rule) = alert.rule.filter(|rule| is_of_the_app(*rule)) {
                let message = format!("{rule} watches the whole app, not one component");
                let path = format!("{path}.alerts[{i}].rule");
                found
                    .push(Diagnostic::warning(Code::Doubtful, path, message).help("give it under `alerts` of the app"));
            }
        }
    }
}

fn of(component: Component<'_>) -> &[Alert] {
    match component {
        Component::Service(service) => &service.common.alerts,
        Component::Worker(worker) => &worker.common.alerts,
        Component::Job(job) => &job.common.alerts,
        Component::Function(function) => &function.alerts,
        Component::StaticSite(_) => &[],
    }
}

/// CPU, memory and restarts are taken at either place.
fn is_of_the_app(rule: AlertRule) -> bool {
    use AlertRule::{
        AutoscaleFailed, AutoscaleSucceeded, DeploymentCanceled, DeploymentFailed, DeploymentLive, DeploymentStarted,
        DomainFailed, DomainLive,
    };
    let of_the_app = [
        AutoscaleFailed,
        AutoscaleSucceeded,
        DeploymentCanceled,
        DeploymentFailed,
        DeploymentLive,
        DeploymentStarted,
        DomainFailed,
        DomainLive,
    ];
    of_the_app.contains(&rule)
}
