//! Finds an instance for a console, and opens the console.

use engine::ContainerState;
use rollout::ids::DeploymentId;
use store::records::AppState;

use super::Controller;
use crate::console::{
    self, Console, ConsoleRequest, ConsoleTarget, RunningInstance, RunningInstances, SHELL_WITHIN, Session, Shells,
    choose,
};
use crate::deployment_numbers::DeploymentNumbers;
use crate::engine_watch::NEEDED_WITHIN;
use crate::error::ControlError;

/// Shells of consoles in one instance, with those that could not be ended yet. Each of them costs an attempt every 30 s.
const MAX_SHELLS_PER_INSTANCE: usize = 16;

impl Controller {
    pub(super) async fn console_target(&self, request: ConsoleRequest) -> Result<ConsoleTarget, ControlError> {
        self.in_charge()?;
        let state = self.state(&request.app).await?;
        let mut running = RunningInstances::of(&state);
        // Checked for the whole app first: a name that is wrong in any deployment is unknown.
        choose(&running, &request.component, request.instance.as_deref())?;
        if let Some(deployment) = &request.deployment {
            self.keep_only_those_of(deployment, &state, &mut running).await?;
            let is_left = running.instances.iter().any(|it| it.component.as_str() == request.component);
            if !is_left {
                return Err(replaced(&running.app, &request.component));
            }
        }
        let candidates = choose(&running, &request.component, request.instance.as_deref())?;
        let RunningInstance { component, instance, alias, .. } = self.first_running(&candidates).await?.clone();
        let shared = &self.0.shared;
        match shared.watch.answer(SHELL_WITHIN, shared.engine.has_shell(instance.as_str())).await {
            Ok(true) => Ok(ConsoleTarget { app: request.app, app_name: running.app, component, instance, alias }),
            Ok(false) => Err(ControlError::Invalid(format!(
                "{alias} has no shell: no `sh` is in its PATH. Add one to the image to open a console"
            ))),
            Err(error) => Err(refused(&alias, error)),
        }
    }

    /// Removes the candidates that do not belong to the deployment.
    async fn keep_only_those_of(
        &self,
        deployment: &DeploymentId,
        state: &AppState,
        running: &mut RunningInstances,
    ) -> Result<(), ControlError> {
        let store = &self.0.shared.store;
        let found = store.deployment(deployment).await?.filter(|it| it.app == state.app.id);
        let unknown = || ControlError::NotFound(format!("no deployment {deployment} of app {}", state.app.name));
        let deployment = found.ok_or_else(unknown)?;
        let numbers = DeploymentNumbers::read(store, state).await?;
        running.instances.retain(|it| match state.instances.iter().find(|row| row.name == it.instance) {
            Some(row) => numbers.is_of(state, &deployment, row),
            // A run of a job belongs to one deployment.
            None => it.deployment == deployment.id,
        });
        Ok(())
    }

    /// The first one that runs according to the engine.
    async fn first_running<'a>(&self, candidates: &[&'a RunningInstance]) -> Result<&'a RunningInstance, ControlError> {
        let shared = &self.0.shared;
        let mut last = "there is none".to_owned();
        for candidate in candidates {
            let details = shared.engine.inspect(candidate.instance.as_str());
            let details = shared.watch.answer(NEEDED_WITHIN, details).await;
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
        self.in_charge()?;
        self.record(&target.app).await?;
        let on_record = self.0.shared.store.consoles().await?;
        let in_instance = on_record.iter().filter(|(_, container)| container == target.instance.as_str()).count();
        if in_instance >= MAX_SHELLS_PER_INSTANCE {
            return Err(too_many(&target));
        }
        console::open(Session { shells: Shells::of(&self.0.shared), target }).await
    }
}

fn too_many(target: &ConsoleTarget) -> ControlError {
    let ConsoleTarget { app_name, component, alias, .. } = target;
    ControlError::Conflict(format!(
        "{MAX_SHELLS_PER_INSTANCE} consoles of {alias} are open or could not be ended, which is the limit. Close one of them. If \
         they do not end: boatyard apps restart {app_name} {component}"
    ))
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
        error => ControlError::of_engine(&format!("no console can be opened in {alias}"), error),
    }
}
