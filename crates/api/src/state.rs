//! What all requests share.

use std::net::SocketAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};

use crate::control::Control;
use crate::tickets::Tickets;

/// Log streams open at once; more are refused with 429. Each holds a connection and an engine stream.
pub(crate) const LOG_STREAMS: usize = 256;

#[derive(Clone)]
pub(crate) struct ApiState(Arc<Shared>);

/// Handlers do not take this: they take what [`crate::access`] hands out, or a log ticket.
pub(crate) struct Shared {
    pub control: Arc<dyn Control>,
    pub token_hash: [u8; 32],
    /// Where we listen, for the allow-list of hosts.
    pub bound: SocketAddr,
    pub tickets: Tickets,
    pub log_streams: Arc<Semaphore>,
    /// True once the server is to end.
    pub stop: watch::Sender<bool>,
    /// True once somebody asked for everything to come down.
    pub down: watch::Sender<bool>,
}

impl ApiState {
    pub fn new(control: Arc<dyn Control>, bound: SocketAddr) -> Self {
        Self(Arc::new(Shared {
            token_hash: bytes_of(&control.token_hash()),
            control,
            bound,
            tickets: Tickets::default(),
            log_streams: Arc::new(Semaphore::new(LOG_STREAMS)),
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
    Sha256::digest(text.as_bytes()).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a hash in hexadecimal. One that is none becomes the hash of a random text: nobody gets in by it.
fn bytes_of(hash: &str) -> [u8; 32] {
    let byte = |at: usize| hash.get(2 * at..2 * at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    match bytes.filter(|_| hash.len() == 64).map(<[u8; 32]>::try_from) {
        Some(Ok(bytes)) => bytes,
        _ => rand::random(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_goes_to_hexadecimal_and_back() {
        assert_eq!(bytes_of(&hex(&sha256("token"))), sha256("token"));
    }

    #[test]
    fn a_broken_hash_lets_nobody_in() {
        assert_ne!(bytes_of(""), sha256(""));
        assert_ne!(bytes_of(""), bytes_of(""));
        assert_ne!(bytes_of(&format!("{}é", "0".repeat(62))), [0; 32]);
    }
}
