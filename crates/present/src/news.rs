//! What changed between two views of a deployment, and a summary of one view.

use chrono::{DateTime, Utc};

use crate::text::duration;
use crate::{Deployment, Leaf, Status};

/// One line for each change since `before`; for everything if `before` is `None` or another deployment.
pub fn changes(before: Option<&Deployment>, now: &Deployment) -> Vec<String> {
    let mut lines = Vec::new();
    if before.is_none_or(|it| it.id != now.id || it.phase != now.phase) {
        lines.push(format!("deployment {}: {}", now.boatyard.number, now.phase));
    }
    let earlier = before.filter(|it| it.id == now.id).map(|it| it.progress.leaves()).unwrap_or_default();
    for (index, leaf) in now.progress.leaves().iter().enumerate() {
        let status = earlier.get(index).map_or(Status::Pending, |it| it.status);
        if status != leaf.status && leaf.status != Status::Pending {
            lines.push(format!("  {}", line(leaf, leaf.ended)));
        }
    }
    let known = before.map(|it| it.boatyard.waiting.iter().map(|it| without_numbers(it)).collect::<Vec<_>>());
    for why in &now.boatyard.waiting {
        if known.as_ref().is_none_or(|known| !known.contains(&without_numbers(why))) {
            lines.push(format!("  {why}"));
        }
    }
    lines
}

/// A summary of the deployment for a screen of `height` lines: the leaves that have started, and what it waits for.
/// Leaves out the oldest leaves if the screen is too small.
pub fn frame(deployment: &Deployment, now: DateTime<Utc>, height: usize) -> Vec<String> {
    let leaves = deployment.progress.leaves();
    let started = leaves.iter().filter(|it| it.status != Status::Pending);
    let mut lines: Vec<_> = started.map(|it| format!("  {}", line(it, it.ended.or(Some(now))))).collect();
    lines.extend(deployment.boatyard.waiting.iter().map(|why| format!("  … {why}")));
    let most = height.saturating_sub(2).max(3);
    if lines.len() > most {
        lines.drain(..lines.len() - most);
    }
    let done = leaves.iter().filter(|it| it.status == Status::Success).count();
    let (number, phase) = (deployment.boatyard.number, &deployment.phase);
    let heading = format!("deployment {number}: {phase} ({done} of {} steps done)", leaves.len());
    [heading].into_iter().chain(lines).collect()
}

fn line(leaf: &Leaf, until: Option<DateTime<Utc>>) -> String {
    let reason = leaf.reason.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
    let took = |word: &str| took(leaf.started, until).map(|time| format!("{word}{time}")).unwrap_or_default();
    match leaf.status {
        Status::Pending => leaf.title.clone(),
        Status::Running => format!("{} …{}", leaf.title, took(" ")),
        Status::Success => format!("{}: done{}{reason}", leaf.title, took(" in ")),
        Status::Error => format!("{}: failed{}{reason}", leaf.title, took(" after ")),
    }
}

fn took(from: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Option<String> {
    Some(duration((until? - from?).num_milliseconds().max(0)))
}

/// Makes the lines of one countdown equal, because they differ only in numbers.
pub(crate) fn without_numbers(line: &str) -> String {
    line.split(' ').filter(|word| !word.chars().all(|c| c.is_ascii_digit())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::deployment;

    #[test]
    fn each_change_is_reported_once() {
        let steps = [
            deployment("BUILDING", "RUNNING", "PENDING", "PENDING"),
            deployment("BUILDING", "RUNNING", "PENDING", "PENDING"),
            deployment("DEPLOYING", "SUCCESS", "RUNNING", "PENDING"),
            deployment("ACTIVE", "SUCCESS", "SUCCESS", "SUCCESS"),
        ];
        let mut before = None;
        let mut reported = Vec::new();
        for step in &steps {
            reported.push(changes(before, step));
            before = Some(step);
        }
        assert_eq!(reported[0], ["deployment 42: BUILDING", "  web: building service …"]);
        assert!(reported[1].is_empty());
        assert_eq!(
            reported[2],
            ["deployment 42: DEPLOYING", "  web: building service: done in 3.2 s", "  web: deploying service …"]
        );
        assert_eq!(
            reported[3],
            [
                "deployment 42: ACTIVE",
                "  web: deploying service: done in 3.2 s",
                "  web: waiting for service: done in 3.2 s"
            ]
        );
    }

    #[test]
    fn a_countdown_is_reported_once() {
        let mut first = deployment("DEPLOYING", "SUCCESS", "SUCCESS", "RUNNING");
        let mut second = first.clone();
        first.boatyard.waiting = vec!["waiting for web.0: 2 open requests, 11 s left".into()];
        second.boatyard.waiting = vec!["waiting for web.0: 2 open requests, 10 s left".into()];
        assert_eq!(
            changes(None, &first).last().map(String::as_str),
            Some("  waiting for web.0: 2 open requests, 11 s left")
        );
        assert!(changes(Some(&first), &second).is_empty());
        second.boatyard.waiting = vec!["waiting for web.1: 2 open requests, 60 s left".into()];
        assert_eq!(changes(Some(&first), &second).len(), 1);
    }

    #[test]
    fn another_deployment_is_reported_from_its_beginning() {
        let first = deployment("PENDING_BUILD", "PENDING", "PENDING", "PENDING");
        let second = Deployment { id: "d-43".into(), ..first.clone() };
        assert_eq!(changes(Some(&first), &second), ["deployment 42: PENDING_BUILD"]);
    }

    #[test]
    fn a_frame_fits_its_screen_and_keeps_what_is_still_running() {
        let mut deployment = deployment("DEPLOYING", "SUCCESS", "SUCCESS", "RUNNING");
        deployment.boatyard.waiting = vec!["waiting for web.0 to pass its probe, 9 s left".into(); 3];
        let frame = frame(&deployment, Utc::now(), 6);
        assert!(frame.len() <= 5);
        assert!(frame[0].starts_with("deployment 42: DEPLOYING (2 of 3"));
        assert!(frame.last().expect("lines").contains("waiting for web.0"));
    }
}
