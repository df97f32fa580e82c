//! Runs of jobs, from the records of the runs and of their deployments.

use std::collections::BTreeMap;

use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use rollout::job::JobPhase;
use rollout::progress::LeafKey;
use store::records::{Deployment, JobRun};

use super::Controller;
use crate::app::AppCommand;
use crate::derived_id::derived_id;
use crate::error::ControlError;
use crate::view::{JobInvocationPhase, JobInvocationView};

impl Controller {
    pub(super) async fn job_invocations_of(&self, app: &AppId) -> Result<Vec<JobInvocationView>, ControlError> {
        self.record(app).await?;
        let store = &self.0.shared.store;
        let runs = store.job_runs_of(app).await?;
        let (deployments, _) = store.deployments(app, 0, u64::MAX).await?;
        let deployments: BTreeMap<&DeploymentId, &Deployment> = deployments.iter().map(|it| (&it.id, it)).collect();
        let mut views: Vec<_> =
            runs.iter().filter_map(|run| Some((run, *deployments.get(&run.deployment)?))).map(view).collect();
        views.sort_by_key(|it| std::cmp::Reverse(it.created));
        Ok(views)
    }

    pub(super) async fn job_invocation_of(&self, app: &AppId, id: &str) -> Result<JobInvocationView, ControlError> {
        let found = self.job_invocations_of(app).await?.into_iter().find(|it| it.id == id);
        let name = self.record(app).await?.name;
        let missing = format!("app {name} has no job invocation {id}. See: boatyard apps list-job-invocations {name}");
        found.ok_or(ControlError::NotFound(missing))
    }

    pub(super) async fn cancel_job(&self, app: &AppId, id: &str) -> Result<JobInvocationView, ControlError> {
        let JobInvocationView { deployment, job, .. } = self.job_invocation_of(app, id).await?;
        self.send_command(app, |reply| AppCommand::CancelJob { deployment, job, reply }).await?;
        self.job_invocation_of(app, id).await
    }
}

fn view((run, deployment): (&JobRun, &Deployment)) -> JobInvocationView {
    let leaf = deployment.progress.leaf(&LeafKey::Deploy(run.job.clone()));
    let process_since = match &run.phase {
        JobPhase::Created { since, .. } => Some(*since),
        _ => None,
    };
    // A deployment that was canceled has dropped the times of the steps that it did not finish.
    let started = leaf.and_then(|it| it.started).or(process_since);
    let phase = match &run.phase {
        JobPhase::Intended if !run.collected => JobInvocationPhase::Pending,
        JobPhase::Created { .. } if !run.collected => JobInvocationPhase::Running,
        JobPhase::Ended { code: 0 } => JobInvocationPhase::Succeeded,
        JobPhase::Canceled => JobInvocationPhase::Canceled,
        _ if deployment.stage == Stage::Canceled => JobInvocationPhase::Canceled,
        _ => JobInvocationPhase::Failed,
    };
    let completed = match (&run.phase, phase) {
        (_, JobInvocationPhase::Pending | JobInvocationPhase::Running) => None,
        // The deployment ended before the job, and the end of the process was not recorded.
        (JobPhase::Intended | JobPhase::Created { .. }, _) => Some(deployment.stage_since),
        _ => Some(run.since),
    };
    JobInvocationView {
        id: derived_id(&["job run", run.deployment.as_str(), run.job.as_str()]),
        job: run.job.clone(),
        deployment: run.deployment.clone(),
        phase,
        created: started.unwrap_or(deployment.created),
        started: started.filter(|_| phase != JobInvocationPhase::Pending),
        completed,
    }
}
