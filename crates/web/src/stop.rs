//! The end of the server, for what outlives a request.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the server stops. Streams and consoles end then. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

/// See [`Stop::delay`].
pub struct StopDelay {
    _waited_for: watch::Receiver<bool>,
}

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

    /// Delays the end of the process until the delay is dropped: something has to be cleaned up first. The server does not
    /// wait for ever.
    pub fn delay(&self) -> StopDelay {
        StopDelay { _waited_for: self.0.subscribe() }
    }

    /// Completes when the server has stopped and nothing delays the end of the process.
    pub async fn completed(&self) {
        self.requested().await;
        self.0.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_complete(stop: &Stop) -> bool {
        tokio::select! {
            biased;
            () = stop.completed() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn a_stop_is_complete_when_nothing_delays_it() {
        let stop = Stop::default();
        let delay = stop.delay();
        assert!(!is_complete(&stop).await, "it was not requested");
        stop.request();
        stop.requested().await;
        assert!(!is_complete(&stop).await, "it is delayed");
        drop(delay);
        assert!(is_complete(&stop).await);
    }
}
