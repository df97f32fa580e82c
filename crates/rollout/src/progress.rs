//! The tree of steps that clients see of a deployment, in the form that App Platform uses.
//!
//! The number of leaves is fixed when the deployment is accepted. A client that counts finished leaves therefore never
//! sees success too early. A deployment that ended without serving always has a leaf in ERROR, so that a waiting client
//! learns of the failure.

use serde::{Deserialize, Serialize};

use crate::ids::ComponentName;
use crate::time::Timestamp;

/// The leaves, in the order in which they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// All leaves of the tree.
    pub leaves: Vec<Leaf>,
}

/// One step in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Its place in the tree.
    pub key: LeafKey,
    /// The kind of its component, as people read it: "service".
    pub noun: String,
    /// Its status.
    pub status: Status,
    /// When the step began.
    pub started: Option<Timestamp>,
    /// When the step ended.
    pub ended: Option<Timestamp>,
    /// The reason for its status, if there is one.
    pub reason: Option<Reason>,
}

/// A leaf's place in the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeafKey {
    /// build › initialize
    BuildInitialize,
    /// build › components › NAME
    Build(ComponentName),
    /// deploy › initialize: databases start.
    DeployInitialize,
    /// deploy › components › NAME › deploy: new instances start, or a job runs.
    Deploy(ComponentName),
    /// deploy › components › NAME › wait: new instances become ready and replace the old ones.
    Wait(ComponentName),
    /// deploy › finalize
    Finalize,
}

/// The status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the words are the clients' own")]
pub enum Status {
    Pending,
    Running,
    Success,
    Error,
}

/// The reason for a step's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs, as App Platform writes them: `PreBuiltImage`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A component as the tree shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub component: ComponentName,
    /// "service", "worker", "job".
    pub noun: &'static str,
    /// The tree shows a wait for its instances; a job only runs.
    pub waits: bool,
}

impl Progress {
    /// The tree of a deployment over these components, all pending.
    pub fn new(components: &[Shown]) -> Self {
        let leaf = |key: LeafKey, noun: &str| Leaf {
            key,
            noun: noun.to_owned(),
            status: Status::Pending,
            started: None,
            ended: None,
            reason: None,
        };
        let mut leaves = vec![leaf(LeafKey::BuildInitialize, "")];
        leaves.extend(components.iter().map(|it| leaf(LeafKey::Build(it.component.clone()), it.noun)));
        leaves.push(leaf(LeafKey::DeployInitialize, ""));
        for it in components {
            leaves.push(leaf(LeafKey::Deploy(it.component.clone()), it.noun));
            if it.waits {
                leaves.push(leaf(LeafKey::Wait(it.component.clone()), it.noun));
            }
        }
        leaves.push(leaf(LeafKey::Finalize, ""));
        Self { leaves }
    }

    /// A leaf by its key.
    pub fn leaf(&self, key: &LeafKey) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.key == *key)
    }

    /// Whether every step has succeeded: the deployment serves, or did so once.
    pub fn has_succeeded(&self) -> bool {
        !self.leaves.is_empty() && self.leaves.iter().all(|leaf| leaf.status == Status::Success)
    }

    /// Marks a pending leaf as running. Returns whether anything changed.
    pub fn start(&mut self, key: &LeafKey, now: Timestamp) -> bool {
        self.change(key, |leaf| {
            let begins = leaf.status == Status::Pending;
            if begins {
                leaf.status = Status::Running;
                leaf.started = Some(now);
            }
            begins
        })
    }

    /// Marks the leaf as succeeded. Returns whether anything changed.
    pub fn succeed(&mut self, key: &LeafKey, reason: Option<Reason>, now: Timestamp) -> bool {
        self.change(key, |leaf| leaf.end(Status::Success, reason, now))
    }

    /// Marks the leaf as failed. Returns whether anything changed.
    pub fn fail(&mut self, key: &LeafKey, reason: Reason, now: Timestamp) -> bool {
        self.change(key, |leaf| leaf.end(Status::Error, Some(reason), now))
    }

    /// Marks every open leaf as succeeded: the deployment serves.
    pub fn succeed_all(&mut self, now: Timestamp) {
        for leaf in &mut self.leaves {
            leaf.end(Status::Success, None, now);
        }
    }

    /// Records that the deployment ended without serving. Unless a leaf is already in ERROR, marks the running one, or
    /// else the next one, as failed.
    pub fn end_without_success(&mut self, reason: Reason, now: Timestamp) {
        if !self.leaves.iter().any(|leaf| leaf.status == Status::Error) {
            let place = |status: Status| self.leaves.iter().position(|leaf| leaf.status == status);
            let bearer = place(Status::Running).or_else(|| place(Status::Pending)).unwrap_or(self.leaves.len() - 1);
            let leaf = &mut self.leaves[bearer];
            leaf.status = Status::Error;
            leaf.ended = Some(now);
            leaf.reason = Some(reason);
        }
        for leaf in self.leaves.iter_mut().filter(|leaf| leaf.status == Status::Running) {
            // This leaf did not fail itself, and will not continue.
            leaf.status = Status::Pending;
            leaf.started = None;
        }
    }

    /// How many leaves have this status.
    pub fn count(&self, status: Status) -> usize {
        self.leaves.iter().filter(|leaf| leaf.status == status).count()
    }

    fn change(&mut self, key: &LeafKey, change: impl FnOnce(&mut Leaf) -> bool) -> bool {
        self.leaves.iter_mut().find(|leaf| leaf.key == *key).is_some_and(change)
    }
}

impl Leaf {
    fn end(&mut self, status: Status, reason: Option<Reason>, now: Timestamp) -> bool {
        if matches!(self.status, Status::Success | Status::Error) {
            return false;
        }
        self.started.get_or_insert(now);
        self.status = status;
        self.ended = Some(now);
        self.reason = reason;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let shown = |name: &str, noun, waits| Shown { component: name.into(), noun, waits };
        Progress::new(&[shown("web", "service", true), shown("migrate", "job", false)])
    }

    #[test]
    fn the_first_answer_contains_every_leaf() {
        let progress = progress();
        assert_eq!(progress.leaves.len(), 8);
        assert_eq!(progress.count(Status::Pending), 8);
    }

    #[test]
    fn a_deployment_that_ended_early_has_an_error_and_nothing_running() {
        for begun in 0..8 {
            let mut progress = progress();
            let keys: Vec<_> = progress.leaves.iter().map(|leaf| leaf.key.clone()).collect();
            for (index, key) in keys.iter().enumerate().take(begun) {
                progress.start(key, Timestamp(1));
                if index + 1 < begun {
                    progress.succeed(key, None, Timestamp(2));
                }
            }
            let reason = Reason { code: "Canceled".into(), message: "canceled by a person".into() };
            progress.end_without_success(reason, Timestamp(3));
            assert_eq!(progress.count(Status::Error), 1, "{begun} begun");
            assert_eq!(progress.count(Status::Running), 0, "{begun} begun");
            assert!(progress.count(Status::Success) < progress.leaves.len());
        }
    }

    #[test]
    fn a_failed_leaf_stays_failed_and_keeps_its_reason() {
        let mut progress = progress();
        let key = LeafKey::Wait("web".into());
        let reason =
            Reason { code: "DeployContainerHealthChecksFailed".into(), message: "web.0 did not answer".into() };
        assert!(progress.fail(&key, reason.clone(), Timestamp(5)));
        assert!(!progress.succeed(&key, None, Timestamp(6)));
        assert_eq!(progress.leaf(&key).and_then(|leaf| leaf.reason.clone()), Some(reason));
    }
}
