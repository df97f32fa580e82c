//! Stopping all containers of the installation, for `down --apps` and before an uninstall.

use std::collections::HashMap;
use std::time::Duration;

use engine::{Container, Engine, EngineError, RestartPolicy, Role};
use futures::{StreamExt, stream};
use rollout::target::StopTimes;
use store::Store;
use tokio::time::timeout;
use tracing::info;

use crate::app::{DATABASE_GRACE, job_grace_of};

/// How much longer than the grace period the engine may take for each group of [`AT_ONCE`] containers.
const SLACK: Duration = Duration::from_secs(60);
/// How many containers the engine stops in parallel. It mostly waits for processes to end.
const AT_ONCE: usize = 32;

/// Grace periods from stop signal to SIGKILL, by container name, as recorded.
#[derive(Default)]
pub(crate) struct Graces(HashMap<String, Duration>);

impl Graces {
    /// Reads the grace periods from the records. Containers of an app that cannot be read get the default.
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

/// Stops instances and jobs first, several in parallel, and then the databases that they use. Errors: one sentence that
/// names each container that could not be stopped; all others are stopped.
pub(crate) async fn stop_all(engine: &dyn Engine, graces: &Graces) -> Result<(), String> {
    let all = engine.list().await.map_err(|error| error.to_string())?;
    let (databases, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.identity.role == Role::Database);
    let mut wrong = Vec::new();
    for several in [others, databases] {
        wrong.extend(stop_several(engine, graces, several).await);
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Returns the errors.
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

/// Disables the restart policy first: an engine that is killed during the stop would restart the container.
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
