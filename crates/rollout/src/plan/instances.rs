//! The next step of a single instance: it depends only on the record and the observed state of that instance.

use super::{Plan, View};
use crate::instance::InstancePhase;
use crate::observed::{ContainerSeen, Instance, ProbeSeen};
use crate::step::{Act, Reason, Step, Waiting};
use crate::target::{Readiness, Target};

/// Starts new instances, gives up those that do not become ready, and restores serving ones.
pub(super) fn advance(view: &View<'_>, plan: &mut Plan) {
    for instance in &view.observed.instances {
        if instance.busy {
            let (component, slot) = (instance.component.clone(), instance.slot);
            plan.waiting.push(Waiting::ForStep { component, slot, act: act(instance) });
            continue;
        }
        match view.target_of(instance).filter(|_| view.is_current(instance)) {
            Some(target) if instance.phase.is_coming() => come_up(view, instance, target, plan),
            Some(target) => stay_up(view, instance, Some(target), plan),
            None if instance.phase.is_coming() => turn_back(instance, plan),
            // It leaves, or it serves until it is replaced.
            None => stay_up(view, instance, None, plan),
        }
    }
}

/// The action that is in progress on a busy instance.
fn act(instance: &Instance) -> Act {
    match instance.phase {
        InstancePhase::Intended => Act::Creating,
        InstancePhase::Created => Act::Starting,
        InstancePhase::Starting => Act::GivingUp,
        InstancePhase::Ready if instance.container == ContainerSeen::Running => Act::KeepingUp,
        InstancePhase::Ready | InstancePhase::Unready => Act::BringingBack,
        InstancePhase::Draining | InstancePhase::Stopping => Act::Stopping,
        InstancePhase::Stopped => Act::Removing,
    }
}

fn come_up(view: &View<'_>, instance: &Instance, target: &Target, plan: &mut Plan) {
    let name = instance.name.clone();
    if let Some(message) = &instance.refused {
        let reason = Reason::Refused { message: message.clone() };
        return plan.steps.push(Step::GiveUp { instance: name, reason });
    }
    match (instance.phase, instance.container) {
        (InstancePhase::Intended, _) => plan.steps.push(Step::Create { instance: name }),
        // It was never started, and a `prune` removed it. The planner adds another one.
        (InstancePhase::Created, ContainerSeen::Missing) => plan.steps.push(Step::Remove { instance: name }),
        (_, ContainerSeen::Missing) => plan.steps.push(Step::GiveUp { instance: name, reason: Reason::Gone }),
        (InstancePhase::Created, _) if view.is_ahead(instance) => {
            let (component, slot) = (instance.component.clone(), instance.slot);
            plan.waiting.push(Waiting::ForTurn { component, slot });
        }
        (InstancePhase::Created, _) => plan.steps.push(Step::Start { instance: name }),
        (_, ContainerSeen::Exited { code }) => {
            plan.steps.push(Step::GiveUp { instance: name, reason: Reason::Exited { code } });
        }
        // It cannot become ready in this state. A person may bring it back until its deadline.
        (_, ContainerSeen::Paused | ContainerSeen::Disconnected)
            if view.now < instance.since.plus(target.timing.ready_within) =>
        {
            plan.steps.push(Step::Revive { instance: name });
        }
        _ => await_ready(view, instance, target, plan),
    }
}

fn await_ready(view: &View<'_>, instance: &Instance, target: &Target, plan: &mut Plan) {
    let deadline = instance.since.plus(target.timing.ready_within);
    let (ready, look_at) = match target.timing.readiness {
        Readiness::Probe => (instance.probe == ProbeSeen::Passing, deadline),
        Readiness::StaysUp(long) => {
            let settled = instance.since.plus(long);
            let look_at = if view.now < settled { settled.min(deadline) } else { deadline };
            (instance.container == ContainerSeen::Running && view.now >= settled, look_at)
        }
    };
    if ready {
        return plan.steps.push(Step::MarkReady { instance: instance.name.clone() });
    }
    let check = instance.probe_failure.clone();
    if view.now >= deadline {
        let reason = Reason::NotReady { within: target.timing.ready_within, check, process_limit: None };
        return plan.steps.push(Step::GiveUp { instance: instance.name.clone(), reason });
    }
    let (component, slot) = (instance.component.clone(), instance.slot);
    plan.waiting.push(match target.timing.readiness {
        Readiness::Probe => {
            Waiting::ForReady { component, slot, instance: instance.name.clone(), deadline: look_at, check }
        }
        Readiness::StaysUp(_) => Waiting::ForStayingUp { component, slot, until: look_at },
    });
}

/// Removes an instance that never served and is no longer wanted. A running process gets its stop signal and its grace,
/// even if its start is not recorded yet.
fn turn_back(instance: &Instance, plan: &mut Plan) {
    let name = instance.name.clone();
    if instance.phase != InstancePhase::Intended && instance.container == ContainerSeen::Running {
        plan.steps.push(Step::Stop { instance: name, grace: instance.stop_times.grace });
    } else {
        plan.steps.push(Step::Remove { instance: name });
    }
}

/// Keeps a serving instance serving after accidents and manual changes.
fn stay_up(view: &View<'_>, instance: &Instance, target: Option<&Target>, plan: &mut Plan) {
    if !instance.phase.has_served() {
        return;
    }
    let name = || instance.name.clone();
    let healthy = instance.container == ContainerSeen::Running && instance.probe != ProbeSeen::Failing;
    match (instance.phase, instance.container) {
        (InstancePhase::Ready, ContainerSeen::Missing) => plan.steps.push(Step::MarkUnready { instance: name() }),
        // Its address stays reserved until no acknowledged route contains it. Then `rolling` fills its slot again.
        (_, ContainerSeen::Missing) if view.observed.may_be_routed(instance) => {}
        (_, ContainerSeen::Missing) => plan.steps.push(Step::Remove { instance: name() }),
        (_, ContainerSeen::Exited { .. } | ContainerSeen::Paused | ContainerSeen::Disconnected) => {
            if instance.phase == InstancePhase::Ready {
                plan.steps.push(Step::MarkUnready { instance: name() });
            }
            plan.steps.push(Step::Revive { instance: name() });
        }
        (InstancePhase::Ready, _) if !healthy => plan.steps.push(Step::MarkUnready { instance: name() }),
        (InstancePhase::Unready, _) if healthy && has_recovered(view, instance, target) => {
            plan.steps.push(Step::MarkReady { instance: name() });
        }
        (InstancePhase::Unready, _) => {
            let check = instance.probe_failure.clone();
            plan.waiting.push(Waiting::ForRecovery {
                component: instance.component.clone(),
                slot: instance.slot,
                check,
            });
        }
        (InstancePhase::Ready, _) if !instance.kept_alive => plan.steps.push(Step::KeepAlive { instance: name() }),
        _ => {}
    }
}

/// Passes its probe again. Without a probe, it has to stay up again.
fn has_recovered(view: &View<'_>, instance: &Instance, target: Option<&Target>) -> bool {
    match target.map(|target| target.timing.readiness) {
        Some(Readiness::StaysUp(long)) => view.now >= instance.since.plus(long),
        Some(Readiness::Probe) | None => instance.probe == ProbeSeen::Passing,
    }
}
