//! Taking deployments through their stages.

use std::collections::BTreeMap;
use std::sync::Arc;

use app_spec::{AppSpec, Component, JobKind};
use rollout::deployment::{Event, Facts, Failure, Move, Part, Stage, next_move};
use rollout::ids::ComponentName;
use rollout::job::JobOutcome;
use rollout::limits;
use rollout::observed::Observed;
use rollout::plan::RolloutStatus;
use rollout::progress::{LeafKey, Reason};
use rollout::rollback::{self, Kept};
use rollout::target::Target;
use store::StoreError;
use store::records::{Change, Database, Deployment, Image, KeptServing};
use tracing::{info, warn};

use super::AppTask;
use super::compose::{Composed, compose, restarted};
use super::databases::{databases_unwanted_by, kept_version};
use super::deployment_queue::to_advance;
use crate::clock;
use crate::freeze;

impl AppTask {
    /// Takes one deployment one move further. Returns whether there was a move.
    pub(super) async fn advance_deployments(&mut self) -> Result<bool, StoreError> {
        for id in to_advance(&self.state) {
            let Some(deployment) = self.deployment(&id).cloned() else { continue };
            // Rolling back needs no spec, and cannot fail for lack of one.
            let rolls_back = deployment.stage == Stage::RollingBack;
            let Some(spec) = self.spec_of(&deployment).or_else(|| rolls_back.then(Arc::default)) else {
                let message = "its stored spec cannot be read by this version".to_owned();
                self.fail(deployment, Failure { component: None, code: "InvalidSpec".into(), message }).await?;
                return Ok(true);
            };
            let facts = self.facts(&deployment, &spec);
            let at_once = if facts.is_restart { usize::MAX } else { self.shared.config.parallel_builds };
            let moved = match next_move(deployment.stage, &facts, at_once) {
                Move::Wait => false,
                Move::Go(event) => self.go(deployment, &spec, event).await.map(|()| true)?,
                Move::Fail(failure) => self.fail(deployment, failure).await.map(|()| true)?,
                Move::Abandon(why) => self.abandon_rollback(deployment, &why).await.map(|()| true)?,
                Move::Build(_) if self.sweeps_images() => false,
                Move::Build(component) if deployment.request.is_restart() => {
                    self.begin_image_check(&deployment, component);
                    true
                }
                Move::Build(component) => self.begin_build(deployment, &spec, component).await.map(|()| true)?,
                Move::Database(name) => self.begin_database(&name),
                Move::Job(job) => self.advance_job(&deployment, &job).await?,
            };
            if moved {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn facts(&mut self, deployment: &Deployment, spec: &AppSpec) -> Facts {
        let stage = deployment.stage;
        let now = clock::now();
        // Waiting in line costs no time of its own.
        let begun = match stage {
            Stage::Pending => now,
            Stage::RollingBack => deployment.stage_since,
            _ => deployment.progress.leaf(&LeafKey::BuildInitialize).and_then(|it| it.started).unwrap_or(now),
        };
        let limit = match (stage, &deployment.targets) {
            (Stage::RollingBack, Some(failed)) => limits::rollback(self.state.targets_in_force(), failed),
            _ => self.shared.config.deployment_limit,
        };
        let mut facts = Facts {
            is_restart: deployment.request.is_restart(),
            cancel_asked: deployment.cancel_asked,
            overdue: now.since(begun) >= limit,
            ..Facts::default()
        };
        match stage {
            Stage::Building => facts.images = self.image_parts(deployment, spec),
            Stage::Built => facts.rollout_taken = self.rolling().is_some(),
            Stage::Preparing if brings_something(deployment) => {
                facts.databases = self.database_parts(spec);
                facts.pre_deploy = self.job_outcomes(deployment, spec, JobKind::PreDeploy);
            }
            Stage::Rolling | Stage::RollingBack => {
                let observed = self.observe();
                facts.rollout_status = Some(match self.rollout_status(&observed) {
                    RolloutStatus::Complete if !self.routes_stand() => RolloutStatus::Draining,
                    rollout_status => rollout_status,
                });
                let rollout_status = facts.rollout_status.as_ref().filter(|_| stage == Stage::Rolling);
                facts.given_up = deployment.failure.clone().or_else(|| self.lost(rollout_status, &observed));
                if stage == Stage::RollingBack {
                    facts.restore_failed = self.restore_failed.clone();
                    let waits = |it: &Deployment| it.stage == Stage::Pending && !it.cancel_asked;
                    facts.newer_waits = self.state.deployments.iter().any(waits);
                }
            }
            Stage::Finishing if brings_something(deployment) => {
                facts.post_deploy = self.job_outcomes(deployment, spec, JobKind::PostDeploy);
            }
            _ => {}
        }
        facts
    }

    /// A new instance that served and stopped: why a rollout fails by it, in words.
    fn lost(&self, rollout_status: Option<&RolloutStatus>, observed: &Observed) -> Option<Failure> {
        let Some(RolloutStatus::Failed(name)) = rollout_status else { return None };
        let seen = observed.instances.iter().find(|it| it.name == *name)?;
        let check = seen.probe_failure.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
        let message = format!("{}.{} served, stopped, and did not recover{check}", seen.component, seen.slot);
        Some(Failure { component: Some(seen.component.clone()), code: "InstanceLost".into(), message })
    }

    fn image_parts(&self, deployment: &Deployment, spec: &AppSpec) -> BTreeMap<ComponentName, Part> {
        let request = &deployment.request;
        let copied = |name: &ComponentName| {
            let is_replaced = |it: &Target| it.component == *name && request.restart.names(name);
            request.is_restart() && deployment.targets.iter().flatten().any(is_replaced)
        };
        let part = |name: &ComponentName| {
            let key = (deployment.id.clone(), name.clone());
            match self.build_failures.get(&key) {
                _ if self.images_found.contains(&key) => Part::Ready,
                _ if deployment.images.contains_key(name) && !copied(name) => Part::Ready,
                Some(why) => Part::Failed(why.clone()),
                None if self.builds.contains_key(&key) => Part::UnderWay,
                None => Part::Missing,
            }
        };
        let names = spec.components().map(|it| ComponentName::from(it.name()));
        names.map(|name| (name.clone(), part(&name))).collect()
    }

    /// One legal move, with everything that belongs to it in one commit.
    async fn go(&mut self, mut deployment: Deployment, spec: &AppSpec, event: Event) -> Result<(), StoreError> {
        let now = clock::now();
        match event {
            Event::Begun => {
                deployment.progress.start(&LeafKey::BuildInitialize, now);
                deployment.progress.succeed(&LeafKey::BuildInitialize, None, now);
                if deployment.request.is_restart() {
                    self.copy_active(&mut deployment);
                    self.specs_of.lock().expect("nobody panics holding it").remove(&deployment.id);
                }
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::ImagesReady => self.freeze(deployment, spec).await,
            Event::RolloutFree => {
                deployment.progress.start(&LeafKey::DeployInitialize, now);
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::Prepared => {
                deployment.progress.succeed(&LeafKey::DeployInitialize, None, now);
                deployment.record.roll_began = Some(now);
                self.begin_counting(&mut deployment);
                // What failed before is no reason to wait with something new (F31).
                self.retry_backoffs.clear();
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::Rolled => {
                deployment.record.roll_ended = Some(now);
                deployment.record.serving_since.get_or_insert(now);
                self.note_stuck(&mut deployment);
                self.settle_record(&mut deployment).await;
                deployment.progress.start(&LeafKey::Finalize, now);
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::Succeeded => self.succeed(deployment, spec).await,
            Event::CancelAsked if !deployment.stage.rolls() || deployment.stage == Stage::Preparing => {
                self.end_builds(&deployment.id);
                let message = "canceled before anything that serves was changed".to_owned();
                let reason = Reason { code: "Canceled".into(), message };
                deployment.progress.end_without_success(reason, now);
                self.advance_to(deployment, event, Vec::new()).await
            }
            Event::CancelAsked => {
                let message = "canceled; what was replaced is rolled back".to_owned();
                self.fail(deployment, Failure { component: None, code: "Canceled".into(), message }).await
            }
            Event::RolledBack => self.end_rollback(deployment, event, Vec::new()).await,
            Event::Broke | Event::Displaced | Event::Abandoned => self.advance_to(deployment, event, Vec::new()).await,
        }
    }

    async fn end_rollback(
        &mut self,
        mut deployment: Deployment,
        event: Event,
        also: Vec<Change>,
    ) -> Result<(), StoreError> {
        deployment.record.roll_ended = Some(clock::now());
        self.restore_failed = None;
        self.note_stuck(&mut deployment);
        self.settle_record(&mut deployment).await;
        self.close_failed(&mut deployment);
        // A rollback that a person asked for by canceling ends as they asked.
        let event = if deployment.cancel_asked { Event::CancelAsked } else { event };
        self.advance_to(deployment, event, also).await
    }

    /// The previous targets cannot be restored: each component keeps what serves, and a later restart copies that. Written
    /// down with the end of the deployment, so that there is no moment in which something else is wanted.
    async fn abandon_rollback(&mut self, mut deployment: Deployment, why: &str) -> Result<(), StoreError> {
        let observed = self.observe();
        let failed = deployment.targets.clone().unwrap_or_default();
        let kept = rollback::keep_serving(self.state.targets_in_force(), &failed, &observed);
        let rules_are_its_own = self.rules_in_force(&observed).is_some_and(|it| it.id == deployment.id);
        warn!(deployment = %deployment.id, %why, "rollback abandoned");
        deployment.record.rollback_abandoned = true;
        deployment.record.notes.push(format!("the rollback was abandoned: {why}"));
        deployment.record.notes.extend(kept.iter().filter_map(what_serves));
        let mut changes = Vec::new();
        // Of an app that never was active nothing is kept.
        if self.state.app.active.is_some() && kept.iter().any(|it| it.is_failed) {
            let mut app = self.state.app.clone();
            let before = app.kept.take();
            let mut deployments = before.as_ref().map(|it| it.deployments.clone()).unwrap_or_default();
            deployments.insert(deployment.id.clone());
            let before = before.and_then(|it| it.rules);
            let rules = if rules_are_its_own { Some(deployment.id.clone()) } else { before };
            let targets = kept.into_iter().map(|it| it.target).collect();
            app.kept = Some(KeptServing { targets, deployments, rules });
            changes.push(Change::App(app));
        }
        self.end_rollback(deployment, Event::Abandoned, changes).await
    }

    /// Writes the next stage down, together with `also`.
    pub(super) async fn advance_to(
        &mut self,
        mut deployment: Deployment,
        event: Event,
        mut also: Vec<Change>,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        match deployment.stage.next(event) {
            Ok(stage) => {
                info!(deployment = %deployment.id, number = deployment.number, from = ?deployment.stage, to = ?stage, "stage changed");
                (deployment.stage, deployment.stage_since, deployment.updated) = (stage, now, now);
                also.push(Change::Deployment(Box::new(deployment)));
                self.commit(also).await
            }
            Err(illegal) => {
                tracing::error!(deployment = %deployment.id, %illegal, "a move that does not exist was left out");
                Ok(())
            }
        }
    }

    /// Before instances were replaced nothing has to be undone; afterwards the previous targets roll back first.
    pub(super) async fn fail(&mut self, mut deployment: Deployment, failure: Failure) -> Result<(), StoreError> {
        let now = clock::now();
        info!(deployment = %deployment.id, code = %failure.code, "deployment failed");
        self.end_builds(&deployment.id);
        let key = match &failure.component {
            Some(component) if deployment.stage == Stage::Building => LeafKey::Build(component.clone()),
            Some(component) if deployment.stage == Stage::Rolling => LeafKey::Wait(component.clone()),
            Some(component) => LeafKey::Deploy(component.clone()),
            None if deployment.stage.rolls() => LeafKey::Finalize,
            None => LeafKey::BuildInitialize,
        };
        let reason = Reason { code: failure.code.clone(), message: self.with_next_command(&deployment, &failure) };
        deployment.failure = Some(failure);
        deployment.progress.fail(&key, reason, now);
        let rolls_back = deployment.stage.next(Event::Broke) == Ok(Stage::RollingBack);
        if rolls_back {
            // Those of the revision that failed do not hold up the one that served.
            self.retry_backoffs.clear();
            self.restore_failed = None;
        } else {
            self.close_failed(&mut deployment);
        }
        self.advance_to(deployment, Event::Broke, Vec::new()).await
    }

    fn close_failed(&self, deployment: &mut Deployment) {
        let now = clock::now();
        let message = deployment.failure.as_ref().map_or_else(|| "failed".to_owned(), |it| it.message.clone());
        deployment.progress.end_without_success(Reason { code: "Failed".into(), message }, now);
    }

    fn with_next_command(&self, deployment: &Deployment, failure: &Failure) -> String {
        let app = &self.state.app.name;
        let kind = if deployment.stage == Stage::Building { "build" } else { "deploy" };
        let component = failure.component.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
        if deployment.stage == Stage::Building && deployment.request.is_restart() {
            // Nothing was built, so there is no log of it.
            return failure.message.clone();
        }
        format!(
            "{}. See: boatyard apps logs {app}{component} --type {kind} --deployment {}",
            failure.message, deployment.id
        )
    }

    /// A restart copies what serves: images, targets, with the chosen components' generation raised.
    fn copy_active(&self, deployment: &mut Deployment) {
        let Some(active) = self.active() else { return };
        let generation = self.state.app.generation + 1;
        let targets = restarted(self.state.targets_in_force(), &deployment.request.restart, generation);
        let note = "the image that serves, not built or fetched again".to_owned();
        let keep = |image: &Image| Image { built: false, note: note.clone(), ..image.clone() };
        let images = active.images.iter().chain(self.kept_images());
        deployment.images = images.map(|(name, image)| (name.clone(), keep(image))).collect();
        deployment.record.unchanged = self.unchanged(&targets, deployment);
        deployment.targets = Some(targets);
        deployment.job_revisions = active.job_revisions.clone();
        deployment.cloned_from = Some(active.id.clone());
        deployment.spec = active.spec.clone();
        self.show_prebuilt(deployment);
    }

    /// Images of components that go on with the version of a failed deployment.
    fn kept_images(&self) -> impl Iterator<Item = (&ComponentName, &Image)> {
        let kept = self.state.app.kept.iter();
        let targets = kept.flat_map(|kept| kept.targets.iter().map(move |target| (target, &kept.deployments)));
        targets.filter_map(|(target, deployments)| {
            let from = deployments.iter().filter_map(|id| self.deployment(id));
            let mut from = from.filter(|it| it.targets.iter().flatten().any(|it| it.revision == target.revision));
            from.next()?.images.get_key_value(&target.component)
        })
    }

    /// From images to targets: revisions and databases are written in the same commit.
    async fn freeze(&mut self, mut deployment: Deployment, spec: &AppSpec) -> Result<(), StoreError> {
        let mut app = self.state.app.clone();
        if deployment.request.is_restart() {
            self.images_found.retain(|(id, _)| *id != deployment.id);
            app.generation += 1;
            return self.advance_to(deployment, Event::ImagesReady, vec![Change::App(app)]).await;
        }
        let composed = compose(&self.shared, &self.state, spec, &deployment.request, &deployment.images);
        let composed = match composed {
            Ok(composed) => composed,
            Err(failure) => return self.fail(deployment, failure).await,
        };
        app.generation += 1;
        let serving = self.active().and_then(|it| Some((it, self.spec_of(it)?)));
        let serving = serving.as_ref().map(|(active, spec)| (*active, &**spec));
        deployment.nothing_to_do = composed.is_what_serves(&self.state, serving, spec, &deployment.request);
        let Composed { databases, outcome } = composed;
        deployment.record.notes.extend(outcome.notes);
        deployment.record.notes.extend(outcome.revisions.iter().filter_map(|it| freeze::clamped(it, self.shared.host)));
        deployment.record.notes.extend(databases.iter().filter_map(|it| kept_version(it, spec)));
        deployment.targets = Some(outcome.targets);
        deployment.job_revisions = outcome.jobs;
        if deployment.nothing_to_do {
            deployment.record.notes.push("nothing to do: no component changed".into());
        }
        let mut changes = vec![Change::App(app)];
        changes.extend(databases.into_iter().map(Change::Database));
        changes.extend(outcome.revisions.into_iter().map(Change::Revision));
        self.advance_to(deployment, Event::ImagesReady, changes).await
    }

    /// ACTIVE: written in one transaction with the old one's SUPERSEDED.
    async fn succeed(&mut self, mut deployment: Deployment, spec: &AppSpec) -> Result<(), StoreError> {
        let now = clock::now();
        deployment.progress.succeed_all(now);
        deployment.record.notes.extend(self.databases_down(spec));
        let mut app = self.state.app.clone();
        let mut changes = Vec::new();
        if let Some(mut old) = self.active().cloned()
            && let Ok(stage) = old.stage.next(Event::Displaced)
        {
            (old.stage, old.stage_since, old.updated) = (stage, now, now);
            changes.push(Change::Deployment(Box::new(old)));
        }
        app.active = Some(deployment.id.clone());
        app.kept = match (app.kept.take(), &deployment.targets) {
            // A restart copies what serves; rules that are a failed deployment's stay with it.
            (Some(kept), Some(targets)) if deployment.request.is_restart() && kept.rules.is_some() => {
                Some(KeptServing { targets: targets.clone(), ..kept })
            }
            _ => None,
        };
        changes.push(Change::App(app));
        if !deployment.request.is_restart() {
            let unwanted = databases_unwanted_by(&self.state, spec).map(|it| Database { wanted: false, ..it.clone() });
            changes.extend(unwanted.map(Change::Database));
        }
        self.retry_backoffs.clear();
        self.advance_to(deployment, Event::Succeeded, changes).await
    }

    fn job_outcomes(&self, deployment: &Deployment, spec: &AppSpec, kind: JobKind) -> Vec<(ComponentName, JobOutcome)> {
        let jobs = spec.components().filter_map(|it| match it {
            Component::Job(job) if job.kind() == kind => Some(ComponentName::from(it.name())),
            _ => None,
        });
        jobs.map(|job| (job.clone(), self.job_outcome(deployment, &job))).collect()
    }

    /// What a deployment waits for before or after its instances are replaced.
    pub(super) fn why_beside_rolling(&self) -> Vec<String> {
        let databases = self.state.databases.iter().filter(|it| self.busy.contains(&it.container));
        let databases = databases.map(|it| format!("waiting for database {} to take connections", it.name));
        let jobs = self.state.job_runs.iter().filter(|it| self.busy.contains(&it.name) && !it.collected);
        databases.chain(jobs.map(|it| format!("running job {}", it.job))).collect()
    }

    /// For deployments that do not roll yet.
    pub(super) fn why_not_rolling(&self, deployment: &Deployment) -> Vec<String> {
        let building = self.builds.keys().filter(|(id, _)| *id == deployment.id).map(|(_, name)| name.to_string());
        let building: Vec<_> = building.collect();
        match deployment.stage {
            Stage::Pending => vec!["waiting for the deployment before it to end".into()],
            Stage::Built => vec!["waiting for the rollout under way to end".into()],
            Stage::Building if !building.is_empty() => vec![format!("building {}", building.join(", "))],
            _ => Vec::new(),
        }
    }
}

/// A note about a component whose previous version was not restored.
fn what_serves(kept: &Kept) -> Option<String> {
    let (component, count) = (&kept.target.component, kept.target.count as usize);
    if kept.is_failed {
        Some(format!("{component} goes on with the version of this deployment, and a restart copies it"))
    } else if kept.ready < count {
        Some(format!(
            "{component}: {} of {count} instances of the version before serve; the rest is tried again",
            kept.ready
        ))
    } else {
        None
    }
}

/// Neither a restart, which copies what serves, nor a deployment that came out the same.
fn brings_something(deployment: &Deployment) -> bool {
    !deployment.request.is_restart() && !deployment.nothing_to_do
}
