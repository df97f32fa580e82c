//! Describing steps in words, in the order in which a deployment takes them.

use std::collections::{BTreeMap, BTreeSet};

use app_spec::{AppSpec, Component, JobKind, image_reference};
use rollout::deployment::Failure;
use rollout::ids::{ComponentName, InstanceName};
use rollout::observed::Routes;
use rollout::plan::{RolloutStatus, rollout_status};
use rollout::queue::Build;
use rollout::simulate::{Turn, World};
use rollout::sources::Version;
use rollout::step::Step;
use rollout::target::Target;
use store::records::Database;

use super::Expected;
use super::simulate::{Simulation, SimulationInput, is_wanted, model};
use crate::app::{KeptFrom, databases_unwanted_by, kept_version};
use crate::clock;

/// How many turns of the planner a preview shows: about a hundred replaced instances, more than a person reads.
const TURNS: usize = 1_000;

/// All steps, one sentence each.
pub(super) fn steps(
    input: &SimulationInput<'_>,
    images: &BTreeMap<ComponentName, Expected>,
    simulation: Result<Simulation, Failure>,
) -> Vec<String> {
    let SimulationInput { state, spec, request, rollback, .. } = input;
    let is_exact = rollback.is_some_and(|it| it.is_exact);
    let mut steps = Vec::new();
    if !request.is_restart() {
        let stays = |name: &str| simulation.as_ref().is_ok_and(|it| !it.replaces(state, name));
        // A rollback runs no job, so it does not look for the images of jobs.
        let needed = spec.components().filter(|it| !(is_exact && matches!(it, Component::Job(_))));
        steps.extend(needed.filter_map(|it| image_line(it, request.build, images, stays(it.name()))));
    }
    let simulation = match simulation {
        Ok(simulation) => simulation,
        Err(failure) => {
            steps.push(format!("fail, with everything as it was: {}", failure.message));
            return steps;
        }
    };
    if simulation.nothing_to_do {
        steps.push("nothing more: no component changed".into());
        return steps;
    }
    let brings_all = !request.is_restart() && !is_exact;
    if brings_all {
        steps.extend(simulation.databases.iter().filter_map(|it| database_line(it, input)));
        steps.extend(jobs(spec, JobKind::PreDeploy));
    }
    steps.extend(instance_lines(input, &simulation.targets));
    if !request.is_restart() {
        let sites = spec.static_sites.iter().map(|it| &it.name);
        steps
            .extend(sites.map(|name| format!("serve the files of static site {name} from its image, if they changed")));
    }
    if brings_all {
        steps.extend(jobs(spec, JobKind::PostDeploy));
        let unwanted = databases_unwanted_by(state, spec);
        steps.extend(unwanted.map(|it| format!("stop and remove database {}; its volume is kept", it.name)));
    }
    if steps.is_empty() {
        steps.push("nothing: everything is as it should be".into());
    }
    steps
}

/// `stays`: no instance of the component is replaced for another reason.
fn image_line(
    component: Component<'_>,
    build: Build,
    images: &BTreeMap<ComponentName, Expected>,
    stays: bool,
) -> Option<String> {
    let name = component.name();
    let expected = images.get(&ComponentName::from(name));
    let is_available = expected.is_some_and(|it| it.is_available);
    if let Some(expected) = expected.filter(|it| it.version != Version::Newest) {
        return Some(kept_line(name, expected));
    }
    let Some(image) = component.source().image() else {
        return Some(match build {
            Build::Frozen => return None,
            Build::Reuse if is_available && stays && !matches!(component, Component::StaticSite(_)) => {
                format!("fetch the source of {name}; only if its tree changed, build it and replace its instances")
            }
            Build::Reuse if is_available => format!("fetch the source of {name}, and build it if its tree changed"),
            Build::KeepSources | Build::Recorded => format!("fetch the source of {name}, which is new, and build it"),
            Build::Reuse | Build::Force => format!("fetch the source of {name} and build it"),
            Build::ForceWithoutCache => format!("fetch the source of {name} and build it without the build cache"),
        });
    };
    let verb = if expected.is_some_and(|it| !it.pulls) { "use" } else { "pull" };
    Some(format!("{verb} image {} for {name}", image_reference(image)))
}

/// A component whose source stays the same keeps the commit or image that serves. A rollback returns to that of another
/// deployment.
fn kept_line(name: &str, Expected { image, is_available, version, kept_from, .. }: &Expected) -> String {
    let keep = match kept_from {
        KeptFrom::Serving => "keep",
        KeptFrom::Deployment(_) => "return to",
    };
    match (image.commit.as_deref().and_then(|it| it.get(..12)), is_available) {
        (Some(commit), true) => format!("{keep} commit {commit} of {name} and its image"),
        (Some(commit), false) if *version == Version::KeptCommit => {
            format!("{keep} commit {commit} of {name}, and build it with the new settings")
        }
        (Some(commit), false) => format!("{keep} commit {commit} of {name}, and build it again if its image is gone"),
        (None, true) => format!("{keep} image {} for {name}", image.reference),
        (None, false) => format!("pull image {} for {name} again", image.digest.as_deref().unwrap_or(&image.reference)),
    }
}

fn database_line(database: &Database, input: &SimulationInput<'_>) -> Option<String> {
    let name = &database.name;
    let known = input.state.databases.iter().find(|it| it.name == *name);
    match known {
        None => Some(format!("create database {name}")),
        Some(known) if !known.wanted => {
            Some(format!("bring database {name} back, on its volume if that is still there"))
        }
        Some(known) => kept_version(known, input.spec),
    }
}

fn jobs(spec: &AppSpec, kind: JobKind) -> Vec<String> {
    let of_kind = spec.jobs.iter().filter(|it| it.kind() == kind);
    of_kind.map(|it| format!("run job {}", it.common.name)).collect()
}

/// The steps of the planner, and the point at which new routing rules apply.
fn instance_lines(input: &SimulationInput<'_>, targets: &[Target]) -> Vec<String> {
    let observed = model(input.state);
    let mut describer = StepDescriber { routed: observed.routes.clone().unwrap_or_default(), names: BTreeMap::new() };
    for it in &observed.instances {
        let old = if is_wanted(targets, &it.component, &it.revision, it.generation) { "" } else { "the old " };
        describer.names.insert(it.name.clone(), format!("{old}{}.{}", it.component, it.slot));
    }
    let mut new_rules = other_rules(input);
    let mut world = World::new(observed, clock::now());
    let mut lines = Vec::new();
    for turn in 0.. {
        // The ingress gets new rules only when all wanted instances serve.
        let serves = matches!(
            rollout_status(targets, &world.observed, world.now),
            RolloutStatus::Draining | RolloutStatus::Complete
        );
        if serves && std::mem::take(&mut new_rules) {
            lines.push("route requests by the new rules".into());
        }
        if turn == TURNS {
            lines.push("and so on, instance by instance".into());
            break;
        }
        let Some(turn) = world.turn(targets) else { break };
        for it in &world.observed.instances {
            describer.names.entry(it.name.clone()).or_insert_with(|| format!("{}.{}", it.component, it.slot));
        }
        if let Turn::Did(step) = turn {
            lines.extend(describer.describe(&step));
        }
    }
    lines
}

/// Whether the request changes the routing rules. A new app has no rules to replace.
fn other_rules(input: &SimulationInput<'_>) -> bool {
    let rules = |spec: &AppSpec| app_spec::routes(spec);
    !input.request.is_restart() && input.serving.is_some_and(|(_, before)| rules(before) != rules(input.spec))
}

/// Describes steps in words.
struct StepDescriber {
    names: BTreeMap<InstanceName, String>,
    routed: Routes,
}

impl StepDescriber {
    /// Describes one step. Returns `None` for bookkeeping.
    fn describe(&mut self, step: &Step) -> Option<String> {
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

    /// For example `route web to the old web.0 and web.0`: each component whose routes change, with its new instances.
    fn routes(&mut self, routes: &Routes) -> Option<String> {
        let before = std::mem::replace(&mut self.routed, routes.clone());
        let gone = before.keys().filter(|it| !routes.contains_key(*it)).map(|it| format!("{it} to no instance"));
        let changed = routes.iter().filter(|(component, to)| before.get(*component) != Some(to));
        let named = changed.filter(|(component, to)| !to.is_empty() || before.contains_key(*component));
        let named = named.map(|(component, to)| format!("{component} to {}", self.all(to)));
        let lines: Vec<_> = named.chain(gone).collect();
        (!lines.is_empty()).then(|| format!("route {}", lines.join(", ")))
    }

    fn all(&self, instances: &BTreeSet<InstanceName>) -> String {
        let names: Vec<_> = instances.iter().map(|it| self.name(it)).collect();
        match &names[..] {
            [] => "no instance".into(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }

    fn name(&self, instance: &InstanceName) -> String {
        self.names.get(instance).cloned().unwrap_or_else(|| instance.to_string())
    }
}
