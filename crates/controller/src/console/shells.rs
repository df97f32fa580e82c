//! Ends the shells of consoles, and what was started from them.

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, ShellMark};
use futures::future::join_all;
use store::Store;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::app::Shared;
use crate::engine_watch::EngineWatch;

/// Pause before the next attempt to end a shell. It doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What consoles need. It does not hold the controller's shared state, so that a console cannot outlive its stop.
#[derive(Clone)]
pub(crate) struct Shells {
    pub engine: Arc<dyn Engine>,
    pub watch: EngineWatch,
    pub store: Store,
    pub stop: CancellationToken,
}

impl Shells {
    pub fn of(shared: &Shared) -> Self {
        Self {
            engine: shared.engine.clone(),
            watch: shared.watch.clone(),
            store: shared.store.clone(),
            stop: shared.stop.clone(),
        }
    }

    /// Ends the shell with this mark. Tries again until it succeeds. Returns whether it did: if the controller stops first,
    /// it keeps the record, and the next process ends the shell.
    pub async fn end(&self, container: &str, mark: &ShellMark) -> bool {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.engine.end_shell(container, mark).await {
            match pause == FIRST_PAUSE {
                true => warn!(%error, container, "the processes of a console could not be ended yet; trying again"),
                false => debug!(%error, container, "the processes of a console could not be ended yet"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = self.stop.cancelled() => return false,
            }
        }
        !self.stop.is_cancelled()
    }

    /// Deletes the record of a shell that has ended.
    pub async fn forget(&self, mark: &str) {
        if let Err(error) = self.store.forget_console(mark).await {
            warn!(%error, "the record of an ended console could not be deleted");
        }
    }
}

/// Ends the shells that were on record when the controller started, as marks and containers. A process that was killed
/// left them. None of them waits for another one.
pub(crate) async fn end_leftover_shells(shells: Shells, left: Vec<(String, String)>) {
    let end = async |(mark, container): (String, String)| {
        // A container that no longer exists has no shell either, and a record that is no mark belongs to none.
        if let Some(parsed) = ShellMark::parse(&mark) {
            if !shells.end(&container, &parsed).await {
                return;
            }
            info!(%container, "ended what was left of a console");
        }
        shells.forget(&mark).await;
    };
    join_all(left.into_iter().map(end)).await;
}
