//! The state that all requests share.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};

use crate::base_url::OutsideUrl;
use crate::console::OpenConsoles;
use crate::held_polls::HeldPolls;
use crate::tickets::Tickets;
use controller::Control;

/// Open log streams. More are refused with 429. Each one holds a connection and a stream of the engine.
pub(crate) const MAX_LOG_STREAMS: usize = 256;

#[derive(Clone)]
pub(crate) struct ApiState(Arc<Shared>);

/// Handlers do not take this. They take an [`crate::access::Access`] or a ticket.
pub(crate) struct Shared {
    pub control: Arc<dyn Control>,
    pub token_hash: [u8; 32],
    /// The address behind a proxy, which is allowed in the Host header.
    pub outside: Option<OutsideUrl>,
    pub tickets: Tickets,
    pub log_streams: Arc<Semaphore>,
    pub consoles: OpenConsoles,
    pub held_polls: HeldPolls,
    /// True once the server shuts down.
    pub stop: watch::Sender<bool>,
    /// True once a client has sent `down`.
    pub down: watch::Sender<bool>,
}

impl ApiState {
    pub fn new(control: Arc<dyn Control>, outside: Option<OutsideUrl>, hold_polls: bool) -> Self {
        Self(Arc::new(Shared {
            token_hash: decoded(&control.token_hash()),
            control,
            outside,
            tickets: Tickets::default(),
            log_streams: Arc::new(Semaphore::new(MAX_LOG_STREAMS)),
            consoles: OpenConsoles::default(),
            held_polls: HeldPolls::new(hold_polls),
            stop: watch::channel(false).0,
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

pub(crate) fn sha256(text: &str) -> [u8; 32] {
    sha256_of_bytes(text.as_bytes())
}

pub(crate) fn sha256_of_bytes(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Decodes a hash. For a malformed one it returns random bytes, which no token matches.
fn decoded(hash: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    match hex::decode_to_slice(hash, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => rand::random(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_decoded() {
        assert_eq!(decoded(&hex::encode(sha256("token"))), sha256("token"));
    }

    #[test]
    fn no_token_matches_a_malformed_hash() {
        assert_ne!(decoded(""), sha256(""));
        assert_ne!(decoded(""), decoded(""));
        assert_ne!(decoded(&format!("{}é", "0".repeat(62))), [0; 32]);
    }
}
