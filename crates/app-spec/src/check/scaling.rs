//! Autoscaling: which fields it excludes, and which metrics it can use.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, Autoscaling, AutoscalingMetrics, Common};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (i, service) in spec.services.iter().enumerate() {
        if let Some(autoscaling) = &service.autoscaling {
            scaling(&format!("services[{i}]"), &service.common, autoscaling, found);
        }
    }
    for (i, worker) in spec.workers.iter().enumerate() {
        if let Some(autoscaling) = &worker.autoscaling {
            let path = format!("workers[{i}]");
            scaling(&path, &worker.common, autoscaling, found);
            requests_of_a_worker(&path, autoscaling, found);
        }
    }
}

fn scaling(path: &str, common: &Common, autoscaling: &Autoscaling, found: &mut Vec<Diagnostic>) {
    if common.instance_count.is_some() {
        let message = "`instance_count` and `autoscaling` exclude each other";
        let conflict = Diagnostic::error(Code::Conflict, format!("{path}.instance_count"), message);
        found.push(conflict.related(format!("{path}.autoscaling"), None, "autoscaling is given here"));
    }
    if autoscaling.metrics == Some(AutoscalingMetrics::default()) {
        let message = "autoscaling needs something to watch, for example `cpu: {percent: 80}`";
        found.push(Diagnostic::error(Code::Missing, format!("{path}.autoscaling.metrics"), message));
    }
    bounds(path, autoscaling, found);
}

fn bounds(path: &str, autoscaling: &Autoscaling, found: &mut Vec<Diagnostic>) {
    let (Some(min), Some(max)) = (autoscaling.min_instance_count, autoscaling.max_instance_count) else { return };
    let path = format!("{path}.autoscaling.min_instance_count");
    if min > max {
        found.push(Diagnostic::error(Code::OutOfRange, path, format!("{min} is more than the maximum, {max}")));
    } else if min == max {
        let message = format!("minimum and maximum are both {max}: nothing can be scaled");
        found.push(Diagnostic::warning(Code::Doubtful, path, message));
    }
}

/// Reports request metrics of a worker, which serves no requests.
fn requests_of_a_worker(path: &str, autoscaling: &Autoscaling, found: &mut Vec<Diagnostic>) {
    let Some(metrics) = &autoscaling.metrics else { return };
    let of_requests = [
        ("requests_per_second", metrics.requests_per_second.is_some()),
        ("request_duration", metrics.request_duration.is_some()),
    ];
    for (field, _) in of_requests.into_iter().filter(|(_, given)| *given) {
        let path = format!("{path}.autoscaling.metrics.{field}");
        let conflict = Diagnostic::error(Code::Conflict, path, "a worker answers no requests");
        found.push(conflict.help("a worker is scaled by `cpu`"));
    }
}
