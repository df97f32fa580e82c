#![allow(clippy::unwrap_used)]

mod fixpoint;
mod stuck;
mod tables;

use std::time::Duration;

use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Instance, Observed, Open, ProbeSeen, Routes};
use crate::step::{Reason, Step};
use crate::target::{ComponentKind, StopTimes, Target, Timing};
use crate::time::Timestamp;

pub(super) const NOW: Timestamp = Timestamp(1_000_000);

/// A target of `count` instances of revision `new`, generation 1.
pub(crate) fn wants(component: &str, count: u32) -> Target {
    Target {
        component: component.into(),
        kind: ComponentKind::Service,
        count,
        revision: "new".into(),
        generation: 1,
        min_generation: 1,
        timing: Timing::default(),
    }
}

pub(super) fn worker(component: &str, count: u32) -> Target {
    Target { kind: ComponentKind::Worker, ..wants(component, count) }
}

/// A healthy instance in this phase.
pub(crate) fn instance(component: &str, slot: u32, revision: &str, phase: InstancePhase) -> Instance {
    use InstancePhase as P;
    let container = match phase {
        P::Intended => ContainerSeen::Missing,
        P::Created => ContainerSeen::Created,
        P::Stopped => ContainerSeen::Exited { code: Some(0) },
        _ => ContainerSeen::Running,
    };
    Instance {
        name: format!("{component}-{slot}-{revision}").as_str().into(),
        component: component.into(),
        kind: ComponentKind::Service,
        slot,
        revision: revision.into(),
        generation: 1,
        stop_times: StopTimes::default(),
        phase,
        since: NOW,
        container,
        probe_failure: None,
        probe: if phase == P::Ready { ProbeSeen::Passing } else { ProbeSeen::Unknown },
        open: Open::default(),
        kept_alive: phase >= P::Ready,
        busy: false,
        refused: None,
        stop_attempt: None,
    }
}

/// These instances, with the routes that they should have.
pub(crate) fn there(instances: Vec<Instance>) -> Observed {
    let mut observed = Observed { instances, ..Observed::default() };
    observed.routes = Some(super::routes::wanted(&observed));
    observed
}

pub(super) fn routes(entries: &[(&str, &[&str])]) -> Routes {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    entries.iter().map(|(component, instances)| ((*component).into(), names(instances))).collect()
}

pub(super) fn add(component: &str, slot: u32) -> Step {
    Step::Add { component: component.into(), slot, revision: "new".into(), generation: 1 }
}

pub(super) fn drain(instance: &str) -> Step {
    Step::Drain { instance: instance.into() }
}

pub(super) fn stop(instance: &str) -> Step {
    Step::Stop { instance: instance.into(), grace: Duration::from_secs(120) }
}

pub(super) fn give_up(instance: &str, reason: Reason) -> Step {
    Step::GiveUp { instance: instance.into(), reason }
}
