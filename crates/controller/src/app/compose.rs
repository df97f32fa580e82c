//! What a deployment comes to once its images are known: databases, revisions, targets. A dry run asks the same.

use std::collections::{BTreeMap, BTreeSet};

use app_spec::{AppSpec, DatabaseFacts, Facts, SecretText};
use rollout::deployment::Failure;
use rollout::ids::ComponentName;
use rollout::queue::{Request, Restart};
use rollout::target::Target;
use store::records::{App, AppState, Database, Deployment, Image, Revision};

use super::Shared;
use super::databases::databases_for;
use crate::freeze::{self, Frozen, Outcome, Serving};
use crate::specs::Specs;

/// What came of it. Nothing of it is written down yet.
pub(crate) struct Composed {
    /// Those of the spec, with what they have or will have.
    pub databases: Vec<Database>,
    pub outcome: Outcome,
}

/// Errors: why the deployment fails before anything that serves is changed.
pub(crate) fn compose(
    shared: &Shared,
    state: &AppState,
    spec: &AppSpec,
    request: &Request,
    images: &BTreeMap<ComponentName, Image>,
) -> Result<Composed, Failure> {
    let failed = |code: &str, message| Failure { component: None, code: code.into(), message };
    let databases = databases_for(shared, state, spec).map_err(|message| failed("DatabaseFailed", message))?;
    let app = &state.app;
    let active = active(state);
    let active_spec = active.and_then(|it| Specs::of(&app.id, &shared.sealer).open(&it.spec));
    let serving =
        active.zip(active_spec.as_ref()).map(|(active, spec)| Serving { spec, revisions: revisions(state, active) });
    let outcome = freeze::freeze(&Frozen {
        app: &app.id,
        spec,
        facts: &facts(shared, app, &databases, images),
        images: &images.iter().map(|(name, image)| (name.clone(), image.id.clone())).collect(),
        request,
        active: state.targets_in_force(),
        serving,
        generation: app.generation + 1,
        hash: &|text| shared.sealer.keyed_hash(&format!("environment/{}", app.id), text.as_bytes()),
    });
    let outcome = outcome.map_err(|message| failed("InvalidSpec", message))?;
    Ok(Composed { databases, outcome })
}

impl Composed {
    /// A plain deployment that came out the same in everything: images, environments, counts, jobs, databases, spec.
    /// `active`: the active deployment, with its spec.
    pub fn is_what_serves(
        &self,
        state: &AppState,
        active: Option<(&Deployment, &AppSpec)>,
        spec: &AppSpec,
        request: &Request,
    ) -> bool {
        let same = |(active, active_spec): (&Deployment, &AppSpec)| {
            state.targets_in_force() == self.outcome.targets
                && active.job_revisions == self.outcome.jobs
                && active_spec == spec
        };
        *request == Request::deploy() && self.databases.iter().all(|it| it.created) && active.is_some_and(same)
    }
}

/// What serves, with the chosen components to be replaced by copies of `generation`.
pub(crate) fn restarted(in_force: &[Target], restart: &Restart, generation: u64) -> Vec<Target> {
    let mut targets = in_force.to_vec();
    for target in targets.iter_mut().filter(|it| restart.names(&it.component)) {
        (target.generation, target.min_generation) = (generation, generation);
    }
    targets
}

/// The deployment that serves.
pub(crate) fn active(state: &AppState) -> Option<&Deployment> {
    state.deployments.iter().find(|it| Some(&it.id) == state.app.active.as_ref())
}

/// What a deployment's instances and jobs are made from.
fn revisions<'a>(state: &'a AppState, deployment: &Deployment) -> Vec<&'a Revision> {
    let of_targets = deployment.targets.iter().flatten().map(|it| &it.revision);
    let ids: BTreeSet<_> = of_targets.chain(deployment.job_revisions.values()).collect();
    state.revisions.iter().filter(|it| ids.contains(&it.id)).collect()
}

/// What references in the spec may name.
fn facts(shared: &Shared, app: &App, databases: &[Database], images: &BTreeMap<ComponentName, Image>) -> Facts {
    let of_database = |it: &Database| DatabaseFacts {
        host: it.name.to_string(),
        port: it.port,
        username: it.user.clone(),
        password: SecretText::new(it.password.clone()),
        database: it.database.clone(),
    };
    let commit = |(name, image): (&ComponentName, &Image)| Some((name.to_string(), image.commit.clone()?));
    Facts {
        app_id: app.id.to_string(),
        app_url: shared.front.url(&app.name),
        app_domain: shared.front.domain(&app.name),
        databases: databases.iter().map(|it| (it.name.to_string(), of_database(it))).collect(),
        commits: images.iter().filter_map(commit).collect(),
    }
}
