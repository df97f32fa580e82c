//! Sentences about the start, the cancelation and the end of a deployment.

use crate::text::duration;
use crate::{Deployment, Status, command};

/// Reports that a deployment has started, for a caller that does not wait for it.
pub fn started(app: &str, deployment: &Deployment) -> String {
    let number = deployment.boatyard.number;
    let follow = command::follow(app, &number.to_string());
    format!("Deployment {number} ({}) has started. Follow it: {follow}", deployment.cause_with_token())
}

/// Reports that a cancelation was accepted, and its effect, which depends on the progress of the deployment.
pub fn cancel_accepted(deployment: &Deployment) -> String {
    format!("Deployment {} is being canceled; {}", deployment.boatyard.number, cancel_effect(deployment))
}

/// What a cancelation does to the instances, which depends on the progress of the deployment.
pub fn cancel_effect(deployment: &Deployment) -> &'static str {
    let details = &deployment.boatyard;
    match (details.record.roll_began, details.kind.as_str()) {
        (None, _) => "no instance was replaced",
        (Some(_), "restart") => "no more instances are replaced, and the new ones keep serving",
        (Some(_), _) => "replaced instances are rolled back first",
    }
}

/// Reports that a request or a deployment had nothing to build or roll out.
pub fn nothing_changed(app: &str, active: &Deployment) -> String {
    nothing_to_do(app, active).line()
}

/// The first line about the end of a deployment, in its two parts.
pub struct Headline {
    /// What happened: "Deployment 42 of shop failed".
    pub what: String,
    /// The reason of a failure, or the traffic during a rollout. Empty if there is nothing to add.
    pub details: String,
}

impl Headline {
    fn line(self) -> String {
        if self.details.is_empty() { self.what } else { format!("{}: {}", self.what, self.details) }
    }
}

/// What happened in the end. `same_instances`: no instance was replaced.
pub fn headline(app: &str, deployment: &Deployment, same_instances: bool) -> Headline {
    match deployment.has_served() {
        true if changed_nothing(deployment, same_instances) => nothing_to_do(app, deployment),
        true => success(app, deployment),
        false => failure(app, deployment),
    }
}

/// How a deployment ended, with the headline first. `same_instances`: no instance was replaced.
pub fn ended(app: &str, deployment: &Deployment, same_instances: bool) -> Vec<String> {
    let mut lines = vec![headline(app, deployment, same_instances).line()];
    lines.extend(match deployment.has_served() {
        true if changed_nothing(deployment, same_instances) => Vec::new(),
        true => after_success(deployment),
        false => after_failure(app, deployment),
    });
    lines
}

fn changed_nothing(deployment: &Deployment, same_instances: bool) -> bool {
    same_instances && !deployment.boatyard.images.values().any(|image| image.built)
}

fn nothing_to_do(app: &str, active: &Deployment) -> Headline {
    let details = format!("{app} serves deployment {}, and no component changed.", active.boatyard.number);
    Headline { what: "Nothing to do".into(), details }
}

fn success(app: &str, deployment: &Deployment) -> Headline {
    let after = match (deployment.created_at, deployment.updated_at) {
        (Some(from), Some(until)) => format!(" after {}", duration((until - from).num_milliseconds().max(0))),
        _ => String::new(),
    };
    let what = format!("{app} serves deployment {}{after}", deployment.boatyard.number);
    match deployment.boatyard.record.served {
        Some(traffic) => Headline { what, details: format!("{}.", traffic.summary()) },
        None => Headline { what: format!("{what}."), details: String::new() },
    }
}

fn after_success(deployment: &Deployment) -> Vec<String> {
    let record = &deployment.boatyard.record;
    let unchanged = record.unchanged.iter().map(|it| format!("  {}", it.line()));
    unchanged.chain(record.notes.iter().map(|note| format!("  {note}"))).collect()
}

fn failure(app: &str, deployment: &Deployment) -> Headline {
    let details = &deployment.boatyard;
    let what = match deployment.phase.as_str() {
        "CANCELED" => "was canceled",
        "SUPERSEDED" => "was superseded before it served",
        _ if details.record.rollback_abandoned => "failed, and the previous version could not be restored",
        _ if details.rolled_back => "failed and was rolled back",
        _ => "failed",
    };
    Headline { what: format!("Deployment {} of {app} {what}", details.number), details: reason(deployment) }
}

fn after_failure(app: &str, deployment: &Deployment) -> Vec<String> {
    let details = &deployment.boatyard;
    let (number, reason) = (details.number, reason(deployment));
    let mut lines = Vec::new();
    if details.record.rollback_abandoned {
        lines.extend(details.record.notes.iter().map(|note| format!("  {note}")));
    }
    let component = details.failure.as_ref().and_then(|it| it.component.as_deref());
    if !details.log_tail.is_empty() {
        lines.push(format!("Last lines of {}:", component.unwrap_or("the log")));
        lines.extend(details.log_tail.iter().map(|line| format!("  | {line}")));
    }
    if deployment.phase == "ERROR" && !command::is_named_in(&reason) {
        let build_failed = details.failure.as_ref().is_some_and(|it| it.code == "BuildFailed");
        let log = if build_failed { "build" } else { "deploy" };
        lines.push(format!("See: {}", command::logs(app, component, log, &number.to_string())));
    }
    lines
}

/// The message of the failure. Without one, the reason of the first leaf that has a reason, if that leaf failed.
fn reason(deployment: &Deployment) -> String {
    if let Some(failure) = &deployment.boatyard.failure {
        return failure.message.clone();
    }
    let leaf = deployment.progress.leaves().into_iter().find(|leaf| leaf.reason.is_some());
    let failed = leaf.filter(|leaf| leaf.status == Status::Error);
    failed.and_then(|leaf| leaf.reason).unwrap_or_else(|| "no reason was recorded".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::deployment;
    use crate::{Failure, Image, Traffic};

    #[test]
    fn a_cancelation_reports_what_happens_to_replaced_instances() {
        let mut it = deployment("DEPLOYING", "SUCCESS", "RUNNING", "PENDING");
        assert_eq!(cancel_accepted(&it), "Deployment 42 is being canceled; replaced instances are rolled back first");
        it.boatyard.kind = "restart".into();
        assert!(cancel_accepted(&it).ends_with("the new ones keep serving"));
        it.boatyard.record.roll_began = None;
        assert_eq!(cancel_accepted(&it), "Deployment 42 is being canceled; no instance was replaced");
    }

    #[test]
    fn the_report_of_a_success_ends_with_the_traffic() {
        let mut it = deployment("ACTIVE", "SUCCESS", "SUCCESS", "SUCCESS");
        it.boatyard.record.served =
            Some(Traffic { requests: 48_211, slowest_ms: 212, upgraded_cut: 3, ..Traffic::default() });
        assert_eq!(
            ended("shop", &it, false),
            ["shop serves deployment 42 after 4.2 s: served 48,211 requests through the ingress during this rollout, \
              0 failed, slowest 212 ms, 3 websockets cut at the drain limit."]
        );
    }

    #[test]
    fn a_deployment_that_built_and_replaced_nothing_is_reported_as_nothing_to_do() {
        let mut it = deployment("ACTIVE", "SUCCESS", "SUCCESS", "SUCCESS");
        let nothing = "Nothing to do: shop serves deployment 42, and no component changed.";
        assert_eq!(ended("shop", &it, true), [nothing]);
        assert_ne!(ended("shop", &it, false), [nothing]);
        it.boatyard.images.insert("web".into(), Image { built: true, ..Image::default() });
        assert_ne!(ended("shop", &it, true), [nothing]);
    }

    fn failed(component: &str, code: &str, message: &str) -> Deployment {
        let mut it = deployment("ERROR", "SUCCESS", "SUCCESS", "ERROR");
        let (component, code, message) = (Some(component.into()), code.into(), message.into());
        it.boatyard.failure = Some(Failure { component, code, message });
        it
    }

    #[test]
    fn the_next_command_names_the_log_that_explains_the_failure() {
        for (code, log) in [("BuildFailed", "build"), ("PreDeployJobFailed", "deploy"), ("DatabaseFailed", "deploy")] {
            let last = ended("shop", &failed("migrate", code, "no"), true).pop().expect("a line");
            assert_eq!(last, format!("See: boatyard apps logs shop migrate --type {log} --deployment 42"));
        }
    }

    #[test]
    fn the_report_of_a_failure_ends_with_the_reason_the_log_tail_and_the_next_command() {
        let mut it = failed("web", "c", "web.0 was not ready; web.1 serves");
        it.boatyard.log_tail = vec!["cannot bind".into()];
        assert_eq!(
            ended("shop", &it, true),
            [
                "Deployment 42 of shop failed: web.0 was not ready; web.1 serves",
                "Last lines of web:",
                "  | cannot bind",
                "See: boatyard apps logs shop web --type deploy --deployment 42",
            ]
        );
    }
}
