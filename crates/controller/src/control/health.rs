//! Whether the components of an app have their instances, and how much of their limits the instances use.

use std::time::Duration;

use engine::{Limits, Usage};
use futures::future::join_all;
use rollout::ids::AppId;
use rollout::instance::InstancePhase;
use rollout::target::Target;
use store::records::{AppState, Instance};
use tokio::time::Instant;

use super::Controller;
use crate::engine_watch::ANSWER_WITHIN;
use crate::error::ControlError;
use crate::view::ComponentHealthView;

/// The time over which CPU usage is measured. Our choice: an answer should not take longer.
const MEASURED_FOR: Duration = Duration::from_secs(1);

impl Controller {
    pub(super) async fn health_of(&self, app: &AppId) -> Result<Vec<ComponentHealthView>, ControlError> {
        let state = self.state(app).await?;
        let loads = join_all(state.instances.iter().map(|it| self.load(&state, it))).await;
        let component = |target: &Target| {
            let of_component = || state.instances.iter().zip(&loads).filter(|(it, _)| it.component == target.component);
            let ready = of_component().filter(|(it, _)| it.phase == InstancePhase::Ready).count();
            let load = average(&of_component().filter_map(|(_, load)| *load).collect::<Vec<_>>());
            ComponentHealthView {
                component: target.component.clone(),
                cpu_percent: load.cpu_percent,
                memory_percent: load.memory_percent,
                replicas_desired: target.count,
                replicas_ready: ready,
            }
        };
        Ok(state.targets_in_force().iter().map(component).collect())
    }

    /// `None` if the instance does not run, or the engine does not answer in time.
    async fn load(&self, state: &AppState, instance: &Instance) -> Option<Load> {
        let shared = &self.0.shared;
        let revision = state.revisions.iter().find(|it| it.id == instance.revision)?;
        let limits = Limits { cpu_millis: revision.cpu_millis, memory_bytes: revision.memory_bytes };
        let details = shared.watch.answer(ANSWER_WITHIN, shared.engine.inspect(instance.name.as_str()));
        let container = details.await.ok()??.container;
        let usage = || shared.watch.answer(ANSWER_WITHIN, shared.engine.usage(&container));
        let before = usage().await.ok()??;
        let began = Instant::now();
        tokio::time::sleep(MEASURED_FOR).await;
        let after = usage().await.ok()??;
        Some(load(before, after, began.elapsed(), limits.at_most(shared.host)))
    }
}

/// Usage in percent of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Load {
    pub cpu_percent: f64,
    pub memory_percent: f64,
}

pub(super) fn load(before: Usage, after: Usage, between: Duration, limits: Limits) -> Load {
    let used = after.cpu_time.saturating_sub(before.cpu_time).as_secs_f64();
    let available = between.as_secs_f64() * f64::from(limits.cpu_millis) / 1000.0;
    Load {
        cpu_percent: percent(used, available),
        memory_percent: percent(after.memory_bytes as f64, limits.memory_bytes as f64),
    }
}

/// With two digits after the point.
fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 10_000.0).round() / 100.0 } else { 0.0 }
}

fn average(loads: &[Load]) -> Load {
    let count = loads.len().max(1) as f64;
    let sum = |of: fn(&Load) -> f64| loads.iter().map(of).sum::<f64>();
    Load {
        cpu_percent: percent(sum(|it| it.cpu_percent), count * 100.0),
        memory_percent: percent(sum(|it| it.memory_percent), count * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu_millis: u64, memory_bytes: u64) -> Usage {
        Usage { cpu_time: Duration::from_millis(cpu_millis), memory_bytes, processes: None }
    }

    #[test]
    fn usage_is_a_percentage_of_the_limits() {
        let half = Limits { cpu_millis: 500, memory_bytes: 400 };
        let table = [
            ((0, 100), half, (0.0, 25.0)),
            ((500, 400), half, (50.0, 100.0)),
            ((1000, 133), half, (100.0, 33.25)),
            // No limit.
            ((1000, 100), Limits { cpu_millis: 0, memory_bytes: 0 }, (0.0, 0.0)),
        ];
        for ((cpu, memory), limits, (cpu_percent, memory_percent)) in table {
            let load = load(usage(7, 50), usage(7 + cpu, memory), Duration::from_secs(2), limits);
            assert_eq!(load, Load { cpu_percent, memory_percent }, "{cpu} {memory} of {limits:?}");
        }
        let restarted = load(usage(900, 1), usage(1, 1), Duration::from_secs(1), half);
        assert_eq!(restarted.cpu_percent, 0.0, "the CPU time of a restarted process begins at zero");
    }

    #[test]
    fn a_component_has_the_average_of_its_instances() {
        let of = |cpu_percent, memory_percent| Load { cpu_percent, memory_percent };
        assert_eq!(average(&[of(10.0, 40.0), of(20.0, 50.5)]), of(15.0, 45.25));
        assert_eq!(average(&[]), of(0.0, 0.0));
    }
}
