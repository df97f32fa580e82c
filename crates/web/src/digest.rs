//! SHA-256, which identifies secrets without keeping them.

use sha2::{Digest, Sha256};

/// SHA-256 of a text.
pub fn sha256(text: &str) -> [u8; 32] {
    sha256_of_bytes(text.as_bytes())
}

/// SHA-256 of bytes.
pub fn sha256_of_bytes(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Decodes a hash in hexadecimal. For a malformed one it returns random bytes, which no token matches.
pub(crate) fn decoded(hash: &str) -> [u8; 32] {
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
