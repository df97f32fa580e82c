//! Everything that the overview shows, read at one moment.

use app_spec::AppSpec;
use chrono::{DateTime, Utc};
use controller::view::{
    AppView, DeploymentView, InstanceUsage, InstanceView, JobInvocationView, PageQuery, TrafficSample,
};
use controller::{Control, ControlError};
use present::explain;
use rollout::ids::{AppId, DeploymentId};
use rollout::time::Timestamp;
use tokio::sync::Mutex;
use web::{Access, HttpError, view};

use super::deleted;

/// How many of the newest deployments are looked at.
const RECENT: u64 = 20;

/// What is known about an app.
pub(super) struct Facts {
    pub app: AppView,
    pub instances: Vec<InstanceView>,
    pub usage: Vec<InstanceUsage>,
    pub traffic: Vec<TrafficSample>,
    pub invocations: Vec<JobInvocationView>,
    /// The app with its newest deployments, for sentences about it.
    pub explained: explain::Facts,
    /// The spec that serves, or else the newest one; empty if this version cannot read it.
    pub spec: AppSpec,
    pub may_write: bool,
    pub now: DateTime<Utc>,
}

impl Facts {
    /// Errors: 404 if the app was deleted.
    pub async fn read(access: &Access, app: &AppId, known: &KnownRuns) -> Result<Self, HttpError> {
        let control = &access.control;
        let (app, instances) = control.recent_status(app).await.map_err(deleted)?;
        let newest = PageQuery { page: 1, per_page: RECENT };
        let recent = control.deployments(&app.id, newest).await.map_err(deleted)?.items;
        let spec = spec(&app);
        let invocations = match spec.jobs.is_empty() {
            true => Vec::new(),
            false => known.read(control.as_ref(), &app.id, &recent).await.map_err(deleted)?,
        };
        let explained = explain::Facts {
            status: view::app_status(&app, &instances),
            app: view::app(&app),
            recent: recent.iter().map(|it| view::deployment(it, &it.waiting)).collect(),
        };
        Ok(Self {
            usage: control.usage_history(&app.id).await.map_err(deleted)?,
            traffic: control.traffic_history(&app.id).await.map_err(deleted)?,
            may_write: access.identity.may_write(),
            now: Utc::now(),
            app,
            instances,
            invocations,
            explained,
            spec,
        })
    }

    /// The address of a page of the app.
    pub fn address(&self, below: &str) -> String {
        format!("/apps/{}{below}", self.app.name)
    }

    /// The number of a deployment, if it is one of the newest.
    pub fn number(&self, deployment: &DeploymentId) -> Option<u64> {
        let recent = self.explained.recent.iter().find(|it| it.id == deployment.as_str());
        recent.map(|it| it.boatyard.number)
    }
}

/// The runs of jobs, which are read together with all deployments. They change only with a deployment, so a live page reads
/// them again only then.
#[derive(Default)]
pub(super) struct KnownRuns(Mutex<Option<(Vec<Version>, Vec<JobInvocationView>)>>);

/// A deployment, and when it last changed.
type Version = (DeploymentId, Timestamp);

impl KnownRuns {
    /// `recent`: the newest deployments.
    pub async fn read(
        &self,
        control: &dyn Control,
        app: &AppId,
        recent: &[DeploymentView],
    ) -> Result<Vec<JobInvocationView>, ControlError> {
        let mut known = self.0.lock().await;
        let versions: Vec<_> = recent.iter().map(|it| (it.id.clone(), it.updated)).collect();
        let have_ended = recent.iter().all(|it| it.stage.is_ended());
        match &*known {
            Some((of, runs)) if have_ended && *of == versions => Ok(runs.clone()),
            _ => {
                let runs = control.job_invocations(app).await?;
                *known = Some((versions, runs.clone()));
                Ok(runs)
            }
        }
    }
}

fn spec(app: &AppView) -> AppSpec {
    let stored = app.active.as_ref().map_or(&app.spec, |it| &it.spec);
    AppSpec::from_stored(stored).unwrap_or_default()
}
