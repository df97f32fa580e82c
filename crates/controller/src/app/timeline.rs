//! The timeline of a rollout: what happens to each instance. A transition is recorded in the commit that changes the
//! instance, so that a crash leaves no gap.

use rollout::ids::{DeploymentId, InstanceName};
use rollout::instance::InstancePhase;
use rollout::time::Timestamp;
use store::records::{AppState, Change, Instance, InstanceTransition, Transition};

/// When the ingress acknowledged instances. The next commit records these times. If the controller is killed before, the
/// next controller sends the table again.
#[derive(Default)]
pub(super) struct NewlyRouted(Vec<(InstanceName, Timestamp)>);

impl NewlyRouted {
    pub fn note(&mut self, names: impl IntoIterator<Item = InstanceName>, now: Timestamp) {
        self.0.extend(names.into_iter().map(|name| (name, now)));
    }

    /// Forgets what a commit has recorded.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The transitions that `changes` make to the instances of `state`, and those that happened since the last commit. Empty
/// while no deployment is rolled out.
pub(super) fn transitions(
    state: &AppState,
    routed: &NewlyRouted,
    changes: &[Change],
    now: Timestamp,
) -> Vec<InstanceTransition> {
    let Some(rolling) = rolling(state, changes) else { return Vec::new() };
    let begins = !state.deployments.iter().any(|it| it.id == *rolling && it.stage.rolls());
    let existed = state.instances.iter().filter(|_| begins);
    let existed = existed.map(|it| transition(rolling, it, Transition::Existed, now));
    let routed = routed.0.iter().filter_map(|(name, at)| {
        // The ingress routed the others before this rollout.
        let is_new = |it: &&Instance| it.deployment == *rolling && it.phase == InstancePhase::Ready;
        Some(transition(rolling, instance(state, name).filter(is_new)?, Transition::Routed, *at))
    });
    let changed = changes.iter().filter_map(|change| match change {
        Change::Instance(row) => {
            let before = instance(state, &row.name).map(|it| it.phase);
            (before != Some(row.phase)).then(|| transition(rolling, row, row.phase.into(), row.since))
        }
        Change::ForgetInstance(name) => Some(transition(rolling, instance(state, name)?, Transition::Gone, now)),
        _ => None,
    });
    existed.chain(routed).chain(changed).collect()
}

/// The deployment that controls the instances after the changes, or did until then.
fn rolling<'a>(state: &'a AppState, changes: &'a [Change]) -> Option<&'a DeploymentId> {
    let changed = changes.iter().filter_map(|it| match it {
        Change::Deployment(deployment) => Some(&**deployment),
        _ => None,
    });
    changed.chain(&state.deployments).find(|it| it.stage.rolls()).map(|it| &it.id)
}

fn instance<'a>(state: &'a AppState, name: &InstanceName) -> Option<&'a Instance> {
    state.instances.iter().find(|it| it.name == *name)
}

fn transition(rolling: &DeploymentId, row: &Instance, transition: Transition, at: Timestamp) -> InstanceTransition {
    InstanceTransition {
        deployment: rolling.clone(),
        instance: row.name.clone(),
        component: row.component.clone(),
        kind: row.kind,
        slot: row.slot,
        revision: row.revision.clone(),
        generation: row.generation,
        created_by: row.deployment.clone(),
        transition,
        since: row.since,
        at,
    }
}
