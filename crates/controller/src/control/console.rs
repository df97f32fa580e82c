//! Finds an instance for a console, and opens the console.

use engine::ContainerState;
use rollout::ids::DeploymentId;
use store::records::AppState;

use super::Controller;
use crate::console::{self, Candidate, Console, ConsoleRequest, ConsoleTarget, Places, Session, choose};
use crate::deployment_numbers::DeploymentNumbers;
use crate::error::ControlError;

impl Controller {
    pub(super) async fn console_target(&self, request: ConsoleRequest) -> Result<ConsoleTarget, ControlError> {
        let state = self.state(&request.app).await?;
        let mut places = Places::of(&state);
        // Checked for the whole app first: a name that is wrong in any deployment is unknown.
        choose(&places, &request.component, request.instance.as_deref())?;
        if let Some(deployment) = &request.deployment {
            self.keep_only_those_of(deployment, &state, &mut places).await?;
            let is_left = places.candidates.iter().any(|it| it.component.as_str() == request.component);
            if !is_left {
                return Err(replaced(&places.app, &request.component));
            }
        }
        let candidates = choose(&places, &request.component, request.instance.as_deref())?;
        let Candidate { component, instance, alias, .. } = self.first_running(&candidates).await?.clone();
        match self.0.shared.engine.has_shell(instance.as_str()).await {
            Ok(true) => Ok(ConsoleTarget { app: request.app, app_name: places.app, component, instance, alias }),
            Ok(false) => Err(ControlError::Invalid(format!(
                "{alias} has no shell: its PATH leads to no sh. Add one to the image to open a console"
            ))),
            Err(error) => Err(refused(&alias, error)),
        }
    }

    /// Removes the candidates that do not belong to the deployment.
    async fn keep_only_those_of(
        &self,
        deployment: &DeploymentId,
        state: &AppState,
        places: &mut Places,
    ) -> Result<(), ControlError> {
        let store = &self.0.shared.store;
        let found = store.deployment(deployment).await?.filter(|it| it.app == state.app.id);
        let unknown = || ControlError::NotFound(format!("no deployment {deployment} of app {}", state.app.name));
        let deployment = found.ok_or_else(unknown)?;
        let numbers = DeploymentNumbers::read(store, state).await?;
        places.candidates.retain(|it| match state.instances.iter().find(|row| row.name == it.instance) {
            Some(row) => numbers.is_of(state, &deployment, row),
            // A run of a job belongs to one deployment.
            None => it.deployment == deployment.id,
        });
        Ok(())
    }

    /// The first one that runs according to the engine.
    async fn first_running<'a>(&self, candidates: &[&'a Candidate]) -> Result<&'a Candidate, ControlError> {
        let mut last = "there is none".to_owned();
        for candidate in candidates {
            let details = self.0.shared.engine.inspect(candidate.instance.as_str()).await;
            match details.map_err(|error| refused(&candidate.alias, error))?.map(|it| it.container.state) {
                Some(ContainerState::Running) => return Ok(candidate),
                Some(ContainerState::Restarting) => last = format!("{} is being restarted", candidate.alias),
                Some(ContainerState::Paused) => last = format!("{} is paused", candidate.alias),
                _ => last = format!("{} does not run", candidate.alias),
            }
        }
        Err(ControlError::Conflict(format!("no console can be opened now: {last}. Try again when it runs")))
    }

    pub(super) async fn console(&self, target: ConsoleTarget) -> Result<Console, ControlError> {
        self.record(&target.app).await?;
        let shared = &self.0.shared;
        let (engine, store, stop) = (shared.engine.clone(), shared.store.clone(), shared.stop.clone());
        console::open(Session { engine, store, stop, target }).await
    }
}

fn replaced(app: &str, component: &str) -> ControlError {
    ControlError::Conflict(format!(
        "the instances of {component} that run now do not belong to this deployment. To open a console in one of them: boatyard \
         apps console {app} {component}"
    ))
}

fn refused(alias: &str, error: engine::EngineError) -> ControlError {
    match error {
        engine::EngineError::NotFound { .. } | engine::EngineError::Conflict { .. } => ControlError::Conflict(format!(
            "no console can be opened now: {alias} does not run. Try again when it runs"
        )),
        error => ControlError::Internal {
            message: format!("no console can be opened in {alias}: {error}"),
            cause: error.into(),
        },
    }
}
