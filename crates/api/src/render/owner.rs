//! The owner of every app: the installation.

use uuid::Builder;

use crate::state::sha256;

/// A UUID for an installation. Clients expect one, and it stays the same as long as the installation exists.
pub(super) fn owner_uuid(installation: &str) -> String {
    let hash = sha256(&format!("boatyard owner {installation}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_always_has_the_same_uuid_and_no_other_one_has_it() {
        let uuid = owner_uuid("k3v9x1a2b4");
        assert!(uuid::Uuid::parse_str(&uuid).is_ok_and(|it| it.get_version_num() == 4), "{uuid}");
        assert_eq!(owner_uuid("k3v9x1a2b4"), uuid);
        assert_ne!(owner_uuid("k3v9x1a2b5"), uuid);
    }
}
