//! Errors that the controller returns to its callers.

use engine::EngineError;
use thiserror::Error;

/// A refusal or failure of the controller. `Display` is the caller's message: it names the problem and the next step.
#[derive(Debug, Error)]
pub enum ControlError {
    /// No such app, deployment or component.
    #[error("{0}")]
    NotFound(String),
    /// The request is well-formed but not valid.
    #[error("{0}")]
    Invalid(String),
    /// The spec is not valid. The message has one diagnostic per line.
    #[error("{0}")]
    InvalidSpec(String),
    /// The current state does not allow the request.
    #[error("{0}")]
    Conflict(String),
    /// The disk is full; nothing was changed.
    #[error("{0}")]
    DiskFull(String),
    /// The controller is stopping, one of its tasks ended or is busy, or the engine does not answer. The same request may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// A bug or a failure of the host. The log has the full error chain.
    #[error("{message}")]
    Internal {
        /// The message for the caller.
        message: String,
        /// The full error.
        #[source]
        cause: anyhow::Error,
    },
}

impl ControlError {
    pub(crate) fn deleted(app: &str) -> Self {
        Self::NotFound(format!("app {app} was deleted"))
    }

    /// `failed`: what failed because of the engine.
    pub(crate) fn of_engine(failed: &str, error: EngineError) -> Self {
        let message = format!("{failed}: {error}");
        match error {
            EngineError::NoAnswer { .. } | EngineError::Unreachable { .. } | EngineError::Timeout { .. } => {
                Self::Unavailable(message)
            }
            error => Self::Internal { message, cause: error.into() },
        }
    }

    pub(crate) fn pinned(app: &str, deployment: u64) -> Self {
        Self::Conflict(rollout::app_rollback::pinned_message(app, deployment))
    }

    pub(crate) fn spec_changed(app: &str) -> Self {
        Self::Conflict(format!(
            "somebody else changed the spec of app {app} at the same time, so nothing was saved. Save again to compare both \
             changes, or see the new spec: boatyard spec get {app}"
        ))
    }

    pub(crate) fn name_taken(app: &str) -> Self {
        Self::Conflict(format!("an app named {app} exists already; update it, or choose another name"))
    }
}

impl From<store::StoreError> for ControlError {
    fn from(error: store::StoreError) -> Self {
        if error.is_disk_full() {
            return Self::DiskFull(error.to_string());
        }
        if let store::StoreError::NameTaken { name } = &error {
            return Self::name_taken(name);
        }
        if matches!(error, store::StoreError::Replaced { .. }) {
            return Self::Unavailable(error.to_string());
        }
        let message = "the store did not answer; nothing was changed. See the log of `boatyard serve`".into();
        Self::Internal { message, cause: error.into() }
    }
}

/// Why the controller does not start. `Display` is the message for the operator who runs `serve`.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another controller of this installation is running.
    #[error("{0}")]
    Held(String),
    /// The engine is not suitable, or does not answer.
    #[error("{0}")]
    Engine(String),
    /// The data directory, or a file in it, cannot be used.
    #[error("{0}")]
    Store(String),
    /// The ingress cannot start, or cannot listen on its address.
    #[error("{0}")]
    Ingress(String),
    /// An app has the host name of the webhooks.
    #[error("{0}")]
    WebhookHost(String),
}

impl StartError {
    /// Whether another controller holds the installation: exit code 75.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }
}

/// Returns ` Did you mean "worker"?`, the list of known names, or an empty string.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a String>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    let near = known.iter().map(|it| (distance(name, it), *it)).min().filter(|(far, _)| *far <= 1 + name.len() / 3);
    match (near, known.is_empty()) {
        (Some((_, near)), _) => format!(" Did you mean {near:?}?"),
        (None, true) => String::new(),
        (None, false) => {
            let names: Vec<_> = known.iter().map(|it| it.as_str()).collect();
            format!(" It has: {}", names.join(", "))
        }
    }
}

/// Edit distance: how many letters to change, insert or delete.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_or_all_are_listed() {
        let known = ["web".to_owned(), "worker".to_owned()];
        assert_eq!(closest("wrker", &known), " Did you mean \"worker\"?");
        assert_eq!(closest("frontend", &known), " It has: web, worker");
        assert_eq!(closest("x", &[]), "");
    }
}
