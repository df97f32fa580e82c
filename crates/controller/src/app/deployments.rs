//! Moves deployments through their stages.

use std::sync::Arc;

use app_spec::{AppSpec, Component, JobKind, Source};
use rollout::deployment::{Event, Facts, Failure, Move, Stage, next_move};
use rollout::ids::ComponentName;
use rollout::job::JobOutcome;
use rollout::limits;
use rollout::plan::RolloutStatus;
use rollout::progress::{LeafKey, Reason};
use rollout::queue::to_advance;
use rollout::rollback::{self, Kept};
use rollout::site_files::after_success;
use store::StoreError;
use store::records::{App, Change, Database, Deployment, ServingOverride};
use tracing::{info, warn};

use super::actions::Subject;
use super::compose::{Composed, clamped, compose};
use super::context::Context;
use super::databases::{databases_unwanted_by, kept_version};
use super::observe::Snapshot;
use super::records::{Records, queued};
use super::routing::rules_in_force;
use super::task::AppTask;
use super::{app_rollback, images, jobs, restart, rollout_report};
use crate::clock;
use crate::config::Config;

impl AppTask {
    /// Makes one move of one deployment. Returns whether there was a move.
    pub(super) async fn advance_deployments(&mut self, snapshot: &Snapshot) -> Result<bool, StoreError> {
        for number in to_advance(&queued(&self.cx.records)) {
            let of_number = self.cx.records.deployments.iter().find(|it| it.number == number);
            let Some(deployment) = of_number.cloned() else { continue };
            // A rollback does not need the spec, so it must not fail if the spec is missing.
            let rolls_back = deployment.stage == Stage::RollingBack;
            let Some(spec) = self.cx.records.spec_of(&deployment).or_else(|| rolls_back.then(Arc::default)) else {
                let message = "its stored spec cannot be read by this version".to_owned();
                let failure = Failure { component: None, code: "InvalidSpec".into(), message };
                self.fail(deployment, failure, Event::Broke, Vec::new()).await?;
                return Ok(true);
            };
            let facts = self.facts(snapshot, &deployment, &spec);
            let moved = match next_move(deployment.stage, &facts, self.cx.shared.config.parallel_builds) {
                Move::Wait => false,
                Move::Go(event) => self.go(snapshot, deployment, &spec, event).await.map(|()| true)?,
                Move::Fail(failure) => self.fail(deployment, failure, Event::Broke, Vec::new()).await.map(|()| true)?,
                Move::Refuse(failure) => {
                    let unmade = restart::unmade_instances(&self.cx.records, snapshot, &deployment);
                    self.fail(deployment, failure, Event::Refused, unmade).await.map(|()| true)?
                }
                Move::Abandon(why) => self.abandon_rollback(snapshot, deployment, &why).await.map(|()| true)?,
                Move::Build(component) if deployment.request.is_restart() => {
                    self.images.begin_check(&mut self.cx, &deployment, component);
                    true
                }
                // GC could delete a new image, which looks unused.
                Move::Build(_) if self.cx.actions.is_running(&Subject::Gc) => false,
                Move::Build(component) => {
                    self.images.begin(&mut self.cx, deployment, &spec, component).await.map(|()| true)?
                }
                Move::Database(name) => self.databases.bring_up(&mut self.cx, &name),
                Move::Job(job) => jobs::advance(&mut self.cx, snapshot, &deployment, &job).await?,
            };
            if moved {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn facts(&self, snapshot: &Snapshot, deployment: &Deployment, spec: &AppSpec) -> Facts {
        let (cx, stage, now) = (&self.cx, deployment.stage, snapshot.now);
        // The time in the queue does not count.
        let begun = match stage {
            Stage::Pending => now,
            Stage::RollingBack => deployment.stage_since,
            _ => deployment.progress.leaf(&LeafKey::BuildInitialize).and_then(|it| it.started).unwrap_or(now),
        };
        let limit = match (stage, &deployment.targets) {
            (Stage::RollingBack, Some(failed)) => limits::rollback(cx.records.targets_in_force(), failed),
            _ => cx.shared.config.deployment_limit,
        };
        let mut facts = Facts {
            is_restart: deployment.request.is_restart(),
            cancel_requested: deployment.cancel_requested,
            overdue: now.since(begun) >= limit,
            rollout_taken: cx.records.rolling().is_some_and(|it| it.id != deployment.id),
            is_untouched: restart::is_untouched(cx, deployment),
            ..Facts::default()
        };
        if facts.is_untouched {
            facts.images = self.images.restart_parts(cx, deployment);
        }
        match stage {
            Stage::Building => facts.images = self.images.parts(cx, deployment, spec),
            Stage::Preparing if brings_something(deployment) => {
                facts.databases = self.databases.parts(cx, spec);
                facts.pre_deploy = job_outcomes(cx, deployment, spec, JobKind::PreDeploy);
            }
            Stage::Rolling | Stage::RollingBack => {
                let status = match snapshot.status.clone() {
                    RolloutStatus::Complete if !snapshot.routes.is_acknowledged => RolloutStatus::Draining,
                    status => status,
                };
                let lost = || lost(&status, snapshot).filter(|_| stage == Stage::Rolling);
                facts.given_up = deployment.failure.clone().or_else(lost);
                facts.rollout_status = Some(status);
                if stage == Stage::RollingBack {
                    facts.restore_failed = cx.observer.start_failures.restore_failed.clone();
                    let waits = |it: &Deployment| it.stage == Stage::Pending && !it.cancel_requested;
                    facts.newer_waits = cx.records.deployments.iter().any(waits);
                }
            }
            Stage::Finishing if brings_something(deployment) => {
                facts.post_deploy = job_outcomes(cx, deployment, spec, JobKind::PostDeploy);
            }
            _ => {}
        }
        facts
    }

    /// Makes one legal move. One commit records everything that belongs to it.
    async fn go(
        &mut self,
        snapshot: &Snapshot,
        mut deployment: Deployment,
        spec: &AppSpec,
        event: Event,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        match event {
            Event::Begun => {
                deployment.progress.start(&LeafKey::BuildInitialize, now);
                deployment.progress.succeed(&LeafKey::BuildInitialize, None, now);
                app_rollback::note_what_serves(&self.cx.records, &mut deployment);
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::RestartBegun => {
                let app = self.cx.records.app.clone();
                let changes = restart::begin(&mut self.cx, snapshot, app, &mut deployment);
                self.advance_to(deployment, event, changes).await
            }
            Event::ImagesReady => self.resolve_targets(deployment, spec).await,
            Event::RolloutFree => {
                deployment.progress.start(&LeafKey::DeployInitialize, now);
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::Prepared => {
                deployment.progress.succeed(&LeafKey::DeployInitialize, None, now);
                deployment.record.roll_began = Some(now);
                rollout_report::begin_counting(&self.cx, &mut deployment);
                self.cx.observer.start_failures.clear();
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::Rolled => {
                deployment.record.roll_ended = Some(now);
                deployment.record.serving_since.get_or_insert(now);
                rollout_report::note_stuck(snapshot, &mut deployment);
                rollout_report::settle(&self.cx, &mut self.routing, &mut deployment).await;
                self.images.forget(&deployment.id);
                deployment.progress.start(&LeafKey::Finalize, now);
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::Succeeded => self.succeed(deployment, spec).await,
            Event::Withdrawn => {
                let unmade = restart::unmade_instances(&self.cx.records, snapshot, &deployment);
                self.cancel_unchanged(deployment, event, unmade).await
            }
            Event::CancelAsked if !deployment.stage.rolls() || deployment.stage == Stage::Preparing => {
                self.cancel_unchanged(deployment, event, Vec::new()).await
            }
            Event::CancelAsked => {
                let message = "canceled; what was replaced is rolled back".to_owned();
                let failure = Failure { component: None, code: "Canceled".into(), message };
                self.fail(deployment, failure, Event::Broke, Vec::new()).await
            }
            Event::RolledBack => self.end_rollback(snapshot, deployment, event, Vec::new()).await,
            Event::Broke | Event::Refused | Event::Displaced | Event::Abandoned => {
                self.advance_to(deployment, event, Vec::new()).await
            }
        }
    }

    /// Ends a deployment that a person canceled before it changed anything that serves.
    async fn cancel_unchanged(
        &mut self,
        mut deployment: Deployment,
        event: Event,
        changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        self.images.end(&mut self.cx, &deployment.id);
        let message = "canceled before anything that serves was changed".to_owned();
        deployment.progress.end_without_success(Reason { code: "Canceled".into(), message }, clock::now());
        restart::forget_roll(&mut deployment, event);
        self.advance_to(deployment, event, changes).await
    }

    async fn end_rollback(
        &mut self,
        snapshot: &Snapshot,
        mut deployment: Deployment,
        event: Event,
        changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        deployment.record.roll_ended = Some(clock::now());
        self.cx.observer.start_failures.restore_failed = None;
        rollout_report::note_stuck(snapshot, &mut deployment);
        rollout_report::settle(&self.cx, &mut self.routing, &mut deployment).await;
        close_failed(&mut deployment);
        // If a person started the rollback by canceling, the deployment ends as canceled.
        let event = if deployment.cancel_requested { Event::CancelAsked } else { event };
        self.advance_to(deployment, event, changes).await
    }

    /// The previous targets cannot be restored: each component keeps the version that serves, and a later restart
    /// copies that version. The commit that ends the deployment records this, so that no turn in between sees other
    /// targets.
    async fn abandon_rollback(
        &mut self,
        snapshot: &Snapshot,
        mut deployment: Deployment,
        why: &str,
    ) -> Result<(), StoreError> {
        let records = &self.cx.records;
        let failed = deployment.targets.clone().unwrap_or_default();
        let kept = rollback::keep_serving(records.targets_in_force(), &failed, &snapshot.observed);
        let rules_are_its_own = rules_in_force(records, &snapshot.status).is_some_and(|it| it.id == deployment.id);
        warn!(deployment = %deployment.id, %why, "rollback abandoned");
        deployment.record.rollback_abandoned = true;
        deployment.record.notes.push(format!("the rollback was abandoned: {why}"));
        deployment.record.notes.extend(kept.iter().filter_map(what_serves));
        let mut changes = Vec::new();
        // An app that was never active keeps nothing.
        if records.app.active.is_some() && kept.iter().any(|it| it.is_failed) {
            let mut app = records.app.clone();
            let before = app.kept.take();
            let mut deployments = before.as_ref().map(|it| it.deployments.clone()).unwrap_or_default();
            deployments.insert(deployment.id.clone());
            let before = before.and_then(|it| it.rules);
            let rules = if rules_are_its_own { Some(deployment.id.clone()) } else { before };
            let targets = kept.into_iter().map(|it| it.target).collect();
            app.kept = Some(ServingOverride { targets, deployments, rules });
            changes.push(Change::App(app));
        }
        self.end_rollback(snapshot, deployment, Event::Abandoned, changes).await
    }

    /// Records the next stage. The same commit contains `changes`.
    async fn advance_to(
        &mut self,
        mut deployment: Deployment,
        event: Event,
        mut changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        match deployment.stage.next(event) {
            Ok(stage) => {
                info!(deployment = %deployment.id, number = deployment.number, from = ?deployment.stage, to = ?stage, "stage changed");
                app_rollback::record_end(&self.cx.records, &deployment, stage, &mut changes);
                (deployment.stage, deployment.stage_since, deployment.updated) = (stage, now, now);
                changes.push(Change::Deployment(Box::new(deployment)));
                self.cx.commit(changes).await
            }
            Err(illegal) => {
                tracing::error!(deployment = %deployment.id, %illegal, "ignored an illegal move");
                Ok(())
            }
        }
    }

    /// Fails a deployment. If it has replaced instances, it rolls back to the previous targets first.
    async fn fail(
        &mut self,
        mut deployment: Deployment,
        failure: Failure,
        event: Event,
        changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        info!(deployment = %deployment.id, code = %failure.code, "deployment failed");
        self.images.end(&mut self.cx, &deployment.id);
        let key = match &failure.component {
            Some(component) if deployment.stage == Stage::Building => LeafKey::Build(component.clone()),
            Some(component) if event == Event::Refused => LeafKey::Deploy(component.clone()),
            Some(component) if deployment.stage == Stage::Rolling => LeafKey::Wait(component.clone()),
            Some(component) => LeafKey::Deploy(component.clone()),
            None if deployment.stage.rolls() => LeafKey::Finalize,
            None => LeafKey::BuildInitialize,
        };
        let message = match event {
            // Nothing ran, so there is no log to point to.
            Event::Refused => failure.message.clone(),
            _ => with_next_command(&self.cx.records.app, &deployment, &failure),
        };
        let reason = Reason { code: failure.code.clone(), message };
        deployment.failure = Some(failure);
        deployment.progress.fail(&key, reason, now);
        if deployment.stage.next(event) == Ok(Stage::RollingBack) {
            // Failed attempts with the new revision must not delay the previous one.
            self.cx.observer.start_failures.clear();
            self.cx.observer.start_failures.restore_failed = None;
        } else {
            close_failed(&mut deployment);
            restart::forget_roll(&mut deployment, event);
        }
        self.advance_to(deployment, event, changes).await
    }

    /// Computes the targets from the images. The same commit writes the revisions and databases.
    async fn resolve_targets(&mut self, mut deployment: Deployment, spec: &AppSpec) -> Result<(), StoreError> {
        let (shared, records) = (&self.cx.shared, &self.cx.records);
        if let Some(failure) = app_rollback::conflict(records, &deployment) {
            return self.fail(deployment, failure, Event::Broke, Vec::new()).await;
        }
        let app = App { generation: records.app.generation + 1, ..records.app.clone() };
        let composed = match compose(shared, records, spec, &deployment.request, &deployment.images) {
            Ok(composed) => composed,
            Err(failure) => return self.fail(deployment, failure, Event::Broke, Vec::new()).await,
        };
        let serving = records.active().and_then(|it| Some((it, records.spec_of(it)?)));
        let serving = serving.as_ref().map(|(active, spec)| (*active, &**spec));
        deployment.nothing_to_do = composed.is_what_serves(records, serving, spec, &deployment.request)
            && records.active().is_some_and(|it| it.site_files() == deployment.site_files());
        let Composed { databases, resolved } = composed;
        deployment.record.notes.extend(resolved.notes);
        deployment.record.notes.extend(resolved.revisions.iter().filter_map(|it| clamped(it, shared.host)));
        deployment.record.notes.extend(databases.iter().filter_map(|it| kept_version(it, spec)));
        if deployment.updates_spec || deployment.number == 1 {
            deployment.record.notes.extend(unwatched(&shared.config, spec));
        }
        let left_alone = app_rollback::notes(records, &deployment, spec);
        deployment.record.notes.extend(left_alone);
        deployment.targets = Some(resolved.targets);
        deployment.job_revisions = resolved.jobs;
        if deployment.nothing_to_do {
            deployment.record.notes.push("nothing to do: no component changed".into());
        }
        let mut changes = vec![Change::App(app)];
        changes.extend(databases.into_iter().map(Change::Database));
        changes.extend(resolved.revisions.into_iter().map(Change::Revision));
        self.advance_to(deployment, Event::ImagesReady, changes).await
    }

    /// Makes the deployment ACTIVE and the previous one SUPERSEDED in one transaction.
    async fn succeed(&mut self, mut deployment: Deployment, spec: &AppSpec) -> Result<(), StoreError> {
        let now = clock::now();
        let records = &self.cx.records;
        deployment.progress.succeed_all(now);
        deployment.record.notes.extend(self.databases.notes(spec));
        let mut app = records.app.clone();
        let mut changes = Vec::new();
        if let Some(mut old) = records.active().cloned()
            && let Ok(stage) = old.stage.next(Event::Displaced)
        {
            (old.stage, old.stage_since, old.updated) = (stage, now, now);
            changes.push(Change::Deployment(Box::new(old)));
        }
        let replaced = rules_in_force_before(records).map(Deployment::site_files).unwrap_or_default();
        app.earlier_files = after_success(&app.earlier_files, &replaced, &deployment.site_files(), now);
        app.active = Some(deployment.id.clone());
        app.kept = match (app.kept.take(), &deployment.targets) {
            // A restart copies what serves. If the rules come from a failed deployment, they stay in force.
            (Some(kept), Some(targets)) if deployment.request.is_restart() && kept.rules.is_some() => {
                Some(ServingOverride { targets: targets.clone(), ..kept })
            }
            _ => None,
        };
        changes.push(Change::App(app));
        if !deployment.request.is_restart() && !app_rollback::is_exact(&deployment) {
            let unwanted = databases_unwanted_by(records, spec).map(|it| Database { wanted: false, ..it.clone() });
            changes.extend(unwanted.map(Change::Database));
        }
        self.cx.observer.start_failures.clear();
        self.advance_to(deployment, Event::Succeeded, changes).await
    }
}

/// The deployment whose rules were in force before one rolled out.
fn rules_in_force_before(records: &Records) -> Option<&Deployment> {
    let kept = || records.app.kept.as_ref()?.rules.as_ref().and_then(|id| records.deployment(id));
    kept().or_else(|| records.active())
}

/// Explains why a rollout fails when a new instance served and then stopped.
fn lost(status: &RolloutStatus, snapshot: &Snapshot) -> Option<Failure> {
    let RolloutStatus::Failed(name) = status else { return None };
    let seen = snapshot.observed.instances.iter().find(|it| it.name == *name)?;
    let check = seen.probe_failure.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
    let message = format!("{}.{} served, stopped, and did not recover{check}", seen.component, seen.slot);
    Some(Failure { component: Some(seen.component.clone()), code: "InstanceLost".into(), message })
}

/// What a deployment waits for before or after it replaces instances.
pub(super) fn why_beside_rolling(cx: &Context) -> Vec<String> {
    let is_busy = |it: &&Database| cx.actions.is_running(&Subject::Database(it.container.clone()));
    let databases = cx.records.databases.iter().filter(is_busy);
    let databases = databases.map(|it| format!("waiting for database {} to take connections", it.name));
    let runs = cx.records.job_runs.iter().filter(|it| jobs::is_busy(cx, it) && !it.collected);
    let runs = runs.map(|it| format!("running job {}", it.job));
    let rolling = cx.records.rolling().map(|it| images::of_deployment(cx, &it.id)).unwrap_or_default();
    let checks = rolling.iter().map(|it| format!("waiting for the engine to find the image of {it}"));
    databases.chain(runs).chain(checks).collect()
}

/// What a deployment waits for before it rolls.
pub(super) fn why_not_rolling(cx: &Context, deployment: &Deployment) -> Vec<String> {
    let building = images::of_deployment(cx, &deployment.id);
    let building: Vec<_> = building.iter().map(|it| images::progress_line(cx, deployment, it)).collect();
    match deployment.stage {
        Stage::Pending => vec!["waiting for the deployment before it to end".into()],
        Stage::Built => vec!["waiting for the rollout under way to end".into()],
        Stage::Building if !building.is_empty() => building,
        _ => Vec::new(),
    }
}

fn close_failed(deployment: &mut Deployment) {
    let message = deployment.failure.as_ref().map_or_else(|| "failed".to_owned(), |it| it.message.clone());
    deployment.progress.end_without_success(Reason { code: "Failed".into(), message }, clock::now());
}

fn with_next_command(app: &App, deployment: &Deployment, failure: &Failure) -> String {
    let kind = if deployment.stage == Stage::Building { "build" } else { "deploy" };
    let component = failure.component.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
    format!(
        "{}. See: boatyard apps logs {}{component} --type {kind} --deployment {}",
        failure.message, app.name, deployment.id
    )
}

/// A note about components whose `deploy_on_push` has no effect, because `serve` does not learn of new versions.
fn unwatched(config: &Config, spec: &AppSpec) -> Option<String> {
    let is_watched = |source: &Source| match source {
        _ if config.poll.is_some() => true,
        Source::Image(_) => false,
        _ => config.webhooks.is_some(),
    };
    let sources = spec.components().filter(|it| it.source().deploys_on_push() && !is_watched(it.source()));
    let names: Vec<_> = sources.map(|it| it.name().to_owned()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "deploy_on_push of {} has no effect until serve learns of new versions: boatyard serve --poll 5m, or for \
             repositories --webhook-host hooks.example.com",
            names.join(", ")
        )
    })
}

fn job_outcomes(
    cx: &Context,
    deployment: &Deployment,
    spec: &AppSpec,
    kind: JobKind,
) -> Vec<(ComponentName, JobOutcome)> {
    let jobs = spec.components().filter_map(|it| match it {
        Component::Job(job) if job.kind() == kind => Some(ComponentName::from(it.name())),
        _ => None,
    });
    jobs.map(|job| (job.clone(), jobs::outcome(cx, deployment, &job))).collect()
}

/// A note about a component whose previous version was not restored.
fn what_serves(kept: &Kept) -> Option<String> {
    let (component, count) = (&kept.target.component, kept.target.count as usize);
    if kept.is_failed {
        Some(format!("{component} keeps the version of this deployment, and a restart copies it"))
    } else if kept.ready < count {
        Some(format!(
            "{component}: {} of {count} instances of the previous version serve; Boatyard keeps trying to start the rest",
            kept.ready
        ))
    } else {
        None
    }
}

/// Whether a deployment brings something new, so that jobs run and databases have to be up. A restart copies what serves,
/// a rollback of the app what served, and a deployment with nothing to do changes no component.
fn brings_something(deployment: &Deployment) -> bool {
    !deployment.request.is_restart() && !app_rollback::is_exact(deployment) && !deployment.nothing_to_do
}
