//! How a new request affects earlier ones: an app has one running deployment and one waiting place, where requests
//! merge.
//!
//! A restart never displaces a new spec or a rebuild. It runs immediately while the running deployment only fetches or
//! builds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::deployment::Stage;
use crate::ids::ComponentName;

/// What a deployment is asked to do. Two requests merge into one that satisfies both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// How much to fetch and build. Everything but `Frozen` brings a new spec or fetches sources again.
    pub build: Build,
    /// Services and workers to replace even if their revision does not change.
    pub restart: Restart,
}

/// How much to fetch and build; later variants are stronger. The stored names must stay readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Build {
    /// Nothing: reuse the frozen revisions of the ACTIVE deployment.
    Frozen,
    /// Keep the commit or image that serves where the source stays the same. Fetch only new sources, and build what has
    /// no image yet.
    KeepSources,
    /// Like `KeepSources`, with the commits and images that the deployment has on record in place of those that serve.
    Recorded,
    /// Fetch the newest version of every source, and build what has no image yet.
    Reuse,
    /// Fetch, and build even what was built before.
    Force,
    /// Like `Force`, and run every build step again.
    ForceWithoutCache,
}

/// Which components to replace even if their revision does not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Components with these names; an empty set means none.
    Only(BTreeSet<ComponentName>),
    /// All services and workers.
    All,
}

/// The decision about a new request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Begins now.
    Begin,
    /// Begins now, beside a deployment that only fetches or builds.
    BeginBeside,
    /// Waits in the empty waiting place.
    Wait,
    /// Waits as this merged request; the request that waited before becomes SUPERSEDED.
    Absorb(Request),
}

impl Request {
    /// A restart: replaces the chosen components with their frozen revisions.
    pub fn restart(restart: Restart) -> Self {
        Self { build: Build::Frozen, restart }
    }

    /// The commits and images of an earlier deployment: a rollback of the app, or its revert.
    pub fn recorded() -> Self {
        Self { build: Build::Recorded, restart: Restart::none() }
    }

    /// A new spec. Components whose source stays the same keep the commit or image that serves.
    pub fn update() -> Self {
        Self { build: Build::KeepSources, restart: Restart::none() }
    }

    /// The newest version of every source: a plain create-deployment request, or a new spec with
    /// `update_all_source_versions`.
    pub fn deploy() -> Self {
        Self { build: Build::Reuse, restart: Restart::none() }
    }

    /// A force rebuild: replaces all services and workers, even if the new image is the same.
    pub fn rebuild(clear_cache: bool) -> Self {
        Self { build: if clear_cache { Build::ForceWithoutCache } else { Build::Force }, restart: Restart::All }
    }

    /// Replaces only what changed.
    pub fn is_plain(&self) -> bool {
        matches!(self.build, Build::KeepSources | Build::Recorded | Build::Reuse) && self.restart == Restart::none()
    }

    /// Only replaces instances: fetches and builds nothing.
    pub fn is_restart(&self) -> bool {
        self.build == Build::Frozen
    }

    /// Whether this request replaces `waiting` instead of merging with it. A rollback says exactly what should serve, so
    /// it replaces everything except a restart.
    pub fn replaces(&self, waiting: &Self) -> bool {
        self.build == Build::Recorded && !waiting.is_restart()
    }

    /// Whether this request does everything that `other` asks for.
    pub fn covers(&self, other: &Self) -> bool {
        self.build >= other.build && self.restart.union(&other.restart) == self.restart
    }

    /// One request that satisfies both: the strongest build, the union of components to replace. If `newer` replaces
    /// this request, it stays as it is.
    pub fn merge(&self, newer: &Self) -> Self {
        if newer.replaces(self) {
            return newer.clone();
        }
        Self { build: self.build.max(newer.build), restart: self.restart.union(&newer.restart) }
    }
}

impl Restart {
    /// Replaces nothing whose revision does not change.
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

/// Decides about a new request. `running` holds the stages of the app's running deployments (at most two: a restart
/// beside a build), and `waiting` the request in the waiting place.
pub fn admit(running: &[Stage], waiting: Option<&Request>, new: &Request) -> Admission {
    if running.is_empty() && waiting.is_none() {
        return Admission::Begin;
    }
    // `Built` waits until no deployment rolls, so a restart may roll first.
    let only_builds = running.iter().all(|stage| matches!(stage, Stage::Pending | Stage::Building | Stage::Built));
    if new.is_restart() && only_builds {
        return Admission::BeginBeside;
    }
    match waiting {
        None => Admission::Wait,
        Some(waiting) => Admission::Absorb(waiting.merge(new)),
    }
}

/// A deployment of an app that has not ended.
#[derive(Debug, Clone, Copy)]
pub struct Queued<'a> {
    /// 1, 2, 3 … within the app. Identifies the deployment and gives its place in the order.
    pub number: u64,
    /// Where it stands.
    pub stage: Stage,
    /// What it was asked to do.
    pub request: &'a Request,
    /// A person asked to cancel the deployment.
    pub cancel_requested: bool,
}

/// Numbers of the deployments that may advance now, in the order to try: all running ones; pending ones that a person
/// canceled; the oldest pending one if no other is running; and restarts while the others only build. A restart comes
/// first, because an app that hangs may be waiting for it.
pub fn to_advance(open: &[Queued<'_>]) -> Vec<u64> {
    let begun = || open.iter().filter(|it| it.stage != Stage::Pending);
    let only_build = begun().all(|it| matches!(it.stage, Stage::Building | Stage::Built));
    let oldest = open.iter().filter(|it| it.stage == Stage::Pending).map(|it| it.number).min();
    let may = |it: &&Queued<'_>| {
        it.stage != Stage::Pending
            || it.cancel_requested
            || begun().next().is_none() && Some(it.number) == oldest
            || it.request.is_restart() && only_build
    };
    let mut ready: Vec<_> = open.iter().filter(may).collect();
    ready.sort_by_key(|it| (!it.request.is_restart(), it.number));
    ready.into_iter().map(|it| it.number).collect()
}

/// Position of a new request among the open deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuePosition {
    /// The decision about the request.
    pub admission: Admission,
    /// Numbers of the running deployments and of those that begin next, oldest first.
    pub running: Vec<u64>,
    /// Number of the deployment in the waiting place.
    pub waiting: Option<u64>,
}

impl QueuePosition {
    /// The position of `new`. A pending deployment that a person canceled does not merge with other requests.
    pub fn of(open: &[Queued<'_>], new: &Request) -> Self {
        let mut open = open.to_vec();
        open.sort_by_key(|it| it.number);
        let next = to_advance(&open);
        let (running, pending): (Vec<Queued<'_>>, Vec<_>) = open.into_iter().partition(|it| next.contains(&it.number));
        let waiting = pending.last();
        let stages: Vec<_> = running.iter().map(|it| it.stage).collect();
        Self {
            admission: admit(&stages, waiting.map(|it| it.request), new),
            running: running.iter().map(|it| it.number).collect(),
            waiting: waiting.map(|it| it.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> Restart {
        Restart::Only(names.iter().map(|name| ComponentName::from(*name)).collect())
    }

    fn kinds() -> [(&'static str, Request); 7] {
        [
            ("restart web", Request::restart(only(&["web"]))),
            ("restart all", Request::restart(Restart::All)),
            ("update", Request::update()),
            ("rollback", Request::recorded()),
            ("deploy", Request::deploy()),
            ("rebuild", Request::rebuild(false)),
            ("rebuild, cache cleared", Request::rebuild(true)),
        ]
    }

    #[test]
    fn an_idle_app_begins_every_request_immediately() {
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
    fn the_waiting_place_merges_two_requests_into_one_that_satisfies_both() {
        for (waiting_name, waiting) in kinds() {
            for (new_name, new) in kinds() {
                let Admission::Absorb(merged) = admit(&[Stage::Rolling], Some(&waiting), &new) else {
                    panic!("{new_name} on {waiting_name} was not absorbed");
                };
                if new.build == Build::Recorded && !waiting.is_restart() {
                    assert_eq!(merged, new, "a rollback withdraws {waiting_name}");
                    continue;
                }
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
                if waiting.build != Build::Recorded {
                    assert_eq!(merged, new.merge(&waiting), "merging does not depend on the order");
                }
            }
        }
    }

    #[test]
    fn two_partial_restarts_become_their_union() {
        let merged = Request::restart(only(&["web"])).merge(&Request::restart(only(&["api"])));
        assert_eq!(merged, Request::restart(only(&["web", "api"])));
    }

    #[test]
    fn an_update_takes_the_newest_sources_only_if_a_merged_request_does() {
        let build = |waiting: &Request, new: &Request| waiting.merge(new).build;
        let (update, deploy) = (Request::update(), Request::deploy());
        assert_eq!(build(&update, &update), Build::KeepSources);
        assert_eq!(build(&update, &Request::restart(Restart::All)), Build::KeepSources);
        assert_eq!(build(&update, &deploy), Build::Reuse);
        assert_eq!(build(&deploy, &update), Build::Reuse);
        assert_eq!(build(&update, &Request::rebuild(false)), Build::Force);
    }

    #[test]
    fn what_is_requested_after_a_waiting_rollback_begins_with_its_versions() {
        let rollback = Request::recorded();
        let build = |new: &Request| rollback.merge(new).build;
        assert_eq!(build(&Request::restart(Restart::All)), Build::Recorded);
        assert_eq!(build(&Request::update()), Build::Recorded, "an update keeps what would serve");
        assert_eq!(build(&Request::deploy()), Build::Reuse);
        assert_eq!(build(&Request::rebuild(true)), Build::ForceWithoutCache);
    }

    #[test]
    fn requests_that_the_previous_version_stored_are_read() {
        for (text, expected) in [
            (r#"{"build":"frozen","restart":"all"}"#, Request::restart(Restart::All)),
            (r#"{"build":"reuse","restart":{"only":[]}}"#, Request::deploy()),
            (r#"{"build":"force_without_cache","restart":"all"}"#, Request::rebuild(true)),
        ] {
            assert_eq!(serde_json::from_str::<Request>(text).expect(text), expected);
        }
    }

    /// Deployments by number, with their requests and stages.
    fn queued<'a>(open: &[(u64, &'a Request, Stage)]) -> Vec<Queued<'a>> {
        let of = |(number, request, stage): &(u64, &'a Request, Stage)| Queued {
            number: *number,
            stage: *stage,
            request,
            cancel_requested: false,
        };
        open.iter().map(of).collect()
    }

    #[test]
    fn one_deployment_advances_and_restarts_run_beside_those_that_only_build() {
        use Stage::{Building, Built, Pending, Rolling};
        let (deploy, restart) = (&Request::deploy(), &Request::restart(Restart::All));
        type Open<'a> = &'a [(u64, &'a Request, Stage)];
        let cases: [(&str, Open<'_>, &[u64]); 7] = [
            ("nothing is open", &[], &[]),
            ("the oldest begins", &[(2, deploy, Pending), (1, deploy, Pending)], &[1]),
            ("the next one waits", &[(1, deploy, Rolling), (2, deploy, Pending)], &[1]),
            ("a restart waits for a rollout", &[(1, deploy, Rolling), (2, restart, Pending)], &[1]),
            ("a restart does not wait for a build", &[(1, deploy, Building), (2, restart, Pending)], &[2, 1]),
            ("nor for what is built", &[(1, deploy, Built), (2, restart, Rolling)], &[2, 1]),
            ("a restart comes before an older deployment", &[(1, deploy, Pending), (2, restart, Pending)], &[2, 1]),
        ];
        for (name, open, expected) in cases {
            assert_eq!(to_advance(&queued(open)), expected, "{name}");
        }
        let mut canceled = queued(&[(1, deploy, Rolling), (2, deploy, Pending)]);
        canceled[1].cancel_requested = true;
        assert_eq!(to_advance(&canceled), [1, 2], "a canceled one ends without waiting for its turn");
    }

    #[test]
    fn a_new_request_gets_its_position_among_open_deployments() {
        use Stage::{Building, Pending, Rolling};
        let (deploy, restart) = (&Request::deploy(), &Request::restart(Restart::All));
        let position = |open: &[Queued<'_>], new: &Request| {
            let QueuePosition { admission, running, waiting } = QueuePosition::of(open, new);
            (admission, running, waiting)
        };
        let idle = position(&[], restart);
        assert_eq!(idle, (Admission::Begin, vec![], None));
        let building = queued(&[(1, deploy, Building)]);
        assert_eq!(position(&building, restart), (Admission::BeginBeside, vec![1], None));
        let both = queued(&[(2, deploy, Pending), (1, deploy, Rolling)]);
        let merged = deploy.merge(restart);
        assert_eq!(position(&both, restart), (Admission::Absorb(merged), vec![1], Some(2)));
        let mut canceled = both;
        canceled[0].cancel_requested = true;
        assert_eq!(position(&canceled, restart), (Admission::Wait, vec![1, 2], None));
    }
}
