//! Accepts requests: checks them against the active deployment, records them as deployments, and merges them with a
//! waiting one.

use std::collections::BTreeMap;

use app_spec::{AppSpec, Component};
use rollout::deployment::{Event, Stage};
use rollout::ids::{ComponentName, DeploymentId};
use rollout::progress::{Progress, Reason, Shown};
use rollout::queue::{Admission, Build, QueuePosition, Request, Restart};
use rollout::repeat::{Accepted, is_repeat, makes_real};
use store::records::{App, AppState, Change, Deployment, Idempotency, Record, RollbackAction};
use tracing::info;
use uuid::Uuid;

use super::observe::Snapshot;
use super::records::queued;
use super::task::AppTask;
use super::{AppCommand, app_rollback, jobs, restart};
use crate::clock;
use crate::error::{ControlError, closest};
use crate::specs::Specs;
use crate::view::{Caller, SpecVersion};

/// A request for a deployment of an app.
pub(crate) struct DeployRequest {
    pub request: Request,
    /// The new spec, if the request contains one.
    pub spec: Option<NewSpec>,
    /// The cause, in words for people.
    pub cause: String,
    /// The newest versions that a push or a poll found.
    pub found_versions: BTreeMap<ComponentName, String>,
    pub caller: Caller,
}

impl DeployRequest {
    /// A request without a new spec, which no push or poll caused.
    pub fn new(request: Request, cause: impl Into<String>, caller: Caller) -> Self {
        Self { request, spec: None, cause: cause.into(), found_versions: BTreeMap::new(), caller }
    }
}

/// A spec that replaces that of the app.
pub(crate) struct NewSpec {
    pub spec: AppSpec,
    /// Refuse the spec if it would replace another one than this.
    pub replaces: Option<SpecVersion>,
}

/// Whether a request rolls the app back. Two requests are equal only if this is equal too.
pub(super) enum RollbackKind<'a> {
    None,
    RollBack { to: &'a DeploymentId, skip_pin: bool },
    Revert,
}

impl RollbackKind<'_> {
    fn is_that_of(&self, accepted: &Deployment, app: &App) -> bool {
        let action = accepted.app_rollback.as_ref().map(|it| it.action);
        match self {
            Self::None => action.is_none(),
            Self::RollBack { to, skip_pin } => {
                let is_pinned = app.pinned.as_ref() == Some(&accepted.id);
                let is_to = accepted.cloned_from.as_ref() == Some(*to);
                action == Some(RollbackAction::Rollback) && is_to && is_pinned != *skip_pin
            }
            Self::Revert => action == Some(RollbackAction::Revert),
        }
    }
}

impl AppTask {
    pub(super) async fn answer(&mut self, snapshot: &Snapshot, request: AppCommand) {
        // If the caller has disconnected, the reply is lost, but the request stays recorded.
        match request {
            AppCommand::Deploy { request, reply } => drop(reply.send(self.accept(snapshot, *request).await)),
            AppCommand::RollBack { request, reply } => drop(reply.send(self.roll_back(snapshot, *request).await)),
            AppCommand::CommitRollback { reply } => drop(reply.send(self.commit_rollback().await)),
            AppCommand::RevertRollback { caller, reply } => {
                drop(reply.send(self.revert_rollback(snapshot, caller).await));
            }
            AppCommand::Cancel { deployment, reply } => drop(reply.send(self.cancel(&deployment).await)),
            AppCommand::CancelJob { deployment, job, reply } => {
                drop(reply.send(self.cancel_job(&deployment, &job).await));
            }
            AppCommand::SetSecretBuildArguments { allowed, reply } => {
                drop(reply.send(self.set_secret_build_arguments(allowed).await));
            }
            AppCommand::Delete { reply } => drop(reply.send(self.delete().await)),
        }
    }

    /// See [`App::secret_build_arguments`]. Builds that have begun are not affected.
    async fn set_secret_build_arguments(&mut self, allowed: bool) -> Result<(), ControlError> {
        self.check_not_deleted()?;
        info!(allowed, "secrets as build arguments");
        let app = App { secret_build_arguments: allowed, ..self.cx.records.app.clone() };
        Ok(self.cx.commit(vec![Change::App(app)]).await?)
    }

    /// A deleted app takes no requests, even while its containers are still being removed.
    pub(super) fn check_not_deleted(&self) -> Result<(), ControlError> {
        let app = &self.cx.records.app;
        if app.deleting { Err(ControlError::deleted(&app.name)) } else { Ok(()) }
    }

    async fn accept(&mut self, snapshot: &Snapshot, ask: DeployRequest) -> Result<Deployment, ControlError> {
        self.check_not_deleted()?;
        self.check_restart(&ask.request)?;
        if let Some(same) = self.repeated(&ask, &RollbackKind::None).await? {
            return Ok(same);
        }
        let mut app = self.cx.records.app.clone();
        let spec = match &ask.spec {
            // An equal spec changes nothing, unless the newest sources are requested.
            Some(NewSpec { spec, replaces }) => match unchanged(&self.cx.records, &self.cx.records.specs(), spec) {
                Some(newest) if ask.request.build == Build::KeepSources => return Ok(newest.clone()),
                _ if replaces.is_some_and(|it| it != SpecVersion::of(&app.spec)) => {
                    return Err(ControlError::spec_changed(&app.name));
                }
                _ => {
                    app.spec = self.cx.records.specs().seal(spec, Some(&app.spec));
                    app.updated = clock::now();
                    app.spec.clone()
                }
            },
            None if ask.request.is_restart() => self.cx.records.active().map_or(app.spec.clone(), |it| it.spec.clone()),
            None => app.spec.clone(),
        };
        if !ask.request.is_restart() {
            self.check_not_pinned()?;
        }
        app.deployments += 1;
        if ask.request.build == Build::ForceWithoutCache {
            app.build_caches = app.deployments;
        }
        let deployment = self.new_deployment(&ask, spec, app.deployments);
        self.admit_deployment(snapshot, app, deployment, &ask.caller, Vec::new()).await
    }

    /// Queues a deployment. It may absorb the one that waited before it. The same commit contains `changes`.
    pub(super) async fn admit_deployment(
        &mut self,
        snapshot: &Snapshot,
        mut app: App,
        mut deployment: Deployment,
        caller: &Caller,
        mut changes: Vec<Change>,
    ) -> Result<Deployment, ControlError> {
        let open = queued(&self.cx.records);
        let QueuePosition { admission, waiting, .. } = QueuePosition::of(&open, &deployment.request);
        let waiting = self.cx.records.deployments.iter().find(|it| Some(it.number) == waiting);
        let is_its_turn = matches!(admission, Admission::Begin | Admission::BeginBeside);
        if let Admission::Absorb(merged) = admission {
            let mut waited = waiting.expect("only what waits is absorbed").clone();
            if merged.build != Build::Frozen && deployment.request.is_restart() {
                // The merged deployment must still deploy the newest spec.
                deployment.spec = self.cx.records.app.spec.clone();
            }
            if merged != deployment.request {
                deployment.cause = format!("{}; {}", deployment.cause, waited.cause);
            }
            let replaces = deployment.request.replaces(&waited.request);
            deployment.updates_spec |= waited.updates_spec && !replaces;
            if !replaces {
                // This deployment tries them now, and the one that waited counts no more.
                let newer = std::mem::replace(&mut deployment.found_versions, waited.found_versions.clone());
                deployment.found_versions.extend(newer);
            }
            app_rollback::absorb(&mut app, &mut deployment, &waited);
            deployment.request = merged;
            let becomes = if replaces { "replaced by" } else { "absorbed into" };
            let message = format!("{becomes} deployment {}", deployment.number);
            waited.progress.end_without_success(Reason { code: "Superseded".into(), message }, clock::now());
            waited.superseded_by = Some(deployment.id.clone());
            (waited.stage, waited.stage_since) = (Stage::Superseded, clock::now());
            waited.updated = clock::now();
            changes.push(Change::Deployment(Box::new(waited)));
        }
        // Only now is it known what the deployment does.
        deployment.progress = progress(&self.cx.records.specs(), &deployment);
        if let Some(key) = &caller.idempotency_key {
            changes.push(Change::Idempotency(Idempotency {
                caller: caller.token_hash.clone(),
                key: key.clone(),
                deployment: deployment.id.clone(),
                created: clock::now(),
            }));
        }
        changes.extend(caller.accepted(&app, &deployment.id));
        let begins = is_its_turn && deployment.request.is_restart() && self.cx.records.rolling().is_none();
        match deployment.stage.next(Event::RestartBegun) {
            Ok(stage) if begins => {
                changes.extend(restart::begin(&mut self.cx, snapshot, app, &mut deployment));
                deployment.stage = stage;
            }
            _ => changes.push(Change::App(app)),
        }
        changes.push(Change::Deployment(Box::new(deployment.clone())));
        self.cx.commit(changes).await?;
        caller.audit_is_written();
        let (number, cause, token_name) = (deployment.number, &deployment.cause, &caller.actor.name);
        info!(deployment = %deployment.id, number, cause, token_name, "deployment accepted");
        Ok(deployment)
    }

    /// A deployment for [`Self::admit_deployment`], which adds its progress.
    pub(super) fn new_deployment(&self, ask: &DeployRequest, spec: serde_json::Value, number: u64) -> Deployment {
        let now = clock::now();
        Deployment {
            id: DeploymentId::new(Uuid::new_v4().to_string()),
            app: self.cx.records.app.id.clone(),
            number,
            stage: Stage::Pending,
            stage_since: now,
            created: now,
            updated: now,
            request: ask.request.clone(),
            cause: ask.cause.clone(),
            updates_spec: ask.spec.is_some(),
            spec,
            previous: self.cx.records.app.active.clone(),
            cloned_from: None,
            superseded_by: None,
            app_rollback: None,
            cancel_requested: false,
            caller: ask.caller.token_hash.clone(),
            actor: Some(ask.caller.actor.clone()),
            commits: Default::default(),
            found_versions: ask.found_versions.clone(),
            images: Default::default(),
            targets: None,
            job_revisions: Default::default(),
            nothing_to_do: false,
            progress: Progress::default(),
            failure: None,
            log_tail: Vec::new(),
            record: Record::default(),
        }
    }

    /// Accepts a restart only for services and workers of what serves. Refuses any other with the reason.
    fn check_restart(&self, request: &Request) -> Result<(), ControlError> {
        if !request.is_restart() {
            return Ok(());
        }
        let name = &self.cx.records.app.name;
        let Some(active) = self.cx.records.active() else {
            return Err(ControlError::Conflict(format!(
                "app {name} was never active, so there is nothing to restart; deploy it: boatyard apps create-deployment {name}"
            )));
        };
        let spec = self.cx.records.specs().open(&active.spec).unwrap_or_default();
        check_restart(name, &spec, &request.restart)
    }

    /// The deployment of an earlier, identical request. Requests match by idempotency key. Restarts, rollbacks and force
    /// rebuilds also match if they are equal and close in time.
    pub(super) async fn repeated(
        &self,
        ask: &DeployRequest,
        rollback: &RollbackKind<'_>,
    ) -> Result<Option<Deployment>, ControlError> {
        let now = clock::now();
        if let Some(key) = &ask.caller.idempotency_key
            && let Some(id) = self.cx.shared.store.accepted(&ask.caller.token_hash, key, now).await?
        {
            let accepted = self.cx.shared.store.deployment(&id).await?;
            // Answering with that deployment would look as if this request had been carried out.
            if accepted.as_ref().is_some_and(|it| !self.is_same(ask, rollback, it)) {
                return Err(ControlError::Conflict(format!(
                    "the idempotency key {key:?} was used for another request. Nothing was changed; send this one with another key"
                )));
            }
            return Ok(accepted);
        }
        let same = |it: &&Deployment| {
            let accepted = Accepted { stage: it.stage, created: it.created, caller: &it.caller, request: &it.request };
            let is_repeat = ask.spec.is_none() && is_repeat(&accepted, &ask.caller.token_hash, &ask.request, now);
            is_repeat && rollback.is_that_of(it, &self.cx.records.app)
        };
        Ok(self.cx.records.deployments.iter().find(same).cloned())
    }

    /// Whether the request is the one that the deployment was accepted for.
    fn is_same(&self, ask: &DeployRequest, rollback: &RollbackKind<'_>, accepted: &Deployment) -> bool {
        let records = &self.cx.records;
        let has_spec = |new: &NewSpec| {
            accepted.updates_spec && records.specs().open(&accepted.spec).is_some_and(|spec| spec == new.spec)
        };
        let has_merged = records.deployments.iter().any(|it| it.superseded_by.as_ref() == Some(&accepted.id));
        let asks_for = match has_merged {
            false => accepted.request == ask.request,
            true => accepted.request.covers(&ask.request),
        };
        let action = accepted.app_rollback.as_ref().map(|it| it.action);
        accepted.app == records.app.id
            && asks_for
            && ask.spec.as_ref().is_none_or(has_spec)
            && match rollback {
                // A request that merged with a rollback carries it out, too.
                RollbackKind::None => has_merged || action.is_none(),
                // The pin of the rollback may be gone by now.
                RollbackKind::RollBack { to, .. } => {
                    action == Some(RollbackAction::Rollback) && accepted.cloned_from.as_ref() == Some(*to)
                }
                RollbackKind::Revert => action == Some(RollbackAction::Revert),
            }
    }

    async fn cancel(&mut self, id: &DeploymentId) -> Result<Deployment, ControlError> {
        self.check_not_deleted()?;
        let stored = match self.cx.records.deployment(id).cloned() {
            // The records contain no older deployments.
            None => self.cx.shared.store.deployment(id).await?.filter(|it| it.app == self.cx.records.app.id),
            known => known,
        };
        let mut deployment = stored.ok_or_else(|| ControlError::NotFound(format!("no deployment {id} of this app")))?;
        if deployment.stage.next(Event::CancelAsked).is_err() && deployment.stage != Stage::RollingBack {
            let phase = deployment.stage.phase();
            return Err(ControlError::Conflict(format!(
                "deployment {id} is {phase}; only one under way can be canceled"
            )));
        }
        deployment.cancel_requested = true;
        self.cx.commit(vec![Change::Deployment(Box::new(deployment.clone()))]).await?;
        Ok(deployment)
    }

    async fn cancel_job(&mut self, deployment: &DeploymentId, job: &ComponentName) -> Result<(), ControlError> {
        self.check_not_deleted()?;
        jobs::cancel(&mut self.cx, deployment, job).await
    }

    /// Writes the tombstone first, so that an accepted deletion always completes. From then on the app's name and host
    /// name are free.
    async fn delete(&mut self) -> Result<(), ControlError> {
        self.check_not_deleted()?;
        let mut app = self.cx.records.app.clone();
        app.deleting = true;
        app.pinned = None;
        app.updated = clock::now();
        let mut changes = vec![Change::App(app)];
        for mut deployment in
            self.cx.records.deployments.iter().filter(|it| !it.stage.is_ended()).cloned().collect::<Vec<_>>()
        {
            self.images.end(&mut self.cx, &deployment.id);
            let reason = Reason { code: "Canceled".into(), message: "the app was deleted".into() };
            deployment.progress.end_without_success(reason, clock::now());
            (deployment.stage, deployment.stage_since) = (Stage::Canceled, clock::now());
            changes.push(Change::Deployment(Box::new(deployment)));
        }
        self.cx.commit(changes).await?;
        self.cx.shared.ingress.release_hosts(self.cx.records.app.id.as_str());
        Ok(())
    }
}

/// The deployment that already deploys this spec, if there is one.
pub(crate) fn unchanged<'a>(state: &'a AppState, specs: &Specs<'_>, spec: &AppSpec) -> Option<&'a Deployment> {
    let newest = &state.app.spec;
    let equal = specs.open(newest).is_some_and(|before| before == *spec);
    let is_real = |it: &&Deployment| it.spec == *newest && makes_real(it.stage, it.cancel_requested);
    state.deployments.iter().filter(|_| equal).filter(is_real).max_by_key(|it| it.number)
}

/// Checks that every component that a restart names can be restarted.
pub(crate) fn check_restart(app: &str, spec: &AppSpec, restart: &Restart) -> Result<(), ControlError> {
    match restart {
        Restart::All => Ok(()),
        Restart::Only(chosen) => chosen.iter().try_for_each(|component| check_component(app, spec, component)),
    }
}

fn check_component(app: &str, spec: &AppSpec, component: &ComponentName) -> Result<(), ControlError> {
    let name = component.as_str();
    if spec.database(name).is_some() {
        return Err(ControlError::Invalid(format!(
            "{name} is a database of {app}: a restart leaves databases alone, so that no data is at risk"
        )));
    }
    match spec.component(name) {
        Some(Component::Service(_) | Component::Worker(_)) => Ok(()),
        Some(Component::Job(_)) => Err(ControlError::Invalid(format!(
            "{name} is a job of {app}: jobs run in deployments only, never in a restart. To run it: boatyard apps create-deployment {app}"
        ))),
        Some(other) => Err(ControlError::Invalid(format!(
            "{name} is a {} of {app}: it has no instances. To build it again: boatyard apps create-deployment {app} --force-rebuild",
            other.kind().as_str()
        ))),
        None => {
            let known =
                spec.services.iter().map(|it| &it.common.name).chain(spec.workers.iter().map(|it| &it.common.name));
            Err(ControlError::Invalid(format!("app {app} has no component {name:?}.{}", closest(name, known))))
        }
    }
}

/// The tree of steps of a deployment that has not begun: those of the components that it brings.
fn progress(specs: &Specs<'_>, deployment: &Deployment) -> Progress {
    let spec = specs.open(&deployment.spec).unwrap_or_default();
    let (request, is_exact) = (&deployment.request, app_rollback::is_exact(deployment));
    let is_brought = |it: &Component<'_>| match it {
        Component::Service(_) | Component::Worker(_) => {
            !request.is_restart() || request.restart.names(&it.name().into())
        }
        Component::Job(_) => !request.is_restart() && !is_exact,
        _ => !request.is_restart(),
    };
    let shown = |it: Component<'_>| Shown {
        component: it.name().into(),
        noun: it.kind().as_str(),
        waits: matches!(it, Component::Service(_) | Component::Worker(_)),
    };
    Progress::new(&spec.components().filter(is_brought).map(shown).collect::<Vec<_>>())
}
