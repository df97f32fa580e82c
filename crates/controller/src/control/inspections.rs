//! What the engine says about single containers. It answers each question about one container with two requests, so pages that
//! are rendered often take answers of the last 15 s, as long as the list of containers shows no change.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use engine::{Container, ContainerDetails, ProcessCount};
use rollout::ids::InstanceName;
use tokio::time::Instant;

use super::Controller;
use crate::engine_watch::{ANSWER_WITHIN, Ends};
use crate::supervise::lock;

/// How old an answer for a page may be. Our choice: as often as usage is measured.
const RECENT: Duration = Duration::from_secs(15);

/// How current an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// The engine is asked.
    Now,
    /// An answer of the last 15 s is enough, unless the container has changed since.
    Recent,
}

/// The details of a container, and how many processes it has.
pub(super) type Inspected = (Option<ContainerDetails>, Option<ProcessCount>);

/// The last answers, by container.
#[derive(Default)]
pub(crate) struct Inspections(Mutex<HashMap<InstanceName, Inspection>>);

struct Inspection {
    at: Instant,
    listed: Listed,
    answer: Inspected,
}

/// How the list and the events of the engine showed a container.
type Listed = (Option<Container>, Option<Ends>);

impl Controller {
    /// Returns nothing if the engine does not answer in time.
    pub(super) async fn inspect(&self, name: &InstanceName, age: Age) -> Inspected {
        // Before the question, so that a later change makes the answer too old.
        let (at, listed) = (Instant::now(), self.listed(name));
        let known = self.0.inspections.find(name, at, &listed).filter(|_| age == Age::Recent);
        if let Some(known) = known {
            return known;
        }
        let shared = &self.0.shared;
        let asked = shared.watch.answer(ANSWER_WITHIN, async {
            let details = shared.engine.inspect(name.as_str()).await?;
            let processes = match &details {
                Some(it) => shared.engine.usage(&it.container).await.ok().flatten().and_then(|it| it.processes),
                None => None,
            };
            Ok((details, processes))
        });
        let answer = asked.await.unwrap_or_default();
        if answer.0.is_some() {
            self.0.inspections.add(name.clone(), Inspection { at, listed, answer: answer.clone() });
        }
        answer
    }

    fn listed(&self, name: &InstanceName) -> Listed {
        let view = self.0.shared.watch.view().borrow().clone();
        (view.containers.get(name.as_str()).cloned(), view.ends.get(name.as_str()).copied())
    }
}

impl Inspections {
    fn find(&self, name: &InstanceName, now: Instant, listed: &Listed) -> Option<Inspected> {
        let all = lock(&self.0);
        let known = all.get(name).filter(|it| now - it.at < RECENT && it.listed == *listed);
        known.map(|it| it.answer.clone())
    }

    fn add(&self, name: InstanceName, inspection: Inspection) {
        let mut all = lock(&self.0);
        all.retain(|_, it| inspection.at.saturating_duration_since(it.at) < RECENT);
        all.insert(name, inspection);
    }
}
