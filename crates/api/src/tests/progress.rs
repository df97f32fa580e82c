//! The tree of steps that clients walk.

use rollout::deployment::{Failure, Stage};
use rollout::progress::{LeafKey, Progress, Reason, Shown};
use rollout::time::Timestamp;
use serde_json::{Value, json};
use web::view;

use super::samples;

fn fresh() -> Progress {
    let shown = |name: &str, noun, waits| Shown { component: name.into(), noun, waits };
    Progress::new(&[shown("web", "service", true), shown("migrate", "job", false)])
}

/// The tree of a failed deployment if `ended`, else of a running one.
fn tree(progress: &Progress, ended: bool) -> Value {
    let mut deployment = samples::deployment(2, if ended { Stage::Failed } else { Stage::Rolling });
    deployment.progress = progress.clone();
    deployment.failure = Some(Failure { component: None, code: String::new(), message: String::new() });
    json!(view::deployment(&deployment, &[]).progress)
}

/// Number of leaves with this status.
fn count(steps: &Value, status: &str) -> u64 {
    steps.as_array().map_or(0, |steps| {
        steps
            .iter()
            .map(|step| match step.get("steps") {
                Some(below) => count(below, status),
                None => u64::from(step["status"] == status && step["name"] != "components"),
            })
            .sum()
    })
}

#[test]
fn a_new_tree_has_pending_steps_that_clients_can_count_and_walk() {
    let tree = tree(&fresh(), false);
    assert_eq!(tree["total_steps"], 8);
    assert_eq!(tree["pending_steps"], 8);
    assert_eq!(tree["steps"][0]["status"], "PENDING");
    assert_eq!(tree["steps"][1]["steps"][1]["steps"][0]["steps"][1]["message_base"], "Waiting for service");
    assert_eq!(tree["steps"][0]["steps"][1]["steps"][1]["message_base"], "Building job");
}

#[test]
fn counters_always_agree_with_the_tree() {
    let mut progress = fresh();
    let keys: Vec<_> = progress.leaves.iter().map(|leaf| leaf.key.clone()).collect();
    for (index, key) in keys.iter().enumerate() {
        progress.start(key, Timestamp(1));
        for done in [false, true] {
            if done {
                progress.succeed(key, None, Timestamp(2));
            }
            let tree = tree(&progress, false);
            let sum = ["pending_steps", "running_steps", "success_steps", "error_steps"]
                .map(|name| tree[name].as_u64().unwrap_or(0));
            assert_eq!(sum.iter().sum::<u64>(), 8, "{index}");
            for (name, status) in
                [("pending_steps", "PENDING"), ("running_steps", "RUNNING"), ("success_steps", "SUCCESS")]
            {
                assert_eq!(tree[name].as_u64(), Some(count(&tree["steps"], status)), "{index} {status}");
            }
            let all_top =
                tree["steps"].as_array().is_some_and(|steps| steps.iter().all(|it| it["status"] == "SUCCESS"));
            assert_eq!(all_top, tree["success_steps"] == tree["total_steps"], "{index}");
        }
    }
}

#[test]
fn a_failure_appears_at_the_top_with_the_next_command() {
    let mut progress = fresh();
    progress.start(&LeafKey::Wait("web".into()), Timestamp(1));
    let reason = Reason { code: "DeployContainerHealthChecksFailed".into(), message: "web.0 was not ready.".into() };
    progress.fail(&LeafKey::Wait("web".into()), reason, Timestamp(2));
    progress.end_without_success(Reason { code: String::new(), message: String::new() }, Timestamp(3));
    let tree = tree(&progress, true);
    let deploy = &tree["steps"][1];
    assert_eq!((&tree["error_steps"], &deploy["status"]), (&json!(1), &json!("ERROR")));
    let next = format!("boatyard apps logs shop web --type deploy --deployment {}", samples::deployment_id(2));
    assert_eq!(deploy["reason"]["message"], format!("web.0 was not ready. See: {next}"));
    let wait = &deploy["steps"][1]["steps"][0]["steps"][1];
    assert_eq!((&wait["name"], &wait["reason"]["message"]), (&json!("wait"), &json!("web.0 was not ready.")));
    assert_eq!(count(&tree["steps"], "RUNNING"), 0);
}

#[test]
fn an_app_without_components_has_a_tree_too() {
    let mut progress = Progress::new(&[]);
    assert_ne!(tree(&progress, false)["steps"][0]["status"], "SUCCESS");
    progress.succeed_all(Timestamp(1));
    assert_eq!(tree(&progress, true)["steps"][1]["status"], "SUCCESS");
}

#[test]
fn times_are_rfc_3339_in_utc() {
    let text = |at| view::time(Timestamp(at)).map(present::rfc3339);
    assert_eq!(text(1_772_359_293_074).as_deref(), Some("2026-03-01T10:01:33.074Z"));
    assert_eq!(text(u64::MAX), None);
}
