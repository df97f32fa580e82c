//! Follows a deployment to its end, across restarts of the server and deployments that supersede it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use present::{Deployment, command, outcome};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::terminal::ProgressDisplay;
use crate::client::{Client, ClientError, path_segment};
use crate::exit::Exit;
use crate::output;

/// The server is usually on this host, so frequent polls are cheap, and a short rollout is reported at once.
const FIRST_POLL: Duration = Duration::from_millis(300);
const SLOWEST_POLL: Duration = Duration::from_secs(1);
/// How long to wait for a server that does not answer, for example because it restarts.
const MAX_OUTAGE: Duration = Duration::from_secs(60);

/// How the wait ended, and the latest view of the deployment.
pub struct Watched {
    pub exit: Exit,
    pub deployment: Value,
}

/// Names of the instances of an app's services and workers. Names are never reused, so equal names mean the same instances.
pub type Instances = BTreeSet<String>;

/// The current instances; `None` if they cannot be read.
pub async fn instances(client: &Client, app: &str) -> Option<Instances> {
    let answer = client.get(&format!("/v2/apps/{}/instances", path_segment(app))).await.ok()?;
    let serving = answer["instances"].as_array()?.iter().filter(|it| it["component_type"] != "JOB");
    Some(serving.filter_map(|it| it["instance_name"].as_str().map(str::to_owned)).collect())
}

/// Follows deployment `id` of `app` for at most `limit` and shows progress on standard error. `before`: the instances
/// before the request, to report a deployment that replaced none. Errors: the deployment cannot be read.
pub async fn wait(
    client: &Client,
    app: &str,
    id: &str,
    before: Option<Instances>,
    limit: Duration,
) -> anyhow::Result<Watched> {
    let mut follower =
        Follower { client, app, id: id.to_owned(), before, display: ProgressDisplay::new(), last: Value::Null };
    let outcome = tokio::select! {
        ended = follower.follow() => Some(ended?),
        _ = tokio::signal::ctrl_c() => None,
        () = sleep(limit) => Some(Exit::TimedOut),
    };
    let exit = outcome.unwrap_or(Exit::Detached);
    let reason = match exit {
        Exit::Detached => Some("Detached".to_owned()),
        Exit::TimedOut => Some(format!("Not finished after {} s", limit.as_secs())),
        _ => None,
    };
    if let Some(reason) = reason {
        let id = &follower.id;
        let text = format!("{reason}; the deployment continues. Follow it: {}", command::follow(app, id));
        follower.display.note(&text);
    }
    Ok(Watched { exit, deployment: follower.last })
}

/// Reads the object under `deployment`. Errors: it is not a deployment.
pub fn read_deployment(object: &Value) -> anyhow::Result<Deployment> {
    Deployment::deserialize(object).context("the API did not send a deployment")
}

struct Follower<'a> {
    client: &'a Client,
    app: &'a str,
    id: String,
    before: Option<Instances>,
    display: ProgressDisplay,
    last: Value,
}

impl Follower<'_> {
    async fn follow(&mut self) -> anyhow::Result<Exit> {
        let mut pause = FIRST_POLL;
        loop {
            let deployment = self.fetch().await?;
            let view = read_deployment(&deployment)?;
            self.display.show(&view);
            self.last = deployment;
            match (&view.boatyard.superseded_by, view.has_ended()) {
                (Some(newer), true) if !view.has_served() => {
                    self.display.note("superseded by a newer deployment, which is followed from here");
                    self.id.clone_from(newer);
                    continue;
                }
                (_, true) => {
                    let same_instances = self.before.is_some() && self.before == instances(self.client, self.app).await;
                    for line in outcome::ended(self.app, &view, same_instances) {
                        output::note(&line);
                    }
                    return Ok(Exit::of_deployment(&view));
                }
                (_, false) => {}
            }
            sleep(pause).await;
            pause = (pause * 5 / 4).min(SLOWEST_POLL);
        }
    }

    /// Retries until the server answers. A restarted server still has the deployment.
    async fn fetch(&mut self) -> Result<Value, ClientError> {
        let path = format!("/v2/apps/{}/deployments/{}", path_segment(self.app), path_segment(&self.id));
        let since = Instant::now();
        let mut reported = false;
        loop {
            match self.client.get(&path).await {
                Ok(mut answer) => return Ok(answer["deployment"].take()),
                Err(error) if error.is_transient() && since.elapsed() < MAX_OUTAGE => {
                    if !std::mem::replace(&mut reported, true) {
                        self.display.note("the API does not answer; waiting for it");
                    }
                    sleep(SLOWEST_POLL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
