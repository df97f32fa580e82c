//! What a request would change in the current state: targets, databases, and whether it changes anything at all.

use std::collections::{BTreeMap, BTreeSet};

use app_spec::AppSpec;
use rollout::deployment::Failure;
use rollout::ids::{ComponentName, RevisionId};
use rollout::observed::{ContainerSeen, Instance, Observed, Open, ProbeSeen};
use rollout::queue::Request;
use rollout::target::{Target, restarted, rolling_order};
use store::records::{AppRollback, AppState, Database, Deployment, Instance as InstanceRow};

use super::Expected;
use crate::app::{Composed, Shared, compose};
use crate::view::InstanceChanges;

/// The current state and the request.
pub(super) struct SimulationInput<'a> {
    pub state: &'a AppState,
    /// The active deployment, with its spec.
    pub serving: Option<&'a (Deployment, AppSpec)>,
    pub spec: &'a AppSpec,
    pub request: &'a Request,
    /// The rollback of the app that the request is.
    pub rollback: Option<&'a AppRollback>,
}

/// The result of the request.
pub(super) struct Simulation {
    pub targets: Vec<Target>,
    /// The databases of the spec. Empty for a restart, which leaves databases alone.
    pub databases: Vec<Database>,
    /// The request runs no job and replaces no instance.
    pub nothing_to_do: bool,
}

impl Simulation {
    /// Errors: the reason why the deployment would fail before it changes anything.
    pub fn of(
        shared: &Shared,
        input: &SimulationInput<'_>,
        images: &BTreeMap<ComponentName, Expected>,
    ) -> Result<Self, Failure> {
        let SimulationInput { state, serving, spec, request, .. } = input;
        if request.is_restart() {
            let generation = state.app.generation + 1;
            let targets = restarted(state.targets_in_force(), &request.restart, generation);
            return Ok(Self { targets, databases: Vec::new(), nothing_to_do: false });
        }
        let images = images.iter().map(|(name, it)| (name.clone(), it.image.clone())).collect();
        let composed = compose(shared, state, spec, request, &images)?;
        let nothing_to_do = composed.is_what_serves(state, serving.map(|(active, spec)| (active, spec)), spec, request);
        let Composed { databases, resolved } = composed;
        Ok(Self { targets: resolved.targets, databases, nothing_to_do })
    }

    /// Whether an instance of this component would be replaced.
    pub fn replaces(&self, state: &AppState, component: &str) -> bool {
        let rows = state.instances.iter().filter(|it| it.phase.is_alive() && it.component.as_str() == component);
        rows.into_iter().any(|it| !is_wanted(&self.targets, &it.component, &it.revision, it.generation))
    }

    /// The components whose instances change, in rolling order, and then those that are removed.
    pub fn instance_changes(&self, state: &AppState) -> Vec<InstanceChanges> {
        let rows = || state.instances.iter().filter(|it| it.phase.is_alive());
        let alive = |component: &ComponentName| rows().filter(|it| it.component == *component).count();
        let wanted = rolling_order(&self.targets).map(|target| {
            let fits = |it: &&InstanceRow| {
                it.component == target.component && target.wants(&it.revision, it.generation) && it.slot < target.count
            };
            let kept: BTreeSet<_> = rows().filter(fits).map(|it| it.slot).collect();
            InstanceChanges {
                component: target.component.clone(),
                created: (target.count as usize).saturating_sub(kept.len()),
                removed: alive(&target.component) - kept.len(),
            }
        });
        let is_gone = |component: &&ComponentName| !self.targets.iter().any(|it| it.component == **component);
        let gone: BTreeSet<_> = rows().map(|it| &it.component).filter(is_gone).collect();
        let gone = gone.into_iter().map(|it| InstanceChanges { component: it.clone(), created: 0, removed: alive(it) });
        wanted.chain(gone).filter(|it| it.created + it.removed > 0).collect()
    }
}

/// The initial state of the model: all recorded instances, all healthy.
pub(super) fn model(state: &AppState) -> Observed {
    let instances = state.instances.iter().filter(|it| it.phase.is_alive()).map(|it| Instance {
        name: it.name.clone(),
        component: it.component.clone(),
        kind: it.kind,
        slot: it.slot,
        revision: it.revision.clone(),
        generation: it.generation,
        stop_times: state.stop_times(it),
        phase: rollout::instance::InstancePhase::Ready,
        since: it.since,
        container: ContainerSeen::Running,
        probe: ProbeSeen::Passing,
        probe_failure: None,
        open: Open::default(),
        kept_alive: true,
        busy: false,
        refused: None,
        stop_attempt: None,
    });
    let mut observed = Observed { instances: instances.collect(), ..Observed::default() };
    observed.routes = Some(rollout::plan::wanted_routes(&observed));
    observed
}

/// Whether a target wants an instance with this revision and generation.
pub(super) fn is_wanted(targets: &[Target], component: &ComponentName, revision: &RevisionId, generation: u64) -> bool {
    targets.iter().any(|it| it.component == *component && it.wants(revision, generation))
}
