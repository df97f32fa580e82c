//! Computes a deployment's databases, revisions and targets from its images. A dry run computes the same.

use std::collections::{BTreeMap, BTreeSet};

use app_spec::{AppSpec, DatabaseFacts, Facts, SecretText};
use engine::Limits;
use rollout::deployment::Failure;
use rollout::ids::ComponentName;
use rollout::queue::Request;
use rollout::resolve::{ResolveInput, ResolvedTargets, Serving, resolve_targets};
use store::records::{App, AppState, Database, Deployment, Image, Revision};

use super::Shared;
use super::databases::databases_for;
use crate::specs::Specs;

/// The result. None of it is recorded yet.
pub(crate) struct Composed {
    /// The databases of the spec.
    pub databases: Vec<Database>,
    pub resolved: ResolvedTargets,
}

/// Errors: why the deployment fails before it changes anything that serves.
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
    let resolved = resolve_targets(&ResolveInput {
        app: &app.id,
        spec,
        facts: &facts(shared, app, spec, &databases, images),
        images: &images.iter().map(|(name, image)| (name.clone(), image.id.clone())).collect(),
        request,
        active: state.targets_in_force(),
        serving,
        generation: app.generation + 1,
        hash: &|text| shared.sealer.keyed_hash(&format!("environment/{}", app.id), text.as_bytes()),
    });
    let resolved = resolved.map_err(|message| failed("InvalidSpec", message))?;
    Ok(Composed { databases, resolved })
}

impl Composed {
    /// Whether a plain deployment changes nothing: images, environments, counts, jobs, databases and
    /// spec are the same. `active`: the active deployment with its spec.
    pub fn is_what_serves(
        &self,
        state: &AppState,
        active: Option<(&Deployment, &AppSpec)>,
        spec: &AppSpec,
        request: &Request,
    ) -> bool {
        let is_same = |(active, active_spec): (&Deployment, &AppSpec)| {
            let in_force = state.targets_in_force();
            self.resolved.is_what_serves(request, in_force, &active.job_revisions) && active_spec == spec
        };
        self.databases.iter().all(|it| it.created) && active.is_some_and(is_same)
    }
}

/// The deployment that serves.
pub(crate) fn active(state: &AppState) -> Option<&Deployment> {
    state.deployments.iter().find(|it| Some(&it.id) == state.app.active.as_ref())
}

/// The revisions that a deployment's instances and jobs run.
fn revisions<'a>(state: &'a AppState, deployment: &Deployment) -> Vec<&'a Revision> {
    let of_targets = deployment.targets.iter().flatten().map(|it| &it.revision);
    let ids: BTreeSet<_> = of_targets.chain(deployment.job_revisions.values()).collect();
    state.revisions.iter().filter(|it| ids.contains(&it.id)).collect()
}

/// The values that references in the variables of a build may name.
pub(super) fn build_facts(
    shared: &Shared,
    app: &App,
    spec: &AppSpec,
    commits: &BTreeMap<ComponentName, String>,
) -> Facts {
    let commits = commits.iter().map(|(name, commit)| (name.to_string(), commit.clone())).collect();
    Facts { commits, ..facts(shared, app, spec, &[], &BTreeMap::new()) }
}

/// The values that references in the spec may name.
fn facts(
    shared: &Shared,
    app: &App,
    spec: &AppSpec,
    databases: &[Database],
    images: &BTreeMap<ComponentName, Image>,
) -> Facts {
    let app_domain = spec.primary_domain().unwrap_or_else(|| shared.ingress.domain(&app.name));
    let commit = |(name, image): (&ComponentName, &Image)| Some((name.to_string(), image.commit.clone()?));
    Facts {
        app_id: app.id.to_string(),
        app_url: shared.ingress.url_of_host(&app.name, &app_domain),
        app_domain,
        databases: databases.iter().map(|it| (it.name.to_string(), connection(it))).collect(),
        commits: images.iter().filter_map(commit).collect(),
    }
}

/// How the components of the app connect to a database.
pub(crate) fn connection(database: &Database) -> DatabaseFacts {
    DatabaseFacts {
        host: database.name.to_string(),
        port: database.port,
        username: database.user.clone(),
        password: SecretText::new(database.password.clone()),
        database: database.database.clone(),
    }
}

/// A note if a component asks for more than the host has. Its limits are reduced to what the host has.
pub(super) fn clamped(revision: &Revision, host: Limits) -> Option<String> {
    let mut lacks = Vec::new();
    if revision.cpu_millis > host.cpu_millis {
        lacks.push(format!("{} CPUs where the host has {}", revision.cpu_millis / 1000, host.cpu_millis / 1000));
    }
    if revision.memory_bytes > host.memory_bytes {
        lacks.push(format!(
            "{} MiB of memory where the host has {}",
            revision.memory_bytes >> 20,
            host.memory_bytes >> 20
        ));
    }
    let asks = format!("{} asks for {}; it gets what there is", revision.component, lacks.join(" and "));
    (!lacks.is_empty()).then_some(asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_more_than_the_host_has_is_reported() {
        let web = &Revision {
            id: "r".into(),
            app: "a".into(),
            component: "web".into(),
            image: "sha256:1".into(),
            command: None,
            env: Vec::new(),
            secret_keys: Vec::new(),
            environment_hash: String::new(),
            cpu_millis: 1000,
            memory_bytes: 512 << 20,
            port: None,
            http2: false,
            probe: None,
        };
        assert_eq!(clamped(web, Limits { cpu_millis: 2000, memory_bytes: 1 << 30 }), None);
        let said = clamped(web, Limits { cpu_millis: 0, memory_bytes: 256 << 20 }).expect("too much is asked for");
        assert_eq!(
            said,
            "web asks for 1 CPUs where the host has 0 and 512 MiB of memory where the host has 256; it gets what there is"
        );
    }
}
