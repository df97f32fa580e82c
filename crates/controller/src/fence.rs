//! The fence: decides which controller of an installation is the newest. Each controller stores a higher number on the
//! engine when it takes over.
//!
//! The lock on the data directory separates two controllers on one host. The number covers the cases that the lock does
//! not: a controller that wakes up after a pause, or one that runs on a copy of the data directory. The older
//! controller stops all work and writes nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use engine::{Engine, EngineError, Identity, Role};
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::error::StartError;
use crate::names::Names;

/// How often an idle controller looks for a newer number.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long [`Fence::holds`] waits for the engine. An engine that does not answer proves nothing, and restarting a dead
/// ingress must not wait for it.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Store key of this controller's number.
const EPOCH: &str = "epoch";

/// This controller's number, and whether it is still the newest.
pub(crate) struct Fence {
    engine: Arc<dyn Engine>,
    names: Names,
    epoch: u64,
    store: Store,
    /// Whether the database has the number. `false` if the disk was full at the start.
    is_stored: AtomicBool,
    is_newer_than_database: bool,
    lost: CancellationToken,
}

impl Fence {
    /// Takes the next number, and removes older ones from the engine.
    pub async fn raise(engine: Arc<dyn Engine>, store: &Store, names: Names) -> Result<Self, StartError> {
        let refused = |error: EngineError| StartError::Engine(error.to_string());
        let failed = |error: StoreError| StartError::Store(error.to_string());
        let fences = fences(engine.as_ref()).await.map_err(refused)?;
        let stored: u64 = store.get_meta(EPOCH).await.map_err(failed)?.and_then(|it| it.parse().ok()).unwrap_or(0);
        let newest = fences.iter().map(|(epoch, _)| *epoch).max().unwrap_or(0);
        let epoch = stored.max(newest) + 1;
        let is_stored = match put(store, epoch).await {
            Ok(()) => true,
            // Only the number on the engine decides, so a full disk does not prevent the takeover.
            Err(error) if error.is_disk_full() => {
                warn!(%error, "the fence number could not be stored yet; trying again");
                false
            }
            Err(error) => return Err(failed(error)),
        };
        engine.ensure_volume(&names.fence(epoch), &identity(epoch)).await.map_err(refused)?;
        for (_, name) in fences {
            engine.remove_volume(&name).await.map_err(refused)?;
        }
        let (store, is_stored) = (store.clone(), AtomicBool::new(is_stored));
        Ok(Self {
            engine,
            names,
            epoch,
            store,
            is_stored,
            is_newer_than_database: newest > stored,
            lost: CancellationToken::new(),
        })
    }

    /// Whether the engine had a higher number than the database when this controller started. If so, the database was
    /// restored from a backup or lost commits: a backup of the data directory does not include the engine's number.
    pub fn is_newer_than_database(&self) -> bool {
        self.is_newer_than_database
    }

    /// Cancelled when another controller takes over.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Checks the engine now. Without an answer from the engine the state stays as it was.
    pub async fn holds(&self) -> bool {
        if let Ok(Ok(fences)) = tokio::time::timeout(ANSWER_WITHIN, fences(self.engine.as_ref())).await {
            self.compare(&fences);
        }
        !self.lost.is_cancelled()
    }

    /// Checks regularly until the fence is lost or `stop` is cancelled.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        while !self.lost.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if !self.is_stored.load(Relaxed) && put(&self.store, self.epoch).await.is_ok() {
                self.is_stored.store(true, Relaxed);
            }
            let Ok(fences) = fences(self.engine.as_ref()).await else { continue };
            self.compare(&fences);
            if fences.is_empty() {
                // A person removed the fence; create it again.
                let set = self.engine.ensure_volume(&self.names.fence(self.epoch), &identity(self.epoch)).await;
                if let Err(error) = set {
                    warn!(%error, "the fence could not be created again");
                }
            }
        }
    }

    fn compare(&self, fences: &[(u64, String)]) {
        if fences.iter().any(|(epoch, _)| *epoch > self.epoch) && !self.lost.is_cancelled() {
            error!("another controller of this installation has taken over; this one stops changing anything");
            self.lost.cancel();
        }
    }
}

/// Tries twice on a full disk, because the first failure frees the space that the store reserves for this case.
async fn put(store: &Store, epoch: u64) -> Result<(), StoreError> {
    match store.set_meta(EPOCH, &epoch.to_string()).await {
        Err(error) if error.is_disk_full() => store.set_meta(EPOCH, &epoch.to_string()).await,
        other => other,
    }
}

/// Numbers and names of this installation's fences on the engine.
async fn fences(engine: &dyn Engine) -> Result<Vec<(u64, String)>, EngineError> {
    let volumes = engine.volumes().await?;
    let fences = volumes.into_iter().filter(|it| it.identity.role == Role::Fence);
    Ok(fences.map(|it| (it.identity.generation, it.name)).collect())
}

/// The fence stores its number as the object's generation.
pub(crate) fn identity(epoch: u64) -> Identity {
    Identity {
        role: Role::Fence,
        app: String::new(),
        component: String::new(),
        slot: 0,
        revision: String::new(),
        generation: epoch,
        deployment: String::new(),
    }
}
