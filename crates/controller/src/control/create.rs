//! Specs that people send: apps made from them, and changed by them.

use app_spec::AppSpec;
use rollout::ids::AppId;
use rollout::queue::Request;
use source::RepoUrlError;
use store::records::{App, AppState};
use uuid::Uuid;

use super::Controller;
use crate::app::{AppCommand, AppHandle, DeployRequest};
use crate::clock;
use crate::error::ControlError;
use crate::network;
use crate::specs::{NeedsValues, Specs};
use crate::view::{AppView, Caller};

impl Controller {
    /// Makes an app and its first deployment. Errors: the name is taken; the spec cannot run here; secrets without a value.
    pub async fn create_app(&self, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError> {
        self.in_charge()?;
        runnable(&spec)?;
        self.fetchable(&spec)?;
        // Before its values: an app that is there already may have them.
        self.name_is_free(&spec.name).await?;
        let id = AppId::new(Uuid::new_v4().to_string());
        let specs = Specs::of(&id, &self.0.shared.sealer);
        let (spec, needed) = specs.complete(spec, None);
        let spec = needed.none_of(spec).map_err(needs_values)?;
        let sealed = specs.seal(&spec, None);
        let (controller, caller) = (self.clone(), caller.clone());
        // A caller that leaves half-way leaves no half-made app: this goes on without it.
        let made = tokio::spawn(async move { controller.make_app(id, &spec, sealed, caller).await });
        made.await.map_err(|error| ControlError::Internal {
            message: "the app could not be made. See the log of `boatyard serve`".into(),
            cause: error.into(),
        })?
    }

    async fn make_app(
        &self,
        id: AppId,
        spec: &AppSpec,
        sealed: serde_json::Value,
        caller: Caller,
    ) -> Result<AppView, ControlError> {
        let shared = &self.0.shared;
        // Names and networks are given to one at a time.
        let giving = shared.networks.lock().await;
        self.name_is_free(&spec.name).await?;
        let state = AppState::new(self.new_app(id.clone(), spec, sealed).await?);
        let handle = AppHandle::start(shared.clone(), state);
        let ask = DeployRequest { request: Request::deploy(), spec: None, cause: "initial deployment".into(), caller };
        // App and deployment are written down together: there is never an app that nothing was deployed of.
        let accepted = handle.ask(|reply| AppCommand::Deploy { request: Box::new(ask), reply }).await;
        // Not heard of in time is not the same as not written down: then the app is there, and so is its deployment.
        let is_recorded = accepted.is_ok() || !shared.store.app(&id).await.is_ok_and(|it| it.is_none());
        drop(giving);
        if is_recorded {
            let mut apps = self.0.apps.write().await;
            apps.retain(|_, handle| !handle.has_ended());
            apps.insert(id.clone(), handle);
        } else {
            tracing::warn!(app = %spec.name, "the app was not made");
            handle.end();
            shared.ingress.forget(id.as_str()).await;
        }
        accepted?;
        self.app(&id).await
    }

    pub(super) async fn name_is_free(&self, name: &str) -> Result<(), ControlError> {
        match self.0.shared.store.app_by_name(name).await? {
            Some(there) if there.deleting => Err(still_going(name)),
            Some(_) => Err(ControlError::name_taken(name)),
            None => Ok(()),
        }
    }

    /// An app with a network that nobody else has. Not written down yet.
    pub(super) async fn new_app(
        &self,
        id: AppId,
        spec: &AppSpec,
        sealed: serde_json::Value,
    ) -> Result<App, ControlError> {
        let shared = &self.0.shared;
        let taken_networks = shared.store.networks().await?;
        let pool = shared.config.network_pool;
        // Installations that share an engine begin at different places, so that they seldom meet.
        let start =
            self.installation_id().bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let network = network::free_number(pool, &taken_networks, start % pool.size()).ok_or_else(|| {
            ControlError::Conflict("every network of the pool is taken; start with another --network-pool".into())
        })?;
        let now = clock::now();
        Ok(App {
            id,
            name: spec.name.clone(),
            network,
            spec: sealed,
            created: now,
            updated: now,
            deleting: false,
            active: None,
            deployments: 0,
            serial: 0,
            generation: 0,
            kept: None,
            newer: Default::default(),
        })
    }

    /// Puts a new spec. An equal one changes nothing. Errors: as for [`Self::create_app`]; a changed name.
    pub async fn update_app(&self, app: &AppId, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError> {
        let (spec, needed) = self.completed(app, spec).await?;
        let spec = needed.none_of(spec).map_err(needs_values)?;
        let ask = DeployRequest {
            request: Request::deploy(),
            spec: Some(spec),
            cause: "app spec updated".into(),
            caller: caller.clone(),
        };
        self.ask_app(app, ask).await?;
        self.app(app).await
    }

    /// Refuses repositories that may not be fetched from here, whatever lies there. One that only cannot be found is left to
    /// the build: it may be there by then.
    pub(super) fn fetchable(&self, spec: &AppSpec) -> Result<(), ControlError> {
        let mut refused = Vec::new();
        for component in spec.components() {
            let Some((address, _)) = component.source().repository() else { continue };
            match self.0.shared.image_builder.repo_url(&address) {
                Ok(_) | Err(RepoUrlError::Unreadable { .. }) => {}
                Err(error) => refused.push(format!("{}: {error}", component.name())),
            }
        }
        match refused.is_empty() {
            true => Ok(()),
            false => Err(ControlError::InvalidSpec(refused.join("\n"))),
        }
    }

    /// A new spec of an app that is there, with the secrets that it leaves out; and those that nobody knows. Errors: it
    /// cannot be this app's.
    pub(super) async fn completed(&self, app: &AppId, spec: AppSpec) -> Result<(AppSpec, NeedsValues), ControlError> {
        runnable(&spec)?;
        self.fetchable(&spec)?;
        let record = self.record(app).await?;
        if spec.name != record.name {
            let (old, new) = (&record.name, &spec.name);
            return Err(ControlError::Invalid(format!(
                "an app keeps its name: this one is {old}, the spec says {new}"
            )));
        }
        let specs = Specs::of(app, &self.0.shared.sealer);
        let before = specs.open(&record.spec);
        Ok(specs.complete(spec, before.as_ref()))
    }
}

fn still_going(name: &str) -> ControlError {
    ControlError::Conflict(format!(
        "an app named {name} is still being deleted: its open requests and its processes get their time to end; try again \
         when `boatyard apps list` does not show it any more"
    ))
}

/// What this version cannot run is refused as a whole, with every place.
pub(super) fn runnable(spec: &AppSpec) -> Result<(), ControlError> {
    let not_yet = spec.not_yet();
    if not_yet.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = not_yet.iter().map(|it| it.api_message()).collect();
    Err(ControlError::InvalidSpec(lines.join("\n")))
}

pub(super) fn needs_values(needed: NeedsValues) -> ControlError {
    ControlError::InvalidSpec(format!(
        "these need a value: {}. Give each in the spec, or by `--env KEY=value`",
        needed.0.join(", ")
    ))
}
