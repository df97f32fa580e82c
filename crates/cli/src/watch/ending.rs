//! What a deployment came to: the sentences at its end, and the exit code that scripts read. Pure.

use super::lines::seconds;
use super::snapshot::{Served, Snapshot};
use crate::exit::Exit;
use crate::say::{grouped, plain};

/// The exit code of an ended deployment.
pub fn exit(ended: &Snapshot) -> Exit {
    match ended.phase.as_str() {
        _ if ended.has_served() => Exit::Done,
        "ERROR" if ended.boatyard.rolled_back => Exit::RolledBack,
        _ => Exit::Failed,
    }
}

/// The last lines about it. `app` is how the app is called; `untouched`: the instances are those of before.
pub fn told(app: &str, ended: &Snapshot, untouched: bool) -> Vec<String> {
    let built = ended.boatyard.images.values().any(|image| image.built);
    match ended.has_served() {
        true if untouched && !built => vec![nothing_changed(app, ended)],
        true => success(app, ended),
        false => failure(app, ended),
    }
}

/// For a request that started no deployment, and for a deployment that had nothing to build or roll.
pub fn nothing_changed(app: &str, serving: &Snapshot) -> String {
    format!("Nothing to do: {app} serves deployment {}, and no component changed.", serving.boatyard.number)
}

fn success(app: &str, ended: &Snapshot) -> Vec<String> {
    let it = &ended.boatyard;
    let number = it.number;
    let after = match (ended.created_at, ended.updated_at) {
        (Some(from), Some(until)) => format!(" after {}", seconds((until - from).num_milliseconds().max(0))),
        _ => String::new(),
    };
    let proof = it.record.served.as_ref().map(|it| format!(": {}", proof(it))).unwrap_or_default();
    let mut lines = vec![format!("{app} serves deployment {number}{after}{proof}.")];
    for same in &it.record.unchanged {
        let short = |text: &str| text.trim_start_matches("sha256:").chars().take(12).collect::<String>();
        let (image, environment) = (short(&same.image), short(&same.environment_hash));
        let revision = short(&same.revision);
        lines.push(format!("  {}: same image {image}, environment {environment}, revision {revision}", same.component));
    }
    lines.extend(it.record.notes.iter().map(|note| format!("  {}", plain(note))));
    lines
}

/// `served 48,211 requests through the ingress during this roll, 0 failed, slowest 212 ms`. The ingress is named because
/// calls from component to component are not counted.
fn proof(served: &Served) -> String {
    let at_least = if served.at_least { "at least " } else { "" };
    let (requests, failed) = (grouped(served.requests), grouped(served.failed));
    let mut text = format!("served {at_least}{requests} requests through the ingress during this roll");
    if served.open_at_start > 0 {
        text.push_str(&format!(" and {} that were open when it began", grouped(served.open_at_start)));
    }
    text.push_str(&format!(", {failed} failed"));
    if served.requests > 0 {
        text.push_str(&format!(", slowest {} ms", grouped(served.slowest_ms)));
    }
    if let Some(cut) = cut(served) {
        text.push_str(&format!(", {cut} cut at the limit"));
    }
    if served.at_least {
        text.push_str("; the front door was away for a moment, and what it had counted last is not known");
    }
    text
}

/// `1 request, 2 uploads and 1 websocket`; `None` when nothing was cut.
fn cut(served: &Served) -> Option<String> {
    let kinds = [(served.requests_cut, "request"), (served.uploads_cut, "upload"), (served.upgraded_cut, "websocket")];
    let counted = |(count, name): (u64, &str)| {
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{} {name}{plural}", grouped(count)))
    };
    let mut parts: Vec<String> = kinds.into_iter().filter_map(counted).collect();
    let last = parts.pop()?;
    Some(if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) })
}

fn failure(app: &str, ended: &Snapshot) -> Vec<String> {
    let it = &ended.boatyard;
    let number = it.number;
    let leaf = ended.leaves().into_iter().find_map(|leaf| leaf.reason.map(|reason| (leaf.status, reason)));
    let reason = match (&it.failure, leaf) {
        (Some(failure), _) => failure.message.clone(),
        (None, Some((super::snapshot::Status::Error, reason))) => reason,
        _ => "it gives no reason".into(),
    };
    let what = match ended.phase.as_str() {
        "CANCELED" => "was canceled",
        "SUPERSEDED" => "was superseded before it served",
        _ if it.record.rollback_abandoned => "failed, and the version before could not be restored",
        _ if it.rolled_back => "failed, and what it had replaced was rolled back",
        _ => "failed",
    };
    let mut lines = vec![format!("Deployment {number} of {app} {what}: {}", plain(&reason))];
    if it.record.rollback_abandoned {
        lines.extend(it.record.notes.iter().map(|note| format!("  {}", plain(note))));
    }
    let component = it.failure.as_ref().and_then(|it| it.component.clone());
    if !it.log_tail.is_empty() {
        lines.push(format!("Last lines of {}:", component.as_deref().unwrap_or("its log")));
        lines.extend(it.log_tail.iter().map(|line| format!("  | {}", plain(line))));
    }
    if ended.phase == "ERROR" && !reason.contains("boatyard ") {
        let built = it.failure.as_ref().is_none_or(|it| it.code != "BuildFailed");
        let log = if built { "deploy" } else { "build" };
        let component = component.map(|it| format!(" {it}")).unwrap_or_default();
        lines.push(format!("See: boatyard apps logs {app}{component} --type {log} --deployment {number}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::samples::{deployment, snapshot};
    use super::*;
    use serde_json::json;

    fn read(change: impl FnOnce(&mut serde_json::Value), phase: &str, wait: &str) -> Snapshot {
        let mut value = deployment(phase, "SUCCESS", "SUCCESS", wait);
        change(&mut value);
        Snapshot::read(&value).expect("a deployment")
    }

    #[test]
    fn each_end_has_its_code() {
        assert_eq!(exit(&snapshot("ACTIVE", "SUCCESS", "SUCCESS", "SUCCESS")), Exit::Done);
        assert_eq!(exit(&snapshot("SUPERSEDED", "SUCCESS", "SUCCESS", "SUCCESS")), Exit::Done);
        assert_eq!(exit(&snapshot("SUPERSEDED", "ERROR", "PENDING", "PENDING")), Exit::Failed);
        assert_eq!(exit(&snapshot("CANCELED", "ERROR", "PENDING", "PENDING")), Exit::Failed);
        assert_eq!(exit(&snapshot("ERROR", "ERROR", "PENDING", "PENDING")), Exit::Failed);
        let rolled_back = read(|it| it["boatyard"]["rolled_back"] = true.into(), "ERROR", "ERROR");
        assert_eq!(exit(&rolled_back), Exit::RolledBack);
    }

    #[test]
    fn success_ends_with_the_proof() {
        let served = json!({ "requests": 48211, "failed": 0, "slowest_ms": 212, "upgraded_cut": 3 });
        let it = read(|it| it["boatyard"]["record"]["served"] = served, "ACTIVE", "SUCCESS");
        let line = &told("shop", &it, false)[0];
        assert_eq!(
            line,
            "shop serves deployment 42 after 4.2 s: served 48,211 requests through the ingress during this roll, 0 failed, slowest 212 ms, 3 websockets cut at the limit."
        );
    }

    #[test]
    fn what_was_open_before_and_each_kind_that_was_cut_is_told() {
        let served = json!({
            "requests": 5, "open_at_start": 2, "failed": 2, "slowest_ms": 3,
            "requests_cut": 1, "uploads_cut": 1, "upgraded_cut": 2,
        });
        let it = read(|it| it["boatyard"]["record"]["served"] = served, "ACTIVE", "SUCCESS");
        let line = &told("shop", &it, false)[0];
        let expected = "served 5 requests through the ingress during this roll and 2 that were open when it began, 2 failed, \
                        slowest 3 ms, 1 request, 1 upload and 2 websockets cut at the limit.";
        assert!(line.ends_with(expected), "{line}");
    }

    #[test]
    fn a_proof_with_a_gap_says_so() {
        let served = json!({ "requests": 7, "failed": 0, "slowest_ms": 12, "at_least": true });
        let it = read(|it| it["boatyard"]["record"]["served"] = served, "ACTIVE", "SUCCESS");
        let line = &told("shop", &it, false)[0];
        assert!(line.contains("served at least 7 requests") && line.ends_with("counted last is not known."), "{line}");
    }

    #[test]
    fn a_restart_tells_what_stayed_the_same() {
        let same = json!([{ "component": "web", "image": "sha256:0123456789abcdef", "environment_hash": "e1", "revision": "r1" }]);
        let it = read(|it| it["boatyard"]["record"]["unchanged"] = same, "ACTIVE", "SUCCESS");
        assert_eq!(told("shop", &it, false)[1], "  web: same image 0123456789ab, environment e1, revision r1");
    }

    #[test]
    fn what_built_and_rolled_nothing_says_so() {
        let it = snapshot("ACTIVE", "SUCCESS", "SUCCESS", "SUCCESS");
        let nothing = "Nothing to do: shop serves deployment 42, and no component changed.";
        assert_eq!(told("shop", &it, true), [nothing]);
        assert_ne!(told("shop", &it, false), [nothing]);
        let built = read(|it| it["boatyard"]["images"] = json!({ "web": { "built": true } }), "ACTIVE", "SUCCESS");
        assert_ne!(told("shop", &built, true), [nothing]);
    }

    #[test]
    fn the_next_command_names_the_log_that_tells_why() {
        for (code, log) in [("BuildFailed", "build"), ("PreDeployJobFailed", "deploy"), ("DatabaseFailed", "deploy")] {
            let failed = |it: &mut serde_json::Value| {
                it["boatyard"]["failure"] = json!({ "component": "migrate", "code": code, "message": "no" });
                it["boatyard"]["record"]["roll_began"] = serde_json::Value::Null;
            };
            let last = told("shop", &read(failed, "ERROR", "ERROR"), true).pop().expect("a line");
            assert_eq!(last, format!("See: boatyard apps logs shop migrate --type {log} --deployment 42"));
        }
    }

    #[test]
    fn failure_ends_with_the_reason_the_log_tail_and_the_next_command() {
        let failed = |it: &mut serde_json::Value| {
            it["boatyard"]["failure"] =
                json!({ "component": "web", "code": "c", "message": "web.0 was not ready; web.1 serves" });
            it["boatyard"]["log_tail"] = json!(["cannot \u{1b}[31mbind"]);
        };
        assert_eq!(
            told("shop", &read(failed, "ERROR", "ERROR"), true),
            [
                "Deployment 42 of shop failed: web.0 was not ready; web.1 serves",
                "Last lines of web:",
                "  | cannot \\u{1b}[31mbind",
                "See: boatyard apps logs shop web --type deploy --deployment 42",
            ]
        );
    }
}
