//! What would be done, without doing it: the planner runs on a model of what is there.

use std::collections::{BTreeMap, BTreeSet};

use app_spec::{AppSpec, Component, JobKind};
use rollout::ids::{AppId, InstanceName, RevisionId};
use rollout::observed::{ContainerSeen, Instance, Observed, Open, ProbeSeen, Routes};
use rollout::queue::{Build, Request};
use rollout::simulate::World;
use rollout::step::Step;
use rollout::target::{ComponentKind, Target, Timing};
use store::records::AppState;

use super::create::runnable;
use super::{Controller, asked, chosen};
use crate::clock;
use crate::error::ControlError;
use crate::specs::Specs;
use crate::view::{DeployOptions, Preview};

/// Steps of the largest app that anybody would read.
const TURNS: usize = 20_000;

impl Controller {
    /// What putting this spec would do; `app: None` for a new one. Components whose section changed are shown as rolled.
    pub async fn preview_update(&self, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError> {
        let Some(app) = app else {
            runnable(&spec)?;
            return Ok(preview(&spec, &Request::deploy(), None, &|_| true));
        };
        let spec = self.completed(app, spec).await?;
        let state = self.state(app).await?;
        let before = self.active_spec(&state).unwrap_or_default();
        if before == spec {
            return Ok(Preview { changes: Vec::new(), steps: vec!["nothing: this spec serves already".into()] });
        }
        let app_level = before.envs != spec.envs;
        let changed = |name: &str| app_level || before.component(name) != spec.component(name);
        let changes = app_spec::changes(&before, &spec).iter().map(ToString::to_string).collect();
        Ok(Preview { changes, ..preview(&spec, &Request::deploy(), Some(&state), &changed) })
    }

    /// What a restart would do.
    pub async fn preview_restart(&self, app: &AppId, components: &[String]) -> Result<Preview, ControlError> {
        let state = self.state(app).await?;
        let spec = self.active_spec(&state).ok_or_else(|| {
            ControlError::Conflict(format!("app {} was never active, so there is nothing to restart", state.app.name))
        })?;
        let (restart, _) = chosen(components);
        crate::app::check_restart(&state.app.name, &spec, &restart)?;
        let request = Request::restart(restart);
        let named = |name: &str| request.restart.names(&name.into());
        Ok(preview(&spec, &request, Some(&state), &named))
    }

    /// What a deployment would do. Whether a source has changed is known only after fetching it, so components from
    /// sources are shown as rolled if their tree changed.
    pub async fn preview_deploy(&self, app: &AppId, options: DeployOptions) -> Result<Preview, ControlError> {
        let state = self.state(app).await?;
        let spec = Specs::of(app, &self.0.shared.sealer).open(&state.app.spec).unwrap_or_default();
        let (request, _) = asked(options);
        let forced = request.build >= Build::Force;
        Ok(preview(&spec, &request, Some(&state), &|_| forced))
    }

    async fn state(&self, app: &AppId) -> Result<AppState, ControlError> {
        let state = self.0.shared.store.app_state(app).await?;
        state.ok_or_else(|| ControlError::NotFound(format!("no app {app}")))
    }

    fn active_spec(&self, state: &AppState) -> Option<AppSpec> {
        let active = state.deployments.iter().find(|it| Some(&it.id) == state.app.active.as_ref())?;
        Specs::of(&state.app.id, &self.0.shared.sealer).open(&active.spec)
    }
}

/// The steps in words, in their order.
fn preview(spec: &AppSpec, request: &Request, state: Option<&AppState>, changed: &dyn Fn(&str) -> bool) -> Preview {
    let mut steps = Vec::new();
    if !request.is_restart() {
        steps.extend(spec.components().map(|it| image_line(it, request.build)));
        let new = |it: &&app_spec::Database| {
            state.is_none_or(|state| state.databases.iter().all(|known| known.name.as_str() != it.name))
        };
        steps.extend(spec.databases.iter().filter(new).map(|it| format!("create database {}", it.name)));
        steps.extend(jobs(spec, JobKind::PreDeploy));
    }
    steps.extend(instance_lines(spec, state, changed));
    if !request.is_restart() {
        steps.extend(jobs(spec, JobKind::PostDeploy));
    }
    if steps.is_empty() {
        steps.push("nothing: everything is as it should be".into());
    }
    Preview { changes: Vec::new(), steps }
}

fn image_line(component: Component<'_>, build: Build) -> String {
    let name = component.name();
    match (component.source().image(), build) {
        (Some(image), Build::Frozen | Build::Reuse) => {
            format!("use image {} for {name}", app_spec::image_reference(image))
        }
        (Some(image), _) => format!("pull image {} for {name}", app_spec::image_reference(image)),
        (None, Build::Frozen | Build::Reuse) => format!("fetch the source of {name}, build it if its tree changed"),
        (None, Build::Force) => format!("fetch the source of {name} and build it"),
        (None, Build::ForceWithoutCache) => format!("fetch the source of {name} and build it without the build cache"),
    }
}

fn jobs(spec: &AppSpec, kind: JobKind) -> Vec<String> {
    let of_kind = spec.jobs.iter().filter(|it| it.kind() == kind);
    of_kind.map(|it| format!("run job {}", it.common.name)).collect()
}

/// The planner's own steps on a model in which what changed has another revision.
fn instance_lines(spec: &AppSpec, state: Option<&AppState>, changed: &dyn Fn(&str) -> bool) -> Vec<String> {
    let targets: Vec<Target> = spec.components().filter_map(|it| target(it, changed)).collect();
    let observed = state.map(model).unwrap_or_default();
    let mut teller = Teller { routed: observed.routes.clone().unwrap_or_default(), names: BTreeMap::new() };
    for it in &observed.instances {
        let old = if changed(it.component.as_str()) { "the old " } else { "" };
        teller.names.insert(it.name.clone(), format!("{old}{}.{}", it.component, it.slot));
    }
    let mut world = World::new(observed, clock::now());
    let mut lines = Vec::new();
    for _ in 0..TURNS {
        let Some(turn) = world.turn(&targets) else { break };
        for it in &world.observed.instances {
            teller.names.entry(it.name.clone()).or_insert_with(|| format!("{}.{}", it.component, it.slot));
        }
        if let rollout::simulate::Turn::Did(step) = turn {
            lines.extend(teller.tell(&step));
        }
    }
    lines
}

/// Tells steps in words.
struct Teller {
    names: BTreeMap<InstanceName, String>,
    routed: Routes,
}

impl Teller {
    /// One step in words; bookkeeping is left out.
    fn tell(&mut self, step: &Step) -> Option<String> {
        Some(match step {
            Step::Add { component, slot, .. } => format!("create {component}.{slot}"),
            Step::Start { instance } => format!("start {} and wait until it is ready", self.name(instance)),
            Step::Route { routes } => return self.routes(routes),
            Step::Drain { instance } => format!("drain {}", self.name(instance)),
            Step::Stop { instance, .. } => format!("stop {}", self.name(instance)),
            Step::Remove { instance } => format!("remove {}", self.name(instance)),
            _ => return None,
        })
    }

    /// `route web to the old web.0 and web.0`: whose routes change, and to what.
    fn routes(&mut self, routes: &Routes) -> Option<String> {
        let before = std::mem::replace(&mut self.routed, routes.clone());
        let gone = before.keys().filter(|it| !routes.contains_key(*it)).map(|it| format!("{it} to nobody"));
        let changed = routes.iter().filter(|(component, to)| before.get(*component) != Some(to));
        let told = changed.filter(|(component, to)| !to.is_empty() || before.contains_key(*component));
        let told = told.map(|(component, to)| format!("{component} to {}", self.all(to)));
        let lines: Vec<_> = told.chain(gone).collect();
        (!lines.is_empty()).then(|| format!("route {}", lines.join(", ")))
    }

    fn all(&self, instances: &BTreeSet<InstanceName>) -> String {
        let names: Vec<_> = instances.iter().map(|it| self.name(it)).collect();
        match &names[..] {
            [] => "nobody".into(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }

    fn name(&self, instance: &InstanceName) -> String {
        self.names.get(instance).cloned().unwrap_or_else(|| instance.to_string())
    }
}

const BEFORE: &str = "before";
const AFTER: &str = "after";

fn target(component: Component<'_>, changed: &dyn Fn(&str) -> bool) -> Option<Target> {
    let kind = match component {
        Component::Service(_) => ComponentKind::Service,
        Component::Worker(_) => ComponentKind::Worker,
        _ => return None,
    };
    Some(Target {
        component: component.name().into(),
        kind,
        count: component.common()?.instance_count(),
        revision: RevisionId::new(if changed(component.name()) { AFTER } else { BEFORE }),
        generation: 0,
        min_generation: 0,
        timing: Timing::default(),
    })
}

/// What is on record, all well, as the model's beginning.
fn model(state: &AppState) -> Observed {
    let instances = state.instances.iter().filter(|it| it.phase.is_alive()).map(|it| Instance {
        name: it.name.clone(),
        component: it.component.clone(),
        kind: it.kind,
        slot: it.slot,
        revision: RevisionId::new(BEFORE),
        generation: 0,
        phase: rollout::instance::InstancePhase::Ready,
        since: it.since,
        container: ContainerSeen::Running,
        probe: ProbeSeen::Passing,
        open: Open::default(),
        kept_alive: true,
        busy: false,
        refused: None,
        ending: None,
    });
    let mut observed = Observed { instances: instances.collect(), ..Observed::default() };
    observed.routes = Some(rollout::plan::wanted_routes(&observed));
    observed
}
