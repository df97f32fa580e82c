//! Ends the shells of consoles that were open when an earlier process was killed.

use std::time::Duration;

use engine::ShellMark;
use tracing::{info, warn};

use crate::app::Shared;

/// Pause before the next attempt.
const PAUSE: Duration = Duration::from_secs(5);

/// Ends the shells on record in `left`, and deletes their records. Tries again until all have ended.
pub(crate) async fn end_leftover_shells(shared: &Shared, mut left: Vec<(String, String)>) {
    loop {
        let mut failed = Vec::new();
        for (mark, container) in left {
            // A container that no longer exists has no shell either, and a record that is no mark belongs to none.
            let ended = match ShellMark::parse(&mark) {
                Some(mark) => shared.engine.end_shell(&container, &mark).await.map(drop),
                None => Ok(()),
            };
            match ended {
                Ok(()) => {
                    info!(%container, "ended what was left of a console");
                    if let Err(error) = shared.store.forget_console(&mark).await {
                        warn!(%error, "the record of an ended console could not be deleted");
                    }
                }
                Err(error) => {
                    warn!(%error, %container, "the processes of a console could not be ended yet; trying again");
                    failed.push((mark, container));
                }
            }
        }
        if failed.is_empty() {
            return;
        }
        left = failed;
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shared.stop.cancelled() => return,
        }
    }
}
