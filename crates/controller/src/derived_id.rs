//! Ids of objects that have no record: derived from what identifies the object, so that they never change.

use sha2::{Digest, Sha256};
use uuid::Builder;

/// A lower-case UUID, which is the same whenever these parts are the same.
pub fn derived_id(parts: &[&str]) -> String {
    // The length before each part keeps `["a", "bc"]` and `["ab", "c"]` apart.
    let hash = parts.iter().fold(Sha256::new(), |hash, part| {
        hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part.as_bytes())
    });
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_have_the_same_uuid_and_others_another_one() {
        let id = derived_id(&["a", "bc"]);
        assert_eq!(id, "3fafa1cf-2f19-47c1-929b-eb20cf0983f7", "an id that clients keep must never change");
        assert_eq!(uuid::Uuid::parse_str(&id).map(|it| it.to_string()).ok(), Some(id.clone()));
        for other in [&["ab", "c"][..], &["a", "b", "c"], &["abc"], &[]] {
            assert_ne!(derived_id(other), id, "{other:?}");
        }
    }
}
