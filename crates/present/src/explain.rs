//! An app in a few sentences: what serves, what is under way, why the last deployment failed, and what needs attention.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use crate::deployment::Image;
use crate::instance::LastEnd;
use crate::{App, Deployment, InstanceCounts, command, news, outcome, rfc3339};

/// How long a restarted process is worth a look.
const RECENT: Duration = Duration::hours(24);
/// How much of a commit to show, as `git log --oneline` does on larger repositories.
const COMMIT_LENGTH: usize = 12;

/// What the API reports about an app.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Its status: instances with databases, and what it waits for.
    pub status: AppStatus,
    /// The app with its deployments; default if it is being deleted.
    pub app: App,
    /// The newest deployments.
    pub recent: Vec<Deployment>,
}

/// The status of an app, under `status`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AppStatus {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// It is being deleted.
    pub deleting: bool,
    /// Its address.
    pub live_url: String,
    /// What it waits for, one sentence each.
    pub waiting: Vec<String>,
    /// Instances, databases and runs of jobs.
    pub instances: Vec<StatusInstance>,
}

/// An instance, a database or a run of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StatusInstance {
    /// The component.
    pub component_name: String,
    /// `SERVICE`, `WORKER`, `JOB` or `DATABASE`.
    pub component_type: String,
    /// Name of the container.
    pub instance_name: String,
    /// `COMPONENT-INDEX`.
    pub instance_alias: String,
    /// How often the process ended unexpectedly and was started again.
    pub restarts: u64,
    /// How the process last ended.
    pub last_end: Option<LastEnd>,
    /// Processes and threads, if known.
    pub processes: Option<ProcessCount>,
}

/// Processes and threads of a container, and their limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ProcessCount {
    /// How many there are.
    pub running: u64,
    /// How many there may be.
    pub limit: u64,
}

/// Sentences about an app, by subject. A line that begins with two blanks belongs to the line before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What serves.
    pub serving: Vec<String>,
    /// Deployments that have not ended, and what they wait for, with the time that is left.
    pub under_way: Vec<String>,
    /// Why the last deployment failed, if none has served since.
    pub failure: Vec<String>,
    /// What a person should look at.
    pub attention: Vec<String>,
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// What it is.
    pub sentence: String,
    /// Where to see more about it.
    pub see: Option<See>,
}

/// Where to see more about a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum See {
    /// The output of this component's instances before their process was last started again.
    RestartedLogs(String),
    /// The output of this container, which Boatyard does not show.
    Container(String),
}

impl Attention {
    fn line(&self, app: &str) -> String {
        let see = match &self.see {
            Some(See::RestartedLogs(component)) => format!(" See: {}", command::restarted_logs(app, component)),
            Some(See::Container(name)) => format!(" See: docker logs {name}"),
            None => String::new(),
        };
        format!("{}{see}", self.sentence)
    }
}

impl Facts {
    /// The deployments that have not ended, oldest first, with what they wait for.
    pub fn open(&self) -> Vec<&Deployment> {
        // The app's fields have no `waiting`, so take them from the list.
        let mut open: Vec<_> = self.recent.iter().filter(|it| !it.has_ended()).collect();
        open.sort_by_key(|it| it.boatyard.number);
        open
    }

    /// The newest deployment that failed or was canceled, if none has served since.
    pub fn failed(&self) -> Option<&Deployment> {
        let active = self.app.active_deployment.as_ref().map_or(0, |it| it.boatyard.number);
        let ended = self.recent.iter().filter(|it| matches!(it.phase.as_str(), "ERROR" | "CANCELED"));
        ended.max_by_key(|it| it.boatyard.number).filter(|it| it.boatyard.number > active)
    }

    /// What a person should look at, besides a pinned rollback.
    pub fn attention(&self, now: DateTime<Utc>) -> Vec<Attention> {
        let open = self.open();
        let InstanceCounts { ready, wanted } = self.app.boatyard.instances;
        let mut sentences = Vec::new();
        if self.app.active_deployment.is_some() && open.is_empty() && ready < wanted {
            sentences.push(format!("{ready} of {wanted} instances of services and workers serve."));
        }
        // A rollout lists what the app waits for, too. The seconds that are left may differ.
        let known: Vec<_> =
            open.iter().flat_map(|it| &it.boatyard.waiting).map(|it| news::without_numbers(it)).collect();
        let waiting = self.status.waiting.iter().filter(|it| !known.contains(&news::without_numbers(it)));
        sentences.extend(waiting.cloned());
        let sentences = sentences.into_iter().map(|sentence| Attention { sentence, see: None });
        let restarted = self.status.instances.iter().filter_map(|it| restarted(it, now));
        sentences.chain(restarted).chain(self.status.instances.iter().filter_map(at_process_limit)).collect()
    }
}

impl Explanation {
    /// All sentences in order.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = [self.serving.as_slice(), &self.under_way, &self.failure, &self.attention].concat();
        if self.failure.is_empty() && self.attention.is_empty() {
            lines.push("Nothing needs attention.".into());
        }
        lines
    }
}

/// Explains an app at the time `now`.
pub fn explain(facts: &Facts, now: DateTime<Utc>) -> Explanation {
    if facts.status.deleting {
        return Explanation { serving: deleting(&facts.status), ..Explanation::default() };
    }
    Explanation {
        serving: serving(facts),
        under_way: under_way(facts),
        failure: failure(facts),
        attention: attention(facts, now),
    }
}

fn deleting(status: &AppStatus) -> Vec<String> {
    let first = format!("{} is being deleted.", status.name);
    [first].into_iter().chain(status.waiting.iter().map(|why| format!("  {why}"))).collect()
}

fn serving(facts: &Facts) -> Vec<String> {
    let AppStatus { name, live_url, .. } = &facts.status;
    let Some(active) = &facts.app.active_deployment else {
        return vec![format!("{name} has never been deployed successfully, so nothing serves.")];
    };
    let since = active.boatyard.record.serving_since.or(active.updated_at);
    let since = since.map(|at| format!(" since {}", rfc3339(at))).unwrap_or_default();
    let (number, cause) = (active.boatyard.number, &active.cause);
    let mut lines = vec![format!("{name} serves deployment {number} ({cause}) at {live_url}{since}.")];
    lines.extend(active.boatyard.images.iter().map(|(component, image)| format!("  {component}: {}", version(image))));
    lines
}

/// `commit 0123456789ab`, or `image nginx:1.27`.
fn version(image: &Image) -> String {
    match &image.commit {
        Some(commit) => format!("commit {}", commit.chars().take(COMMIT_LENGTH).collect::<String>()),
        None => format!("image {}", image.reference),
    }
}

fn under_way(facts: &Facts) -> Vec<String> {
    facts.open().into_iter().flat_map(|it| under_way_lines(&facts.status.name, it)).collect()
}

fn under_way_lines(app: &str, deployment: &Deployment) -> Vec<String> {
    let number = deployment.boatyard.number;
    let progress = &deployment.progress;
    let does = match (deployment.boatyard.stage.as_str(), deployment.phase.as_str()) {
        ("pending", _) => "has not started",
        ("rolling_back", _) => "has failed, and the previous version is being restored",
        (_, "PENDING_BUILD" | "BUILDING") => "is being built",
        (_, "PENDING_DEPLOY") => "is built, and its rollout has not started",
        (_, "DEPLOYING") => "is being rolled out",
        _ => "is under way",
    };
    let done = format!("{} of {} steps are done", progress.success_steps, progress.total_steps);
    let mut lines = vec![format!("Deployment {number} ({}) {does}: {done}.", deployment.cause)];
    lines.extend(deployment.boatyard.waiting.iter().map(|why| format!("  {why}")));
    lines.push(format!("  Follow it: {}", command::follow(app, &number.to_string())));
    lines
}

fn failure(facts: &Facts) -> Vec<String> {
    facts.failed().map(|it| outcome::ended(&facts.status.name, it, false)).unwrap_or_default()
}

fn attention(facts: &Facts, now: DateTime<Utc>) -> Vec<String> {
    let app = &facts.status.name;
    let attention = facts.attention(now).into_iter().map(|it| it.line(app));
    facts.app.pinned_line(app).into_iter().chain(attention).collect()
}

/// A process that ended by itself lately.
fn restarted(instance: &StatusInstance, now: DateTime<Utc>) -> Option<Attention> {
    let end = instance.last_end.as_ref().filter(|_| instance.restarts > 0)?;
    let at: DateTime<Utc> = end.at.parse().ok()?;
    if now - at > RECENT {
        return None;
    }
    let how = match end.code {
        _ if end.out_of_memory => " because it exceeded its memory limit".to_owned(),
        Some(code) => format!(" with exit code {code}"),
        None => String::new(),
    };
    let StatusInstance { instance_alias: alias, restarts, .. } = instance;
    let times = if *restarts == 1 { "once".to_owned() } else { format!("{restarts} times") };
    let see = match instance.component_type.as_str() {
        "DATABASE" => See::Container(instance.instance_name.clone()),
        _ => See::RestartedLogs(instance.component_name.clone()),
    };
    let at = rfc3339(at);
    let sentence = format!("{alias} ended by itself and was started again {times}. It last ended{how} at {at}.");
    Some(Attention { sentence, see: Some(see) })
}

fn at_process_limit(instance: &StatusInstance) -> Option<Attention> {
    let ProcessCount { running, limit } = instance.processes?;
    let alias = &instance.instance_alias;
    let sentence = format!("{alias} has reached its limit of {limit} processes and cannot start more.");
    (running >= limit).then_some(Attention { sentence, see: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::deployment;
    use crate::{AppDetails, Failure};
    use serde_json::json;

    /// A deployment with this number and cause.
    fn numbered(number: u64, phase: &str, leaves: [&str; 3]) -> Deployment {
        let mut it = deployment(phase, leaves[0], leaves[1], leaves[2]);
        (it.id, it.boatyard.number) = (format!("d-{number}"), number);
        it
    }

    const DONE: [&str; 3] = ["SUCCESS"; 3];

    /// `shop`, which serves deployment 41 with one image from a commit and one prebuilt image.
    fn shop() -> Facts {
        let mut active = numbered(41, "ACTIVE", DONE);
        let web = Image { commit: Some("0123456789abcdef0123".into()), ..Image::default() };
        let api = Image { reference: "docker.io/library/nginx:1.27".into(), ..Image::default() };
        active.boatyard.images = [("web".into(), web), ("api".into(), api)].into();
        let instances = InstanceCounts { ready: 2, wanted: 2 };
        let (name, live_url) = ("shop".into(), "http://shop.localhost:8080".into());
        Facts {
            status: AppStatus { name, live_url, ..AppStatus::default() },
            app: App {
                active_deployment: Some(active.clone()),
                boatyard: AppDetails { instances, ..AppDetails::default() },
                ..App::default()
            },
            recent: vec![active],
        }
    }

    fn lines(facts: &Facts) -> Vec<String> {
        explain(facts, "2026-03-02T10:00:00Z".parse().expect("a time")).lines()
    }

    #[test]
    fn a_healthy_app_names_what_serves() {
        assert_eq!(
            lines(&shop()),
            [
                "shop serves deployment 41 (app spec updated) at http://shop.localhost:8080 since \
                 2026-03-01T10:00:04.200Z.",
                "  api: image docker.io/library/nginx:1.27",
                "  web: commit 0123456789ab",
                "Nothing needs attention.",
            ]
        );
    }

    #[test]
    fn an_open_deployment_says_what_it_waits_for_and_until_when() {
        let mut facts = shop();
        let mut rolling = numbered(42, "DEPLOYING", ["SUCCESS", "RUNNING", "PENDING"]);
        (rolling.progress.success_steps, rolling.progress.total_steps) = (1, 3);
        rolling.boatyard.waiting = vec!["waiting for web.0 to pass its health check, 9 s left".into()];
        let mut pending = numbered(43, "PENDING_BUILD", ["PENDING"; 3]);
        pending.boatyard.stage = "pending".into();
        facts.status.waiting = vec!["waiting for web.0 to pass its health check, 8 s left".into()];
        facts.app.boatyard.instances.ready = 1;
        facts.recent = vec![pending, rolling];
        let explanation = explain(&facts, Utc::now());
        assert_eq!(
            explanation.under_way,
            [
                "Deployment 42 (app spec updated) is being rolled out: 1 of 3 steps are done.",
                "  waiting for web.0 to pass its health check, 9 s left",
                "  Follow it: boatyard apps get-deployment shop 42 --wait",
                "Deployment 43 (app spec updated) has not started: 0 of 0 steps are done.",
                "  Follow it: boatyard apps get-deployment shop 43 --wait",
            ]
        );
        assert_eq!(explanation.attention, [""; 0], "the rollout explains both");
    }

    #[test]
    fn a_pin_needs_attention() {
        let mut facts = shop();
        facts.app.pinned_deployment = facts.app.active_deployment.clone();
        let attention = explain(&facts, Utc::now()).attention;
        assert!(attention.len() == 1 && attention[0].starts_with("shop is pinned to deployment 41"), "{attention:?}");
    }

    #[test]
    fn each_stage_has_its_words() {
        let table = [
            ("pending", "PENDING_BUILD", "has not started"),
            ("building", "BUILDING", "is being built"),
            ("built", "PENDING_DEPLOY", "is built, and its rollout has not started"),
            ("rolling", "DEPLOYING", "is being rolled out"),
            ("rolling_back", "DEPLOYING", "has failed, and the previous version is being restored"),
            ("", "UNHEARD_OF", "is under way"),
        ];
        for (stage, phase, words) in table {
            let mut it = numbered(42, phase, ["PENDING"; 3]);
            it.boatyard.stage = stage.into();
            let first = under_way_lines("shop", &it).remove(0);
            assert!(first.starts_with(&format!("Deployment 42 (app spec updated) {words}:")), "{first}");
        }
    }

    #[test]
    fn a_failure_counts_until_a_newer_deployment_serves() {
        let mut failed = numbered(42, "ERROR", ["SUCCESS", "ERROR", "PENDING"]);
        let message = "web.0 was not ready; deployment 41 serves".to_owned();
        failed.boatyard.failure = Some(Failure { component: Some("web".into()), code: "c".into(), message });
        let mut facts = shop();
        facts.recent.insert(0, failed);
        let explained = lines(&facts);
        assert_eq!(
            explained[3..],
            [
                "Deployment 42 of shop failed: web.0 was not ready; deployment 41 serves",
                "See: boatyard apps logs shop web --type deploy --deployment 42",
            ]
        );
        let newer = numbered(43, "ACTIVE", DONE);
        facts.app.active_deployment = Some(newer.clone());
        facts.recent.insert(0, newer);
        assert_eq!(explain(&facts, Utc::now()).failure, [""; 0]);
    }

    #[test]
    fn an_app_that_never_served_and_one_that_is_being_deleted_say_so() {
        let mut facts = shop();
        facts.app = App::default();
        facts.recent = vec![numbered(1, "CANCELED", ["ERROR", "PENDING", "PENDING"])];
        let explained = lines(&facts);
        assert_eq!(explained[0], "shop has never been deployed successfully, so nothing serves.");
        assert!(explained[1].starts_with("Deployment 1 of shop was canceled"), "{explained:?}");
        facts.status.deleting = true;
        facts.status.waiting = vec!["waiting for web.0: 1 open request, 9 s left".into()];
        let explanation = explain(&facts, Utc::now());
        assert_eq!(explanation.serving, ["shop is being deleted.", "  waiting for web.0: 1 open request, 9 s left"]);
    }

    #[test]
    fn missing_and_restarting_instances_need_attention() {
        let mut facts = shop();
        facts.app.boatyard.instances.ready = 1;
        facts.status.waiting = vec!["cannot start api.0: no such image; trying again, 20 s left".into()];
        let instance = |alias: &str, restarts: u64, end: serde_json::Value, running: u64| {
            let json = json!({ "component_name": alias.split('-').next(), "instance_alias": alias, "restarts": restarts,
                "last_end": end, "processes": { "running": running, "limit": 1024 } });
            serde_json::from_value::<StatusInstance>(json).expect("an instance")
        };
        let end = |at: &str, code: i64, out_of_memory: bool| json!({ "at": at, "code": code, "out_of_memory": out_of_memory });
        facts.status.instances = vec![
            instance("web-0", 3, end("2026-03-02T09:00:00Z", 1, false), 3),
            instance("web-1", 1, end("2026-03-02T08:00:00Z", 137, true), 1024),
            instance("api-0", 5, end("2026-02-01T00:00:00Z", 1, false), 3),
            StatusInstance {
                component_type: "DATABASE".into(),
                instance_name: "by-1-shop-db-1".into(),
                ..instance("db", 2, json!({ "at": "2026-03-02T09:30:00Z" }), 3)
            },
            instance("mill-0", 0, json!(null), 3),
        ];
        assert_eq!(
            lines(&facts)[3..],
            [
                "1 of 2 instances of services and workers serve.",
                "cannot start api.0: no such image; trying again, 20 s left",
                "web-0 ended by itself and was started again 3 times. It last ended with exit code 1 at 2026-03-02T09:00:00.000Z. \
                 See: boatyard apps logs shop web --type run_restarted",
                "web-1 ended by itself and was started again once. It last ended because it exceeded its memory limit at \
                 2026-03-02T08:00:00.000Z. See: boatyard apps logs shop web --type run_restarted",
                "db ended by itself and was started again 2 times. It last ended at 2026-03-02T09:30:00.000Z. See: docker logs \
                 by-1-shop-db-1",
                "web-1 has reached its limit of 1024 processes and cannot start more.",
            ]
        );
    }
}
