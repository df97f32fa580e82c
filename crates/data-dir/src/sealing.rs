//! Sealing: encrypts secrets for storage and binds each one to a place, such as a row.
//!
//! XChaCha20-Poly1305 with a random nonce. The place is authenticated data, so a sealed text that was moved to another app
//! or row does not open. Plain text is returned only after the tag was verified.

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

/// Seals and opens with one key. Does not implement `Debug`, so the key cannot be logged.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    hash_key: [u8; 32],
}

/// Why a sealed text did not open. Contains no part of the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// The text does not have the form `EV[1:…:…]`.
    #[error("the value for {place} is not a sealed value. Enter the plain value instead")]
    Malformed {
        /// The place for which the text was to be opened.
        place: String,
    },
    /// The text was sealed for another place or with another key, or it was changed.
    #[error(
        "the sealed value for {place} does not open: it was sealed for another place or by another installation, or it is damaged. Enter the plain value instead"
    )]
    ForeignOrDamaged {
        /// The place for which the text was to be opened.
        place: String,
    },
}

impl Sealer {
    /// A sealer with this key.
    pub fn new(key: [u8; 32]) -> Self {
        let hash_key = keyed_digest(&key, "keyed-hash", b"");
        Self { cipher: XChaCha20Poly1305::new(&key.into()), hash_key }
    }

    /// Whether the text has the form of a sealed text of any version.
    pub fn is_sealed(text: &str) -> bool {
        text.starts_with("EV[") && text.ends_with(']')
    }

    /// The sealed text, `EV[1:nonce:ciphertext]` in base64. It opens only in `place`, for example "env/APP". Each call
    /// returns a different text, so equal secrets cannot be recognised.
    pub fn seal(&self, place: &str, plain: &[u8]) -> String {
        let bytes = self.seal_bytes(place, plain);
        let (nonce, ciphertext) = bytes[1..].split_at(NONCE_BYTES);
        format!("EV[{VERSION}:{}:{}]", BASE64.encode(nonce), BASE64.encode(ciphertext))
    }

    /// The plain value of a text that was sealed for this place.
    pub fn open(&self, place: &str, text: &str) -> Result<Vec<u8>, SealError> {
        let malformed = || SealError::Malformed { place: place.to_owned() };
        let inner = text.strip_prefix("EV[1:").and_then(|it| it.strip_suffix(']')).ok_or_else(malformed)?;
        let (nonce, ciphertext) = inner.split_once(':').ok_or_else(malformed)?;
        let nonce = BASE64.decode(nonce).map_err(|_| malformed())?;
        let ciphertext = BASE64.decode(ciphertext).map_err(|_| malformed())?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| malformed())?;
        self.decrypt(place, nonce, &ciphertext)
    }

    /// Like [`Sealer::seal`], for binary storage: a version byte, the nonce, the ciphertext.
    pub fn seal_bytes(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let aad = associated(place);
        let ciphertext = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: aad.as_bytes() })
            .expect("only texts of 256 GiB and more fail, and they do not fit into memory");
        [&[VERSION], nonce.as_slice(), &ciphertext].concat()
    }

    /// The plain value of bytes that [`Sealer::seal_bytes`] sealed for this place.
    pub fn open_bytes(&self, place: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let malformed = || SealError::Malformed { place: place.to_owned() };
        let rest = bytes.strip_prefix(&[VERSION]).ok_or_else(malformed)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(malformed)?;
        self.decrypt(place, *nonce, ciphertext)
    }

    /// HMAC-SHA256 in hexadecimal. Shows whether two values of one place are equal, and nothing else.
    pub fn keyed_hash(&self, place: &str, bytes: &[u8]) -> String {
        hex::encode(keyed_digest(&self.hash_key, place, bytes))
    }

    fn decrypt(&self, place: &str, nonce: [u8; NONCE_BYTES], ciphertext: &[u8]) -> Result<Vec<u8>, SealError> {
        let aad = associated(place);
        self.cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: aad.as_bytes() })
            .map_err(|_| SealError::ForeignOrDamaged { place: place.to_owned() })
    }
}

/// HMAC-SHA256 of a label and a text. The length of the label comes first, so that two different pairs never have the same
/// input.
pub fn keyed_digest(key: &[u8; 32], label: &str, text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(&(label.len() as u64).to_be_bytes());
    mac.update(label.as_bytes());
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// The format version is authenticated together with the place, so that a later format cannot be read as this one.
fn associated(place: &str) -> String {
    format!("boatyard/{VERSION}/{place}")
}
