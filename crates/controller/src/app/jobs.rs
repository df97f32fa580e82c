//! Jobs: at most once, by what was written down and what is there.

use std::time::Duration;

use engine::{Engine, EngineError, Identity, Role};
use rollout::ids::{ComponentName, DeploymentId, InstanceName};
use rollout::job::{JobOutcome, JobPhase, JobSeen, JobStep, next_step};
use rollout::observed::ContainerSeen;
use rollout::progress::LeafKey;
use rollout::target::StopTimes;
use store::StoreError;
use store::records::{Change, Deployment, JobRun};
use tokio::time::Instant;
use tracing::{info, warn};

use super::instances::{Place, create_process, ran_out_of_memory, start_at};
use super::reports::ActionResult;
use super::{AppTask, Shared};
use crate::clock;
use crate::freeze::job_grace;
use crate::logbook::Chapter;
use crate::redact::Secrets;

impl AppTask {
    fn job_run(&self, deployment: &DeploymentId, job: &ComponentName) -> Option<&JobRun> {
        self.state.job_runs.iter().find(|it| it.deployment == *deployment && it.job == *job)
    }

    pub(super) fn job_outcome(&self, deployment: &Deployment, job: &ComponentName) -> JobOutcome {
        self.job_run(&deployment.id, job)
            .map_or(JobOutcome::Open, |run| run.phase.outcome(self.busy.contains(&run.name)))
    }

    /// Takes a run one step further. Returns whether there was one to take now: nothing is while the engine is silent.
    pub(super) async fn advance_job(
        &mut self,
        deployment: &Deployment,
        job: &ComponentName,
    ) -> Result<bool, StoreError> {
        let Some(run) = self.job_run(&deployment.id, job).cloned() else {
            return self.intend_job(deployment, job).await;
        };
        let limit = self.shared.config.job_limit;
        let Some(seen) = self.job_seen(&run.name) else { return Ok(false) };
        let step = next_step(&run.phase, seen, limit, clock::now());
        match step {
            JobStep::Create => self.create_job(deployment, run).await?,
            JobStep::Start | JobStep::Await | JobStep::TimeOut => self.act_on_job(run, step),
            JobStep::GiveUp => self.record_job(run, JobPhase::Unknown).await?,
            JobStep::Nothing => return Ok(false),
        }
        Ok(true)
    }

    /// What is known of its container; `None` while the engine does not answer: unknown is not missing.
    fn job_seen(&self, name: &InstanceName) -> Option<JobSeen> {
        match self.container(name, &self.engine_view.borrow().clone()) {
            ContainerSeen::Unknown => None,
            ContainerSeen::Missing => Some(JobSeen::Missing),
            ContainerSeen::Created => Some(JobSeen::Created),
            ContainerSeen::Exited { code } => Some(JobSeen::Exited { code }),
            _ => Some(JobSeen::Running),
        }
    }

    async fn intend_job(&mut self, deployment: &Deployment, job: &ComponentName) -> Result<bool, StoreError> {
        // Two deployments' jobs never run side by side: what is left of an ended one is ended first.
        let left = |it: &JobRun| it.deployment != deployment.id && !it.collected && !is_over(it);
        if self.state.job_runs.iter().any(left) {
            return Ok(false);
        }
        let mut app = self.state.app.clone();
        app.serial += 1;
        let (Some(revision), Some(address)) = (deployment.job_revisions.get(job).cloned(), self.free_address()) else {
            return Ok(false);
        };
        let now = clock::now();
        let run = JobRun {
            deployment: deployment.id.clone(),
            job: job.clone(),
            app: app.id.clone(),
            name: self.shared.names.job(&app, job, app.serial),
            revision,
            address,
            phase: JobPhase::Intended,
            since: now,
            grace: self.spec_of(deployment).map(|spec| job_grace(&spec, job)),
            collected: false,
            container_id: None,
        };
        let mut deployment = deployment.clone();
        deployment.progress.start(&LeafKey::Deploy(job.clone()), now);
        self.commit(vec![Change::App(app), Change::JobRun(run), Change::Deployment(Box::new(deployment))]).await?;
        Ok(true)
    }

    async fn create_job(&mut self, deployment: &Deployment, run: JobRun) -> Result<(), StoreError> {
        let Some(revision) = self.revision(&run.revision).cloned() else {
            let message = format!("revision {} is not on record", run.revision);
            return self.record_job(run, JobPhase::Refused { message }).await;
        };
        let identity = Identity {
            role: Role::Job,
            app: run.app.to_string(),
            component: run.job.to_string(),
            slot: 0,
            revision: run.revision.to_string(),
            generation: 0,
            deployment: deployment.id.to_string(),
        };
        let spec = self.container_spec(&revision, &run.name, run.address, identity, grace(&run));
        let (shared, network) = (self.shared.clone(), self.network_spec());
        let (about, id, job) = (run.name.clone(), run.deployment.clone(), run.job.clone());
        self.begin(run.name, async move {
            let result = create_process(&shared, network, spec).await;
            let result = result.map(|container| JobPhase::Created { container, since: clock::now() });
            ActionResult::JobMoved { about, deployment: id, job, result }
        });
        Ok(())
    }

    fn act_on_job(&mut self, run: JobRun, step: JobStep) {
        let JobPhase::Created { since, .. } = &run.phase else { return };
        let left = since.plus(self.shared.config.job_limit).since(clock::now());
        let (shared, secrets, name) = (self.shared.clone(), self.secrets(), run.name.clone());
        let moved = self.place_if_moved(&name);
        let handle = self.begin(name.clone(), async move {
            let result = take_step(shared.engine.as_ref(), &run, step, left, moved).await;
            if result.as_ref().is_ok_and(was_seen_to_end) {
                // Before its end is written down: the deployment may end with it, and its log is read then.
                keep_log(&shared, &run, &secrets).await;
            }
            ActionResult::JobMoved { about: run.name, deployment: run.deployment, job: run.job, result }
        });
        if step == JobStep::Await {
            self.awaited.insert(name, handle);
        }
    }

    pub(super) async fn job_moved(
        &mut self,
        id: &DeploymentId,
        job: &ComponentName,
        result: Result<JobPhase, EngineError>,
    ) -> Result<(), StoreError> {
        let Some(run) = self.job_run(id, job).cloned() else { return Ok(()) };
        self.awaited.remove(&run.name);
        match result {
            // Started, or waited for in vain: it runs.
            Ok(phase) if phase == run.phase => {
                self.acted(&run.name, ContainerSeen::Running);
                Ok(())
            }
            Ok(phase) => {
                let seen = match phase {
                    JobPhase::Created { .. } => ContainerSeen::Created,
                    _ => ContainerSeen::Exited { code: None },
                };
                self.acted(&run.name, seen);
                self.record_job(run, phase).await
            }
            Err(error) if error.is_transient() => {
                self.hold_off(&run.name, "a job could not be taken further yet", &error);
                Ok(())
            }
            Err(error @ EngineError::SubnetTaken { .. }) => match self.move_network(&error).await? {
                None => {
                    self.hold_off(&run.name, "the app's network is taken", &error);
                    Ok(())
                }
                Some(message) => self.record_job(run, JobPhase::Refused { message }).await,
            },
            Err(error @ EngineError::AddressTaken { .. }) => {
                self.held.insert(run.address, Instant::now());
                match self.free_address() {
                    Some(address) => {
                        warn!(job = %run.job, %error, %address, "using another address");
                        self.commit(vec![Change::JobRun(JobRun { address, ..run })]).await
                    }
                    None => self.record_job(run, JobPhase::Refused { message: error.to_string() }).await,
                }
            }
            Err(EngineError::NotFound { .. }) if !matches!(run.phase, JobPhase::Intended) => {
                self.record_job(run, JobPhase::Unknown).await
            }
            Err(error) => self.record_job(run, JobPhase::Refused { message: error.to_string() }).await,
        }
    }

    async fn record_job(&mut self, mut run: JobRun, phase: JobPhase) -> Result<(), StoreError> {
        info!(job = %run.job, from = ?run.phase, to = ?phase, "job moved");
        let now = clock::now();
        (run.phase, run.since) = (phase, now);
        let mut changes = Vec::new();
        if run.phase.outcome(false) == JobOutcome::Succeeded
            && let Some(mut deployment) = self.deployment(&run.deployment).cloned()
        {
            deployment.progress.succeed(&LeafKey::Deploy(run.job.clone()), None, now);
            changes.push(Change::Deployment(Box::new(deployment)));
        }
        changes.push(Change::JobRun(run));
        self.commit(changes).await
    }

    /// Removes the containers of ended runs, and first keeps the logs of those that nobody saw end, or that were not kept.
    pub(super) fn collect_jobs(&mut self) -> bool {
        self.end_abandoned();
        let ended = |run: &&JobRun| {
            !run.collected && !self.busy.contains(&run.name) && has_ended(run, self.deployment(&run.deployment))
        };
        let Some(run) = self.state.job_runs.iter().find(ended).cloned() else { return false };
        let shared = self.shared.clone();
        let secrets = self.secrets();
        let (about, id, job) = (run.name.clone(), run.deployment.clone(), run.job.clone());
        self.begin(run.name.clone(), async move {
            if matches!(run.phase, JobPhase::Created { .. }) {
                // Nobody waits for it any more. What a stop cannot do, the removal does.
                drop(shared.engine.stop(run.name.as_str(), grace(&run)).await);
            }
            let (app, deployment) = (&run.app, &run.deployment);
            let is_kept = shared.logbook.holds(app, deployment, Chapter::Deploy, &run.job);
            if !was_seen_to_end(&run.phase) || !is_kept {
                keep_log(&shared, &run, &secrets).await;
            }
            let result = shared.engine.remove(run.name.as_str()).await;
            ActionResult::JobCollected { about, deployment: id, job, result: result.map(drop) }
        });
        true
    }

    /// A run whose deployment was canceled, failed or went with its app is not waited for: the next one may begin.
    fn end_abandoned(&mut self) {
        let open: Vec<_> = self.state.job_runs.iter().filter(|it| !it.collected).collect();
        let abandoned =
            open.into_iter().filter(|it| has_ended(it, self.deployment(&it.deployment))).map(|it| it.name.clone());
        for name in abandoned.collect::<Vec<_>>() {
            if let Some(waiting) = self.awaited.remove(&name) {
                waiting.abort();
                self.busy.remove(&name);
            }
        }
    }

    pub(super) async fn job_collected(
        &mut self,
        id: &DeploymentId,
        job: &ComponentName,
        result: Result<(), EngineError>,
    ) -> Result<(), StoreError> {
        let Some(mut run) = self.job_run(id, job).cloned() else { return Ok(()) };
        if let Err(error) = result {
            self.hold_off(&run.name, "an ended job could not be removed yet", &error);
            return Ok(());
        }
        run.collected = true;
        self.acted(&run.name, ContainerSeen::Missing);
        self.commit(vec![Change::JobRun(run)]).await
    }
}

/// From the stop signal to KILL. Rows of older versions do not say it: the default.
pub(crate) fn grace(run: &JobRun) -> Duration {
    run.grace.unwrap_or(StopTimes::default().grace)
}

async fn take_step(
    engine: &dyn Engine,
    run: &JobRun,
    step: JobStep,
    left: Duration,
    moved: Option<Place>,
) -> Result<JobPhase, EngineError> {
    let name = run.name.as_str();
    match step {
        JobStep::Start => match engine.inspect(name).await? {
            // Started by one of us who died before seeing it: never twice.
            Some(details) if details.started_at.is_some() => Ok(run.phase.clone()),
            _ => start_at(engine, name, moved).await.map(|()| run.phase.clone()),
        },
        JobStep::TimeOut => engine.stop(name, grace(run)).await.map(|_| JobPhase::TimedOut),
        _ => match tokio::time::timeout(left, engine.wait(name)).await {
            Ok(Ok(code)) if code != 0 && ran_out_of_memory(engine, name).await => Ok(JobPhase::OutOfMemory),
            Ok(code) => code.map(|code| JobPhase::Ended { code }),
            // Its time is over: the next look ends it.
            Err(_) => Ok(run.phase.clone()),
        },
    }
}

async fn keep_log(shared: &Shared, run: &JobRun, secrets: &Secrets) {
    let (engine, container) = (shared.engine.as_ref(), run.name.as_str());
    shared.logbook.keep_container_log(engine, &run.app, &run.deployment, &run.job, container, secrets).await;
}

/// Its end was written down by who waited for it, and who kept its log before.
fn was_seen_to_end(phase: &JobPhase) -> bool {
    matches!(phase, JobPhase::Ended { .. } | JobPhase::OutOfMemory | JobPhase::TimedOut)
}

/// It ended, or its deployment did: nobody waits for it any more.
fn has_ended(run: &JobRun, deployment: Option<&Deployment>) -> bool {
    is_over(run) || deployment.is_none_or(|it| it.stage.is_ended())
}

fn is_over(run: &JobRun) -> bool {
    !matches!(run.phase, JobPhase::Intended | JobPhase::Created { .. })
}
