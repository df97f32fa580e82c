//! One action on the app: what was asked, what it took, who ran before and after, and what the visitors noticed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};
use serde_json::Value;

use super::census::Census;
use super::say::Stage;
use super::traffic::{Traffic, Visits};
use crate::engine::Starts;
use crate::installation::{ENDS_WITHIN, Installation, served_after};

/// What an action leaves behind may hurt a visitor a moment later: that moment counts as part of it.
const TAIL: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// An action that has ended, well or badly.
pub(super) struct Action {
    pub name: &'static str,
    /// From the request to the API until the deployment had ended.
    pub took: Duration,
    /// From the request until the new instances served alone, as the deployment's record says; `None` where they never
    /// did. The last replaced container goes after that.
    pub served_after: Option<Duration>,
    /// The deployment as it ended.
    pub deployment: Value,
    pub before: Census,
    pub after: Census,
    /// Containers that the engine started meanwhile, by component, jobs included.
    pub starts: BTreeMap<String, usize>,
    /// `None` for the first deployment: there was nothing to visit.
    pub visits: Option<Visits>,
}

/// The app that actions are done to.
pub(super) struct Subject<'a> {
    pub at: &'a Installation,
    pub app: &'a str,
    /// Its visitors, once there are some.
    pub traffic: Option<&'a Traffic>,
}

impl Subject<'_> {
    /// Asks for a deployment, follows it to its end, and looks at what became of the app. `ask` gives the deployment's id.
    pub async fn act(
        &self,
        stage: &Stage,
        name: &'static str,
        ask: impl Future<Output = Result<String>>,
    ) -> Result<Action> {
        let before = Census::take(self.at, self.app).await?;
        let window = self.traffic.map(|it| (it, it.now()));
        let starts = Starts::watch(self.at.id()?)?;
        let (since, began) = (SystemTime::now(), Instant::now());
        let id = ask.await?;
        let deployment = self.follow(stage, &id).await?;
        let took = began.elapsed();
        let served_after = served_after(since, &deployment);
        stage.step(&format!("ended {} after {:.2} s", deployment["phase"].as_str().unwrap_or("?"), took.as_secs_f64()));
        if window.is_some() {
            tokio::time::sleep(TAIL).await;
        }
        let visits = window.map(|(traffic, from)| traffic.since(from));
        let starts = starts.count().await?;
        let after = Census::take(self.at, self.app).await?;
        Ok(Action { name, took, served_after, deployment, before, after, starts, visits })
    }

    /// Waits until the deployment has ended; tells each part of it that took time as it ends.
    async fn follow(&self, stage: &Stage, id: &str) -> Result<Value> {
        let path = format!("/v2/apps/{}/deployments/{id}", self.app);
        let deadline = Instant::now() + ENDS_WITHIN;
        let mut told = BTreeSet::new();
        while Instant::now() < deadline {
            let deployment = self.at.ok("GET", &path, None).await?["deployment"].take();
            for news in parts(&deployment["progress"]) {
                if told.insert(news.clone()) {
                    stage.step(&format!("  {news}"));
                }
            }
            if matches!(deployment["phase"].as_str(), Some("ACTIVE" | "SUPERSEDED" | "ERROR" | "CANCELED")) {
                return Ok(deployment);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("deployment {id} did not end within {ENDS_WITHIN:?}; serve says:\n{}", self.at.log())
    }
}

/// A sentence for each part below a step that has ended and was work, not a formality.
fn parts(step: &Value) -> Vec<String> {
    match step["steps"].as_array() {
        Some(below) => below.iter().flat_map(parts).collect(),
        None => part(step).into_iter().collect(),
    }
}

fn part(leaf: &Value) -> Option<String> {
    let (component, doing) = (leaf["component_name"].as_str()?, leaf["message_base"].as_str()?);
    let reason = leaf["reason"]["message"].as_str();
    // Of a service or worker "waiting for" it says the same a moment later.
    let is_formality =
        leaf["started_at"] == leaf["ended_at"] || matches!(doing, "Deploying service" | "Deploying worker");
    match leaf["status"].as_str()? {
        "SUCCESS" if is_formality => None,
        "SUCCESS" => Some(format!("{doing} {component}: {}", reason.unwrap_or("done"))),
        "ERROR" if leaf["started_at"].is_string() => {
            Some(format!("{doing} {component}: {}", reason.unwrap_or("failed")))
        }
        _ => None,
    }
}

impl Action {
    /// What Boatyard shows beside App Platform's fields.
    pub fn record(&self) -> &Value {
        &self.deployment["boatyard"]
    }

    /// A component's image, by the engine's id.
    pub fn image(&self, component: &str) -> &str {
        self.record()["images"][component]["id"].as_str().unwrap_or_default()
    }

    /// Components for which the deployment built an image.
    pub fn built(&self) -> BTreeSet<&str> {
        let images = self.record()["images"].as_object().into_iter().flatten();
        images.filter(|(_, image)| image["built"] == true).map(|(name, _)| name.as_str()).collect()
    }

    /// How many containers of a component the engine started.
    pub fn started(&self, component: &str) -> usize {
        self.starts.get(component).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_parts_that_were_work_are_told() {
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
        assert_eq!(parts(&steps), ["Building service web: done", "Deploying job web: failed"]);
    }
}
