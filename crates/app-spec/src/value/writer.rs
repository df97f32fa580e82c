//! Writing values: a tree without places, from which both JSON and YAML are made.

use crate::secret::SecretText;

/// Turns a secret into what a reader may see. Given the secret's path by names, such as `services.web.envs.TOKEN`, which
/// stays the same when lists change their order.
pub type Seal<'a> = &'a dyn Fn(&str, &SecretText) -> String;

/// Writes a spec; secrets leave only through `seal`.
pub(crate) struct Writer<'a> {
    pub trail: Trail,
    pub seal: Seal<'a>,
}

impl Writer<'_> {
    pub fn sealed(&self, secret: &SecretText) -> String {
        (self.seal)(&self.trail.path(), secret)
    }
}

/// Where a writer is, by names rather than by numbers.
#[derive(Default)]
pub(crate) struct Trail(Vec<String>);

impl Trail {
    pub fn push(&mut self, step: impl Into<String>) {
        self.0.push(step.into());
    }

    /// Steps into an item of a list: by its name where it has one.
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
