//! Stopping everything on the engine that is ours, for `down --apps`.

use std::time::Duration;

use engine::{Engine, EngineError, RestartPolicy, Role};
use futures::{StreamExt, stream};
use tokio::time::timeout;
use tracing::info;

use crate::app::DATABASE_GRACE;

/// For everything to end.
const WITHIN: Duration = Duration::from_secs(240);
/// From TERM to KILL of what nobody asks anything any more.
const GRACE: Duration = Duration::from_secs(30);
/// Containers that the engine is asked to stop at a time: 8, ours.
const AT_ONCE: usize = 8;

/// Instances and jobs first, several at a time; then the databases that they used. Errors: a sentence that names all that
/// could not be stopped; everything else is.
pub(super) async fn stop_all(engine: &dyn Engine) -> Result<(), String> {
    let late = |_| Err(format!("not everything stopped within {} s", WITHIN.as_secs()));
    timeout(WITHIN, stop_in_order(engine)).await.unwrap_or_else(late)
}

async fn stop_in_order(engine: &dyn Engine) -> Result<(), String> {
    let all = engine.list().await.map_err(|error| error.to_string())?;
    let (databases, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.identity.role == Role::Database);
    let mut wrong = Vec::new();
    for (several, grace) in [(others, GRACE), (databases, DATABASE_GRACE)] {
        let stopped = stream::iter(several).map(|it| stop(engine, it.name, grace)).buffer_unordered(AT_ONCE);
        wrong.extend(stopped.filter_map(async |it| it.err()).collect::<Vec<_>>().await);
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// The policy goes first: an engine killed in the middle of a stop would bring the container back (M4).
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
