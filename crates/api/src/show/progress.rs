//! The tree of steps: from the leaves that are on record to the tree that clients walk (contract 3.2.2, 3.3).

use rollout::progress::{Leaf, LeafKey, Progress, Reason, Status};
use serde_json::{Value, json};

use super::fields::{Fields, time};

/// The tree with its counters, which count leaves. `ended`: nothing more will happen. `next`: the command to type after
/// a failure, for reasons that do not name one.
pub(super) fn progress(progress: &Progress, ended: bool, next: impl Fn(&Leaf) -> String) -> Value {
    let steps: Vec<_> = tree(progress, ended).into_iter().map(|step| step.json(Some(&next))).collect();
    json!({
        "pending_steps": progress.count(Status::Pending),
        "running_steps": progress.count(Status::Running),
        "success_steps": progress.count(Status::Success),
        "error_steps": progress.count(Status::Error),
        "total_steps": progress.leaves.len(),
        "steps": steps,
    })
}

/// One step of the tree.
struct Step<'a> {
    name: &'a str,
    component: Option<&'a str>,
    message: String,
    status: Status,
    /// The leaf itself, or for a parent the leaf that failed below it.
    leaf: Option<&'a Leaf>,
    children: Vec<Step<'a>>,
}

/// `build` and `deploy` with everything below them.
fn tree(progress: &Progress, ended: bool) -> [Step<'_>; 2] {
    let mut build = vec![];
    let mut build_components = vec![];
    let mut deploy = vec![];
    let mut deploy_components: Vec<Step<'_>> = vec![];
    let mut finalize = vec![];
    for leaf in &progress.leaves {
        match &leaf.key {
            LeafKey::BuildInitialize => build.push(Step::leaf("initialize", leaf)),
            LeafKey::Build(name) => {
                build_components.push(Step::leaf(name.as_str(), leaf).of(name.as_str(), "Building"));
            }
            LeafKey::DeployInitialize => deploy.push(Step::leaf("initialize", leaf)),
            LeafKey::Deploy(name) => {
                let part = Step::leaf("deploy", leaf).of(name.as_str(), "Deploying");
                add_part(&mut deploy_components, name.as_str(), part);
            }
            LeafKey::Wait(name) => {
                let part = Step::leaf("wait", leaf).of(name.as_str(), "Waiting for");
                add_part(&mut deploy_components, name.as_str(), part);
            }
            LeafKey::Finalize => finalize.push(Step::leaf("finalize", leaf)),
        }
    }
    // Their status follows from all their parts, so it is drawn once those are together.
    let deploy_components =
        deploy_components.into_iter().map(|step| Step::parent(step.name, step.component, step.children, ended));
    build.push(Step::parent("components", None, build_components, ended));
    deploy.push(Step::parent("components", None, deploy_components.collect(), ended));
    deploy.append(&mut finalize);
    [Step::parent("build", None, build, ended), Step::parent("deploy", None, deploy, ended)]
}

/// The parts of one component stand below one step of its name.
fn add_part<'a>(components: &mut Vec<Step<'a>>, name: &'a str, part: Step<'a>) {
    match components.iter_mut().find(|step| step.name == name) {
        Some(step) => step.children.push(part),
        None => components.push(Step::parent(name, Some(name), vec![part], false)),
    }
}

impl<'a> Step<'a> {
    fn leaf(name: &'a str, leaf: &'a Leaf) -> Self {
        let (status, leaf) = (leaf.status, Some(leaf));
        Self { name, component: None, message: String::new(), status, leaf, children: vec![] }
    }

    /// "Building" and "service" become what clients show before the component's name.
    fn of(mut self, component: &'a str, verb: &str) -> Self {
        let noun = self.leaf.map_or("", |leaf| leaf.noun.as_str());
        self.component = Some(component);
        self.message = format!("{verb} {noun}").trim_end().to_owned();
        self
    }

    fn parent(name: &'a str, component: Option<&'a str>, children: Vec<Self>, ended: bool) -> Self {
        let any = |status| children.iter().any(|child| child.status == status);
        let all = |status| children.iter().all(|child| child.status == status);
        let status = match () {
            () if any(Status::Error) => Status::Error,
            // One without children, too: there is nothing to do.
            () if all(Status::Success) => Status::Success,
            () if all(Status::Pending) || ended => Status::Pending,
            () => Status::Running,
        };
        let leaf = children.iter().find(|child| child.status == Status::Error).and_then(|child| child.leaf);
        Self { name, component, message: String::new(), status, leaf, children }
    }

    /// `next` is given at the top, where a failure is told together with the next command.
    fn json(self, next: Option<&dyn Fn(&Leaf) -> String>) -> Value {
        let span = span(&self);
        let word = serde_json::to_value(self.status).expect("a status is a word");
        let reason = self.leaf.and_then(|leaf| Some((leaf, leaf.reason.as_ref()?)));
        let reason = reason.map(|(leaf, reason)| reason_json(reason, next.map(|next| next(leaf))));
        let message = Some(self.message).filter(|text| !text.is_empty());
        let steps: Vec<_> = self.children.into_iter().map(|child| child.json(None)).collect();
        Fields::new()
            .set("name", self.name)
            .set("status", word)
            .maybe("steps", Some(steps).filter(|steps| !steps.is_empty()))
            .maybe("started_at", span.0.and_then(time))
            .maybe("ended_at", span.1.and_then(time))
            .maybe("reason", reason)
            .maybe("component_name", self.component)
            .maybe("message_base", message)
            .build()
    }
}

type At = Option<rollout::time::Timestamp>;

/// From the first beginning below to the last end, if nothing is open any more.
fn span(step: &Step<'_>) -> (At, At) {
    if step.children.is_empty() {
        return step.leaf.map_or((None, None), |leaf| (leaf.started, leaf.ended));
    }
    let spans: Vec<_> = step.children.iter().map(span).collect();
    let ended = matches!(step.status, Status::Success | Status::Error);
    let last = spans.iter().filter_map(|it| it.1).max().filter(|_| ended);
    (spans.iter().filter_map(|it| it.0).min(), last)
}

fn reason_json(reason: &Reason, next: Option<String>) -> Value {
    let mut message = reason.message.clone();
    if let Some(next) = next.filter(|_| !message.contains("boatyard ")) {
        message = format!("{}. See: {next}", message.trim_end_matches('.'));
    }
    json!({ "code": reason.code, "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollout::progress::Shown;
    use rollout::time::Timestamp;

    fn fresh() -> Progress {
        let shown = |name: &str, noun, waits| Shown { component: name.into(), noun, waits };
        Progress::new(&[shown("web", "service", true), shown("migrate", "job", false)])
    }

    fn drawn(it: &Progress, ended: bool) -> Value {
        progress(it, ended, |_| "boatyard apps logs shop".into())
    }

    /// Leaves below a step, as (status, has a reason).
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
    fn a_fresh_tree_has_pending_steps_for_both_kinds_of_waiters() {
        let tree = drawn(&fresh(), false);
        assert_eq!(tree["total_steps"], 8);
        assert_eq!(tree["pending_steps"], 8);
        assert_eq!(tree["steps"][0]["status"], "PENDING");
        assert_eq!(tree["steps"][1]["steps"][1]["steps"][0]["steps"][1]["message_base"], "Waiting for service");
        assert_eq!(tree["steps"][0]["steps"][1]["steps"][1]["message_base"], "Building job");
    }

    #[test]
    fn counters_agree_with_the_tree_at_every_moment() {
        let mut it = fresh();
        let keys: Vec<_> = it.leaves.iter().map(|leaf| leaf.key.clone()).collect();
        for (index, key) in keys.iter().enumerate() {
            it.start(key, Timestamp(1));
            for done in [false, true] {
                if done {
                    it.succeed(key, None, Timestamp(2));
                }
                let tree = drawn(&it, false);
                let sum = ["pending_steps", "running_steps", "success_steps", "error_steps"]
                    .map(|name| tree[name].as_u64().unwrap_or(0));
                assert_eq!(sum.iter().sum::<u64>(), 8, "{index}");
                for (name, word) in
                    [("pending_steps", "PENDING"), ("running_steps", "RUNNING"), ("success_steps", "SUCCESS")]
                {
                    assert_eq!(tree[name].as_u64(), Some(count(&tree["steps"], word)), "{index} {word}");
                }
                let all_top =
                    tree["steps"].as_array().is_some_and(|steps| steps.iter().all(|it| it["status"] == "SUCCESS"));
                assert_eq!(all_top, tree["success_steps"] == tree["total_steps"], "{index}");
            }
        }
    }

    #[test]
    fn a_failure_is_told_at_the_top_with_the_next_command() {
        let mut it = fresh();
        it.start(&LeafKey::Wait("web".into()), Timestamp(1));
        let reason =
            Reason { code: "DeployContainerHealthChecksFailed".into(), message: "web.0 was not ready.".into() };
        it.fail(&LeafKey::Wait("web".into()), reason, Timestamp(2));
        it.end_without_success(Reason { code: String::new(), message: String::new() }, Timestamp(3));
        let tree = drawn(&it, true);
        let deploy = &tree["steps"][1];
        assert_eq!((&tree["error_steps"], &deploy["status"]), (&json!(1), &json!("ERROR")));
        assert_eq!(deploy["reason"]["message"], "web.0 was not ready. See: boatyard apps logs shop");
        let wait = &deploy["steps"][1]["steps"][0]["steps"][1];
        assert_eq!((&wait["name"], &wait["reason"]["message"]), (&json!("wait"), &json!("web.0 was not ready.")));
        assert_eq!(count(&tree["steps"], "RUNNING"), 0);
    }

    #[test]
    fn an_app_of_no_components_has_a_tree_as_well() {
        let mut it = Progress::new(&[]);
        assert_ne!(drawn(&it, false)["steps"][0]["status"], "SUCCESS");
        it.succeed_all(Timestamp(1));
        assert_eq!(drawn(&it, true)["steps"][1]["status"], "SUCCESS");
    }
}
