//! Everything that the overview shows, read at one moment.

use app_spec::AppSpec;
use chrono::{DateTime, Utc};
use controller::view::{AppView, InstanceUsage, InstanceView, JobInvocationView, PageQuery, TrafficSample};
use present::explain;
use rollout::ids::{AppId, DeploymentId};
use web::{Access, HttpError, view};

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
    /// Errors: 404 if the app does not exist or is being deleted.
    pub async fn read(access: &Access, app: &AppId) -> Result<Self, HttpError> {
        let control = &access.control;
        let (app, instances) = control.status(app.as_str()).await?;
        if app.deleting {
            return Err(HttpError::not_found(format!("the app {} is being deleted", app.name)));
        }
        let recent = control.deployments(&app.id, PageQuery { page: 1, per_page: RECENT }).await?.items;
        let spec = spec(&app);
        // The runs of jobs are read together with all deployments, so only if there can be any.
        let invocations = match spec.jobs.is_empty() {
            true => Vec::new(),
            false => control.job_invocations(&app.id).await?,
        };
        let explained = explain::Facts {
            status: view::app_status(&app, &instances),
            app: view::app(&app),
            recent: recent.iter().map(|it| view::deployment(it, &it.waiting)).collect(),
        };
        Ok(Self {
            usage: control.usage_history(&app.id).await?,
            traffic: control.traffic_history(&app.id).await?,
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

fn spec(app: &AppView) -> AppSpec {
    let stored = app.active.as_ref().map_or(&app.spec, |it| &it.spec);
    AppSpec::from_stored(stored).unwrap_or_default()
}
