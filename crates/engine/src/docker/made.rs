//! Remembers under which name each container was created, to recognise containers that a user renamed.
//!
//! An engine never reuses an id, so a remembered entry can become useless, but not wrong.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::identity::{Installation, Kind};
use crate::port::Identity;

/// Names at creation, by container id.
#[derive(Debug, Default)]
pub(super) struct MadeNames(Mutex<HashMap<String, String>>);

impl MadeNames {
    pub fn learn(&self, id: String, name: String) {
        self.lock().insert(id, name);
    }

    /// Ids of existing and removed containers that were created under this name.
    pub fn ids_of(&self, name: &str) -> Vec<String> {
        self.lock().iter().filter(|(_, made_as)| *made_as == name).map(|(id, _)| id.clone()).collect()
    }

    /// All ids. Take them before requesting a full list; see [`MadeNames::forget_gone`].
    pub fn ids(&self) -> BTreeSet<String> {
        self.lock().keys().cloned().collect()
    }

    /// Forgets containers that were known before the full list was requested and that the list does not contain.
    pub fn forget_gone(&self, known_before: &BTreeSet<String>, listed: &BTreeSet<String>) {
        self.lock().retain(|id, _| !known_before.contains(id) || listed.contains(id));
    }

    /// The name under which a container was created, and its identity, if its labels carry this installation's MAC for
    /// that name. Tries the container's present name first, then the remembered name of its id.
    pub fn identify(
        &self,
        installation: &Installation,
        id: &str,
        called: &str,
        labels: &HashMap<String, String>,
    ) -> Option<(String, Identity)> {
        if let Some(identity) = installation.identify(Kind::Container, called, labels) {
            self.learn(id.to_owned(), called.to_owned());
            return Some((called.to_owned(), identity));
        }
        let made_as = self.lock().get(id).cloned()?;
        let identity = installation.identify(Kind::Container, &made_as, labels)?;
        Some((made_as, identity))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Role;

    fn installation() -> Installation {
        Installation { id: "i".into(), key: [3; 32] }
    }

    fn labels() -> HashMap<String, String> {
        installation().labels(Kind::Container, "web.0", &identity())
    }

    fn identity() -> Identity {
        Identity {
            role: Role::Instance,
            app: "a".into(),
            component: "web".into(),
            slot: 0,
            revision: "r".into(),
            generation: 1,
            deployment: "d".into(),
        }
    }

    #[test]
    fn a_renamed_container_is_recognised_by_its_id_and_its_copy_is_not() {
        let made = MadeNames::default();
        let who = |id, called| made.identify(&installation(), id, called, &labels()).map(|(name, _)| name);
        assert_eq!(who("1f", "debug"), None, "its id is not known yet");
        assert_eq!(who("1f", "web.0").as_deref(), Some("web.0"), "its labels prove this name");
        assert_eq!(who("1f", "debug").as_deref(), Some("web.0"), "its id is remembered");
        assert_eq!(who("2e", "debug"), None, "an image committed from it carries the labels, not the id");
    }

    #[test]
    fn a_remembered_id_alone_proves_nothing() {
        let made = MadeNames::default();
        made.learn("1f".into(), "web.1".into());
        assert_eq!(made.identify(&installation(), "1f", "debug", &labels()), None);
        assert_eq!(made.identify(&installation(), "1f", "debug", &HashMap::new()), None);
    }

    #[test]
    fn a_name_is_forgotten_when_a_later_list_lacks_the_container() {
        let made = MadeNames::default();
        made.learn("1f".into(), "web.0".into());
        let before = made.ids();
        made.learn("2e".into(), "web.1".into());
        made.forget_gone(&before, &BTreeSet::new());
        assert_eq!(made.ids(), BTreeSet::from(["2e".to_owned()]));
    }
}
