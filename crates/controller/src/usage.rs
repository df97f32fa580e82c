//! CPU and memory of services, workers and databases over the last hour, in memory.
//!
//! A task asks the engine every 15 s what each running container uses. Readings of containers that are gone stay until
//! they are an hour old, so that people can compare instances before and after a restart. The readings are lost with
//! this process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Container, ContainerState, Identity, Limits, Role, Usage};
use futures::{StreamExt, stream};
use rollout::ids::{AppId, RevisionId};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::app::{DATABASE_LIMITS, Shared};
use crate::supervise::lock;

/// How often each container is read. Our choice: 240 readings in an hour.
const READ_EVERY: Duration = Duration::from_secs(15);
/// How many containers are read in parallel. Four keeps the load on the engine low.
const AT_ONCE: usize = 4;
/// Timeout of one reading. A container whose reading hangs is skipped until the next round.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long readings are kept.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// How many containers have readings: with 240 readings each, 15 MiB. Those read last are kept.
const CONTAINERS: usize = 1000;

/// The readings of all containers, by the name that they were created with.
#[derive(Default)]
pub(crate) struct UsageHistory(Mutex<BTreeMap<String, ContainerReadings>>);

/// The readings of one container, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct ContainerReadings {
    pub identity: Identity,
    pub limits: Limits,
    pub readings: VecDeque<(Instant, Usage)>,
}

/// Reads all containers again and again. A round ends before the next one begins, even if the engine hangs.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut rounds = interval(READ_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        read_all(&shared).await;
    }
}

async fn read_all(shared: &Shared) {
    let seen = shared.watch.view().borrow().clone();
    if seen.unreachable.is_none() {
        let running: Vec<_> = seen.containers.values().filter(|it| is_measured(it)).cloned().collect();
        let reads = stream::iter(running).map(|it| read(shared, it)).buffer_unordered(AT_ONCE);
        reads.take_until(sleep(READ_EVERY)).for_each(|()| std::future::ready(())).await;
    }
    shared.usage.forget_old(Instant::now());
}

fn is_measured(container: &Container) -> bool {
    container.state == ContainerState::Running && matches!(container.identity.role, Role::Instance | Role::Database)
}

async fn read(shared: &Shared, container: Container) {
    let Ok(Ok(Some(usage))) = timeout(READ_WITHIN, shared.engine.usage(&container)).await else { return };
    let at = Instant::now();
    let limits = match shared.usage.limits(&container.name) {
        Some(known) => Some(known),
        None => limits(shared, &container.identity).await,
    };
    if let Some(limits) = limits {
        shared.usage.add(container, limits, at, usage);
    }
}

/// The limits of a container; `None` if no record has them.
async fn limits(shared: &Shared, identity: &Identity) -> Option<Limits> {
    let limits = match identity.role {
        Role::Database => DATABASE_LIMITS,
        _ => {
            let (app, id) = (AppId::from(identity.app.as_str()), RevisionId::from(identity.revision.as_str()));
            let revision = shared.store.revision(&app, &id).await.ok()??;
            Limits { cpu_millis: revision.cpu_millis, memory_bytes: revision.memory_bytes }
        }
    };
    Some(limits.at_most(shared.host))
}

impl UsageHistory {
    /// The readings of an app's containers, by component, slot and age.
    pub fn of(&self, app: &AppId) -> Vec<(String, ContainerReadings)> {
        let all = lock(&self.0);
        let of_app = all.iter().filter(|(_, it)| it.identity.app == app.as_str());
        let mut found: Vec<_> = of_app.map(|(name, it)| (name.clone(), it.clone())).collect();
        found.sort_by_key(|(_, it)| {
            (it.identity.component.clone(), it.identity.slot, it.readings.front().map(|(at, _)| *at))
        });
        found
    }

    fn limits(&self, name: &str) -> Option<Limits> {
        lock(&self.0).get(name).map(|it| it.limits)
    }

    fn add(&self, container: Container, limits: Limits, at: Instant, usage: Usage) {
        let new = || ContainerReadings { identity: container.identity, limits, readings: VecDeque::new() };
        lock(&self.0).entry(container.name).or_insert_with(new).readings.push_back((at, usage));
    }

    fn forget_old(&self, now: Instant) {
        let mut all = lock(&self.0);
        all.retain(|_, it| {
            while it.readings.front().is_some_and(|(at, _)| now - *at > KEPT_FOR) {
                it.readings.pop_front();
            }
            !it.readings.is_empty()
        });
        while all.len() > CONTAINERS {
            let last_read = |it: &ContainerReadings| it.readings.back().map(|(at, _)| *at);
            let oldest = all.iter().min_by_key(|(_, it)| last_read(it)).map(|(name, _)| name.clone());
            oldest.and_then(|name| all.remove(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::samples::container_details;

    const LIMITS: Limits = Limits { cpu_millis: 1000, memory_bytes: 1 << 20 };

    fn container(name: &str) -> Container {
        Container { name: name.into(), ..container_details().container }
    }

    fn readings(history: &UsageHistory) -> Vec<(String, usize)> {
        history.of(&"a".into()).into_iter().map(|(name, it)| (name, it.readings.len())).collect()
    }

    #[test]
    fn readings_are_dropped_after_an_hour_also_those_of_containers_that_are_gone() {
        let (history, start) = (UsageHistory::default(), Instant::now());
        history.add(container("gone"), LIMITS, start, Usage::default());
        for round in 0..1000 {
            let at = start + READ_EVERY * round;
            history.add(container("web"), LIMITS, at, Usage::default());
            history.forget_old(at);
            let kept = (round as usize + 1).min(241);
            let gone = (round <= 240).then_some(("gone".to_owned(), 1));
            let expected: Vec<_> = gone.into_iter().chain([("web".to_owned(), kept)]).collect();
            assert_eq!(readings(&history), expected, "round {round}");
        }
        history.forget_old(start + READ_EVERY * 2000);
        assert_eq!(readings(&history), []);
    }

    #[test]
    fn the_number_of_containers_is_bounded_and_those_read_last_are_kept() {
        let (history, start) = (UsageHistory::default(), Instant::now());
        for number in 0..CONTAINERS + 3 {
            let at = start + Duration::from_millis(number as u64);
            history.add(container(&format!("web-{number}")), LIMITS, at, Usage::default());
        }
        history.forget_old(start + READ_EVERY);
        let kept = readings(&history);
        assert_eq!((kept.len(), kept[0].0.as_str()), (CONTAINERS, "web-3"));
    }

    #[test]
    fn only_running_services_workers_and_databases_are_measured() {
        for (role, state, expected) in [
            (Role::Instance, ContainerState::Running, true),
            (Role::Database, ContainerState::Running, true),
            (Role::Job, ContainerState::Running, false),
            (Role::Instance, ContainerState::Created, false),
            (Role::Instance, ContainerState::Paused, false),
        ] {
            let mut it = container("web");
            (it.identity.role, it.state) = (role, state);
            assert_eq!(is_measured(&it), expected, "{role:?} {state:?}");
        }
    }
}
