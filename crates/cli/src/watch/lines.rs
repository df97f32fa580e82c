//! From two snapshots to what is new between them; and one snapshot as a whole. Pure, so that it can be tested as a table.

use chrono::{DateTime, Utc};

use super::snapshot::{Leaf, Snapshot, Status};
use crate::say::plain;

/// What changed, one line each. `before`: what was told last; `None` at the beginning.
pub fn changes(before: Option<&Snapshot>, now: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    if before.is_none_or(|it| it.id != now.id || it.phase != now.phase) {
        lines.push(format!("deployment {}: {}", now.boatyard.number, now.phase));
    }
    let told = before.filter(|it| it.id == now.id).map(Snapshot::leaves).unwrap_or_default();
    for (index, leaf) in now.leaves().iter().enumerate() {
        let status = told.get(index).map_or(Status::Pending, |it| it.status);
        if status != leaf.status && leaf.status != Status::Pending {
            lines.push(format!("  {}", line(leaf, leaf.ended)));
        }
    }
    let known = before.map(|it| it.boatyard.waiting.iter().map(|it| without_numbers(it)).collect::<Vec<_>>());
    for why in &now.boatyard.waiting {
        if known.as_ref().is_none_or(|known| !known.contains(&without_numbers(why))) {
            lines.push(format!("  {}", plain(why)));
        }
    }
    lines
}

/// The whole of it, for a terminal: leaves that began, why it waits, how many steps are left.
pub fn frame(snapshot: &Snapshot, now: DateTime<Utc>, height: usize) -> Vec<String> {
    let leaves = snapshot.leaves();
    let begun = leaves.iter().filter(|it| it.status != Status::Pending);
    let mut lines: Vec<_> = begun.map(|it| format!("  {}", line(it, it.ended.or(Some(now))))).collect();
    lines.extend(snapshot.boatyard.waiting.iter().map(|why| format!("  … {}", plain(why))));
    // What is done longest ago goes first where the terminal is too small.
    let room = height.saturating_sub(2).max(3);
    if lines.len() > room {
        lines.drain(..lines.len() - room);
    }
    let done = leaves.iter().filter(|it| it.status == Status::Success).count();
    let heading =
        format!("deployment {}: {} ({done} of {} steps done)", snapshot.boatyard.number, snapshot.phase, leaves.len());
    [heading].into_iter().chain(lines).collect()
}

fn line(leaf: &Leaf, until: Option<DateTime<Utc>>) -> String {
    let reason = leaf.reason.as_deref().map(|it| format!(": {}", plain(it))).unwrap_or_default();
    let took = |word: &str| took(leaf.started, until).map(|time| format!("{word}{time}")).unwrap_or_default();
    match leaf.status {
        Status::Pending => leaf.what.clone(),
        Status::Running => format!("{} …{}", leaf.what, took(" ")),
        Status::Success => format!("{}: done{}{reason}", leaf.what, took(" in ")),
        Status::Error => format!("{}: failed{}{reason}", leaf.what, took(" after ")),
    }
}

/// `3.2 s`; `None` where it is not known.
fn took(from: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Option<String> {
    Some(seconds((until? - from?).num_milliseconds().max(0)))
}

/// `3.2 s`, `2 min 5 s`.
pub fn seconds(milliseconds: i64) -> String {
    match milliseconds {
        ..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

/// A why-line counts down; only its words make it another one.
fn without_numbers(line: &str) -> String {
    line.split(' ').filter(|word| !word.chars().all(|c| c.is_ascii_digit())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::samples::snapshot;
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let steps = [
            snapshot("BUILDING", "RUNNING", "PENDING", "PENDING"),
            snapshot("BUILDING", "RUNNING", "PENDING", "PENDING"),
            snapshot("DEPLOYING", "SUCCESS", "RUNNING", "PENDING"),
            snapshot("ACTIVE", "SUCCESS", "SUCCESS", "SUCCESS"),
        ];
        let mut before = None;
        let mut told = Vec::new();
        for step in &steps {
            told.push(changes(before, step));
            before = Some(step);
        }
        assert_eq!(told[0], ["deployment 42: BUILDING", "  web: building service …"]);
        assert!(told[1].is_empty());
        assert_eq!(
            told[2],
            ["deployment 42: DEPLOYING", "  web: building service: done in 3.2 s", "  web: deploying service …"]
        );
        assert_eq!(
            told[3],
            [
                "deployment 42: ACTIVE",
                "  web: deploying service: done in 3.2 s",
                "  web: waiting for service: done in 3.2 s"
            ]
        );
    }

    #[test]
    fn a_countdown_is_one_reason_and_not_many() {
        let mut first = snapshot("DEPLOYING", "SUCCESS", "SUCCESS", "RUNNING");
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
    fn another_deployment_is_told_from_its_beginning() {
        let first = snapshot("PENDING_BUILD", "PENDING", "PENDING", "PENDING");
        let mut second = first.clone();
        second.id = "d-43".into();
        assert_eq!(changes(Some(&first), &second), ["deployment 42: PENDING_BUILD"]);
    }

    #[test]
    fn a_frame_fits_its_terminal_and_keeps_what_goes_on() {
        let mut it = snapshot("DEPLOYING", "SUCCESS", "SUCCESS", "RUNNING");
        it.boatyard.waiting = vec!["waiting for web.0 to pass its probe, 9 s left".into(); 3];
        let frame = frame(&it, Utc::now(), 6);
        assert!(frame.len() <= 5);
        assert!(frame[0].starts_with("deployment 42: DEPLOYING (2 of 3"));
        assert!(frame.last().expect("lines").contains("waiting for web.0"));
    }

    #[test]
    fn times_are_short() {
        assert_eq!([0, 950, 3_250, 125_000].map(seconds), ["0.0 s", "0.9 s", "3.2 s", "2 min 5 s"]);
    }
}
