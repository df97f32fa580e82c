//! Stopping everything of the installation on the engine, for `down --apps` and before an uninstall.

use std::collections::HashMap;
use std::time::Duration;

use engine::{Container, Engine, EngineError, RestartPolicy, Role};
use futures::{StreamExt, stream};
use rollout::target::StopTimes;
use store::Store;
use tokio::time::timeout;
use tracing::info;

use crate::app::{DATABASE_GRACE, job_grace_of};

/// What the engine may take beyond the grace for each group that it stops at a time.
const SLACK: Duration = Duration::from_secs(60);
/// Containers that the engine is asked to stop at a time. Most of the time it only waits for them.
const AT_ONCE: usize = 32;

/// From the stop signal to KILL, by container, as the records say.
#[derive(Default)]
pub(crate) struct Graces(HashMap<String, Duration>);

impl Graces {
    /// An app that cannot be read is left out: its containers get the default.
    pub async fn on_record(store: &Store) -> Self {
        let mut graces = HashMap::new();
        for id in store.app_ids().await.unwrap_or_default() {
            let Ok(Some(state)) = store.app_state(&id).await else { continue };
            graces.extend(state.instances.iter().map(|it| (it.name.to_string(), state.stop_times(it).grace)));
            graces.extend(state.job_runs.iter().map(|it| (it.name.to_string(), job_grace_of(it))));
        }
        Self(graces)
    }

    fn of(&self, container: &Container) -> Duration {
        match container.identity.role {
            Role::Database => DATABASE_GRACE,
            _ => self.0.get(&container.name).copied().unwrap_or(StopTimes::default().grace),
        }
    }
}

/// Instances and jobs first, several at a time; then the databases that they used. Errors: a sentence that names all that
/// could not be stopped; everything else is.
pub(crate) async fn stop_all(engine: &dyn Engine, graces: &Graces) -> Result<(), String> {
    let all = engine.list().await.map_err(|error| error.to_string())?;
    let (databases, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.identity.role == Role::Database);
    let mut wrong = Vec::new();
    for several in [others, databases] {
        wrong.extend(stop_several(engine, graces, several).await);
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Returns what went wrong.
async fn stop_several(engine: &dyn Engine, graces: &Graces, several: Vec<Container>) -> Vec<String> {
    let Some(longest) = several.iter().map(|it| graces.of(it)).max() else { return Vec::new() };
    let groups = u32::try_from(several.len().div_ceil(AT_ONCE)).unwrap_or(u32::MAX);
    let within = (longest + SLACK).saturating_mul(groups);
    let stopped = stream::iter(several).map(|it| {
        let grace = graces.of(&it);
        stop(engine, it.name, grace)
    });
    let stopped = stopped.buffer_unordered(AT_ONCE).filter_map(async |it| it.err()).collect();
    timeout(within, stopped)
        .await
        .unwrap_or_else(|_| vec![format!("not everything stopped within {} s", within.as_secs())])
}

/// The policy goes first: an engine killed in the middle of a stop would bring the container back.
async fn stop(engine: &dyn Engine, name: String, grace: Duration) -> Result<(), String> {
    let stopped = async {
        engine.set_restart_policy(&name, RestartPolicy::No).await?;
        engine.stop(&name, grace).await
    };
    match stopped.await {
        Ok(_) => info!(container = %name, "stopped"),
        Err(EngineError::NotFound { .. }) => {}
        Err(error) => return Err(format!("{name} could not be stopped: {error}")),
    }
    Ok(())
}
