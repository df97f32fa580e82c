//! Compares a container with its record. Every difference has a repair.
//!
//! The comparison covers the state, the network with the address and the names on it, CPU and memory, the restart
//! policy, and the container's name. It leaves out, on purpose:
//! - image, command, environment and labels: they cannot change on an existing container, and the container's id, or
//!   its name with the labels' MAC, identifies it;
//! - process limit, capabilities, init, stop signal and stop timeout: the version of Boatyard that created the
//!   container chose them, and an upgrade does not replace containers;
//! - published ports: they cannot change either, and a container starts only with all of them;
//! - additional networks that a person connected it to: they take nothing away from the app.

use std::net::Ipv4Addr;

use engine::{Container, ContainerState, Limits, RestartPolicy};
use rollout::observed::ContainerSeen;

use crate::engine_watch::Settings;

/// What the record of an instance, a job run or a database says about its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub name: String,
    pub address: Ipv4Addr,
    /// Names under which other components find it.
    pub aliases: Vec<String>,
    /// At most what the host has. `None` if the revision is no longer on record.
    pub limits: Option<Limits>,
    /// The engine restarts it automatically. A container that may end, or that has not been ready yet, does not have
    /// this restart policy.
    pub kept_alive: bool,
}

/// One way in which a container differs from its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Difference {
    NeverStarted,
    Frozen,
    Ended {
        code: Option<i64>,
    },
    /// Dead, or being removed.
    Removing,
    /// It does not have its address on the app's network.
    Elsewhere {
        has: Vec<Ipv4Addr>,
    },
    /// Other containers on the network do not find it by this name.
    Unnamed {
        lacks: String,
    },
    Limits {
        has: Limits,
    },
    /// The engine would not restart it.
    LetGo,
    Renamed {
        called: String,
    },
}

/// Repairs a difference without replacing the container or restarting its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InPlace {
    /// Disconnects the container for a moment, because the engine cannot add a name to a connected container.
    Rejoin,
    RestoreName,
    SetLimits,
    KeepAlive,
}

/// All differences between a container and its record. `settings` are the result of an inspection, if there was one.
pub(super) fn differences(expected: &Expected, container: &Container, settings: Option<&Settings>) -> Vec<Difference> {
    let mut found = Vec::new();
    match container.state {
        ContainerState::Running | ContainerState::Restarting => {}
        ContainerState::Created => found.push(Difference::NeverStarted),
        ContainerState::Paused => found.push(Difference::Frozen),
        ContainerState::Exited { code } => found.push(Difference::Ended { code }),
        ContainerState::Removing => found.push(Difference::Removing),
    }
    if !container.has_address(expected.address) {
        found.push(Difference::Elsewhere { has: container.addresses.clone() });
    } else if let Some(settings) = settings {
        let lacks = expected.aliases.iter().find(|alias| !settings.aliases.contains(alias));
        found.extend(lacks.map(|alias| Difference::Unnamed { lacks: alias.clone() }));
    }
    if let Some(settings) = settings {
        if expected.limits.is_some_and(|wanted| !is_held_to(settings.limits, wanted)) {
            found.push(Difference::Limits { has: settings.limits });
        }
        if expected.kept_alive && settings.restart_policy != RestartPolicy::Always {
            found.push(Difference::LetGo);
        }
    }
    if container.called != expected.name {
        found.push(Difference::Renamed { called: container.called.clone() });
    }
    found
}

/// A limit of 0 means that the kernel does not support it: a person cannot remove a limit by hand.
fn is_held_to(has: Limits, wanted: Limits) -> bool {
    let cpu = has.cpu_millis == wanted.cpu_millis || has.cpu_millis == 0;
    let memory = has.memory_bytes == wanted.memory_bytes || has.memory_bytes == 0;
    cpu && memory
}

/// The state of the container for the planner, which brings back or replaces a container that does not run or is not at
/// its address.
pub(super) fn seen(container: &Container, differences: &[Difference]) -> ContainerSeen {
    let of_state = differences.iter().find_map(|it| match it {
        Difference::NeverStarted => Some(ContainerSeen::Created),
        Difference::Frozen => Some(ContainerSeen::Paused),
        Difference::Ended { code } => Some(ContainerSeen::Exited { code: *code }),
        Difference::Removing => Some(ContainerSeen::Missing),
        _ => None,
    });
    if let Some(seen) = of_state {
        return seen;
    }
    // A restarting container has no address between two processes.
    if container.state == ContainerState::Restarting {
        return ContainerSeen::Restarting;
    }
    let is_away = |it: &Difference| matches!(it, Difference::Elsewhere { .. });
    if differences.iter().any(is_away) { ContainerSeen::Disconnected } else { ContainerSeen::Running }
}

/// The repairs that `repair` makes. The planner makes the others.
pub(super) fn in_place(differences: &[Difference]) -> Vec<InPlace> {
    let repair = |it: &Difference| match it {
        Difference::Renamed { .. } => Some(InPlace::RestoreName),
        Difference::Limits { .. } => Some(InPlace::SetLimits),
        Difference::LetGo => Some(InPlace::KeepAlive),
        Difference::Unnamed { .. } => Some(InPlace::Rejoin),
        // The planner brings these back or replaces them.
        Difference::NeverStarted
        | Difference::Frozen
        | Difference::Ended { .. }
        | Difference::Removing
        | Difference::Elsewhere { .. } => None,
    };
    differences.iter().filter_map(repair).collect()
}

#[cfg(test)]
mod tests {
    use engine::{Identity, Role};
    use tokio::time::Instant;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 192, 7, 9);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 192, 7, 10);
    const LIMITS: Limits = Limits { cpu_millis: 500, memory_bytes: 64 << 20 };

    fn expected() -> Expected {
        Expected {
            name: "web.0".into(),
            address: ADDRESS,
            aliases: vec!["web".into()],
            limits: Some(LIMITS),
            kept_alive: true,
        }
    }

    fn container() -> Container {
        Container {
            id: "1f".into(),
            name: "web.0".into(),
            called: "web.0".into(),
            identity: Identity {
                role: Role::Instance,
                app: "a".into(),
                component: "web".into(),
                slot: 0,
                revision: "r".into(),
                generation: 1,
                deployment: "d".into(),
            },
            image: "sha256:1".into(),
            state: ContainerState::Running,
            addresses: vec![ADDRESS],
            published: Vec::new(),
        }
    }

    fn settings() -> Settings {
        Settings {
            asked: Instant::now(),
            limits: LIMITS,
            restart_policy: RestartPolicy::Always,
            aliases: vec!["1f2e3d".into(), "web".into()],
        }
    }

    /// The result of one change to a container that matched its record.
    fn after(change: impl FnOnce(&mut Container, &mut Settings)) -> (ContainerSeen, Vec<Difference>, Vec<InPlace>) {
        let (mut container, mut settings) = (container(), settings());
        change(&mut container, &mut settings);
        let differences = differences(&expected(), &container, Some(&settings));
        (seen(&container, &differences), differences.clone(), in_place(&differences))
    }

    #[test]
    fn a_container_that_matches_its_record_has_no_differences() {
        assert_eq!(after(|_, _| {}), (ContainerSeen::Running, vec![], vec![]));
        assert_eq!(
            differences(&expected(), &container(), None),
            vec![],
            "settings are compared only after an inspection"
        );
    }

    #[test]
    fn every_difference_has_its_repair() {
        use ContainerSeen as Seen;
        use Difference as D;
        let paused = after(|it, _| it.state = ContainerState::Paused);
        assert_eq!(paused, (Seen::Paused, vec![D::Frozen], vec![]));
        let exited = after(|it, _| it.state = ContainerState::Exited { code: Some(3) });
        assert_eq!(exited, (Seen::Exited { code: Some(3) }, vec![D::Ended { code: Some(3) }], vec![]));
        let created = after(|it, _| it.state = ContainerState::Created);
        assert_eq!(created, (Seen::Created, vec![D::NeverStarted], vec![]));
        let removing = after(|it, _| it.state = ContainerState::Removing);
        assert_eq!(removing, (Seen::Missing, vec![D::Removing], vec![]));
        let cut_off = after(|it, _| it.addresses.clear());
        assert_eq!(cut_off, (Seen::Disconnected, vec![D::Elsewhere { has: vec![] }], vec![]));
        let moved = after(|it, _| it.addresses = vec![OTHER]);
        assert_eq!(moved, (Seen::Disconnected, vec![D::Elsewhere { has: vec![OTHER] }], vec![]));
        let unnamed = after(|_, it| it.aliases = vec!["1f2e3d".into()]);
        let is_unnamed = vec![D::Unnamed { lacks: "web".into() }];
        assert_eq!(unnamed, (Seen::Running, is_unnamed, vec![InPlace::Rejoin]));
        let small = Limits { memory_bytes: 6 << 20, ..LIMITS };
        let squeezed = after(|_, it| it.limits = small);
        assert_eq!(squeezed, (Seen::Running, vec![D::Limits { has: small }], vec![InPlace::SetLimits]));
        let slow = Limits { cpu_millis: 100, ..LIMITS };
        let slowed = after(|_, it| it.limits = slow);
        assert_eq!(slowed, (Seen::Running, vec![D::Limits { has: slow }], vec![InPlace::SetLimits]));
        let let_go = after(|_, it| it.restart_policy = RestartPolicy::No);
        assert_eq!(let_go, (Seen::Running, vec![D::LetGo], vec![InPlace::KeepAlive]));
        let renamed = after(|it, _| it.called = "debug".into());
        let is_renamed = D::Renamed { called: "debug".into() };
        assert_eq!(renamed, (Seen::Running, vec![is_renamed], vec![InPlace::RestoreName]));
    }

    #[test]
    fn all_differences_are_reported_and_the_planner_sees_the_state() {
        let (seen, differences, repairs) = after(|it, settings| {
            (it.state, it.addresses, it.called) = (ContainerState::Paused, vec![OTHER], "debug".into());
            settings.restart_policy = RestartPolicy::No;
        });
        assert_eq!(seen, ContainerSeen::Paused);
        assert_eq!(differences.len(), 4, "{differences:?}");
        assert_eq!(repairs, vec![InPlace::KeepAlive, InPlace::RestoreName]);
    }

    #[test]
    fn unsupported_limits_and_harmless_changes_are_no_differences() {
        let unlimited = after(|_, it| it.limits = Limits { cpu_millis: 0, memory_bytes: 0 });
        assert_eq!(unlimited.1, vec![], "the kernel has no such limits");
        let joined = after(|it, _| it.addresses.push(Ipv4Addr::new(172, 17, 0, 4)));
        assert_eq!(joined.1, vec![], "on a further network");
        let unrecorded = Expected { limits: None, ..expected() };
        assert_eq!(differences(&unrecorded, &container(), Some(&settings())), vec![]);
        let image = after(|it, _| it.image = "sha256:2".into());
        assert_eq!(image.1, vec![]);
        let proving = Expected { kept_alive: false, ..expected() };
        let none = Settings { restart_policy: RestartPolicy::No, ..settings() };
        assert_eq!(differences(&proving, &container(), Some(&none)), vec![], "it has not been ready yet");
        let (seen, ..) = after(|it, _| (it.state, it.addresses) = (ContainerState::Restarting, vec![]));
        assert_eq!(seen, ContainerSeen::Restarting, "between two processes it has no address");
    }
}
