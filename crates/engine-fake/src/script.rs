//! The planned failures of calls, and the journal of all calls.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// The verbs of the port, for scripts and journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Info,
    List,
    Inspect,
    Usage,
    Create,
    Start,
    SetRestartPolicy,
    Stop,
    Remove,
    Wait,
    Logs,
    Directory,
    Connect,
    RestoreName,
    SetLimits,
    HasShell,
    OpenShell,
    ResizeShell,
    EndShell,
    Networks,
    EnsureNetwork,
    RemoveNetwork,
    NetworkMembers,
    Volumes,
    EnsureVolume,
    RemoveVolume,
    VolumeUsers,
    Image,
    ImageDigest,
    RegistryDigest,
    ImageDefaults,
    Pull,
    Tag,
    Tags,
    RemoveImage,
    Build,
    Events,
}

impl Verb {
    /// Whether the verb may change something on the engine; tests usually read only these in the journal.
    pub fn changes(self) -> bool {
        !matches!(
            self,
            Verb::Info
                | Verb::List
                | Verb::Inspect
                | Verb::Usage
                | Verb::Wait
                | Verb::Logs
                | Verb::Directory
                | Verb::HasShell
                | Verb::Networks
                | Verb::NetworkMembers
                | Verb::Volumes
                | Verb::VolumeUsers
                | Verb::Image
                | Verb::ImageDigest
                | Verb::RegistryDigest
                | Verb::ImageDefaults
                | Verb::Tags
                | Verb::Events
        )
    }
}

/// One call: its verb, and the name of its object (empty if it has none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub verb: Verb,
    pub what: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.verb, self.what)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Before,
    After,
    Hang,
    Late(Duration),
}

#[derive(Debug, Default)]
pub(super) struct Script {
    pub journal: Vec<Call>,
    calls: HashMap<Verb, usize>,
    faults: HashMap<(Verb, usize), Fault>,
}

impl Script {
    pub(super) fn plan(&mut self, verb: Verb, nth: usize, fault: Fault) {
        let so_far = self.calls.get(&verb).copied().unwrap_or_default();
        self.faults.insert((verb, so_far + nth), fault);
    }

    /// Records a call and returns its planned failure, if any.
    pub(super) fn begin(&mut self, verb: Verb, what: &str) -> Option<Fault> {
        self.journal.push(Call { verb, what: what.to_owned() });
        let count = self.calls.entry(verb).or_default();
        *count += 1;
        self.faults.remove(&(verb, *count))
    }
}
