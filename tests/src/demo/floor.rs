//! What the engine alone needs: the same images, created, started and answering by raw API calls, one after the other, under
//! the same visitors. No program that replaces containers one by one can be quicker than the sum.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::action::Action;
use crate::engine;

const TRIES: usize = 3;
/// A worker has no port that could answer: it counts as ready when it has stayed up for this long, by Boatyard's own rule.
/// Its floor is create and start, which is measured, and this rule, which is not.
pub(super) const WORKER_STAYS_UP: Duration = Duration::from_secs(1);

/// Least time of one container.
pub(super) struct Floor {
    web: Duration,
    api: Duration,
    worker: Duration,
}

impl Floor {
    /// Measures the images that a deployment brought.
    pub async fn measure(deployed: &Action) -> Result<Self> {
        // Nobody asks the database of it, but its absence would end the program.
        let env = ["PORT=8080", "DATABASE_URL=postgres://nobody@127.0.0.1/nothing"];
        let image = |component| {
            let image = deployed.image(component);
            ensure!(!image.is_empty(), "the deployment names no image of {component}");
            Ok(image)
        };
        Ok(Self {
            web: engine::floor(image("web")?, &env, 8080, TRIES).await?,
            api: engine::floor(image("api")?, &env, 8080, TRIES).await?,
            worker: engine::floor_of_start(image("worker")?, &env, TRIES).await? + WORKER_STAYS_UP,
        })
    }

    /// For all services and workers that an action started. `None` where it started none, where it went wrong, and for
    /// the first deployment, which made the database, too.
    pub fn of(&self, action: &Action) -> Option<Duration> {
        if action.visits.is_none() || action.deployment["phase"] != "ACTIVE" {
            return None;
        }
        let parts = [("web", self.web), ("api", self.api), ("worker", self.worker)];
        let sum: Duration =
            parts.iter().map(|(name, each)| *each * u32::try_from(action.started(name)).expect("a handful")).sum();
        (!sum.is_zero()).then_some(sum)
    }

    /// Time until the new instances served alone, in floors: a floor holds neither the stop nor the removal of anything.
    pub fn ratio(&self, action: &Action) -> Option<f64> {
        Some(action.served_after?.as_secs_f64() / self.of(action)?.as_secs_f64())
    }

    pub fn text(&self) -> String {
        let ms = |it: Duration| it.as_millis();
        format!("web {} ms, api {} ms, worker {} ms with its second", ms(self.web), ms(self.api), ms(self.worker))
    }
}
