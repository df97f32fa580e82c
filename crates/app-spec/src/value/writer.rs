//! Writes values to a tree without places, which becomes JSON or YAML.

use crate::secret::SecretText;

/// Replaces a secret by text that is safe to write. Gets the secret's path by names, such as `services.web.envs.TOKEN`,
/// which stays the same when the order of a list changes.
pub type Seal<'a> = &'a dyn Fn(&str, &SecretText) -> String;

/// Writes a spec. Every secret passes through `seal`.
pub(crate) struct Writer<'a> {
    pub trail: Trail,
    pub seal: Seal<'a>,
}

impl Writer<'_> {
    pub fn sealed(&self, secret: &SecretText) -> String {
        (self.seal)(&self.trail.path(), secret)
    }
}

/// The current path of a writer, with names instead of positions.
#[derive(Default)]
pub(crate) struct Trail(Vec<String>);

impl Trail {
    pub fn push(&mut self, step: impl Into<String>) {
        self.0.push(step.into());
    }

    /// Enters an item of a list, by name if it has one.
    pub fn push_item(&mut self, label: Option<&str>, index: usize) {
        self.0.push(label.map_or_else(|| index.to_string(), str::to_owned));
    }

    pub fn pop(&mut self) {
        self.0.pop();
    }

    pub fn path(&self) -> String {
        self.0.join(".")
    }
}
