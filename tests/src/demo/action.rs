//! One action on the app: how long it took, which containers ran before and after, and how the load was affected.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde_json::Value;

use super::harbor::NAME;
use super::traffic::{Traffic, Visits};
use crate::engine::Starts;
use crate::installation::{Container, Installation, served_after};

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
    before: Vec<Container>,
    after: Vec<Container>,
    /// Containers that the engine started during the action, by component, including jobs.
    starts: BTreeMap<String, usize>,
    /// `None` for the first deployment, which has no load.
    pub visits: Option<Visits>,
}

impl Action {
    /// Requests a deployment, waits for its end, and reads the app's containers again.
    pub async fn perform(
        at: &Installation,
        traffic: Option<&Traffic>,
        name: &'static str,
        request: impl Future<Output = Result<String>>,
    ) -> Result<Self> {
        // Without traffic there is no app yet.
        let before = if traffic.is_some() { at.containers(NAME).await? } else { Vec::new() };
        let window = traffic.map(|it| (it, it.now()));
        let starts = Starts::watch(at.id()?)?;
        let (since, began) = (SystemTime::now(), Instant::now());
        let id = request.await?;
        let mut phase = Value::Null;
        let show_phase = |deployment: &Value| {
            if deployment["phase"] != phase {
                phase = deployment["phase"].clone();
                println!("{:6.2} s {}", began.elapsed().as_secs_f64(), phase.as_str().unwrap_or_default());
            }
        };
        let deployment = at.follow(NAME, &id, show_phase).await?;
        let took = began.elapsed();
        if window.is_some() {
            tokio::time::sleep(TAIL).await;
        }
        Ok(Self {
            name,
            took,
            served_after: served_after(since, &deployment),
            visits: window.map(|(traffic, from)| traffic.since(from)),
            starts: starts.count().await?,
            after: at.containers(NAME).await?,
            before,
            deployment,
        })
    }

    /// The fields that Boatyard adds to App Platform's.
    pub fn record(&self) -> &Value {
        &self.deployment["boatyard"]
    }

    /// How many containers of a component the engine started.
    pub fn started(&self, component: &str) -> usize {
        self.starts.get(component).copied().unwrap_or_default()
    }

    /// Whether a component has the same containers and none was restarted.
    pub fn kept(&self, component: &str) -> bool {
        kept(&of(&self.before, component), &of(&self.after, component))
    }

    /// Whether a component has as many containers as before and all of them are new.
    pub fn replaced(&self, component: &str) -> bool {
        replaced(&of(&self.before, component), &of(&self.after, component))
    }

    /// Shortened container ids of a component after the action.
    pub fn ids(&self, component: &str) -> Vec<String> {
        of(&self.after, component).into_iter().map(|it| format!("{:.8}", it.id)).collect()
    }
}

/// The containers of one component.
fn of<'a>(all: &'a [Container], component: &str) -> Vec<&'a Container> {
    all.iter().filter(|it| it.component == component).collect()
}

fn kept(before: &[&Container], after: &[&Container]) -> bool {
    !before.is_empty() && before == after
}

fn replaced(before: &[&Container], after: &[&Container]) -> bool {
    let is_new = |new: &&Container| before.iter().all(|old| old.id != new.id);
    !before.is_empty() && before.len() == after.len() && after.iter().all(is_new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_means_the_same_containers_not_restarted_and_replaced_means_as_many_all_new() {
        // Each container is a letter and the number of its start.
        let containers = |text: &str| -> Vec<Container> {
            let container = |it: &str| {
                let (id, started) = it.split_at(1);
                Container { component: "web".into(), id: id.into(), started: started.into() }
            };
            text.split(' ').map(container).collect()
        };
        let before = containers("a1 b1");
        for (what, after, is_kept, is_replaced) in [
            ("the same", "a1 b1", true, false),
            ("one was started again", "a1 b2", false, false),
            ("one is gone", "a1", false, false),
            ("all are new", "c2 d2", false, true),
            ("one is old", "a1 d2", false, false),
            ("one is missing", "c2", false, false),
        ] {
            let after = containers(after);
            let (before, after) = (of(&before, "web"), of(&after, "web"));
            assert_eq!((kept(&before, &after), replaced(&before, &after)), (is_kept, is_replaced), "{what}");
        }
        assert!(!kept(&[], &[]) && !replaced(&[], &[]), "a component without containers is neither");
    }
}
