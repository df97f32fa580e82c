//! Restarts: exact copies of what serves. A restart rolls as soon as the commit that begins it is written. Until it has
//! created a container, it can end without a trace.

use rollout::deployment::{Event, Stage};
use rollout::instance::InstancePhase;
use rollout::observed::ContainerSeen;
use rollout::progress::{LeafKey, Reason};
use rollout::target::restarted;
use store::records::{App, Change, Deployment, Image, Instance};

use super::actions::Subject;
use super::context::Context;
use super::observe::Snapshot;
use super::records::Records;
use super::serving_images::serving_images;
use super::{instances, rollout_report};
use crate::clock;

/// Begins a restart. It copies the spec, images and targets that serve, and raises the generation of the chosen
/// components. One commit records it together with its first instance. `app`: the app, with the other changes of that
/// commit.
pub(super) fn begin(cx: &mut Context, snapshot: &Snapshot, mut app: App, deployment: &mut Deployment) -> Vec<Change> {
    let now = clock::now();
    app.generation += 1;
    copy_active(&cx.records, app.generation, deployment);
    for leaf in [LeafKey::BuildInitialize, LeafKey::DeployInitialize] {
        deployment.progress.start(&leaf, now);
        deployment.progress.succeed(&leaf, None, now);
    }
    deployment.record.roll_began = Some(now);
    rollout_report::begin_counting(cx, deployment);
    cx.observer.start_failures.clear();
    let instance = instances::first_of(cx, snapshot, &mut app, deployment);
    instance.map(Change::Instance).into_iter().chain([Change::App(app)]).collect()
}

/// Whether a restart rolls and has created no container yet, according to the records.
pub(super) fn is_untouched(cx: &Context, deployment: &Deployment) -> bool {
    let made = |it: &Instance| {
        let is_its_own = it.deployment == deployment.id;
        let is_busy = || cx.actions.is_running(&Subject::Instance(it.name.clone()));
        is_its_own && (it.phase != InstancePhase::Intended || is_busy())
    };
    deployment.stage == Stage::Rolling && deployment.request.is_restart() && !cx.records.instances.iter().any(made)
}

/// Forgets the instances of a deployment that have no container. The planner ends the others.
pub(super) fn unmade_instances(records: &Records, snapshot: &Snapshot, deployment: &Deployment) -> Vec<Change> {
    let is_unmade = |it: &&Instance| {
        let has_no_container = snapshot.container(&it.name) == ContainerSeen::Missing;
        it.deployment == deployment.id && it.phase == InstancePhase::Intended && has_no_container
    };
    let unmade = records.instances.iter().filter(is_unmade);
    unmade.map(|it| Change::ForgetInstance(it.name.clone())).collect()
}

/// A restart that created nothing did not roll, so its record must not contain a count.
pub(super) fn forget_roll(deployment: &mut Deployment, event: Event) {
    if matches!(event, Event::Refused | Event::Withdrawn) {
        deployment.record.roll_began = None;
        deployment.record.counted.clear();
    }
}

fn copy_active(records: &Records, generation: u64, deployment: &mut Deployment) {
    let Some(active) = records.active() else { return };
    let targets = restarted(records.targets_in_force(), &deployment.request.restart, generation);
    let note = "the image that serves, not built or fetched again".to_owned();
    let keep = |image: &Image| Image { built: false, note: note.clone(), ..image.clone() };
    let images = serving_images(records).into_iter();
    deployment.images = images.map(|(name, (_, image))| (name.clone(), keep(image))).collect();
    deployment.record.unchanged = rollout_report::unchanged(records, &targets, deployment);
    deployment.targets = Some(targets);
    deployment.job_revisions = active.job_revisions.clone();
    deployment.cloned_from = Some(active.id.clone());
    deployment.spec = active.spec.clone();
    // A restart builds nothing, and its build leaves give that as their reason.
    for name in deployment.images.keys() {
        let reason = Reason { code: "PreviousBuildReused".into(), message: "restart: the image that serves".into() };
        deployment.progress.succeed(&LeafKey::Build(name.clone()), Some(reason), clock::now());
    }
}
