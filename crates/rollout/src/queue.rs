//! What a new request does to the ones before it: one running deployment per app and one waiting place that merges.
//!
//! A restart never displaces a spec or a rebuild, and runs at once while the running deployment only fetches or builds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::deployment::Stage;
use crate::ids::ComponentName;

/// What a deployment was asked to do. Two requests merge into one that satisfies both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// It brings a spec of its own, or resolves sources anew.
    pub build: Build,
    /// Services and workers to replace even if their revision stays.
    pub restart: Restart,
}

/// How much building was asked for; a later one is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Build {
    /// None: the frozen revisions of the ACTIVE deployment.
    Frozen,
    /// Fetch; build what has no image yet.
    Reuse,
    /// Fetch; build even what was built before.
    Force,
    /// As `Force`, with every step run again.
    ForceWithoutCache,
}

/// Which components to replace even if their revision stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Those of these names; empty: none.
    Only(BTreeSet<ComponentName>),
    /// All services and workers.
    All,
}

/// What becomes of a new request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Begins now.
    Begin,
    /// Begins now, beside a deployment that only fetches or builds.
    BeginBeside,
    /// Takes the empty waiting place.
    Wait,
    /// Takes the waiting place as this merged request; the one that waited ends SUPERSEDED by it.
    Absorb(Request),
}

impl Request {
    /// Replaces the chosen components with what is frozen.
    pub fn restart(restart: Restart) -> Self {
        Self { build: Build::Frozen, restart }
    }

    /// A spec change, a push, or a plain create-deployment.
    pub fn deploy() -> Self {
        Self { build: Build::Reuse, restart: Restart::none() }
    }

    /// A force rebuild: replaces all services and workers, even if an image came out the same.
    pub fn rebuild(clear_cache: bool) -> Self {
        Self { build: if clear_cache { Build::ForceWithoutCache } else { Build::Force }, restart: Restart::All }
    }

    /// Only replaces: fetches and builds nothing.
    pub fn is_restart(&self) -> bool {
        self.build == Build::Frozen
    }

    /// One request that satisfies both: the strongest build, the union of components to replace.
    pub fn merge(&self, newer: &Self) -> Self {
        Self { build: self.build.max(newer.build), restart: self.restart.union(&newer.restart) }
    }
}

impl Restart {
    /// Replaces nothing whose revision stays.
    pub fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// Whether this component is to be replaced.
    pub fn names(&self, component: &ComponentName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(component),
        }
    }

    fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(a), Self::Only(b)) => Self::Only(a | b),
            _ => Self::All,
        }
    }
}

/// Decides over a new request. `running` holds the stages of the app's deployments under way (two at most: a restart
/// beside a build), `waiting` what sits in the waiting place.
pub fn admit(running: &[Stage], waiting: Option<&Request>, new: &Request) -> Admission {
    if running.is_empty() && waiting.is_none() {
        return Admission::Begin;
    }
    // `Built` waits for the rollout to be free, and a restart is free to have it first.
    let only_builds = running.iter().all(|stage| matches!(stage, Stage::Pending | Stage::Building | Stage::Built));
    if new.is_restart() && only_builds {
        return Admission::BeginBeside;
    }
    match waiting {
        None => Admission::Wait,
        Some(waiting) => Admission::Absorb(waiting.merge(new)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> Restart {
        Restart::Only(names.iter().map(|name| ComponentName::from(*name)).collect())
    }

    fn kinds() -> [(&'static str, Request); 5] {
        [
            ("restart web", Request::restart(only(&["web"]))),
            ("restart all", Request::restart(Restart::All)),
            ("deploy", Request::deploy()),
            ("rebuild", Request::rebuild(false)),
            ("rebuild, cache cleared", Request::rebuild(true)),
        ]
    }

    #[test]
    fn an_idle_app_begins_whatever_is_asked() {
        for (name, request) in kinds() {
            assert_eq!(admit(&[], None, &request), Admission::Begin, "{name}");
        }
    }

    #[test]
    fn while_only_building_a_restart_runs_at_once_and_everything_else_waits() {
        for stage in [Stage::Pending, Stage::Building, Stage::Built] {
            for (name, request) in kinds() {
                let expected = if request.is_restart() { Admission::BeginBeside } else { Admission::Wait };
                assert_eq!(admit(&[stage], None, &request), expected, "{name} while {stage:?}");
            }
        }
    }

    #[test]
    fn while_rolling_everything_waits_in_one_place() {
        for stage in [Stage::Preparing, Stage::Rolling, Stage::Finishing, Stage::RollingBack] {
            for (name, request) in kinds() {
                assert_eq!(admit(&[stage], None, &request), Admission::Wait, "{name} while {stage:?}");
                assert_eq!(admit(&[Stage::Building, stage], None, &request), Admission::Wait, "{name} beside");
            }
        }
    }

    #[test]
    fn the_waiting_place_merges_every_pair_into_what_satisfies_both() {
        for (waiting_name, waiting) in kinds() {
            for (new_name, new) in kinds() {
                let Admission::Absorb(merged) = admit(&[Stage::Rolling], Some(&waiting), &new) else {
                    panic!("{new_name} on {waiting_name} was not absorbed");
                };
                for part in [&waiting, &new] {
                    assert!(merged.build >= part.build, "{new_name} on {waiting_name} weakens the build");
                    for component in ["web", "api"] {
                        let component = ComponentName::from(component);
                        assert!(
                            merged.restart.names(&component) || !part.restart.names(&component),
                            "{new_name} on {waiting_name} forgets {component}"
                        );
                    }
                }
                assert_eq!(merged, new.merge(&waiting), "merging does not depend on the order");
            }
        }
    }

    #[test]
    fn two_partial_restarts_become_their_union() {
        let merged = Request::restart(only(&["web"])).merge(&Request::restart(only(&["api"])));
        assert_eq!(merged, Request::restart(only(&["web", "api"])));
    }
}
