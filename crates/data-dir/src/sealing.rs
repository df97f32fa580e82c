//! Sealing: what is secret lies on disk encrypted, bound to the place it was sealed for.
//!
//! XChaCha20-Poly1305 with a random nonce; the place is authenticated with it, so that a sealed text moved to another
//! app or row does not open. Nothing is handed out before the tag was checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use sha2::Sha256;
use thiserror::Error;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals and opens with one key. Has no `Debug`, on purpose.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    hash_key: [u8; 32],
}

/// Why a sealed text did not open. Tells nothing of what is inside.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// It is not of the form `EV[1:…:…]`.
    #[error("the value for {place} is not a sealed text; put the value itself")]
    Malformed {
        /// For which place it was to be opened.
        place: String,
    },
    /// Sealed for another place, with another key, or changed since.
    #[error("the sealed value for {place} does not open: it belongs elsewhere, or is damaged. Put the value itself")]
    ForeignOrDamaged {
        /// For which place it was to be opened.
        place: String,
    },
}

impl Sealer {
    /// A sealer over this key.
    pub fn new(key: [u8; 32]) -> Self {
        let hash_key = keyed_digest(&key, "keyed-hash", b"");
        Self { cipher: XChaCha20Poly1305::new(&key.into()), hash_key }
    }

    /// Looks like a sealed text of ours, of any version.
    pub fn is_sealed(text: &str) -> bool {
        text.starts_with("EV[") && text.ends_with(']')
    }

    /// The sealed text, `EV[1:nonce:ciphertext]` in base64. `place` names where it may be opened: "env/APP".
    /// Sealing the same value again gives another text, so that equal secrets do not show.
    pub fn seal(&self, place: &str, plain: &[u8]) -> String {
        let bytes = self.seal_bytes(place, plain);
        let (nonce, ciphertext) = bytes[1..].split_at(NONCE_BYTES);
        format!("EV[{VERSION}:{}:{}]", BASE64.encode(nonce), BASE64.encode(ciphertext))
    }

    /// What was sealed for this place.
    pub fn open(&self, place: &str, text: &str) -> Result<Vec<u8>, SealError> {
        let malformed = || SealError::Malformed { place: place.to_owned() };
        let inner = text.strip_prefix("EV[1:").and_then(|it| it.strip_suffix(']')).ok_or_else(malformed)?;
        let (nonce, ciphertext) = inner.split_once(':').ok_or_else(malformed)?;
        let nonce = BASE64.decode(nonce).map_err(|_| malformed())?;
        let ciphertext = BASE64.decode(ciphertext).map_err(|_| malformed())?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| malformed())?;
        self.decrypt(place, nonce, &ciphertext)
    }

    /// As [`Sealer::seal`], for bodies that nobody reads: a version byte, the nonce, the ciphertext.
    pub fn seal_bytes(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let aad = associated(place);
        let ciphertext = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: aad.as_bytes() })
            .expect("only texts of 256 GiB and up are refused, which do not fit into memory");
        [&[VERSION], nonce.as_slice(), &ciphertext].concat()
    }

    /// What was sealed by [`Sealer::seal_bytes`] for this place.
    pub fn open_bytes(&self, place: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let malformed = || SealError::Malformed { place: place.to_owned() };
        let rest = bytes.strip_prefix(&[VERSION]).ok_or_else(malformed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(malformed)?;
        self.decrypt(place, *nonce, ciphertext)
    }

    /// Tells equal from different within one place, and nothing else: 64 hexadecimal digits (HMAC-SHA256).
    pub fn keyed_hash(&self, place: &str, bytes: &[u8]) -> String {
        let digest = keyed_digest(&self.hash_key, place, bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn decrypt(&self, place: &str, nonce: [u8; NONCE_BYTES], ciphertext: &[u8]) -> Result<Vec<u8>, SealError> {
        let aad = associated(place);
        self.cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: aad.as_bytes() })
            .map_err(|_| SealError::ForeignOrDamaged { place: place.to_owned() })
    }
}

/// HMAC-SHA256 over a label and a text. The label's length goes first, so that no two pairs give the same input.
pub(crate) fn keyed_digest(key: &[u8; 32], label: &str, text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&(label.len() as u64).to_be_bytes());
    mac.update(label.as_bytes());
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// The format's version is authenticated with the place: a later format cannot be passed off as this one.
fn associated(place: &str) -> String {
    format!("boatyard/{VERSION}/{place}")
}
