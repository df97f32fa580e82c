//! Which controller of an installation is the newest: a number on the engine that each one raises when it takes over (F44).
//!
//! The lock on the data directory keeps two apart on one host. The number tells the one whom no lock holds: a controller
//! that wakes up from a pause, or one on a copy of the data. The older of two lets go of everything and writes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use engine::{Engine, EngineError, Identity, Role};
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::error::StartError;
use crate::names::Names;

/// A newer number is noticed this soon by one that has nothing else to do.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// An engine that does not answer tells nothing: a dead ingress is not kept waiting for it (F26, F73).
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Where the store keeps the last number.
const EPOCH: &str = "epoch";

/// Our number, and whether it is still the newest.
pub(crate) struct Fence {
    engine: Arc<dyn Engine>,
    names: Names,
    epoch: u64,
    store: Store,
    /// The database has the number. Not so where the disk was full at the start.
    is_stored: AtomicBool,
    is_newer_than_database: bool,
    lost: CancellationToken,
}

impl Fence {
    /// Takes the next number, and removes the older ones.
    pub async fn raise(engine: Arc<dyn Engine>, store: &Store, names: Names) -> Result<Self, StartError> {
        let refused = |error: EngineError| StartError::Engine(error.to_string());
        let failed = |error: StoreError| StartError::Store(error.to_string());
        let fences = fences(engine.as_ref()).await.map_err(refused)?;
        let stored: u64 = store.get_meta(EPOCH).await.map_err(failed)?.and_then(|it| it.parse().ok()).unwrap_or(0);
        let newest = fences.iter().map(|(epoch, _)| *epoch).max().unwrap_or(0);
        let epoch = stored.max(newest) + 1;
        let is_stored = match put(store, epoch).await {
            Ok(()) => true,
            // The number on the engine is what counts: a full disk is no reason to leave everything alone.
            Err(error) if error.is_disk_full() => {
                warn!(%error, "the number of this controller is written down later");
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

    /// The engine had a higher number than the database when this controller started: the database was put back from a
    /// backup, or lost commits. No backup of the data directory holds the engine's number.
    pub fn is_newer_than_database(&self) -> bool {
        self.is_newer_than_database
    }

    /// Cancelled when another controller has taken over.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Looks now. An engine that does not answer leaves it as it was.
    pub async fn holds(&self) -> bool {
        if let Ok(Ok(fences)) = tokio::time::timeout(ANSWER_WITHIN, fences(self.engine.as_ref())).await {
            self.compare(&fences);
        }
        !self.lost.is_cancelled()
    }

    /// Looks from time to time, until it is lost or `stop` is cancelled.
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
                // Removed by hand: set again.
                let set = self.engine.ensure_volume(&self.names.fence(self.epoch), &identity(self.epoch)).await;
                if let Err(error) = set {
                    warn!(%error, "the fence could not be set again");
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

/// Twice on a full disk: the first failure gives back the room that is kept for this.
async fn put(store: &Store, epoch: u64) -> Result<(), StoreError> {
    match store.set_meta(EPOCH, &epoch.to_string()).await {
        Err(error) if error.is_disk_full() => store.set_meta(EPOCH, &epoch.to_string()).await,
        other => other,
    }
}

/// Numbers of this installation's fences on the engine, with their names.
async fn fences(engine: &dyn Engine) -> Result<Vec<(u64, String)>, EngineError> {
    let volumes = engine.volumes().await?;
    let fences = volumes.into_iter().filter(|it| it.identity.role == Role::Fence);
    Ok(fences.map(|it| (it.identity.generation, it.name)).collect())
}

/// The number is the object's generation.
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
