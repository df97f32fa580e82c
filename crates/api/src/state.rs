//! The state that all requests share.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use web::Stop;

use crate::console::OpenConsoles;
use crate::held_polls::HeldPolls;
use crate::tickets::Tickets;
use controller::Control;

/// Open log streams. More are refused with 429. Each one holds a connection and a stream of the engine.
pub(crate) const MAX_LOG_STREAMS: usize = 256;

#[derive(Clone)]
pub(crate) struct ApiState(Arc<Shared>);

/// Handlers do not take this. They take an [`web::Access`] or a ticket.
pub(crate) struct Shared {
    pub control: Arc<dyn Control>,
    pub tickets: Tickets,
    pub log_streams: Arc<Semaphore>,
    pub consoles: OpenConsoles,
    pub held_polls: HeldPolls,
    /// Requested when the server shuts down.
    pub stop: Stop,
    /// True once a client has sent `down`.
    pub down: watch::Sender<bool>,
}

impl ApiState {
    pub fn new(control: Arc<dyn Control>, stop: Stop, hold_polls: bool) -> Self {
        Self(Arc::new(Shared {
            control,
            tickets: Tickets::default(),
            log_streams: Arc::new(Semaphore::new(MAX_LOG_STREAMS)),
            consoles: OpenConsoles::default(),
            held_polls: HeldPolls::new(hold_polls),
            stop,
            down: watch::channel(false).0,
        }))
    }
}

impl std::ops::Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
