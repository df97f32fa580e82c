//! Rollbacks that a person asks for: the app returns to a deployment that served earlier. Until the rollback is
//! committed or reverted, the app is pinned to it. `rollout::app_rollback` has the rules.

use std::collections::BTreeMap;

use app_spec::AppSpec;
use rollout::app_rollback::{
    AppNow, ConditionCode, DatabaseConfig, ExistingDatabase, Inherited, RollbackCheck, RollbackTarget, after_end,
    check, database_conflict, inherited,
};
use rollout::deployment::{Failure, Stage};
use rollout::ids::{ComponentName, DeploymentId};
use rollout::queue::Request;
use store::records::{
    App, AppRollback, AppState, BeforeRollback, Change, Deployment, Image, RollbackAction, ServedVersion,
};
use tracing::info;

use super::accept::{DeployRequest, RollbackKind};
use super::active;
use super::observe::Snapshot;
use super::records::Records;
use super::serving_images::serving_images;
use super::task::AppTask;
use crate::clock;
use crate::error::ControlError;
use crate::specs::Specs;
use crate::view::Caller;

/// A request for a rollback of an app.
pub(crate) struct RollbackRequest {
    /// The deployment to return to.
    pub to: DeploymentId,
    /// Commit the rollback at once.
    pub skip_pin: bool,
    pub caller: Caller,
}

impl AppTask {
    pub(super) async fn roll_back(
        &mut self,
        snapshot: &Snapshot,
        request: RollbackRequest,
    ) -> Result<Deployment, ControlError> {
        self.check_not_deleted()?;
        let RollbackRequest { to, skip_pin, caller } = request;
        let ask = DeployRequest::new(Request::recorded(), "", caller);
        if let Some(same) = self.repeated(&ask, &RollbackKind::RollBack { to: &to, skip_pin }).await? {
            return Ok(same);
        }
        let records = &self.cx.records;
        let known = self.cx.shared.store.deployment(&to).await?.filter(|it| it.app == records.app.id);
        let specs = records.specs();
        refuse(check_rollback(records, &specs, &to, known.as_ref()))?;
        let (Some(target), Some(before)) = (known, before_rollback(records, &specs)) else {
            return Err(ControlError::Conflict(format!("app {} was never active", records.app.name)));
        };
        let ask = DeployRequest { cause: format!("rollback to deployment {}", target.number), ..ask };
        let mut app = records.app.clone();
        app.spec = target.spec.clone();
        app.updated = clock::now();
        app.deployments += 1;
        let rollback = AppRollback { before: Some(before), ..return_to(&specs, &target) };
        let mut deployment = self.new_deployment(&ask, target.spec.clone(), app.deployments);
        deployment.cloned_from = Some(target.id);
        deployment.app_rollback = Some(rollback);
        app.pinned = (!skip_pin).then(|| deployment.id.clone());
        self.admit_deployment(snapshot, app, deployment, &ask.caller, Vec::new()).await
    }

    /// The rollback stays, and the app takes new deployments. A commit is also accepted while the rollback is under way.
    pub(super) async fn commit_rollback(&mut self) -> Result<(), ControlError> {
        self.check_not_deleted()?;
        let pinned = pinned(&self.cx.records, "commit")?.number;
        info!(number = pinned, "rollback committed");
        let app = App { pinned: None, updated: clock::now(), ..self.cx.records.app.clone() };
        Ok(self.cx.commit(vec![Change::App(app)]).await?)
    }

    /// Deploys what the app had before the rollback. A rollback that is still under way is canceled. If it has not begun,
    /// what serves stays.
    pub(super) async fn revert_rollback(
        &mut self,
        snapshot: &Snapshot,
        caller: Caller,
    ) -> Result<Deployment, ControlError> {
        self.check_not_deleted()?;
        let ask = DeployRequest::new(Request::recorded(), "", caller);
        if let Some(same) = self.repeated(&ask, &RollbackKind::Revert).await? {
            return Ok(same);
        }
        let Revert { mut pinned, spec, rollback } = revert(&self.cx.records)?;
        let ask = DeployRequest { cause: format!("revert of the rollback, deployment {}", pinned.number), ..ask };
        let mut app = self.cx.records.app.clone();
        app.spec = spec.clone();
        (app.updated, app.pinned) = (clock::now(), None);
        app.deployments += 1;
        let mut deployment = self.new_deployment(&ask, spec, app.deployments);
        deployment.cloned_from = rollback.to.as_ref().map(|it| it.deployment.clone());
        deployment.app_rollback = Some(rollback);
        let mut changes = Vec::new();
        if !pinned.stage.is_ended() {
            pinned.cancel_requested = true;
            changes.push(Change::Deployment(Box::new(pinned)));
        }
        self.admit_deployment(snapshot, app, deployment, &ask.caller, changes).await
    }

    /// Refuses new deployments of an app that is pinned to a rollback.
    pub(super) fn check_not_pinned(&self) -> Result<(), ControlError> {
        check_not_pinned(&self.cx.records)
    }
}

/// The rollback that the app is pinned to. `action`: "commit" or "revert". Errors: the app is not pinned.
fn pinned<'a>(state: &'a AppState, action: &str) -> Result<&'a Deployment, ControlError> {
    let (app, name) = (&state.app, &state.app.name);
    let pinned = app.pinned.as_ref().and_then(|id| state.deployments.iter().find(|it| it.id == *id));
    pinned.ok_or_else(|| {
        ControlError::Conflict(format!(
            "nothing to {action}: app {name} is not pinned to a rollback. To roll it back: \
             boatyard apps rollback {name} --deployment NUMBER"
        ))
    })
}

/// What a revert does.
pub(crate) struct Revert {
    /// The rollback that it undoes.
    pub pinned: Deployment,
    /// The spec that it deploys, as stored.
    pub spec: serde_json::Value,
    /// The images that it returns to. A rollback that has not begun left what serves as it was.
    pub rollback: AppRollback,
}

/// The revert of the rollback that the app is pinned to. Errors: the app is not pinned, or the rollback has no record of
/// what served before it.
pub(crate) fn revert(state: &AppState) -> Result<Revert, ControlError> {
    let pinned = pinned(state, "revert")?.clone();
    let Some(before) = pinned.app_rollback.as_ref().and_then(|it| it.before.clone()) else {
        return Err(ControlError::Conflict(format!(
            "deployment {} has no record of what served before it. Keep it, then deploy a spec: \
             boatyard apps rollback commit {}",
            pinned.number, state.app.name
        )));
    };
    let has_begun = pinned.stage != Stage::Pending;
    let rollback = AppRollback {
        action: RollbackAction::Revert,
        to: has_begun.then_some(before.version),
        is_exact: has_begun && before.is_exact,
        before: None,
    };
    Ok(Revert { pinned, spec: before.spec, rollback })
}

pub(crate) fn check_not_pinned(state: &AppState) -> Result<(), ControlError> {
    match pinned_number(state) {
        Some(number) => Err(ControlError::pinned(&state.app.name, number)),
        None => Ok(()),
    }
}

/// The refusal in a check, if there is one.
pub(crate) fn refuse(check: RollbackCheck) -> Result<(), ControlError> {
    match check.error {
        None => Ok(()),
        Some(it) if it.code == ConditionCode::ExceededRevisionLimit => Err(ControlError::NotFound(it.message)),
        Some(it) => Err(ControlError::Conflict(it.message)),
    }
}

/// Whether an app can return to a deployment. `to`: the deployment with this ID; `None` if it is not on record.
pub(crate) fn check_rollback(
    state: &AppState,
    specs: &Specs<'_>,
    id: &DeploymentId,
    to: Option<&Deployment>,
) -> RollbackCheck {
    check(&app_now(state, specs), id, to.map(|it| rollback_target(state, specs, it)).as_ref())
}

/// The same check of the databases again, when a rollback is about to begin: what waited before it may have changed
/// them.
pub(super) fn conflict(records: &Records, deployment: &Deployment) -> Option<Failure> {
    let rollback =
        deployment.app_rollback.as_ref().filter(|it| it.is_exact && it.action == RollbackAction::Rollback)?;
    let (specs, number) = (records.specs(), rollback.to.as_ref()?.number);
    let to = RollbackTarget { number, ..rollback_target(records, &specs, deployment) };
    let found = database_conflict(&app_now(records, &specs), &to)?;
    // A database has no build log, so the failure names no component, and its message names the databases.
    Some(Failure { component: None, code: "DatabaseConfigConflict".into(), message: found.message })
}

/// A return to exactly what a deployment brought.
pub(crate) fn return_to(specs: &Specs<'_>, target: &Deployment) -> AppRollback {
    let spec = specs.open(&target.spec).unwrap_or_default();
    let images =
        target.images.iter().map(|(name, image)| (name.clone(), with_origin(specs, image, &spec, name))).collect();
    AppRollback {
        action: RollbackAction::Rollback,
        to: Some(ServedVersion { deployment: target.id.clone(), number: target.number, images }),
        is_exact: true,
        before: None,
    }
}

/// What a revert returns to: the newest spec, with the images that serve now. `None`: nothing was ever active.
pub(super) fn before_rollback(state: &AppState, specs: &Specs<'_>) -> Option<BeforeRollback> {
    let active = active(state)?;
    let serving = serving_images(state).into_iter();
    let images = serving.map(|(name, (deployment, image))| {
        let spec = specs.open(&deployment.spec).unwrap_or_default();
        (name.clone(), with_origin(specs, image, &spec, name))
    });
    let version = ServedVersion { deployment: active.id.clone(), number: active.number, images: images.collect() };
    let is_exact = state.app.kept.is_none() && same_spec(specs, &active.spec, &state.app.spec);
    Some(BeforeRollback { spec: state.app.spec.clone(), version, is_exact })
}

/// A rollback that waited begins after other deployments, so its revert returns to what serves now. The spec is the one
/// from before the request.
pub(super) fn note_what_serves(records: &Records, deployment: &mut Deployment) {
    let Some(before) = deployment.app_rollback.as_mut().and_then(|it| it.before.as_mut()) else { return };
    let specs = records.specs();
    let Some(now) = before_rollback(records, &specs) else { return };
    let active = active(records);
    before.is_exact = records.app.kept.is_none() && active.is_some_and(|it| same_spec(&specs, &it.spec, &before.spec));
    before.version = now.version;
}

/// When a rollback ends without success: records what becomes of its app. `changes`: those of the same commit.
pub(super) fn record_end(records: &Records, ended: &Deployment, stage: Stage, changes: &mut Vec<Change>) {
    let before = ended.app_rollback.as_ref().and_then(|it| it.before.as_ref());
    if records.app.deleting {
        return;
    }
    let in_commit = changes.iter_mut().find_map(|it| if let Change::App(app) = it { Some(app) } else { None });
    let app = in_commit.as_deref().unwrap_or(&records.app);
    let newer = |it: &Deployment| it.number > ended.number && !it.stage.is_ended() && !it.request.is_restart();
    let newer_deploys = records.deployments.iter().any(newer);
    let is_its_spec = before.is_some() && app.spec == ended.spec;
    let after = after_end(stage, app.pinned.as_ref() == Some(&ended.id), is_its_spec, newer_deploys);
    if !after.unpin && !after.restore_spec {
        return;
    }
    info!(number = ended.number, unpin = after.unpin, restore_spec = after.restore_spec, "rollback of the app undone");
    let mut app = app.clone();
    if after.unpin {
        app.pinned = None;
    }
    if let Some(before) = before.filter(|_| after.restore_spec) {
        app.spec = before.spec.clone();
    }
    app.updated = clock::now();
    match in_commit {
        Some(place) => *place = app,
        None => changes.push(Change::App(app)),
    }
}

/// Moves the rollback of a waiting deployment to the one that absorbs it. `app`: the app in the same commit.
/// `deployment`: with its own request, which is not yet merged.
pub(super) fn absorb(app: &mut App, deployment: &mut Deployment, waited: &Deployment) {
    if let Some(rollback) = inherited_rollback(waited, &deployment.request) {
        // A new spec is not a copy of the earlier deployment.
        deployment.cloned_from = waited.cloned_from.clone().filter(|_| deployment.request.is_restart());
        deployment.app_rollback = Some(rollback);
    }
    if app.pinned.as_ref() == Some(&waited.id) {
        app.pinned = Some(deployment.id.clone());
    }
}

/// The part of a waiting deployment's rollback that a newer request carries out when it absorbs the deployment.
pub(crate) fn inherited_rollback(waited: &Deployment, newer: &Request) -> Option<AppRollback> {
    let rollback = waited.app_rollback.clone()?;
    match inherited(&waited.request, newer) {
        Inherited::Nothing => None,
        Inherited::Versions => Some(AppRollback { is_exact: false, before: None, ..rollback }),
        Inherited::Rollback => Some(rollback),
    }
}

/// Whether a deployment runs no job, and leaves databases alone, because all of it served before.
pub(crate) fn is_exact(deployment: &Deployment) -> bool {
    deployment.app_rollback.as_ref().is_some_and(|it| it.is_exact)
}

/// Notes about what a rollback does not do.
pub(super) fn notes(state: &AppState, deployment: &Deployment, spec: &AppSpec) -> Vec<String> {
    if !is_exact(deployment) {
        return Vec::new();
    }
    let jobs = (!spec.jobs.is_empty()).then(|| "jobs do not run in a rollback, and data is not rolled back".to_owned());
    let added = super::databases_unwanted_by(state, spec);
    let added =
        added.map(|it| format!("database {} is not in this spec, and keeps running until the next update", it.name));
    jobs.into_iter().chain(added).collect()
}

fn pinned_number(state: &AppState) -> Option<u64> {
    let pinned = state.app.pinned.as_ref()?;
    state.deployments.iter().find(|it| it.id == *pinned).map(|it| it.number)
}

fn app_now(state: &AppState, specs: &Specs<'_>) -> AppNow {
    let declared = active(state).and_then(|it| specs.open(&it.spec)).unwrap_or_default();
    let replaces_what_serves =
        |it: &&Deployment| !it.stage.is_ended() && !it.request.is_restart() && !it.cancel_requested;
    let mut under_way: Vec<_> = state.deployments.iter().filter(replaces_what_serves).map(|it| it.number).collect();
    under_way.sort_unstable();
    let existing = state.databases.iter().map(|it| ExistingDatabase {
        name: it.name.clone(),
        engine: it.engine.clone(),
        version: it.version.clone(),
        is_wanted: it.wanted,
    });
    AppNow {
        name: state.app.name.clone(),
        pinned: pinned_number(state),
        under_way,
        declared: database_configs(&declared),
        existing: existing.collect(),
    }
}

fn rollback_target(state: &AppState, specs: &Specs<'_>, to: &Deployment) -> RollbackTarget {
    let spec = specs.open(&to.spec);
    let without_digest = |spec: &AppSpec| {
        let runs = |name: &ComponentName| !spec.jobs.iter().any(|job| job.common.name == name.as_str());
        let lacks = |it: &Image| it.commit.is_none() && it.digest.is_none();
        to.images.iter().filter(|(name, image)| runs(name) && lacks(image)).map(|(name, _)| name.clone()).collect()
    };
    RollbackTarget {
        number: to.number,
        stage: to.stage,
        has_served: to.has_served(),
        serves: serves(state, specs, to),
        is_readable: spec.is_some(),
        databases: spec.as_ref().map(database_configs).unwrap_or_default(),
        without_digest: spec.as_ref().map(without_digest).unwrap_or_default(),
    }
}

/// Whether the app runs the deployment's spec and images now. A restart and a rollback copy both.
fn serves(state: &AppState, specs: &Specs<'_>, to: &Deployment) -> bool {
    let ids = |it: &Deployment| -> BTreeMap<ComponentName, String> {
        it.images.iter().map(|(name, image)| (name.clone(), image.id.clone())).collect()
    };
    let same = |active: &Deployment| ids(active) == ids(to) && same_spec(specs, &active.spec, &to.spec);
    state.app.kept.is_none() && active(state).is_some_and(same)
}

fn same_spec(specs: &Specs<'_>, one: &serde_json::Value, other: &serde_json::Value) -> bool {
    one == other || specs.open(one).is_some_and(|it| Some(it) == specs.open(other))
}

fn database_configs(spec: &AppSpec) -> Vec<DatabaseConfig> {
    let config = |it: &app_spec::Database| DatabaseConfig {
        name: it.name.as_str().into(),
        engine: it.engine().as_str().to_owned(),
        version: it.version.clone(),
    };
    spec.databases.iter().map(config).collect()
}

/// Images of older versions have no origin; then the spec of their deployment has it.
fn with_origin(specs: &Specs<'_>, image: &Image, spec: &AppSpec, component: &ComponentName) -> Image {
    let origin = image.origin.clone().or_else(|| specs.origin(spec, component));
    Image { origin, ..image.clone() }
}
