//! Sealing and opening specs. The store holds secrets sealed; they are plain only where they are used.

use std::cell::RefCell;
use std::collections::BTreeMap;

use app_spec::{AppSpec, SecretText};
use data_dir::Sealer;
use rollout::ids::{AppId, ComponentName};
use rollout::sources::Origin;
use serde_json::Value;

/// Opens and seals the specs of one app. A sealed text is bound to its app and cannot be opened for another one.
pub(crate) struct Specs<'a> {
    sealer: &'a Sealer,
    place: String,
}

/// Variables without a value, each with its path. Empty if the spec is complete.
#[derive(Debug)]
pub(crate) struct NeedsValues(pub Vec<String>);

impl NeedsValues {
    /// Returns the spec if no value is missing.
    pub fn none_of(self, spec: AppSpec) -> Result<AppSpec, Self> {
        if self.0.is_empty() { Ok(spec) } else { Err(self) }
    }
}

impl<'a> Specs<'a> {
    pub fn of(app: &AppId, sealer: &'a Sealer) -> Self {
        Self { sealer, place: format!("env/{app}") }
    }

    /// Opens a stored spec, with its secrets in plain text. It is not validated again: it was valid by the rules at the
    /// time when it was stored.
    pub fn open(&self, stored: &Value) -> Option<AppSpec> {
        let mut spec = AppSpec::from_stored(stored).ok()?;
        self.unseal(&mut spec);
        Some(spec)
    }

    /// Completes a submitted spec: takes values that it omits or returns sealed from `before`. Also returns the values
    /// that are still missing.
    pub fn complete(&self, mut spec: AppSpec, before: Option<&AppSpec>) -> (AppSpec, NeedsValues) {
        self.unseal(&mut spec);
        if let Some(before) = before {
            // App Platform would replace a secret without a value by an empty one; this keeps the old value.
            spec.keep_values(before);
        }
        let needed: Vec<String> = spec
            .needed_values()
            .into_iter()
            .map(|it| match it.component {
                Some(component) => format!("{} of {component} ({})", it.key, it.path),
                None => format!("{} ({})", it.key, it.path),
            })
            .collect();
        (spec, NeedsValues(needed))
    }

    /// Seals a spec for the store and for answers. An unchanged secret keeps its sealed text, so that two reads return
    /// the same.
    pub fn seal(&self, spec: &AppSpec, stored: Option<&Value>) -> Value {
        let known = stored.map(|stored| self.sealed_texts(stored)).unwrap_or_default();
        spec.to_json_value(&|path, secret| match known.get(path) {
            Some((text, plain)) if plain.expose() == secret.expose() => text.clone(),
            _ => self.sealer.seal(&self.place, secret.expose().as_bytes()),
        })
    }

    /// Where a component's image comes from under this spec.
    pub fn origin(&self, spec: &AppSpec, component: &ComponentName) -> Option<Origin> {
        Origin::of(spec, component, &|text| hash_build_secrets(self.sealer, text))
    }

    fn unseal(&self, spec: &mut AppSpec) {
        spec.unseal(&|_, text| self.opened(text));
    }

    fn sealed_texts(&self, stored: &Value) -> BTreeMap<String, (String, SecretText)> {
        let texts = RefCell::new(BTreeMap::new());
        if let Ok(mut spec) = AppSpec::from_stored(stored) {
            spec.unseal(&|path, text| {
                let plain = self.opened(text)?;
                texts.borrow_mut().insert(path.to_owned(), (text.to_owned(), plain.clone()));
                Some(plain)
            });
        }
        texts.into_inner()
    }

    fn opened(&self, text: &str) -> Option<SecretText> {
        let plain = self.sealer.open(&self.place, text).ok()?;
        String::from_utf8(plain).ok().map(SecretText::new)
    }
}

/// A keyed hash for the secrets of builds. It does not depend on the app, so that apps share images.
pub(crate) fn hash_build_secrets(sealer: &Sealer, text: &str) -> String {
    let mut hash = sealer.keyed_hash("build-secrets", text.as_bytes());
    hash.truncate(32);
    hash
}
