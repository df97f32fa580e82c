//! Everything that the page shows, read at one moment.

use app_spec::AppSpec;
use controller::view::{AppView, DeploymentView, TrafficSample};
use present::{Deployment, InstanceTransition};
use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use web::{Access, HttpError, view};

/// What is known about a deployment.
pub(super) struct Facts {
    pub app: AppView,
    pub it: Deployment,
    pub stage: Stage,
    /// The deployment's spec; empty if this version cannot read it.
    pub spec: AppSpec,
    /// What happened to its instances, in time order.
    pub timeline: Vec<InstanceTransition>,
    /// Requests of the app in the last hour.
    pub traffic: Vec<TrafficSample>,
    pub may_write: bool,
}

impl Facts {
    /// Errors: 404 if the app or the deployment does not exist.
    pub async fn read(access: &Access, app: &AppId, deployment: &DeploymentId) -> Result<Self, HttpError> {
        let control = &access.control;
        let app = access.app(app.as_str()).await?;
        let record = control.deployment(&app.id, deployment).await?;
        let timeline = control.timeline(&app.id, deployment).await?;
        let traffic = control.traffic_history(&app.id).await?;
        Ok(Self::new(
            app,
            &record,
            timeline.iter().map(view::transition).collect(),
            traffic,
            access.identity.may_write(),
        ))
    }

    pub fn new(
        app: AppView,
        record: &DeploymentView,
        timeline: Vec<InstanceTransition>,
        traffic: Vec<TrafficSample>,
        may_write: bool,
    ) -> Self {
        let spec = AppSpec::from_stored(&record.spec).unwrap_or_default();
        Self {
            app,
            it: view::deployment(record, &record.waiting),
            stage: record.stage,
            spec,
            timeline,
            traffic,
            may_write,
        }
    }

    pub fn number(&self) -> u64 {
        self.it.boatyard.number
    }

    /// The address of a page of the app.
    pub fn address(&self, below: &str) -> String {
        format!("/apps/{}{below}", self.app.name)
    }

    /// Whether it became active, and a newer deployment serves now.
    pub fn served_earlier(&self) -> bool {
        self.stage == Stage::Superseded && self.it.has_served()
    }

    /// Whether an instance was created. `None`: it is not known, because an older version recorded nothing.
    pub fn replaced_instances(&self) -> Option<bool> {
        (!self.timeline.is_empty()).then(|| self.timeline.iter().any(|it| !it.existed_before))
    }

    /// The address of the log in which this deployment, or a component of it, can be followed now.
    pub fn log_address(&self, below: &str) -> String {
        let failure = self.it.boatyard.failure.as_ref();
        let component = failure.and_then(|it| it.component.as_deref()).unwrap_or_default();
        let built = self.it.boatyard.images.values().any(|it| it.built);
        let (kind, component) = match self.stage {
            Stage::Failed | Stage::RollingBack if failure.is_some_and(|it| it.code == "BuildFailed") => {
                ("build", component)
            }
            Stage::Pending | Stage::Building | Stage::Built => ("build", ""),
            Stage::Rolling | Stage::Active => ("run", ""),
            // Its instances are gone, and so is what they wrote.
            Stage::Superseded | Stage::Canceled if built => ("build", ""),
            Stage::Preparing | Stage::Finishing | Stage::RollingBack => ("deploy", component),
            Stage::Failed | Stage::Superseded | Stage::Canceled => ("deploy", component),
        };
        self.address(&format!("/logs{below}?component={component}&type={kind}&deployment={}", self.number()))
    }
}
