//! From a spec and its images to revisions and targets, which a deployment stores and a restart copies.

mod command;

use std::collections::BTreeMap;
use std::time::Duration;

use app_spec::{AppSpec, Common, Component, Facts, HealthCheck, Protocol, Scope, instance_size, resolve_envs};
use sha2::{Digest, Sha256};

use crate::ids::{AppId, ComponentName, RevisionId};
use crate::queue::Request;
use crate::revision::{Probe, Revision};
use crate::target::{ComponentKind, Readiness, StopTimes, Target, Timing};

/// Input from which targets are resolved.
pub struct ResolveInput<'a> {
    /// The app.
    pub app: &'a AppId,
    /// The spec, with its secrets.
    pub spec: &'a AppSpec,
    /// Values that references in the spec may name.
    pub facts: &'a Facts,
    /// Image ids by component.
    pub images: &'a BTreeMap<ComponentName, String>,
    /// What the deployment is asked to do.
    pub request: &'a Request,
    /// The targets that serve now.
    pub active: &'a [Target],
    /// The spec and revisions behind `active`.
    pub serving: Option<Serving<'a>>,
    /// The restart generation of components that are replaced although their revision does not change.
    pub generation: u64,
    /// A keyed hash of an environment, used to compare environments.
    pub hash: &'a dyn Fn(&str) -> String,
}

/// The spec that serves, with the revisions of its services, workers and jobs.
pub struct Serving<'a> {
    /// The spec, with its secrets.
    pub spec: &'a AppSpec,
    /// The revisions that its targets and jobs name.
    pub revisions: Vec<&'a Revision>,
}

/// What a deployment should run.
pub struct ResolvedTargets {
    /// Revisions of all services, workers and jobs.
    pub revisions: Vec<Revision>,
    /// Targets of services and workers.
    pub targets: Vec<Target>,
    /// Revisions of jobs.
    pub jobs: BTreeMap<ComponentName, RevisionId>,
    /// Notes for people: references that could not be resolved and stayed as text.
    pub notes: Vec<String>,
}

/// Resolves all services, workers and jobs. Errors: one sentence for each problem, which names the component and the
/// variable.
pub fn resolve_targets(from: &ResolveInput<'_>) -> Result<ResolvedTargets, String> {
    let mut resolved =
        ResolvedTargets { revisions: Vec::new(), targets: Vec::new(), jobs: BTreeMap::new(), notes: Vec::new() };
    for component in from.spec.components() {
        // A static site has files and no instances. The API rejects specs with functions as not supported yet.
        if matches!(component, Component::StaticSite(_) | Component::Function(_)) {
            continue;
        }
        let revision = revision(from, component, &mut resolved.notes)?;
        let name = revision.component.clone();
        match component {
            Component::Service(_) => resolved.targets.push(target(from, component, &revision, ComponentKind::Service)),
            Component::Worker(_) => resolved.targets.push(target(from, component, &revision, ComponentKind::Worker)),
            Component::Job(_) => drop(resolved.jobs.insert(name, revision.id.clone())),
            Component::StaticSite(_) | Component::Function(_) => continue,
        }
        resolved.revisions.push(revision);
    }
    Ok(resolved)
}

impl ResolvedTargets {
    /// Whether a plain deployment would change nothing: the same images, environments, counts and jobs serve already.
    pub fn is_what_serves(
        &self,
        request: &Request,
        in_force: &[Target],
        jobs: &BTreeMap<ComponentName, RevisionId>,
    ) -> bool {
        request.is_plain() && self.targets == in_force && self.jobs == *jobs
    }
}

fn revision(from: &ResolveInput<'_>, component: Component<'_>, notes: &mut Vec<String>) -> Result<Revision, String> {
    let name = ComponentName::from(component.name());
    let common = component.common().ok_or_else(|| format!("{name} has nothing to run"))?;
    let image = from.images.get(&name).ok_or_else(|| format!("{name} has no image"))?.clone();
    let environment = resolve_envs(from.spec, component.name(), Scope::Run, from.facts)
        .map_err(|problems| problems.as_slice().iter().map(|it| it.api_message()).collect::<Vec<_>>().join("; "))?;
    notes.extend(environment.warnings.as_slice().iter().map(|it| it.api_message()));
    let secret_keys = environment.vars.iter().filter(|(_, value)| value.secret).map(|(key, _)| key.clone()).collect();
    let env: Vec<_> = environment.vars.into_iter().map(|(key, value)| (key, value.text)).collect();
    let size = instance_size(common.instance_size_slug())
        .ok_or_else(|| format!("{name}: unknown instance size {}", common.instance_size_slug()))?;
    let mut revision = Revision {
        id: RevisionId::new(""),
        app: from.app.clone(),
        component: name,
        image,
        command: common.run_command.as_deref().filter(|it| !it.trim().is_empty()).map(command::words),
        environment_hash: (from.hash)(&canonical(&env)),
        env,
        secret_keys,
        cpu_millis: size.cpu_millis,
        memory_bytes: size.memory_bytes,
        port: port(from.spec, component),
        http2: matches!(component, Component::Service(service) if service.protocol == Some(Protocol::Http2)),
        probe: probe(from.spec, component),
    };
    revision.id = identity(&revision);
    if let Some(serving) = from.serving.as_ref().and_then(|it| same_as(it, common, &revision)) {
        revision.id = serving.id.clone();
    }
    Ok(revision)
}

/// The serving revision that is made from the same input. An older version of Boatyard may have formed its command in
/// another way. That difference alone replaces nothing; new instances run the new form.
fn same_as<'a>(serving: &Serving<'a>, common: &Common, revision: &Revision) -> Option<&'a Revision> {
    let component = serving.spec.components().find(|it| it.name() == revision.component.as_str())?;
    let has_same_text = component.common()?.run_command == common.run_command;
    let is_same =
        |it: &&&Revision| **it == &Revision { id: it.id.clone(), command: it.command.clone(), ..revision.clone() };
    serving.revisions.iter().find(is_same).copied().filter(|_| has_same_text)
}

/// The identity of what instances run. The environment enters as a keyed hash, so that an id reveals nothing about the
/// values.
fn identity(revision: &Revision) -> RevisionId {
    let mut fields = vec![
        revision.image.clone(),
        format!("{:?}", revision.command),
        revision.environment_hash.clone(),
        format!("{} {} {:?} {:?}", revision.cpu_millis, revision.memory_bytes, revision.port, revision.probe),
    ];
    // Older revisions do not have this field, and keep their identity.
    fields.extend(revision.http2.then(|| "HTTP2".to_owned()));
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    RevisionId::new(hex::encode(&hash.finalize()[..8]))
}

/// Length-prefixed, so that two different environments never have the same encoding.
fn canonical(env: &[(String, String)]) -> String {
    env.iter().map(|(key, value)| format!("{}:{key}{}:{value}", key.len(), value.len())).collect()
}

fn port(spec: &AppSpec, component: Component<'_>) -> Option<u16> {
    match component {
        Component::Service(service) => spec.http_port(service),
        _ => None,
    }
}

/// The probe of a service uses the port of its check, else its HTTP port, else its first internal port. A worker has no
/// probe.
fn probe(spec: &AppSpec, component: Component<'_>) -> Option<Probe> {
    let Component::Service(service) = component else { return None };
    let default = HealthCheck::default();
    let check = service.health_check.as_ref().unwrap_or(&default);
    let port = check.port.or_else(|| spec.http_port(service)).or_else(|| service.internal_ports.first().copied())?;
    Some(Probe {
        port,
        http_path: check.http_path().map(|path| if path.starts_with('/') { path.into() } else { format!("/{path}") }),
        initial_delay_seconds: check.initial_delay_seconds(),
        period_seconds: check.period_seconds(),
        timeout_seconds: check.timeout_seconds(),
        success_threshold: check.success_threshold(),
        failure_threshold: check.failure_threshold(),
    })
}

fn target(from: &ResolveInput<'_>, component: Component<'_>, revision: &Revision, kind: ComponentKind) -> Target {
    let common = component.common().expect("services and workers have the common fields");
    let before = from.active.iter().find(|target| target.component == revision.component);
    let unchanged = before.filter(|target| target.revision == revision.id);
    let (generation, min_generation) = match unchanged {
        // Nothing to replace: the target that serves already matches.
        Some(target) if !from.request.restart.names(&revision.component) => (target.generation, target.min_generation),
        _ => (from.generation, from.generation),
    };
    Target {
        component: revision.component.clone(),
        kind,
        count: common.instance_count(),
        revision: revision.id.clone(),
        generation,
        min_generation,
        timing: timing(component, revision),
    }
}

/// A probe with a short failure time says nothing about how long the app takes to start: an instance gets at least 30
/// s.
const READY_WITHIN_AT_LEAST: Duration = Duration::from_secs(30);
/// A worker without a probe is ready when it has stayed up for 1 s.
const STAYS_UP: Duration = Duration::from_secs(1);

fn timing(component: Component<'_>, revision: &Revision) -> Timing {
    let default = Timing::default();
    let StopTimes { drain, grace } = stop_times(component);
    let (readiness, ready_within) = match &revision.probe {
        None => (Readiness::StaysUp(STAYS_UP), default.ready_within),
        Some(probe) => {
            let tries = u64::from(probe.failure_threshold) * u64::from(probe.period_seconds.max(1));
            let within = Duration::from_secs(u64::from(probe.initial_delay_seconds) + tries);
            (Readiness::Probe, within.max(READY_WITHIN_AT_LEAST))
        }
    };
    Timing { readiness, ready_within, drain, grace }
}

/// The spec's drain and grace times for a component's containers, including those of jobs.
fn stop_times(component: Component<'_>) -> StopTimes {
    let (drain, grace) = match component {
        Component::Service(service) => {
            service.termination.as_ref().map_or((None, None), |it| (it.drain_seconds, it.grace_period_seconds))
        }
        Component::Worker(worker) => (None, worker.termination.as_ref().and_then(|it| it.grace_period_seconds)),
        Component::Job(job) => (None, job.termination.as_ref().and_then(|it| it.grace_period_seconds)),
        Component::StaticSite(_) | Component::Function(_) => (None, None),
    };
    let default = StopTimes::default();
    let seconds = |value: Option<u32>, default| value.map_or(default, |it| Duration::from_secs(it.into()));
    StopTimes { drain: seconds(drain, default.drain), grace: seconds(grace, default.grace) }
}

/// The time from the stop signal to KILL for a job of this spec.
pub fn job_grace(spec: &AppSpec, job: &ComponentName) -> Duration {
    let component = spec.components().find(|it| it.name() == job.as_str());
    component.map_or_else(StopTimes::default, stop_times).grace
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Restart;

    const SPEC: &str = "
name: shop
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}
  instance_count: 2
  run_command: /testapp serve
  envs: [{key: GREETING, value: hello}]
  health_check: {http_path: health, period_seconds: 8, failure_threshold: 5}
  termination: {drain_seconds: 7}
workers:
- name: mill
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}
jobs:
- name: migrate
  kind: PRE_DEPLOY
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}
  termination: {grace_period_seconds: 60}
";

    fn resolved(spec: &str, request: &Request, active: &[Target]) -> ResolvedTargets {
        resolved_beside(None, spec, request, active)
    }

    /// Like [`resolved`], while `serving` serves.
    fn resolved_beside(
        serving: Option<Serving<'_>>,
        spec: &str,
        request: &Request,
        active: &[Target],
    ) -> ResolvedTargets {
        let spec = AppSpec::from_yaml(spec).expect("the test's spec is good").spec;
        let images = ["web", "mill", "migrate"].map(|name| (name.into(), "sha256:1".to_owned())).into();
        let from = ResolveInput {
            app: &"a1".into(),
            spec: &spec,
            facts: &Facts::default(),
            images: &images,
            request,
            active,
            serving,
            generation: 9,
            hash: &|text| format!("hash of {text}"),
        };
        resolve_targets(&from).expect("nothing is missing")
    }

    #[test]
    fn a_service_is_resolved_with_its_port_probe_command_and_times() {
        let resolved = resolved(SPEC, &Request::deploy(), &[]);
        let web = &resolved.revisions[0];
        assert_eq!(web.env, [("GREETING".into(), "hello".into()), ("PORT".into(), "8080".into())]);
        assert_eq!(web.command, Some(vec!["/testapp".into(), "serve".into()]));
        assert_eq!(web.probe.as_ref().and_then(|it| it.http_path.as_deref()), Some("/health"));
        let timing = &resolved.targets[0].timing;
        assert_eq!((timing.ready_within.as_secs(), timing.drain.as_secs(), timing.grace.as_secs()), (40, 7, 120));
        assert_eq!(resolved.targets[1].timing.readiness, Readiness::StaysUp(STAYS_UP));
        assert_eq!(resolved.jobs.len(), 1);
        assert!(resolved.targets.iter().all(|it| it.component.as_str() != "migrate"), "jobs have no instances");
    }

    #[test]
    fn a_job_has_the_grace_of_the_spec() {
        let grace = |spec: &str| {
            let spec = AppSpec::from_yaml(spec).expect("the test's spec is good").spec;
            job_grace(&spec, &"migrate".into()).as_secs()
        };
        assert_eq!(grace(SPEC), 60);
        assert_eq!(grace(&SPEC.replace("  termination: {grace_period_seconds: 60}\n", "")), 120, "the default");
    }

    #[test]
    fn an_unchanged_component_keeps_its_generation_unless_it_is_named() {
        let before = resolved(SPEC, &Request::deploy(), &[]).targets;
        let mut aged = before.clone();
        aged.iter_mut().for_each(|it| (it.generation, it.min_generation) = (3, 3));
        let generations = |request: &Request, spec: &str| -> Vec<_> {
            resolved(spec, request, &aged).targets.iter().map(|it| it.min_generation).collect()
        };
        assert_eq!(generations(&Request::deploy(), SPEC), [3, 3]);
        assert_eq!(generations(&Request::rebuild(false), SPEC), [9, 9]);
        let only = Request { restart: Restart::Only(["mill".into()].into()), ..Request::deploy() };
        assert_eq!(generations(&only, SPEC), [3, 9]);
        assert_eq!(generations(&Request::deploy(), &SPEC.replace("hello", "bye")), [9, 3], "its revision changed");
    }

    #[test]
    fn another_protocol_is_another_revision_and_the_default_is_none() {
        let revision = |protocol: &str| {
            let spec = SPEC.replacen("- name: web\n", &format!("- name: web\n{protocol}"), 1);
            let resolved = resolved(&spec, &Request::deploy(), &[]);
            let found = resolved.revisions.into_iter().find(|it| it.component.as_str() == "web");
            found.map(|it| (it.id, it.http2)).expect("web has a revision")
        };
        assert_eq!(revision("  protocol: HTTP\n"), revision(""));
        let http2 = revision("  protocol: HTTP2\n");
        assert!(http2.1 && !revision("").1);
        assert_ne!(http2.0, revision("").0);
    }

    /// As after an upgrade: an older version formed the command of the stored, serving revision.
    #[test]
    fn a_revision_keeps_its_id_while_its_input_stays_the_same() {
        let older = |spec: &str| {
            let resolved = resolved(spec, &Request::deploy(), &[]);
            let form = |it: Revision| Revision {
                id: RevisionId::new(format!("older-{}", it.component)),
                command: Some(vec!["/bin/sh".into(), "-c".into(), "exec another form".into()]),
                ..it
            };
            resolved.revisions.into_iter().map(form).collect::<Vec<_>>()
        };
        let served = AppSpec::from_yaml(SPEC).expect("the test's spec is good").spec;
        let rows = older(SPEC);
        let ids = |spec: &str| -> Vec<_> {
            let serving = Serving { spec: &served, revisions: rows.iter().collect() };
            let resolved = resolved_beside(Some(serving), spec, &Request::deploy(), &[]);
            assert_ne!(resolved.revisions[0].command, rows[0].command, "new instances run the new form");
            resolved.revisions.into_iter().map(|it| it.id.to_string()).collect()
        };
        assert_eq!(ids(SPEC), ["older-web", "older-mill", "older-migrate"]);
        for (from, to) in
            [("testapp serve", "testapp serve -v"), ("hello", "bye"), ("http_path: health", "http_path: up")]
        {
            let changed = ids(&SPEC.replacen(from, to, 1));
            assert!(changed[0] != "older-web" && changed[1] == "older-mill", "{to}: {changed:?}");
        }
    }

    #[test]
    fn a_plain_deployment_with_the_same_result_changes_nothing() {
        let deploy = Request::deploy();
        let before = resolved(SPEC, &deploy, &[]);
        let brings_nothing = |spec: &str, request: &Request| {
            resolved(spec, request, &before.targets).is_what_serves(request, &before.targets, &before.jobs)
        };
        assert!(brings_nothing(SPEC, &deploy));
        assert!(!brings_nothing(SPEC, &Request::rebuild(false)), "it was asked to replace everything");
        assert!(!brings_nothing(&SPEC.replace("hello", "bye"), &deploy), "an environment");
        assert!(!brings_nothing(&SPEC.replace("instance_count: 2", "instance_count: 3"), &deploy), "a count");
        assert!(
            !brings_nothing(&SPEC.replace("  kind: PRE_DEPLOY\n", "  kind: PRE_DEPLOY\n  run_command: up\n"), &deploy),
            "a job"
        );
    }

    #[test]
    fn every_input_changes_the_revision() {
        let revision = |spec: &str| resolved(spec, &Request::deploy(), &[]).revisions[0].id.clone();
        let base = revision(SPEC);
        assert_eq!(revision(SPEC), base);
        for (from, to) in [
            ("hello", "bye"),
            ("run_command: /testapp serve", "run_command: /testapp serve --x"),
            ("instance_count: 2", "http_port: 81"),
            ("http_path: health", "http_path: other"),
            ("instance_count: 2", "instance_size_slug: apps-s-1vcpu-1gb"),
        ] {
            assert_ne!(revision(&SPEC.replacen(from, to, 1)), base, "{to}");
        }
        assert_eq!(
            revision(&SPEC.replacen("instance_count: 2", "instance_count: 3", 1)),
            base,
            "count is no ingredient"
        );
    }
}
