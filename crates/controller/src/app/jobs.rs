//! Jobs. The records and the state of the engine ensure that each job runs at most once per deployment.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{Changed, Engine, EngineError, Identity, Role};
use rollout::ids::{ComponentName, DeploymentId, InstanceName};
use rollout::job::{JobOutcome, JobPhase, JobSeen, JobStep, next_step};
use rollout::observed::ContainerSeen;
use rollout::progress::LeafKey;
use rollout::resolve::job_grace;
use rollout::target::StopTimes;
use store::StoreError;
use store::records::{App, Change, Deployment, JobRun};
use tracing::{info, warn};

use super::Shared;
use super::actions::{ActionResult, Subject};
use super::calls;
use super::containers::{Place, container_spec, create_process, network_spec, ran_out_of_memory, start_at};
use super::context::Context;
use super::network_move::move_network;
use super::observe::Snapshot;
use crate::clock;
use crate::error::ControlError;
use crate::logbook::Chapter;
use crate::redact::Secrets;

/// How long the engine may take to report the exit code of a process that has ended.
const CODE_WITHIN: Duration = Duration::from_secs(30);

fn run_of<'a>(cx: &'a Context, deployment: &DeploymentId, job: &ComponentName) -> Option<&'a JobRun> {
    cx.records.job_runs.iter().find(|it| it.deployment == *deployment && it.job == *job)
}

pub(super) fn is_busy(cx: &Context, run: &JobRun) -> bool {
    cx.actions.is_running(&Subject::Job(run.name.clone())) || cx.actions.is_running(&Subject::JobEnd(run.name.clone()))
}

pub(super) fn outcome(cx: &Context, deployment: &Deployment, job: &ComponentName) -> JobOutcome {
    run_of(cx, &deployment.id, job).map_or(JobOutcome::Open, |run| run.phase.outcome(is_busy(cx, run)))
}

/// Takes a run one step further. Returns whether there was a step. There is none while the engine does not answer.
pub(super) async fn advance(
    cx: &mut Context,
    snapshot: &Snapshot,
    deployment: &Deployment,
    job: &ComponentName,
) -> Result<bool, StoreError> {
    let Some(run) = run_of(cx, &deployment.id, job).cloned() else {
        return intend(cx, snapshot, deployment, job).await;
    };
    let limit = cx.shared.config.job_limit;
    let Some(seen) = seen(snapshot, &run.name) else { return Ok(false) };
    let step = next_step(&run.phase, seen, run.cancel_requested, limit, snapshot.now);
    match step {
        JobStep::Create if !snapshot.routes.listens => return Ok(false),
        JobStep::Create => create(cx, snapshot, deployment, run).await?,
        JobStep::Start | JobStep::Await | JobStep::TimeOut | JobStep::Cancel => act(cx, snapshot, run, step),
        JobStep::GiveUp => record(cx, run, JobPhase::Unknown).await?,
        JobStep::Nothing => return Ok(false),
    }
    Ok(true)
}

/// The observed state of a run's container. `None` while the engine does not answer: unknown is not missing.
fn seen(snapshot: &Snapshot, name: &InstanceName) -> Option<JobSeen> {
    match snapshot.container(name) {
        ContainerSeen::Unknown => None,
        ContainerSeen::Missing => Some(JobSeen::Missing),
        ContainerSeen::Created => Some(JobSeen::Created),
        ContainerSeen::Exited { code } => Some(JobSeen::Exited { code }),
        _ => Some(JobSeen::Running),
    }
}

async fn intend(
    cx: &mut Context,
    snapshot: &Snapshot,
    deployment: &Deployment,
    job: &ComponentName,
) -> Result<bool, StoreError> {
    // Jobs of two deployments never run at the same time. The runs of an ended deployment have to end first.
    let left = |it: &JobRun| it.deployment != deployment.id && !it.collected && !is_over(it);
    if cx.records.job_runs.iter().any(left) {
        return Ok(false);
    }
    let (Some(revision), Some(address)) = (deployment.job_revisions.get(job).cloned(), cx.free_address(snapshot))
    else {
        return Ok(false);
    };
    let app = App { serial: cx.records.app.serial + 1, ..cx.records.app.clone() };
    let now = clock::now();
    let run = JobRun {
        deployment: deployment.id.clone(),
        job: job.clone(),
        app: app.id.clone(),
        name: cx.shared.names.job(&app, job, app.serial),
        revision,
        address,
        phase: JobPhase::Intended,
        since: now,
        grace: cx.records.spec_of(deployment).map(|spec| job_grace(&spec, job)),
        cancel_requested: false,
        collected: false,
        container_id: None,
    };
    let mut deployment = deployment.clone();
    deployment.progress.start(&LeafKey::Deploy(job.clone()), now);
    cx.commit(vec![Change::App(app), Change::JobRun(run), Change::Deployment(Box::new(deployment))]).await?;
    Ok(true)
}

async fn create(cx: &mut Context, snapshot: &Snapshot, deployment: &Deployment, run: JobRun) -> Result<(), StoreError> {
    let Some(revision) = cx.records.revision(&run.revision) else {
        let message = format!("revision {} is not on record", run.revision);
        return record(cx, run, JobPhase::Refused { message }).await;
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
    let spec = container_spec(revision, &run.name, run.address, &BTreeMap::new(), identity, grace(&run));
    let (shared, network, name) = (cx.shared.clone(), network_spec(&cx.shared, &cx.records), run.name);
    let calls = calls::of_new_container(cx, snapshot.routes.calls());
    cx.actions.begin(Subject::Job(name.clone()), async move {
        let result = create_process(&shared, network, spec, calls).await;
        let result = result.map(|container| JobPhase::Created { container, since: clock::now() });
        ActionResult::JobMoved { name, result }
    });
    Ok(())
}

fn act(cx: &mut Context, snapshot: &Snapshot, run: JobRun, step: JobStep) {
    let began = match &run.phase {
        JobPhase::Created { since, .. } => *since,
        _ => snapshot.now,
    };
    let left = began.plus(cx.shared.config.job_limit).since(clock::now());
    let (shared, secrets) = (cx.shared.clone(), cx.records.secrets());
    let place = cx.place_if_moved(snapshot, &run.name);
    let subject = match step {
        JobStep::Await => Subject::JobEnd(run.name.clone()),
        _ => Subject::Job(run.name.clone()),
    };
    cx.actions.begin(subject, async move {
        let result = take_step(shared.engine.as_ref(), &run, step, left, place).await;
        if result.as_ref().is_ok_and(was_seen_to_end) {
            // Keep the log before the end is recorded: the deployment may end with this run, and its log is read then.
            keep_log(&shared, &run, &secrets).await;
        }
        ActionResult::JobMoved { name: run.name, result }
    });
}

pub(super) async fn moved(
    cx: &mut Context,
    snapshot: &Snapshot,
    name: InstanceName,
    result: Result<JobPhase, EngineError>,
) -> Result<(), StoreError> {
    let Some(run) = cx.records.job_run(&name).cloned() else { return Ok(()) };
    match result {
        // The run was started, or the wait was over before the run ended. It is still running.
        Ok(phase) if phase == run.phase => {
            cx.observer.acted(&name, ContainerSeen::Running);
            Ok(())
        }
        Ok(phase) => {
            let seen = match phase {
                JobPhase::Created { .. } => ContainerSeen::Created,
                _ => ContainerSeen::Exited { code: None },
            };
            cx.observer.acted(&name, seen);
            record(cx, run, phase).await
        }
        Err(error) if error.is_transient() => {
            cx.hold_off(Subject::Job(name), "a job could not be taken further yet", &error);
            Ok(())
        }
        Err(error @ EngineError::SubnetTaken { .. }) => match move_network(cx, &error).await? {
            None => {
                cx.hold_off(Subject::Job(name), "the app's network is taken", &error);
                Ok(())
            }
            Some(message) => record(cx, run, JobPhase::Refused { message }).await,
        },
        Err(error @ EngineError::AddressTaken { .. }) => {
            cx.observer.hold_address(run.address);
            match cx.free_address(snapshot) {
                Some(address) => {
                    warn!(job = %run.job, %error, %address, "using another address");
                    cx.commit(vec![Change::JobRun(JobRun { address, ..run })]).await
                }
                None => record(cx, run, JobPhase::Refused { message: error.to_string() }).await,
            }
        }
        Err(EngineError::NotFound { .. }) if !matches!(run.phase, JobPhase::Intended) => {
            record(cx, run, JobPhase::Unknown).await
        }
        Err(error) => record(cx, run, JobPhase::Refused { message: error.to_string() }).await,
    }
}

async fn record(cx: &mut Context, mut run: JobRun, phase: JobPhase) -> Result<(), StoreError> {
    info!(job = %run.job, from = ?run.phase, to = ?phase, "job moved");
    let now = clock::now();
    (run.phase, run.since) = (phase, now);
    let mut changes = Vec::new();
    if run.phase.outcome(false) == JobOutcome::Succeeded
        && let Some(mut deployment) = cx.records.deployment(&run.deployment).cloned()
    {
        deployment.progress.succeed(&LeafKey::Deploy(run.job.clone()), None, now);
        changes.push(Change::Deployment(Box::new(deployment)));
    }
    changes.push(Change::JobRun(run));
    cx.commit(changes).await
}

/// Records that a person canceled a run. The next turn stops it. Errors: the run has ended.
pub(super) async fn cancel(
    cx: &mut Context,
    deployment: &DeploymentId,
    job: &ComponentName,
) -> Result<(), ControlError> {
    let run = run_of(cx, deployment, job).filter(|it| !has_ended(it, cx.records.deployment(deployment)));
    let Some(run) = run.cloned() else {
        return Err(ControlError::Conflict(format!("this run of job {job} has ended, so it cannot be canceled")));
    };
    // The wait for its end would delay the stop until the time limit.
    cx.actions.end(&Subject::JobEnd(run.name.clone()));
    cx.commit(vec![Change::JobRun(JobRun { cancel_requested: true, ..run })]).await?;
    Ok(())
}

/// Removes the container of an ended run, and first keeps its log if that was not done. Returns whether there was one.
pub(super) fn collect(cx: &mut Context) -> bool {
    let open: Vec<_> = cx.records.job_runs.iter().filter(|it| !it.collected).collect();
    let ended = open.into_iter().filter(|it| has_ended(it, cx.records.deployment(&it.deployment)));
    let ended: Vec<_> = ended.cloned().collect();
    // Stop waiting for runs whose deployment was canceled, failed or was deleted with its app.
    ended.iter().for_each(|run| cx.actions.end(&Subject::JobEnd(run.name.clone())));
    let Some(run) = ended.into_iter().find(|it| !is_busy(cx, it)) else { return false };
    let (shared, secrets) = (cx.shared.clone(), cx.records.secrets());
    cx.actions.begin(Subject::Job(run.name.clone()), async move {
        if matches!(run.phase, JobPhase::Created { .. }) {
            // If the stop fails, the removal still ends the container.
            drop(shared.engine.stop(run.name.as_str(), grace(&run)).await);
        }
        let (app, deployment) = (&run.app, &run.deployment);
        let is_kept = shared.logbook.holds(app, deployment, Chapter::Deploy, &run.job);
        if !was_seen_to_end(&run.phase) || !is_kept {
            keep_log(&shared, &run, &secrets).await;
        }
        let result = shared.engine.remove(run.name.as_str()).await;
        ActionResult::JobCollected { name: run.name, result: result.map(drop) }
    });
    true
}

pub(super) async fn collected(
    cx: &mut Context,
    name: InstanceName,
    result: Result<(), EngineError>,
) -> Result<(), StoreError> {
    let Some(run) = cx.records.job_run(&name).cloned() else { return Ok(()) };
    if let Err(error) = result {
        cx.hold_off(Subject::Job(name), "an ended job could not be removed yet", &error);
        return Ok(());
    }
    cx.observer.acted(&name, ContainerSeen::Missing);
    cx.commit(vec![Change::JobRun(JobRun { collected: true, ..run })]).await
}

/// Time from the stop signal to SIGKILL. Rows of older versions lack it and get the default.
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
            // A controller that was killed before it recorded the start has started the job already. Never start a job
            // twice.
            Some(details) if details.started_at.is_some() => Ok(run.phase.clone()),
            _ => start_at(engine, name, moved).await.map(|()| run.phase.clone()),
        },
        JobStep::TimeOut => stop(engine, run, JobPhase::TimedOut).await,
        JobStep::Cancel => stop(engine, run, JobPhase::Canceled).await,
        // If the time limit is over first, the next step stops the job.
        _ => tokio::time::timeout(left, end_of(engine, name)).await.unwrap_or_else(|_| Ok(run.phase.clone())),
    }
}

/// Stops a run. Returns `stopped`, unless the process had ended before: the engine's list may still show it as running.
async fn stop(engine: &dyn Engine, run: &JobRun, stopped: JobPhase) -> Result<JobPhase, EngineError> {
    let name = run.name.as_str();
    match engine.stop(name, grace(run)).await? {
        Changed::Done => Ok(stopped),
        Changed::AlreadySo => match engine.inspect(name).await? {
            Some(details) if details.started_at.is_some() => {
                tokio::time::timeout(CODE_WITHIN, end_of(engine, name)).await.unwrap_or(Ok(stopped))
            }
            None if !matches!(run.phase, JobPhase::Intended) => Ok(JobPhase::Unknown),
            Some(_) | None => Ok(stopped),
        },
    }
}

/// Waits until the process of a run ends.
async fn end_of(engine: &dyn Engine, name: &str) -> Result<JobPhase, EngineError> {
    match engine.wait(name).await? {
        code if code != 0 && ran_out_of_memory(engine, name).await => Ok(JobPhase::OutOfMemory),
        code => Ok(JobPhase::Ended { code }),
    }
}

async fn keep_log(shared: &Shared, run: &JobRun, secrets: &Secrets) {
    let (engine, container) = (shared.engine.as_ref(), run.name.as_str());
    shared.logbook.keep_container_log(engine, &run.app, &run.deployment, &run.job, container, None, secrets).await;
}

/// Whether an action saw the run end. That action has kept the log.
fn was_seen_to_end(phase: &JobPhase) -> bool {
    matches!(phase, JobPhase::Ended { .. } | JobPhase::OutOfMemory | JobPhase::TimedOut | JobPhase::Canceled)
}

/// Whether the run or its deployment has ended.
fn has_ended(run: &JobRun, deployment: Option<&Deployment>) -> bool {
    is_over(run) || deployment.is_none_or(|it| it.stage.is_ended())
}

fn is_over(run: &JobRun) -> bool {
    !matches!(run.phase, JobPhase::Intended | JobPhase::Created { .. })
}
