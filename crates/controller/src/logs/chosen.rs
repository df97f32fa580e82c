//! The instances whose output answers a request.

use std::collections::BTreeSet;

use rollout::deployment::Stage;
use rollout::instance::InstancePhase;
use store::records::{AppState, Deployment, Instance};

use super::Logs;
use crate::deployment_numbers::DeploymentNumbers;
use crate::error::{ControlError, closest};
use crate::view::LogRequest;

impl Logs {
    /// Containers of started instances, each with the name of its component. Errors: no instance of the component runs, or
    /// the deployment has ended and its instances are gone.
    pub(super) async fn containers(&self, request: &LogRequest) -> Result<Vec<(String, String)>, ControlError> {
        let Some(state) = self.store.app_state(&request.app).await? else { return Ok(Vec::new()) };
        let deployment = match &request.deployment {
            Some(_) => Some(self.deployment(request).await?),
            None => None,
        };
        let numbers = match &deployment {
            Some(_) => DeploymentNumbers::read(&self.store, &state).await?,
            None => DeploymentNumbers::default(),
        };
        let started = state.instances.iter().filter(|it| it.phase > InstancePhase::Created);
        let rows: Vec<_> =
            started.filter(|it| deployment.as_ref().is_none_or(|of| numbers.is_of(&state, of, it))).collect();
        let wanted = |it: &&&Instance| request.component.as_deref().is_none_or(|name| name == it.component.as_str());
        let names: Vec<_> =
            rows.iter().filter(wanted).map(|it| (it.component.to_string(), it.name.to_string())).collect();
        match (&deployment, &request.component) {
            _ if !names.is_empty() => Ok(names),
            (Some(deployment), component) if is_over(deployment) => Err(gone(&state, deployment, component.as_deref())),
            (_, Some(component)) => {
                let known: BTreeSet<String> = rows.iter().map(|it| it.component.to_string()).collect();
                let advice = closest(component, &known);
                Err(ControlError::NotFound(format!("no running instance of {component:?}.{advice}")))
            }
            (_, None) => Ok(names),
        }
    }

    /// Whether a deployment has ended and can have no new instances.
    pub(super) async fn can_have_no_more(&self, request: &LogRequest) -> bool {
        request.deployment.is_some() && self.deployment(request).await.is_ok_and(|it| is_over(&it))
    }

    pub(super) async fn is_active(&self, request: &LogRequest) -> Result<bool, ControlError> {
        let app = self.store.app(&request.app).await?;
        Ok(request.deployment.is_some() && app.is_some_and(|it| it.active == request.deployment))
    }
}

fn is_over(deployment: &Deployment) -> bool {
    deployment.stage.is_ended() && deployment.stage != Stage::Active
}

fn gone(state: &AppState, deployment: &Deployment, component: Option<&str>) -> ControlError {
    let (number, app) = (deployment.number, &state.app.name);
    let (of, name) = component.map(|it| (format!(" of {it:?}"), format!(" {it}"))).unwrap_or_default();
    let failed = deployment.failure.as_ref().and_then(|it| it.component.as_ref());
    let next = match failed.filter(|failed| component.is_none_or(|it| it == failed.as_str())) {
        Some(_) => format!("What failed: boatyard apps logs {app}{name} --deployment {number} --type deploy"),
        None => format!("For the instances that run now: boatyard apps logs {app}{name}"),
    };
    ControlError::Invalid(format!(
        "no instance{of} of deployment {number} runs any more, so its run log is gone. {next}"
    ))
}
