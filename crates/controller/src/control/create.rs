//! Creating apps from specs, and checking specs.

use app_spec::AppSpec;
use rollout::ids::AppId;
use rollout::queue::Request;
use source::RepoUrlError;
use store::records::{App, AppState};
use uuid::Uuid;

use super::Controller;
use crate::Control;
use crate::app::{AppCommand, AppHandle, DeployRequest};
use crate::clock;
use crate::domains;
use crate::error::ControlError;
use crate::network;
use crate::specs::{NeedsValues, Specs};
use crate::view::{AppView, Caller};

impl Controller {
    pub(super) async fn create(&self, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError> {
        self.in_charge()?;
        check_supported(&spec)?;
        self.check_repositories(&spec)?;
        if let Some(app) = self.created_before(&spec, caller).await? {
            return self.app(&app).await;
        }
        // Checked before missing values: if the app exists, it may already have them, and the taken name is the useful
        // error.
        self.check_name_is_free(&spec.name).await?;
        domains::check_free(&self.0.shared, None, &spec).await?;
        let id = AppId::new(Uuid::new_v4().to_string());
        let specs = Specs::of(&id, &self.0.shared.sealer);
        let (spec, needed) = specs.complete(spec, None);
        let spec = needed.none_of(spec).map_err(needs_values)?;
        let sealed = specs.seal(&spec, None);
        let (controller, caller) = (self.clone(), caller.clone());
        // Runs as a task, so that a caller that disconnects does not leave a half-created app.
        let made = tokio::spawn(async move { controller.make_app(id, &spec, sealed, caller).await });
        made.await.map_err(|error| ControlError::Internal {
            message: "the app could not be created. See the log of `boatyard serve`".into(),
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
        // The lock makes names and networks unique: only one app is created at a time.
        let giving = shared.networks.lock().await;
        if let Some(app) = self.created_before(spec, &caller).await? {
            return self.app(&app).await;
        }
        self.check_name_is_free(&spec.name).await?;
        domains::check_free(shared, None, spec).await?;
        let state = AppState::new(self.new_app(id.clone(), spec, sealed).await?);
        let handle = AppHandle::start(shared.clone(), state);
        let request = DeployRequest::new(Request::deploy(), "initial deployment", caller);
        // One commit records both the app and its first deployment, so no app exists without a deployment.
        let accepted = handle.ask(|reply| AppCommand::Deploy { request: Box::new(request), reply }).await;
        // After a timeout the app may be on record all the same, together with its deployment.
        let is_recorded = accepted.is_ok() || !shared.store.app(&id).await.is_ok_and(|it| it.is_none());
        drop(giving);
        if is_recorded {
            let mut apps = self.0.apps.write().await;
            apps.retain(|_, handle| !handle.has_ended());
            apps.insert(id.clone(), handle);
        } else {
            tracing::warn!(app = %spec.name, "the app was not created");
            handle.end();
            shared.ingress.forget(id.as_str()).await;
        }
        accepted?;
        self.app(&id).await
    }

    /// The app that an earlier, identical request with the same idempotency key has created.
    async fn created_before(&self, spec: &AppSpec, caller: &Caller) -> Result<Option<AppId>, ControlError> {
        let store = &self.0.shared.store;
        let Some(key) = &caller.idempotency_key else { return Ok(None) };
        let Some(first) = store.accepted(&caller.token_hash, key, clock::now()).await? else { return Ok(None) };
        let Some(first) = store.deployment(&first).await?.filter(|it| it.number == 1) else { return Ok(None) };
        let specs = Specs::of(&first.app, &self.0.shared.sealer);
        let is_same = specs.open(&first.spec).is_some_and(|it| it == specs.complete(spec.clone(), Some(&it)).0);
        let is_there = store.app_by_name(&spec.name).await?.is_some_and(|it| it.id == first.app);
        Ok((is_same && is_there).then_some(first.app))
    }

    pub(super) async fn check_name_is_free(&self, name: &str) -> Result<(), ControlError> {
        let host = self.0.shared.ingress.domain(name);
        if self.0.shared.config.webhooks.as_ref().is_some_and(|it| it.host == host) {
            return Err(ControlError::Conflict(format!(
                "an app named {name} would have the host name {host}, which serve uses for webhooks (--webhook-host). Choose \
                 another name"
            )));
        }
        match self.0.shared.store.app_by_name(name).await? {
            Some(_) => Err(ControlError::name_taken(name)),
            None => Ok(()),
        }
    }

    /// Returns an app with a network that no other app uses. The app is not recorded yet.
    pub(super) async fn new_app(
        &self,
        id: AppId,
        spec: &AppSpec,
        sealed: serde_json::Value,
    ) -> Result<App, ControlError> {
        let shared = &self.0.shared;
        let taken_networks = shared.store.networks().await?;
        let pool = shared.config.network_pool;
        // Installations that share an engine start at different numbers, so that they rarely pick the same network.
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
            pinned: None,
            secret_build_arguments: false,
            build_caches: 0,
            earlier_files: Default::default(),
            newer: Default::default(),
        })
    }

    /// Refuses repositories whose addresses are not allowed. A repository that merely cannot be found is left to the
    /// build, because it may exist by then.
    pub(super) fn check_repositories(&self, spec: &AppSpec) -> Result<(), ControlError> {
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

    /// Completes a new spec of an existing app with the secrets that it omits, and returns the values that are still
    /// missing. Errors: the spec does not belong to this app.
    pub(super) async fn completed(&self, app: &AppId, spec: AppSpec) -> Result<(AppSpec, NeedsValues), ControlError> {
        check_supported(&spec)?;
        self.check_repositories(&spec)?;
        let record = self.record(app).await?;
        if spec.name != record.name {
            let (old, new) = (&record.name, &spec.name);
            return Err(ControlError::Invalid(format!(
                "an app keeps its name: this one is {old}, the spec says {new}"
            )));
        }
        domains::check_free(&self.0.shared, Some(app), &spec).await?;
        let specs = Specs::of(app, &self.0.shared.sealer);
        let before = specs.open(&record.spec);
        Ok(specs.complete(spec, before.as_ref()))
    }
}

/// Refuses a spec that uses unsupported features, and lists every place.
pub(super) fn check_supported(spec: &AppSpec) -> Result<(), ControlError> {
    let not_yet = spec.not_yet();
    if not_yet.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = not_yet.iter().map(|it| it.api_message()).collect();
    Err(ControlError::InvalidSpec(lines.join("\n")))
}

pub(super) fn needs_values(needed: NeedsValues) -> ControlError {
    ControlError::InvalidSpec(format!(
        "these need a value: {}. Give each in the spec, or on the command line by `--env KEY=value`",
        needed.0.join(", ")
    ))
}
