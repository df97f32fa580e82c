//! Autoscaling: the number of instances, and which metrics a component can use.

use super::not_both;
use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, Autoscaling, AutoscalingMetrics, Component};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (path, component) in spec.components_with_paths() {
        let autoscaling = match component {
            Component::Service(service) => service.autoscaling.as_ref(),
            Component::Worker(worker) => worker.autoscaling.as_ref(),
            Component::StaticSite(_) | Component::Function(_) | Component::Job(_) => None,
        };
        let Some(autoscaling) = autoscaling else { continue };
        let is_counted = component.common().is_some_and(|common| common.instance_count.is_some());
        not_both(&path, ("autoscaling", true), ("instance_count", is_counted), found);
        limits(&path, autoscaling, found);
        metrics(&path, component, autoscaling.metrics.as_ref(), found);
    }
}

fn limits(path: &str, autoscaling: &Autoscaling, found: &mut Vec<Diagnostic>) {
    if let (Some(min), Some(max)) = (autoscaling.min_instance_count, autoscaling.max_instance_count)
        && min > max
    {
        let path = format!("{path}.autoscaling.min_instance_count");
        found.push(Diagnostic::error(Code::OutOfRange, path, format!("{min} is more than the maximum, {max}")));
    }
}

fn metrics(path: &str, component: Component<'_>, metrics: Option<&AutoscalingMetrics>, found: &mut Vec<Diagnostic>) {
    let Some(metrics) = metrics else { return };
    let path = format!("{path}.autoscaling.metrics");
    if *metrics == AutoscalingMetrics::default() {
        let message = "autoscaling needs at least one metric, for example `cpu: {percent: 80}`";
        found.push(Diagnostic::error(Code::Missing, path.clone(), message));
    }
    let of_requests = [
        ("requests_per_second", metrics.requests_per_second.is_some()),
        ("request_duration", metrics.request_duration.is_some()),
    ];
    for (field, is_given) in of_requests {
        if is_given && matches!(component, Component::Worker(_)) {
            let conflict =
                Diagnostic::error(Code::Conflict, format!("{path}.{field}"), "a worker does not receive requests");
            found.push(conflict.help("scale a worker by `cpu`"));
        }
    }
}
