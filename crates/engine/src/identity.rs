//! Which installation owns an object: labels state it, and a MAC proves it.
//!
//! Labels alone prove nothing, because an image can carry any labels. The MAC covers the installation, the object's
//! kind and name, and every label that Boatyard reads. A label set that was copied to another object or changed in one
//! place therefore fails the check. Boatyard always writes every key, so that a container never inherits one from its
//! image.
//!
//! The MAC covers the name under which a container was created, because an image committed from a Boatyard container
//! carries that container's labels with the MAC. A renamed container is recognised by its id, which an engine never
//! reuses: the code that remembers the container's original name checks the labels against that name.

use std::collections::HashMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::port::{Identity, Role};

/// Label with the installation's id, for filtering lists. [`Installation::identify`] reads the other labels.
pub const INSTALLATION: &str = "io.boatyard.installation";
/// Label with the app's id; events carry it.
pub const APP: &str = "io.boatyard.app";

const ROLE: &str = "io.boatyard.role";
const COMPONENT: &str = "io.boatyard.component";
const SLOT: &str = "io.boatyard.slot";
const REVISION: &str = "io.boatyard.revision";
const GENERATION: &str = "io.boatyard.generation";
const DEPLOYMENT: &str = "io.boatyard.deployment";
const MAC: &str = "io.boatyard.mac";

/// Version of the encoding that the MAC covers. A new encoding needs a new name.
const ENCODING: &str = "boatyard-identity-1";

/// One Boatyard installation on an engine: its id, and the key for the MAC of its labels.
#[derive(Clone)]
pub struct Installation {
    /// Chosen once at installation; part of the labels, not secret.
    pub id: String,
    /// Secret: anyone who has it can create objects that pass as this installation's.
    pub key: [u8; 32],
}

impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The kind of engine object that carries a label set. The MAC covers it, so that labels cannot move between kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Container,
    Network,
    Volume,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Network => "network",
            Kind::Volume => "volume",
        }
    }
}

impl Role {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Instance => "instance",
            Role::Job => "job",
            Role::Database => "database",
            Role::Pin => "pin",
            Role::Fence => "fence",
            Role::Network => "network",
            Role::Volume => "volume",
        }
    }

    fn from_label(word: &str) -> Option<Role> {
        [Role::Instance, Role::Job, Role::Database, Role::Pin, Role::Fence, Role::Network, Role::Volume]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

impl Installation {
    /// All labels of an object of this installation.
    pub fn labels(&self, kind: Kind, name: &str, identity: &Identity) -> HashMap<String, String> {
        let mac = hex::encode(self.mac(kind, name, identity).finalize().into_bytes());
        let pairs = [
            (INSTALLATION, self.id.clone()),
            (ROLE, identity.role.as_str().to_owned()),
            (APP, identity.app.clone()),
            (COMPONENT, identity.component.clone()),
            (SLOT, identity.slot.to_string()),
            (REVISION, identity.revision.clone()),
            (GENERATION, identity.generation.to_string()),
            (DEPLOYMENT, identity.deployment.clone()),
            (MAC, mac),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The object's identity, if its labels carry this installation's MAC for this kind and name; otherwise `None`.
    pub fn identify(&self, kind: Kind, name: &str, labels: &HashMap<String, String>) -> Option<Identity> {
        let get = |key: &str| labels.get(key).cloned();
        if get(INSTALLATION)? != self.id {
            return None;
        }
        let identity = Identity {
            role: Role::from_label(&get(ROLE)?)?,
            app: get(APP)?,
            component: get(COMPONENT)?,
            slot: get(SLOT)?.parse().ok()?,
            revision: get(REVISION)?,
            generation: get(GENERATION)?.parse().ok()?,
            deployment: get(DEPLOYMENT)?,
        };
        let claimed = hex::decode(get(MAC)?).ok()?;
        // `verify_slice` compares in constant time.
        self.mac(kind, name, &identity).verify_slice(&claimed).ok()?;
        Some(identity)
    }

    /// Writes each field after its length, so that two different identities never have the same bytes.
    fn mac(&self, kind: Kind, name: &str, identity: &Identity) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        let (slot, generation) = (identity.slot.to_string(), identity.generation.to_string());
        let fields = [
            ENCODING,
            &self.id,
            kind.as_str(),
            name,
            identity.role.as_str(),
            &identity.app,
            &identity.component,
            &slot,
            &identity.revision,
            &generation,
            &identity.deployment,
        ];
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation() -> Installation {
        Installation { id: "inst-1".into(), key: [7; 32] }
    }

    fn identity() -> Identity {
        Identity {
            role: Role::Instance,
            app: "6f1c".into(),
            component: "web".into(),
            slot: 2,
            revision: "r9".into(),
            generation: 4,
            deployment: "d41".into(),
        }
    }

    #[test]
    fn labels_that_boatyard_writes_are_recognised() {
        for kind in [Kind::Container, Kind::Network, Kind::Volume] {
            let labels = installation().labels(kind, "by-web-2", &identity());
            assert_eq!(installation().identify(kind, "by-web-2", &labels), Some(identity()));
        }
    }

    /// If the MAC or a label changed, an upgraded Boatyard would no longer recognise any running container.
    #[test]
    fn labels_that_the_previous_version_wrote_are_recognised() {
        let mac = "7520982f854b4565f7255f271711dee6b7bf06591fbc9ea182d6a3650101db98";
        let labels = [
            (INSTALLATION, "inst-1"),
            (ROLE, "instance"),
            (APP, "6f1c"),
            (COMPONENT, "web"),
            (SLOT, "2"),
            (REVISION, "r9"),
            (GENERATION, "4"),
            (DEPLOYMENT, "d41"),
            (MAC, mac),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(installation().identify(Kind::Container, "by-web-2", &labels), Some(identity()));
    }

    #[test]
    fn every_role_can_be_read_from_its_label() {
        for role in [Role::Instance, Role::Job, Role::Database, Role::Pin, Role::Fence, Role::Network, Role::Volume] {
            assert_eq!(Role::from_label(role.as_str()), Some(role));
        }
    }

    #[test]
    fn a_change_in_any_label_fails_the_mac_check() {
        let labels = installation().labels(Kind::Container, "by-web-2", &identity());
        assert_eq!(labels.len(), 9);
        for key in labels.keys() {
            for forged in ["", "3", "job", "other", "ab"] {
                let mut changed = labels.clone();
                changed.insert(key.clone(), forged.into());
                assert_eq!(installation().identify(Kind::Container, "by-web-2", &changed), None, "{key}={forged}");
            }
            let mut missing = labels.clone();
            missing.remove(key);
            assert_eq!(installation().identify(Kind::Container, "by-web-2", &missing), None, "without {key}");
        }
    }

    #[test]
    fn labels_copied_to_another_name_kind_or_installation_fail_the_mac_check() {
        let labels = installation().labels(Kind::Container, "by-web-2", &identity());
        assert_eq!(installation().identify(Kind::Container, "by-web-3", &labels), None);
        assert_eq!(installation().identify(Kind::Network, "by-web-2", &labels), None);
        let other_key = Installation { key: [8; 32], ..installation() };
        assert_eq!(other_key.identify(Kind::Container, "by-web-2", &labels), None);
        let other_id = Installation { id: "inst-2".into(), ..installation() };
        assert_eq!(other_id.identify(Kind::Container, "by-web-2", &labels), None);
    }

    #[test]
    fn text_that_moves_from_one_field_to_the_next_changes_the_mac() {
        let one = Identity { app: "ab".into(), component: "c".into(), ..identity() };
        let two = Identity { app: "a".into(), component: "bc".into(), ..identity() };
        let mac = |identity| installation().labels(Kind::Container, "n", identity)[MAC].clone();
        assert_ne!(mac(&one), mac(&two));
    }

    #[test]
    fn a_mac_that_is_not_hex_is_refused_without_an_error() {
        for text in ["", "0", "zz", "é0", "00"] {
            let mut labels = installation().labels(Kind::Container, "n", &identity());
            labels.insert(MAC.into(), text.into());
            assert_eq!(installation().identify(Kind::Container, "n", &labels), None);
        }
    }

    #[test]
    fn the_key_is_not_in_debug_output() {
        assert!(!format!("{:?}", installation()).contains('7'));
    }
}
