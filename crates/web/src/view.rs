//! Converts the controller's views into the views that people and clients read.

use chrono::{DateTime, Utc};
use controller::view::{
    AppView, BuildPlanView, BuiltWith, DeploymentKind, DeploymentView, Image, InstanceTransition, InstanceView,
    LastEnd, RolloutView, Served, Unchanged,
};
use present::explain::{AppStatus, ProcessCount, StatusInstance};
use present::{AppDetails, BuildPlan, DeploymentDetails, InstanceCounts, InstanceDetails, Status, Step, Traffic};
use rollout::progress::{Leaf, LeafKey};
use rollout::time::Timestamp;
use serde_json::Value;

/// A time in UTC. `None` for a time that no calendar has.
pub fn time(at: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(i64::try_from(at.0).ok()?)
}

/// What Boatyard adds to an app.
pub fn app_details(view: &AppView) -> AppDetails {
    AppDetails {
        instances: InstanceCounts { ready: view.ready as u64, wanted: view.wanted as u64 },
        waiting: view.waiting.clone(),
    }
}

/// What a component would be built with.
pub fn build_plan(view: &BuildPlanView) -> BuildPlan {
    let (component, source_dir) = (view.component.to_string(), view.source_dir.clone());
    let plan = BuildPlan { component, source_dir, ..BuildPlan::default() };
    match view.with.clone() {
        BuiltWith::Dockerfile { path, undetected } => BuildPlan { dockerfile_path: Some(path), undetected, ..plan },
        BuiltWith::Generated { language, findings, start, dockerfile, .. } => {
            BuildPlan { language: Some(language), findings, start, dockerfile: Some(dockerfile), ..plan }
        }
    }
}

/// An app with the deployments that its status depends on.
pub fn app(view: &AppView) -> present::App {
    let of = |it: &Option<DeploymentView>| it.as_ref().map(|it| deployment(it, &[]));
    present::App {
        active_deployment: of(&view.active),
        in_progress_deployment: of(&view.in_progress),
        pending_deployment: of(&view.pending),
        pinned_deployment: of(&view.pinned),
        boatyard: app_details(view),
    }
}

/// The status of an app with its instances.
pub fn app_status(view: &AppView, instances: &[InstanceView]) -> AppStatus {
    let instance = |it: &InstanceView| StatusInstance {
        component_name: it.component_name.to_string(),
        component_type: it.component_type.to_owned(),
        instance_name: it.instance_name.to_string(),
        instance_alias: it.instance_alias.clone(),
        restarts: it.restarts,
        last_end: it.last_end.as_ref().map(last_end),
        processes: it.processes.map(|it| ProcessCount { running: it.running, limit: it.limit }),
    };
    AppStatus {
        id: view.id.to_string(),
        name: view.name.clone(),
        deleting: view.deleting,
        live_url: view.live_url.clone(),
        waiting: view.waiting.clone(),
        instances: instances.iter().map(instance).collect(),
    }
}

/// An instance.
pub fn instance(view: &InstanceView) -> present::Instance {
    present::Instance {
        component_name: view.component_name.to_string(),
        instance_name: view.instance_name.to_string(),
        component_type: view.component_type.to_owned(),
        instance_alias: view.instance_alias.clone(),
        boatyard: InstanceDetails {
            phase: view.phase.map(|phase| name(&phase)),
            container_id: view.container_id.clone(),
            started_at: view.started_at.clone(),
            restarts: view.restarts,
            last_end: view.last_end.as_ref().map(last_end),
            processes: view.processes.map(|it| it.running),
            process_limit: view.processes.map(|it| it.limit),
        },
    }
}

/// What happened to an instance during a deployment.
pub fn transition(it: &InstanceTransition) -> present::InstanceTransition {
    present::InstanceTransition {
        component_name: it.component_name.to_string(),
        component_type: it.component_type.to_owned(),
        instance_name: it.instance_name.to_string(),
        instance_alias: it.instance_alias.clone(),
        slot: it.slot,
        deployment_number: it.deployment_number,
        revision: it.revision.to_string(),
        generation: it.generation,
        existed_before: it.existed_before,
        transition: present::Transition::named(it.transition.as_str()),
        at: time(it.at),
    }
}

fn last_end(end: &LastEnd) -> present::LastEnd {
    present::LastEnd { at: end.at.clone(), code: end.code, out_of_memory: end.out_of_memory }
}

/// A deployment. `waiting`: what it waits for, which is left out inside an app.
pub fn deployment(it: &DeploymentView, waiting: &[String]) -> present::Deployment {
    present::Deployment {
        id: it.id.to_string(),
        phase: it.stage.phase().as_str().to_owned(),
        cause: it.cause.clone(),
        created_at: time(it.created),
        updated_at: time(it.updated),
        phase_last_updated_at: time(it.stage_since),
        progress: progress(it),
        boatyard: DeploymentDetails {
            number: it.number,
            stage: name(&it.stage),
            kind: kind(it.kind).to_owned(),
            rolled_back: it.rolled_back,
            waiting: waiting.to_vec(),
            record: record(&it.rollout),
            images: it.images.iter().map(|(name, it)| (name.to_string(), image(it))).collect(),
            failure: it.failure.as_ref().map(|it| present::Failure {
                component: it.component.as_ref().map(ToString::to_string),
                code: it.code.clone(),
                message: it.message.clone(),
            }),
            log_tail: it.log_tail.clone(),
            superseded_by: it.superseded_by.as_ref().map(ToString::to_string),
            token: it.actor.as_ref().map(|it| it.name.clone()),
        },
    }
}

/// The name of a unit variant, as it is serialized.
fn name(variant: &impl serde::Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

fn kind(kind: DeploymentKind) -> &'static str {
    match kind {
        DeploymentKind::Restart => "restart",
        DeploymentKind::Deploy => "deploy",
        DeploymentKind::Rebuild => "rebuild",
        DeploymentKind::Rollback => "rollback",
        DeploymentKind::Revert => "revert",
    }
}

fn record(it: &RolloutView) -> present::Record {
    let unchanged = |it: &Unchanged| present::Unchanged {
        component: it.component.to_string(),
        image: it.image.clone(),
        environment_hash: it.environment_hash.clone(),
        revision: it.revision.to_string(),
    };
    present::Record {
        serving_since: it.serving_since.and_then(time),
        roll_began: it.began.and_then(time),
        roll_ended: it.ended.and_then(time),
        rollback_abandoned: it.rollback_abandoned,
        served: it.served.map(traffic),
        unchanged: it.unchanged.iter().map(unchanged).collect(),
        notes: it.notes.clone(),
    }
}

fn traffic(it: Served) -> Traffic {
    Traffic {
        requests: it.requests,
        open_at_start: it.open_at_start,
        failed: it.failed,
        app_errors: it.app_errors,
        client_gone: it.client_gone,
        requests_cut: it.requests_cut,
        uploads_cut: it.uploads_cut,
        upgraded: it.upgraded,
        upgraded_cut: it.upgraded_cut,
        slowest_ms: it.slowest_us.div_ceil(1000),
        at_least: it.at_least,
    }
}

fn image(it: &Image) -> present::Image {
    let Image { id, reference, commit, built, note, .. } = it.clone();
    present::Image { id, reference, commit, built, note }
}

/// The tree of steps with its counters, which count leaves. The two top steps name the next command if they failed.
fn progress(it: &DeploymentView) -> present::Progress {
    let leaves = &it.progress.leaves;
    let count = |status: Status| leaves.iter().filter(|leaf| status_of(leaf) == status).count();
    let mut steps = tree(leaves, it.stage.is_ended());
    for (top, is_below) in steps.iter_mut().zip([is_build, |leaf: &Leaf| !is_build(leaf)]) {
        let failed = leaves.iter().find(|leaf| is_below(leaf) && status_of(leaf) == Status::Error);
        if let (Some(reason), Some(leaf)) = (&mut top.reason, failed)
            && !present::command::is_named_in(&reason.message)
        {
            reason.message = format!("{}. See: {}", reason.message.trim_end_matches('.'), next_command(it, leaf));
        }
    }
    present::Progress {
        pending_steps: count(Status::Pending),
        running_steps: count(Status::Running),
        success_steps: count(Status::Success),
        error_steps: count(Status::Error),
        total_steps: leaves.len(),
        steps,
    }
}

fn is_build(leaf: &Leaf) -> bool {
    matches!(leaf.key, LeafKey::BuildInitialize | LeafKey::Build(_))
}

fn next_command(it: &DeploymentView, leaf: &Leaf) -> String {
    let app = it.spec.get("name").and_then(Value::as_str).unwrap_or(it.app.as_str());
    let component = match &leaf.key {
        LeafKey::Build(name) | LeafKey::Deploy(name) | LeafKey::Wait(name) => Some(name.as_str()),
        LeafKey::BuildInitialize | LeafKey::DeployInitialize | LeafKey::Finalize => None,
    };
    let log = if is_build(leaf) { "build" } else { "deploy" };
    match it.failure {
        Some(_) => present::command::logs(app, component, log, it.id.as_str()),
        // No log explains why a deployment was canceled or superseded.
        None => present::command::list_deployments(app),
    }
}

/// `build` and `deploy` with the steps below them. `ended`: the deployment has ended, so no step is running.
fn tree(leaves: &[Leaf], ended: bool) -> Vec<Step> {
    let (mut build, mut build_components) = (vec![], vec![]);
    let (mut deploy, mut deploy_components, mut finalize) = (vec![], Vec::<(&str, Vec<Step>)>::new(), vec![]);
    for leaf in leaves {
        match &leaf.key {
            LeafKey::BuildInitialize => build.push(step("initialize", leaf)),
            LeafKey::Build(name) => {
                build_components.push(component_step(name.as_str(), leaf, name.as_str(), "Building"))
            }
            LeafKey::DeployInitialize => deploy.push(step("initialize", leaf)),
            LeafKey::Deploy(name) => {
                deploy_components
                    .push((name.as_str(), vec![component_step("deploy", leaf, name.as_str(), "Deploying")]));
            }
            LeafKey::Wait(name) => {
                let wait = component_step("wait", leaf, name.as_str(), "Waiting for");
                match deploy_components.iter_mut().find(|(known, _)| *known == name.as_str()) {
                    Some((_, steps)) => steps.push(wait),
                    None => deploy_components.push((name.as_str(), vec![wait])),
                }
            }
            LeafKey::Finalize => finalize.push(step("finalize", leaf)),
        }
    }
    let component =
        |(name, steps): (&str, Vec<Step>)| Step { component_name: Some(name.to_owned()), ..parent(name, steps, ended) };
    build.push(parent("components", build_components, ended));
    deploy.push(parent("components", deploy_components.into_iter().map(component).collect(), ended));
    deploy.append(&mut finalize);
    vec![parent("build", build, ended), parent("deploy", deploy, ended)]
}

fn step(name: &str, leaf: &Leaf) -> Step {
    Step {
        name: name.to_owned(),
        status: status_of(leaf),
        started_at: leaf.started.and_then(time),
        ended_at: leaf.ended.and_then(time),
        reason: leaf.reason.as_ref().map(|it| present::Reason { code: it.code.clone(), message: it.message.clone() }),
        ..Step::default()
    }
}

fn component_step(name: &str, leaf: &Leaf, component: &str, verb: &str) -> Step {
    let message = format!("{verb} {}", leaf.noun);
    let (component_name, message_base) = (Some(component.to_owned()), Some(message.trim_end().to_owned()));
    Step { component_name, message_base, ..step(name, leaf) }
}

fn parent(name: &str, steps: Vec<Step>, ended: bool) -> Step {
    let any = |status| steps.iter().any(|it| it.status == status);
    let all = |status| steps.iter().all(|it| it.status == status);
    let status = match () {
        () if any(Status::Error) => Status::Error,
        // Includes a parent without steps, which has nothing to do.
        () if all(Status::Success) => Status::Success,
        () if all(Status::Pending) || ended => Status::Pending,
        () => Status::Running,
    };
    let is_over = matches!(status, Status::Success | Status::Error);
    Step {
        name: name.to_owned(),
        status,
        started_at: steps.iter().filter_map(|it| it.started_at).min(),
        ended_at: steps.iter().filter_map(|it| it.ended_at).max().filter(|_| is_over),
        reason: steps.iter().find(|it| it.status == Status::Error).and_then(|it| it.reason.clone()),
        steps,
        ..Step::default()
    }
}

fn status_of(leaf: &Leaf) -> Status {
    match leaf.status {
        rollout::progress::Status::Pending => Status::Pending,
        rollout::progress::Status::Running => Status::Running,
        rollout::progress::Status::Success => Status::Success,
        rollout::progress::Status::Error => Status::Error,
    }
}

#[cfg(test)]
mod tests {
    use controller::view::Transition;

    #[test]
    fn each_transition_has_the_name_under_which_clients_know_it() {
        use Transition::*;
        for it in [Existed, Intended, Created, Starting, Ready, Routed, Unready, Draining, Stopping, Stopped, Gone] {
            let named = present::Transition::named(it.as_str());
            assert_eq!(format!("{named:?}"), format!("{it:?}"));
            assert_eq!(super::name(&named), it.as_str());
        }
    }
}
