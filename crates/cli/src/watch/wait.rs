//! Following a deployment to its end, over restarts of the server and over deployments that absorb it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use present::{Deployment, command, outcome};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::terminal::Screen;
use crate::client::{Client, ClientError, part};
use crate::exit::Exit;
use crate::say;

/// The server is on this host: asking often is cheap, and a roll of a second should not cost ten.
const FIRST_POLL: Duration = Duration::from_millis(300);
const SLOWEST_POLL: Duration = Duration::from_secs(1);
/// The server may be restarted meanwhile.
const SILENCE: Duration = Duration::from_secs(60);

/// How the watching ended, and the deployment as it was seen last.
pub struct Watched {
    pub exit: Exit,
    pub deployment: Value,
}

/// Names of an app's instances of services and workers: none is ever used twice, so equal names are the same instances.
pub type Instances = BTreeSet<String>;

/// The instances as they are. `None`: they cannot be read, and nothing will be concluded.
pub async fn instances(client: &Client, app: &str) -> Option<Instances> {
    let answer = client.get(&format!("/v2/apps/{}/instances", part(app))).await.ok()?;
    let serving = answer["instances"].as_array()?.iter().filter(|it| it["component_type"] != "JOB");
    Some(serving.filter_map(|it| it["instance_name"].as_str().map(str::to_owned)).collect())
}

/// Follows deployment `id` of `app` for at most `limit`, showing progress on standard error. `before`: the instances before
/// it was asked for, so that a deployment that changed nothing says so. Errors: the deployment cannot be read.
pub async fn wait(
    client: &Client,
    app: &str,
    id: &str,
    before: Option<Instances>,
    limit: Duration,
) -> anyhow::Result<Watched> {
    let mut follower = Follower { client, app, id: id.to_owned(), before, screen: Screen::new(), last: Value::Null };
    let outcome = tokio::select! {
        ended = follower.follow() => Some(ended?),
        _ = tokio::signal::ctrl_c() => None,
        () = sleep(limit) => Some(Exit::TimedOut),
    };
    let exit = outcome.unwrap_or(Exit::Detached);
    let left = match exit {
        Exit::Detached => Some("Detached".to_owned()),
        Exit::TimedOut => Some(format!("Not done after {} s", limit.as_secs())),
        _ => None,
    };
    if let Some(left) = left {
        let id = &follower.id;
        let text = format!("{left}; the deployment continues. Follow it: {}", command::follow(app, id));
        follower.screen.say(&text);
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
    screen: Screen,
    last: Value,
}

impl Follower<'_> {
    async fn follow(&mut self) -> anyhow::Result<Exit> {
        let mut pause = FIRST_POLL;
        loop {
            let deployment = self.ask().await?;
            let view = read_deployment(&deployment)?;
            self.screen.show(&view);
            self.last = deployment;
            match (&view.boatyard.superseded_by, view.has_ended()) {
                (Some(newer), true) if !view.has_served() => {
                    self.screen.say("absorbed into a newer deployment, which is followed from here");
                    self.id.clone_from(newer);
                    continue;
                }
                (_, true) => {
                    let untouched = self.before.is_some() && self.before == instances(self.client, self.app).await;
                    for line in outcome::ended(self.app, &view, untouched) {
                        say::note(&say::plain(&line));
                    }
                    return Ok(Exit::of_deployment(&view));
                }
                (_, false) => {}
            }
            sleep(pause).await;
            pause = (pause * 5 / 4).min(SLOWEST_POLL);
        }
    }

    /// Asks until there is an answer: a server that is restarted loses no deployment.
    async fn ask(&mut self) -> Result<Value, ClientError> {
        let path = format!("/v2/apps/{}/deployments/{}", part(self.app), part(&self.id));
        let silent_since = Instant::now();
        let mut told = false;
        loop {
            match self.client.get(&path).await {
                Ok(mut answer) => return Ok(answer["deployment"].take()),
                Err(error) if error.is_transient() && silent_since.elapsed() < SILENCE => {
                    if !std::mem::replace(&mut told, true) {
                        self.screen.say("the API does not answer; waiting for it");
                    }
                    sleep(SLOWEST_POLL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
