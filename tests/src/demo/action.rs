//! One action on the app: how long it took, which containers ran before and after, and how the load was affected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde_json::Value;

use super::claims::Report;
use super::traffic::{Traffic, Visits};
use crate::engine::Starts;
use crate::installation::{Installation, served_after};

/// An action may make a request fail a moment later, so this much time after it counts as part of it.
const TAIL: Duration = Duration::from_secs(1);

/// An action that has ended.
pub(super) struct Action {
    pub name: &'static str,
    /// Time from the API request until the deployment had ended.
    pub took: Duration,
    /// Time from the request until only the new instances served, according to the deployment's record. `None` if they
    /// never did. Boatyard removes the last replaced container after that.
    pub served_after: Option<Duration>,
    /// The deployment at its end.
    pub deployment: Value,
    pub before: Containers,
    pub after: Containers,
    /// Containers that the engine started during the action, by component, including jobs.
    starts: BTreeMap<String, usize>,
    /// `None` for the first deployment, which has no load.
    pub visits: Option<Visits>,
}

/// The app that the actions change.
pub(super) struct Subject<'a> {
    pub at: &'a Installation,
    pub app: &'a str,
    pub traffic: Option<&'a Traffic>,
}

impl Subject<'_> {
    /// Requests a deployment, waits for its end, and reads the app's containers again. `request` returns the
    /// deployment's id.
    pub async fn act(
        &self,
        report: &Report,
        name: &'static str,
        request: impl Future<Output = Result<String>>,
    ) -> Result<Action> {
        let before = Containers::of(self.at, self.app).await?;
        let window = self.traffic.map(|it| (it, it.now()));
        let starts = Starts::watch(self.at.id()?)?;
        let (since, began) = (SystemTime::now(), Instant::now());
        let id = request.await?;
        let mut shown = BTreeSet::new();
        let show_progress = |deployment: &Value| {
            for part in ended_parts(&deployment["progress"]) {
                if shown.insert(part.clone()) {
                    report.step(&format!("  {part}"));
                }
            }
        };
        let deployment = self.at.follow(self.app, &id, show_progress).await?;
        let took = began.elapsed();
        report.step(&format!(
            "ended {} after {:.2} s",
            deployment["phase"].as_str().unwrap_or("?"),
            took.as_secs_f64()
        ));
        if window.is_some() {
            tokio::time::sleep(TAIL).await;
        }
        Ok(Action {
            name,
            took,
            served_after: served_after(since, &deployment),
            visits: window.map(|(traffic, from)| traffic.since(from)),
            starts: starts.count().await?,
            after: Containers::of(self.at, self.app).await?,
            before,
            deployment,
        })
    }
}

/// A line for each part that has ended and took time.
fn ended_parts(step: &Value) -> Vec<String> {
    match step["steps"].as_array() {
        Some(below) => below.iter().flat_map(ended_parts).collect(),
        None => ended_part(step).into_iter().collect(),
    }
}

fn ended_part(leaf: &Value) -> Option<String> {
    let (component, doing) = (leaf["component_name"].as_str()?, leaf["message_base"].as_str()?);
    // "Waiting for" a service or worker repeats "Deploying" a moment later.
    let took_time =
        leaf["started_at"] != leaf["ended_at"] && !matches!(doing, "Deploying service" | "Deploying worker");
    let otherwise = match leaf["status"].as_str()? {
        "SUCCESS" if took_time => "done",
        "ERROR" if leaf["started_at"].is_string() => "failed",
        _ => return None,
    };
    Some(format!("{doing} {component}: {}", leaf["reason"]["message"].as_str().unwrap_or(otherwise)))
}

impl Action {
    /// The fields that Boatyard adds to App Platform's.
    pub fn record(&self) -> &Value {
        &self.deployment["boatyard"]
    }

    /// How many containers of a component the engine started.
    pub fn started(&self, component: &str) -> usize {
        self.starts.get(component).copied().unwrap_or_default()
    }
}

/// The containers of each component, by the engine's ids and start times.
pub(super) struct Containers(BTreeMap<String, BTreeMap<String, String>>);

impl Containers {
    async fn of(at: &Installation, app: &str) -> Result<Self> {
        let mut all = BTreeMap::<_, BTreeMap<_, _>>::new();
        for instance in at.instances(app).await? {
            let field = |name: &str| instance[name].as_str().map(str::to_owned);
            // An instance without a start time has no container yet.
            if let (Some(component), Some(id), Some(started)) =
                (field("component_name"), field("container_id"), field("started_at"))
                && instance["component_type"] != "JOB"
            {
                all.entry(component).or_default().insert(id, started);
            }
        }
        Ok(Self(all))
    }

    pub fn ids(&self, component: &str) -> BTreeSet<&str> {
        self.0.get(component).into_iter().flat_map(|it| it.keys()).map(String::as_str).collect()
    }

    /// Whether the containers are the same and were not restarted.
    pub fn kept(&self, later: &Containers, component: &str) -> bool {
        self.0.contains_key(component) && self.0.get(component) == later.0.get(component)
    }

    /// Whether there are as many containers as before, and all of them are new.
    pub fn replaced(&self, later: &Containers, component: &str) -> bool {
        let (before, after) = (self.ids(component), later.ids(component));
        !before.is_empty() && before.len() == after.len() && before.is_disjoint(&after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_parts_that_took_time_are_shown() {
        let leaf = |doing: &str, status: &str, ended: &str| json!({"name": "x", "component_name": "web", "message_base": doing, "status": status, "started_at": "1", "ended_at": ended});
        let steps = json!({"steps": [
            leaf("Building service", "SUCCESS", "2"),
            {"name": "deploy", "steps": [
                leaf("Deploying service", "SUCCESS", "2"),
                leaf("Waiting for service", "SUCCESS", "1"),
                leaf("Waiting for worker", "RUNNING", "0"),
                leaf("Deploying job", "ERROR", "2"),
            ]},
        ]});
        assert_eq!(ended_parts(&steps), ["Building service web: done", "Deploying job web: failed"]);
    }

    fn web(containers: &[(&str, &str)]) -> Containers {
        let web = containers.iter().map(|(id, started)| ((*id).into(), (*started).into())).collect();
        Containers(BTreeMap::from([("web".into(), web)]))
    }

    #[test]
    fn kept_means_the_same_containers_never_started_again() {
        let before = web(&[("a", "1"), ("b", "1")]);
        assert!(before.kept(&before, "web"));
        assert!(!before.kept(&web(&[("a", "1"), ("b", "2")]), "web"), "one was started again");
        assert!(!before.kept(&web(&[("a", "1")]), "web"), "one is gone");
        assert!(!before.kept(&before, "api"), "none was there");
    }

    #[test]
    fn replaced_means_as_many_and_none_of_the_old() {
        let before = web(&[("a", "1"), ("b", "1")]);
        assert!(before.replaced(&web(&[("c", "2"), ("d", "2")]), "web"));
        assert!(!before.replaced(&web(&[("a", "1"), ("d", "2")]), "web"), "one is old");
        assert!(!before.replaced(&web(&[("c", "2")]), "web"), "one is missing");
    }
}
