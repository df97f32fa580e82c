//! The end of the server, for what outlives a request.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the server stops. Streams and consoles end then. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }
}

impl Stop {
    /// Ends everything that waits for [`Self::requested`].
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Completes when the server stops.
    pub async fn requested(&self) {
        let mut stop = self.0.subscribe();
        // An error is impossible, because `self` holds the sender. It would mean that the server has stopped.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}
