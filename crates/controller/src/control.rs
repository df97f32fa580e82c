//! The operations that the API and the CLI call on a controller.

mod alerts;
mod audit;
mod bandwidth;
mod console;
mod create;
mod database_connections;
mod deployment_end;
mod down;
mod health;
mod job_invocations;
mod preview;
mod rollback;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use app_spec::AppSpec;
use async_trait::async_trait;
use engine::ContainerDetails;
use rollout::deployment::Stage;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use rollout::instance::InstancePhase;
use rollout::queue::{Request, Restart};
use rollout::time::Timestamp;
use store::records::{App, AppState, Deployment, LastEnd};
use tokio::sync::{oneshot, watch};

pub(crate) use down::{Graces, stop_all};

use crate::app::{AppCommand, AppHandle, DeployRequest, Waits};
use crate::config::Config;
use crate::console::{Console, ConsoleRequest, ConsoleTarget};
use crate::error::{ControlError, StartError, closest};
pub use crate::logs::LogLines;
use crate::logs::Logs;
use crate::start::{self, ControllerState};
use crate::unknown::{self, UnknownApp, UnknownList};
use crate::view::{
    AlertView, AppView, AuditEntry, Caller, ComponentHealthView, CreatedToken, DatabaseConnectionView, DeployOptions,
    DeploymentView, InstanceView, JobInvocationView, LogRequest, NewToken, Page, PageQuery, Preview, RollbackCheck,
    RollbackOptions, SlackWebhook, TokenView, UpdateOptions,
};

/// A running controller. Cheap to clone.
#[derive(Clone)]
pub struct Controller(pub(crate) Arc<ControllerState>);

/// How long `down` waits for open requests: as long as a draining instance waits.
const DOWN_DRAIN: Duration = Duration::from_secs(60);

/// What the API and the CLI ask of a controller. A trait, so that tests of the API run without an engine.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// SHA-256 of the admin token, in hexadecimal. Compare in constant time.
    fn token_hash(&self) -> String;

    /// The installation's id, which is part of every name on the engine.
    fn installation_id(&self) -> &str;

    /// Creates an app and its first deployment. Errors: the name is taken; the spec cannot run here; a secret has no
    /// value.
    async fn create_app(&self, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError>;

    /// Replaces an app's spec. An equal spec changes nothing, unless `options` ask for the newest sources. Errors: those
    /// of [`Self::create_app`]; the name differs.
    async fn update_app(
        &self,
        app: &AppId,
        spec: AppSpec,
        options: UpdateOptions,
        caller: &Caller,
    ) -> Result<AppView, ControlError>;

    /// Deletes an app: instances drain, and databases stop and keep their volumes. Returns when the deletion is
    /// recorded, not when it is complete. From then on only [`Self::status`] and [`Self::unknown`] show the app, and its
    /// name is free.
    async fn delete_app(&self, app: &AppId) -> Result<(), ControlError>;

    /// Returns an app with its instances, as [`Self::find_app`] and [`Self::instances`] do. Also finds an app that is
    /// being deleted, by its id.
    async fn status(&self, id_or_name: &str) -> Result<(AppView, Vec<InstanceView>), ControlError>;

    /// Finds an app by id, or by name if no app has that id.
    async fn find_app(&self, id_or_name: &str) -> Result<AppView, ControlError>;

    /// Returns all apps, sorted by name.
    async fn apps(&self, page: PageQuery) -> Result<Page<AppView>, ControlError>;

    /// Replaces the chosen services and workers, or all of them if `components` is empty, with exact copies. Errors:
    /// the app was never active; a name is unknown, or names a job or a database.
    async fn restart(
        &self,
        app: &AppId,
        components: &[String],
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError>;

    /// Starts a deployment: fetches sources, builds what `options` ask for, and replaces the components that changed.
    async fn deploy(
        &self,
        app: &AppId,
        options: DeployOptions,
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError>;

    /// Returns the app to a deployment that served earlier: its spec with its variables, and its images. Jobs do not run,
    /// and databases stay as they are. Pins the app to it, unless `options` say otherwise. Errors: those of
    /// [`Self::validate_rollback`].
    async fn roll_back(
        &self,
        app: &AppId,
        to: &DeploymentId,
        options: RollbackOptions,
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError>;

    /// Returns whether [`Self::roll_back`] would be accepted, and what to know before.
    async fn validate_rollback(&self, app: &AppId, to: &DeploymentId) -> Result<RollbackCheck, ControlError>;

    /// Keeps the rollback that the app is pinned to. Errors: the app is not pinned.
    async fn commit_rollback(&self, app: &AppId) -> Result<(), ControlError>;

    /// Undoes the rollback that the app is pinned to: deploys the newest spec from before. Errors: the app is not pinned.
    async fn revert_rollback(&self, app: &AppId, caller: &Caller) -> Result<DeploymentView, ControlError>;

    /// Returns an app's deployments, newest first.
    async fn deployments(&self, app: &AppId, page: PageQuery) -> Result<Page<DeploymentView>, ControlError>;

    /// Returns one deployment of an app.
    async fn deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError>;

    /// Returns a deployment once it has ended, which may take as long as deployments may. Errors: those of
    /// [`Self::deployment`].
    async fn ended_deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError>;

    /// Cancels a deployment in progress, and rolls back what it already replaced.
    async fn cancel(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError>;

    /// Returns instances, databases and job runs, with the state that the engine reports.
    async fn instances(&self, app: &AppId) -> Result<Vec<InstanceView>, ControlError>;

    /// Returns log lines of builds, jobs or instances.
    async fn logs(&self, question: LogRequest) -> Result<LogLines, ControlError>;

    /// Chooses the instance for a console, and checks that it has a shell. Errors: the component or instance is unknown; no
    /// such instance runs; the component or image cannot have a console.
    async fn find_console(&self, request: ConsoleRequest) -> Result<ConsoleTarget, ControlError>;

    /// Opens a console. Errors: the instance has stopped since [`Self::find_console`].
    async fn open_console(&self, target: ConsoleTarget) -> Result<Console, ControlError>;

    /// Returns the recorded runs of an app's jobs, newest first.
    async fn job_invocations(&self, app: &AppId) -> Result<Vec<JobInvocationView>, ControlError>;

    /// Cancels a run of a job that has not ended: its process is stopped, and its deployment fails. Errors: the run has
    /// ended.
    async fn cancel_job_invocation(&self, app: &AppId, id: &str) -> Result<JobInvocationView, ControlError>;

    /// Returns the health of the services and workers that the app wants. Takes a second, because it measures CPU usage.
    async fn health(&self, app: &AppId) -> Result<Vec<ComponentHealthView>, ControlError>;

    /// Returns how many bytes the ingress sent to clients of the app on the day, in UTC, that contains `at`.
    async fn bandwidth(&self, app: &AppId, at: Timestamp) -> Result<u64, ControlError>;

    /// Returns how the components of the app connect to its databases, with passwords.
    async fn database_connections(&self, app: &AppId) -> Result<Vec<DatabaseConnectionView>, ControlError>;

    /// Returns the alerts of an app's spec with their destinations.
    async fn alerts(&self, app: &AppId) -> Result<Vec<AlertView>, ControlError>;

    /// Replaces the destinations of an alert. Starts no deployment.
    async fn set_alert_destinations(
        &self,
        app: &AppId,
        alert: &str,
        emails: Vec<String>,
        slack_webhooks: Vec<SlackWebhook>,
    ) -> Result<AlertView, ControlError>;

    /// Previews an update to this spec, or a new app if `app` is `None`. Errors: those of the update.
    async fn preview_update(
        &self,
        app: Option<&AppId>,
        spec: AppSpec,
        options: UpdateOptions,
    ) -> Result<Preview, ControlError>;

    /// Like [`Self::preview_update`], but values may be missing: the preview lists them, and shows the steps as if they
    /// were given.
    async fn propose(&self, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError>;

    /// Previews a restart. Errors: those of the restart.
    async fn preview_restart(&self, app: &AppId, components: &[String]) -> Result<Preview, ControlError>;

    /// Previews a deployment. Only a fetch shows whether a source has changed, so the steps assume that it has not.
    async fn preview_deploy(&self, app: &AppId, options: DeployOptions) -> Result<Preview, ControlError>;

    /// Previews a rollback. Errors: those of the rollback.
    async fn preview_rollback(&self, app: &AppId, to: &DeploymentId) -> Result<Preview, ControlError>;

    /// Stops the ingress gracefully, and with `remove_apps` then the containers of all apps, which get no more requests
    /// by then. Records and volumes stay, and `serve` starts everything again. Errors: what could not be stopped;
    /// everything else is stopped. In both cases this controller no longer works and must exit.
    async fn down(&self, remove_apps: bool) -> Result<(), ControlError>;

    /// Returns containers and routes that no record explains, with notices for the operator.
    async fn unknown(&self) -> Result<UnknownList, ControlError>;

    /// Stops and removes an app's unknown containers and networks, and returns them; volumes stay. Errors: the app has
    /// nothing unknown, or one of the containers serves an app that is on record.
    async fn delete_unknown(&self, app: &AppId) -> Result<UnknownApp, ControlError>;

    /// Finds a created token by the SHA-256 of the token, in hexadecimal. The token may have expired.
    fn token_by_hash(&self, hash: &str) -> Option<TokenView>;

    /// Returns all created tokens, by name.
    fn tokens(&self) -> Vec<TokenView>;

    /// Creates a token. Errors: the name is taken or not a name; the app does not exist; the expiry has passed.
    async fn create_token(&self, token: NewToken, caller: &Caller) -> Result<CreatedToken, ControlError>;

    /// Revokes a token by id, or by name if no token has that id. It is not accepted from now on, and its log streams and
    /// consoles end.
    async fn revoke_token(&self, id_or_name: &str, caller: &Caller) -> Result<TokenView, ControlError>;

    /// Completes when the token with this id is revoked or expires.
    async fn token_ended(&self, id: &str);

    /// Adds a row to the audit trail. If that fails, the log says so.
    async fn record_request(&self, entry: AuditEntry);

    /// Returns a page of the audit trail, newest first. `app`: only rows of the apps with this id or name, including
    /// deleted ones.
    async fn audit(&self, app: Option<&str>, page: PageQuery) -> Result<Page<AuditEntry>, ControlError>;
}

impl Controller {
    /// Opens the data directory, connects to the engine and the ingress, and takes over every app on record. Errors:
    /// [`StartError`]; running containers are untouched then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Ok(Self(Arc::new(start::start(config).await?)))
    }

    /// Ends the controller's tasks. The ingress and all containers keep running.
    pub async fn shutdown(&self) {
        self.0.shared.stop.cancel();
    }

    /// Completes when another controller takes over this installation.
    pub async fn fenced(&self) {
        self.0.shared.fence.lost().cancelled().await;
    }

    /// The file that holds the admin token.
    pub fn token_path(&self) -> PathBuf {
        self.0.directory.admin_token_file()
    }

    /// SHA-256 of any token, in hexadecimal.
    pub fn hash_token(token: &str) -> String {
        start::hash_token(token)
    }

    /// The engine's version, as text for a banner.
    pub async fn engine_line(&self) -> String {
        match self.0.shared.engine.info().await {
            Ok(info) => format!("Docker Engine {} (API {})", info.version, info.api_version),
            Err(error) => error.to_string(),
        }
    }

    /// Writes the runtime file, by which the CLI finds this controller. Errors: the file cannot be written.
    pub fn write_runtime(&self, json: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.directory.write_runtime(json)?)
    }

    /// Removes the runtime file.
    pub fn remove_runtime(&self) {
        if let Err(error) = self.0.directory.remove_runtime() {
            tracing::warn!(%error, "the runtime file could not be removed");
        }
    }

    async fn start_deployment(&self, app: &AppId, request: DeployRequest) -> Result<DeploymentView, ControlError> {
        Ok(DeploymentView::new(self.request_deployment(app, request).await?, &Waits::default()))
    }

    async fn request_deployment(&self, app: &AppId, request: DeployRequest) -> Result<Deployment, ControlError> {
        self.send_command(app, |reply| AppCommand::Deploy { request: Box::new(request), reply }).await
    }

    /// Sends a request to the app's task. Errors: [`ControlError::NotFound`] only if no record of the app exists,
    /// because clients read it as "the app was deleted".
    async fn send_command<T>(
        &self,
        app: &AppId,
        request: impl FnOnce(oneshot::Sender<Result<T, ControlError>>) -> AppCommand,
    ) -> Result<T, ControlError> {
        let answer = self.handle(app).await?.ask(request).await;
        if matches!(answer, Err(ControlError::Unavailable(_))) {
            self.record(app).await?;
        }
        answer
    }

    /// What the app's task last published.
    async fn waits(&self, app: &AppId) -> Arc<Waits> {
        self.0.apps.read().await.get(app).map(|handle| handle.waiting.borrow().clone()).unwrap_or_default()
    }

    async fn instance_views(&self, state: &AppState) -> Vec<InstanceView> {
        let mut views = Vec::new();
        for row in &state.instances {
            let kind = match row.kind {
                rollout::target::ComponentKind::Service => "SERVICE",
                rollout::target::ComponentKind::Worker => "WORKER",
            };
            let alias = format!("{}-{}", row.component, row.slot);
            let view = self.instance_view(&row.name, &row.component, kind, alias, Some(row.phase)).await;
            views.push(InstanceView { restarts: row.restarts.count, last_end: row.restarts.last.clone(), ..view });
        }
        for database in state.databases.iter().filter(|it| it.wanted) {
            let alias = database.name.to_string();
            views.push(self.instance_view(&database.container, &database.name, "DATABASE", alias, None).await);
        }
        for run in state.job_runs.iter().filter(|it| !it.collected) {
            views.push(self.instance_view(&run.name, &run.job, "JOB", run.job.to_string(), None).await);
        }
        views
    }

    /// One sentence for each app that is being deleted, with what its deletion waits for.
    async fn deletions_in_progress(&self) -> Result<Vec<String>, ControlError> {
        let mut sentences = Vec::new();
        for app in self.0.shared.store.apps().await?.into_iter().filter(|it| it.deleting) {
            let waits = self.waits(&app.id).await;
            let reasons = waits.app.iter().map(|it| format!("; {it}")).collect::<String>();
            sentences.push(format!("app {} ({}) is being deleted{reasons}", app.name, app.id));
        }
        Ok(sentences)
    }

    async fn instance_view(
        &self,
        name: &rollout::ids::InstanceName,
        component: &ComponentName,
        component_type: &'static str,
        instance_alias: String,
        phase: Option<rollout::instance::InstancePhase>,
    ) -> InstanceView {
        let details = self.0.shared.engine.inspect(name.as_str()).await.ok().flatten();
        let ended = |it: &ContainerDetails| {
            let at = it.finished_at.clone().filter(|_| it.restart_count > 0)?;
            Some(LastEnd { at, code: it.exit_code, out_of_memory: it.oom_killed })
        };
        let processes = match &details {
            Some(it) => self.0.shared.engine.usage(&it.container).await.ok().flatten().and_then(|it| it.processes),
            None => None,
        };
        InstanceView {
            processes,
            restarts: details.as_ref().map_or(0, |it| it.restart_count),
            last_end: details.as_ref().and_then(ended),
            instance_name: name.clone(),
            component_name: component.clone(),
            component_type,
            instance_alias,
            phase,
            container_id: details.as_ref().map(|it| it.container.id.clone()),
            started_at: details.and_then(|it| it.started_at),
        }
    }

    /// Ticks whenever the records of an app change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.shared.changes.subscribe()
    }

    async fn record(&self, app: &AppId) -> Result<App, ControlError> {
        let record = self.0.shared.store.app(app).await?.filter(|it| !it.deleting);
        record.ok_or_else(|| ControlError::NotFound(format!("no app {app}")))
    }

    /// Refuses requests once another controller has taken over; the API of this one may still answer for a moment.
    fn in_charge(&self) -> Result<(), ControlError> {
        match self.0.shared.fence.lost().is_cancelled() {
            true => Err(ControlError::Conflict(
                "another controller of this installation has taken over; ask that one".into(),
            )),
            false => Ok(()),
        }
    }

    async fn handle(&self, app: &AppId) -> Result<AppHandle, ControlError> {
        self.in_charge()?;
        self.record(app).await?;
        let handle = self.0.apps.read().await.get(app).cloned();
        handle.ok_or_else(|| {
            ControlError::Conflict("this app cannot be read by this version; see the log of serve".into())
        })
    }

    async fn app(&self, id: &AppId) -> Result<AppView, ControlError> {
        Ok(self.view(self.state(id).await?).await)
    }

    /// Errors: the app does not exist, or was deleted.
    async fn state(&self, id: &AppId) -> Result<AppState, ControlError> {
        let state = self.0.shared.store.app_state(id).await?.filter(|it| !it.app.deleting);
        state.ok_or_else(|| ControlError::NotFound(format!("no app {id}")))
    }

    async fn view(&self, state: AppState) -> AppView {
        let waits = self.waits(&state.app.id).await;
        let (app, deployments, ingress) = (&state.app, &state.deployments, &self.0.shared.ingress);
        let find = |wanted: &dyn Fn(&Deployment) -> bool| deployments.iter().find(|it| wanted(it));
        let under_way = |it: &Deployment| !it.stage.is_ended() && it.stage != Stage::Pending;
        let view = |it: Option<&Deployment>| it.map(|it| DeploymentView::new(it.clone(), &waits));
        AppView {
            active: view(find(&|it| Some(&it.id) == app.active.as_ref())),
            in_progress: view(find(&|it| it.stage.rolls()).or_else(|| find(&under_way))),
            pending: view(find(&|it| it.stage == Stage::Pending)),
            newest: view(deployments.iter().max_by_key(|it| it.number)),
            pinned: view(find(&|it| Some(&it.id) == app.pinned.as_ref())),
            live_url: ingress.url(&app.name),
            live_domain: ingress.domain(&app.name),
            ready: state.instances.iter().filter(|it| it.phase == InstancePhase::Ready).count(),
            wanted: state.targets_in_force().iter().map(|it| it.count as usize).sum(),
            waiting: waits.app.clone(),
            id: state.app.id,
            name: state.app.name,
            spec: state.app.spec,
            created: state.app.created,
            updated: state.app.updated,
            deleting: state.app.deleting,
        }
    }
}

#[async_trait]
impl Control for Controller {
    fn token_hash(&self) -> String {
        self.0.token_hash.clone()
    }

    fn installation_id(&self) -> &str {
        self.0.directory.installation()
    }

    async fn create_app(&self, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError> {
        self.create(spec, caller).await
    }

    async fn update_app(
        &self,
        app: &AppId,
        spec: AppSpec,
        options: UpdateOptions,
        caller: &Caller,
    ) -> Result<AppView, ControlError> {
        let (spec, needed) = self.completed(app, spec).await?;
        let spec = needed.none_of(spec).map_err(create::needs_values)?;
        let (request, cause) = update_request(options);
        let request = DeployRequest { request, spec: Some(spec), cause: cause.into(), caller: caller.clone() };
        self.request_deployment(app, request).await?;
        self.app(app).await
    }

    async fn delete_app(&self, app: &AppId) -> Result<(), ControlError> {
        self.send_command(app, |reply| AppCommand::Delete { reply }).await
    }

    async fn find_app(&self, id_or_name: &str) -> Result<AppView, ControlError> {
        let store = &self.0.shared.store;
        let by_id = store.app_state(&AppId::from(id_or_name)).await?;
        if let Some(state) = by_id.filter(|it| !it.app.deleting) {
            return Ok(self.view(state).await);
        }
        match store.app_by_name(id_or_name).await? {
            Some(app) => self.app(&app.id).await,
            None => {
                let living = store.apps().await?.into_iter().filter(|it| !it.deleting);
                let names: Vec<String> = living.map(|it| it.name).collect();
                Err(ControlError::NotFound(format!("no app {id_or_name:?}.{}", closest(id_or_name, &names))))
            }
        }
    }

    async fn apps(&self, page: PageQuery) -> Result<Page<AppView>, ControlError> {
        let (skip, take) = bounds(page);
        let (states, total) = self.0.shared.store.app_states(skip, take).await?;
        let items = futures::future::join_all(states.into_iter().map(|it| self.view(it))).await;
        Ok(Page { items, total })
    }

    async fn restart(
        &self,
        app: &AppId,
        components: &[String],
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError> {
        let (restart, cause) = restart_request(components);
        let request = DeployRequest { request: Request::restart(restart), spec: None, cause, caller: caller.clone() };
        self.start_deployment(app, request).await
    }

    async fn deploy(
        &self,
        app: &AppId,
        options: DeployOptions,
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError> {
        let (request, cause) = deploy_request(options);
        let request = DeployRequest { request, spec: None, cause: cause.into(), caller: caller.clone() };
        self.start_deployment(app, request).await
    }

    async fn roll_back(
        &self,
        app: &AppId,
        to: &DeploymentId,
        options: RollbackOptions,
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError> {
        self.start_rollback(app, to, options, caller).await
    }

    async fn validate_rollback(&self, app: &AppId, to: &DeploymentId) -> Result<RollbackCheck, ControlError> {
        self.check_rollback(app, to).await
    }

    async fn commit_rollback(&self, app: &AppId) -> Result<(), ControlError> {
        self.commit_pinned(app).await
    }

    async fn revert_rollback(&self, app: &AppId, caller: &Caller) -> Result<DeploymentView, ControlError> {
        self.revert_pinned(app, caller).await
    }

    async fn deployments(&self, app: &AppId, page: PageQuery) -> Result<Page<DeploymentView>, ControlError> {
        self.record(app).await?;
        let (skip, take) = bounds(page);
        let (items, total) = self.0.shared.store.deployments(app, skip, take).await?;
        let waits = self.waits(app).await;
        Ok(Page { items: items.into_iter().map(|it| DeploymentView::new(it, &waits)).collect(), total })
    }

    async fn deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        let found = self.0.shared.store.deployment(id).await?.filter(|it| it.app == *app);
        let deployment = found.ok_or_else(|| ControlError::NotFound(format!("no deployment {id} of this app")))?;
        Ok(DeploymentView::new(deployment, &*self.waits(app).await))
    }

    async fn ended_deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        self.wait_for_end(app, id).await
    }

    async fn cancel(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        self.deployment(app, id).await?;
        let deployment = self.send_command(app, |reply| AppCommand::Cancel { deployment: id.clone(), reply }).await?;
        Ok(DeploymentView::new(deployment, &Waits::default()))
    }

    async fn instances(&self, app: &AppId) -> Result<Vec<InstanceView>, ControlError> {
        Ok(self.instance_views(&self.state(app).await?).await)
    }

    async fn status(&self, id_or_name: &str) -> Result<(AppView, Vec<InstanceView>), ControlError> {
        let by_id = self.0.shared.store.app_state(&AppId::from(id_or_name)).await?;
        let state = match by_id {
            Some(state) => state,
            None => self.state(&self.find_app(id_or_name).await?.id).await?,
        };
        let instances = self.instance_views(&state).await;
        Ok((self.view(state).await, instances))
    }

    async fn logs(&self, question: LogRequest) -> Result<LogLines, ControlError> {
        self.record(&question.app).await?;
        let shared = &self.0.shared;
        let (store, engine, logbook) = (shared.store.clone(), shared.engine.clone(), shared.logbook.clone());
        Logs { store, engine, logbook, changes: self.changes() }.read(question).await
    }

    async fn find_console(&self, request: ConsoleRequest) -> Result<ConsoleTarget, ControlError> {
        self.console_target(request).await
    }

    async fn open_console(&self, target: ConsoleTarget) -> Result<Console, ControlError> {
        self.console(target).await
    }

    async fn job_invocations(&self, app: &AppId) -> Result<Vec<JobInvocationView>, ControlError> {
        self.job_invocations_of(app).await
    }

    async fn cancel_job_invocation(&self, app: &AppId, id: &str) -> Result<JobInvocationView, ControlError> {
        self.cancel_job(app, id).await
    }

    async fn health(&self, app: &AppId) -> Result<Vec<ComponentHealthView>, ControlError> {
        self.health_of(app).await
    }

    async fn bandwidth(&self, app: &AppId, at: Timestamp) -> Result<u64, ControlError> {
        self.bandwidth_of(app, at).await
    }

    async fn database_connections(&self, app: &AppId) -> Result<Vec<DatabaseConnectionView>, ControlError> {
        self.database_connections_of(app).await
    }

    async fn alerts(&self, app: &AppId) -> Result<Vec<AlertView>, ControlError> {
        self.alerts_of(app).await
    }

    async fn set_alert_destinations(
        &self,
        app: &AppId,
        alert: &str,
        emails: Vec<String>,
        slack_webhooks: Vec<SlackWebhook>,
    ) -> Result<AlertView, ControlError> {
        self.set_destinations(app, alert, emails, slack_webhooks).await
    }

    async fn preview_update(
        &self,
        app: Option<&AppId>,
        spec: AppSpec,
        options: UpdateOptions,
    ) -> Result<Preview, ControlError> {
        self.simulate_update(app, spec, options).await
    }

    async fn propose(&self, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError> {
        self.simulate_proposal(app, spec, UpdateOptions::default()).await
    }

    async fn preview_restart(&self, app: &AppId, components: &[String]) -> Result<Preview, ControlError> {
        self.simulate_restart(app, components).await
    }

    async fn preview_deploy(&self, app: &AppId, options: DeployOptions) -> Result<Preview, ControlError> {
        self.simulate_deploy(app, options).await
    }

    async fn preview_rollback(&self, app: &AppId, to: &DeploymentId) -> Result<Preview, ControlError> {
        self.simulate_rollback(app, to).await
    }

    async fn down(&self, remove_apps: bool) -> Result<(), ControlError> {
        let shared = &self.0.shared;
        // If the ingress is being restarted, wait for it: otherwise it would start after this shutdown.
        shared.ingress.wait_until_connected().await;
        // Its counts end with it.
        crate::bandwidth::read(shared).await;
        shared.stop.cancel();
        let ingress = shared.ingress.shutdown(DOWN_DRAIN).await;
        let apps = match remove_apps {
            true => stop_all(shared.engine.as_ref(), &Graces::on_record(&shared.store).await).await,
            false => Ok(()),
        };
        let wrong: Vec<_> = [ingress, apps].into_iter().filter_map(Result::err).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let next = "repeat `boatyard down`, or bring everything back by `boatyard serve`";
        let message = format!("{}; {next}", wrong.join("; "));
        Err(ControlError::Internal { cause: anyhow::anyhow!(message.clone()), message })
    }

    async fn unknown(&self) -> Result<UnknownList, ControlError> {
        let mut list = unknown::list(&self.0.shared).await?;
        list.notices.extend(self.deletions_in_progress().await?);
        Ok(list)
    }

    async fn delete_unknown(&self, app: &AppId) -> Result<UnknownApp, ControlError> {
        self.in_charge()?;
        let (shared, app) = (self.0.shared.clone(), app.clone());
        // Runs as a task, so that it completes even if the caller disconnects: stopping processes takes time.
        let deleted = tokio::spawn(async move { unknown::delete(&shared, &app).await }).await;
        deleted.map_err(|error| ControlError::Internal {
            message: "not everything could be removed; try again".into(),
            cause: error.into(),
        })?
    }

    fn token_by_hash(&self, hash: &str) -> Option<TokenView> {
        self.0.tokens.by_hash(hash)
    }

    fn tokens(&self) -> Vec<TokenView> {
        self.0.tokens.all()
    }

    async fn create_token(&self, token: NewToken, caller: &Caller) -> Result<CreatedToken, ControlError> {
        self.new_token(token, caller).await
    }

    async fn revoke_token(&self, id_or_name: &str, caller: &Caller) -> Result<TokenView, ControlError> {
        self.revoke(id_or_name, caller).await
    }

    async fn token_ended(&self, id: &str) {
        self.0.tokens.ended(id).await;
    }

    async fn record_request(&self, entry: AuditEntry) {
        self.write_audit(entry).await;
    }

    async fn audit(&self, app: Option<&str>, page: PageQuery) -> Result<Page<AuditEntry>, ControlError> {
        self.audit_page(app, page).await
    }
}

/// How many items come before a page, and how many it has at most.
fn bounds(page: PageQuery) -> (u64, u64) {
    ((page.page.max(1) - 1).saturating_mul(page.per_page), page.per_page.clamp(1, 200))
}

fn restart_request(components: &[String]) -> (Restart, String) {
    if components.is_empty() {
        return (Restart::All, "restart of everything".into());
    }
    let names = components.iter().map(|it| ComponentName::from(it.as_str())).collect();
    (Restart::Only(names), format!("restart of {}", components.join(", ")))
}

fn update_request(options: UpdateOptions) -> (Request, &'static str) {
    match options.update_sources {
        false => (Request::update(), "app spec updated"),
        true => (Request::deploy(), "app spec updated, with the newest sources"),
    }
}

fn deploy_request(options: DeployOptions) -> (Request, &'static str) {
    match (options.force_build || options.clear_cache, options.clear_cache) {
        (false, _) => (Request::deploy(), "manual"),
        (true, false) => (Request::rebuild(false), "force rebuild"),
        (true, true) => (Request::rebuild(true), "force rebuild, build cache cleared"),
    }
}
