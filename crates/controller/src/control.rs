//! The operations that the API and the CLI call on a controller.

mod alerts;
mod audit;
mod audited;
mod bandwidth;
mod certificates;
mod console;
mod create;
mod database_connections;
mod deployment_end;
mod down;
mod health;
mod host;
mod inspections;
mod job_invocations;
mod lookups;
mod metrics;
mod operations;
mod poll;
mod preview;
mod pushes;
mod registries;
mod rollback;
mod sessions;
mod source_heads;
mod source_logins;
mod spec_changes;
mod timeline;
mod tokens;
mod traffic;
mod usage;
mod webhooks;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use app_spec::AppSpec;
use async_trait::async_trait;
use rollout::ids::{AppId, DeploymentId};
use rollout::time::Timestamp;
use tokio::sync::watch;

pub(crate) use down::{Graces, stop_all};
pub(crate) use inspections::Inspections;
pub(crate) use pushes::SourceChecks;

use crate::config::{Config, Reach};
use crate::console::{Console, ConsoleRequest, ConsoleTarget};
use crate::error::{ControlError, StartError};
pub use crate::logs::LogLines;
use crate::start::{self, ControllerState};
use crate::supervise::supervise;
use crate::unknown::{UnknownApp, UnknownList};
use crate::view::{
    AlertView, AppView, AuditEntry, Caller, CertificateView, ComponentHealthView, CreatedSession, CreatedToken,
    CreatedWebhook, DatabaseConnectionView, DeployOptions, DeploymentView, HostKeyView, HostView, InstanceTransition,
    InstanceUsage, InstanceView, JobInvocationView, LogRequest, MetricsView, NewSourceLogin, NewToken, NewWebhook,
    Page, PageQuery, Preview, RegistryLogin, RegistryLoginView, RollbackCheck, RollbackOptions, SessionView,
    SlackWebhook, SourceHeadView, SourceLoginView, TokenView, TrafficSample, UpdateOptions, WebhookAnswer,
    WebhookRequest, WebhookView,
};

/// A running controller. Cheap to clone.
#[derive(Clone)]
pub struct Controller(pub(crate) Arc<ControllerState>);

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
    /// of [`Self::create_app`]; the name differs; the app has another spec than the one that `options` expect.
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

    /// Returns an app with its instances, for a page that is read often: what only the engine knows about an instance may be
    /// 15 s old, unless its container has changed since. Errors: the app does not exist, or is being deleted.
    async fn recent_status(&self, app: &AppId) -> Result<(AppView, Vec<InstanceView>), ControlError>;

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

    /// Sets whether Dockerfiles of the app's repositories get secret variables as build arguments, which stay readable in the
    /// image's history. Starts no deployment.
    async fn set_secret_build_arguments(&self, app: &AppId, allowed: bool) -> Result<(), ControlError>;

    /// Returns an app's deployments, newest first.
    async fn deployments(&self, app: &AppId, page: PageQuery) -> Result<Page<DeploymentView>, ControlError>;

    /// Returns one deployment of an app.
    async fn deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError>;

    /// Returns a deployment once it has ended, which may take as long as deployments may. Errors: those of
    /// [`Self::deployment`].
    async fn ended_deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError>;

    /// Returns what happened to each instance during a deployment, in time order. Empty for a deployment of a version that
    /// did not record this. Errors: those of [`Self::deployment`].
    async fn timeline(&self, app: &AppId, id: &DeploymentId) -> Result<Vec<InstanceTransition>, ControlError>;

    /// Returns how the deployment's spec differs from that of the deployment that served when it was accepted, in the form of
    /// [`Preview::changes`]. Empty for the first deployment of an app. Errors: those of [`Self::deployment`]; this version
    /// cannot read one of the specs.
    async fn spec_changes(&self, app: &AppId, id: &DeploymentId) -> Result<Vec<String>, ControlError>;

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

    /// Returns one run of an app's job.
    async fn job_invocation(&self, app: &AppId, id: &str) -> Result<JobInvocationView, ControlError>;

    /// Cancels a run of a job that has not ended: its process is stopped, and its deployment fails. Errors: the run has
    /// ended.
    async fn cancel_job_invocation(&self, app: &AppId, id: &str) -> Result<JobInvocationView, ControlError>;

    /// Returns the health of the services and workers that the app wants. Takes a second, because it measures CPU usage.
    async fn health(&self, app: &AppId) -> Result<Vec<ComponentHealthView>, ControlError>;

    /// Returns how many bytes the ingress sent to clients of each app on the day, in UTC, that contains `at`.
    async fn bandwidth(&self, apps: &[AppId], at: Timestamp) -> Result<Vec<u64>, ControlError>;

    /// Ticks when records of any app change, or the sentences about what it waits for, and when [`Self::engine_problem`]
    /// begins or ends. Countdowns in these sentences change once a second. Samples do not tick.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Returns CPU and memory of the instances and databases that ran in the last hour, by component and slot, and as far
    /// as this process saw them. An instance has its first sample after 30 s.
    async fn usage_history(&self, app: &AppId) -> Result<Vec<InstanceUsage>, ControlError>;

    /// Returns the app's traffic through the ingress in the last hour, as far as this process saw it: samples without
    /// gaps, oldest first. A sample covers 1 s while this method is called or records change, and 15 s otherwise. Samples
    /// that are older than 5 minutes cover 15 s. Empty for an app without routes.
    async fn traffic_history(&self, app: &AppId) -> Result<Vec<TrafficSample>, ControlError>;

    /// Returns how many requests each app got through the ingress in the last 5 minutes. Zero for an unknown app.
    fn recent_requests(&self, apps: &[AppId]) -> Vec<u64>;

    /// Reads what metrics report.
    async fn metrics(&self) -> Result<MetricsView, ControlError>;

    /// Describes the host within a few seconds. What does not answer by then is missing.
    async fn host(&self) -> HostView;

    /// Returns a sentence if the engine did not answer last: what still works, and what to do.
    fn engine_problem(&self) -> Option<String>;

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

    /// Previews a revert of the rollback that the app is pinned to. Errors: those of [`Self::revert_rollback`].
    async fn preview_revert(&self, app: &AppId) -> Result<Preview, ControlError>;

    /// Looks up the newest commit of each source in the app's newest spec, without building. Takes up to ten seconds if a
    /// server does not answer.
    async fn source_heads(&self, app: &AppId) -> Result<Vec<SourceHeadView>, ControlError>;

    /// Like [`Self::source_heads`], for the spec of an app that does not exist yet.
    async fn source_heads_of(&self, spec: &AppSpec) -> Vec<SourceHeadView>;

    /// Returns the logins for git servers, by host, without their secrets.
    async fn source_logins(&self) -> Result<Vec<SourceLoginView>, ControlError>;

    /// Adds a login for a git server, or replaces the one for the same host and protocol. Errors: it cannot be a login; the
    /// ssh host keys are not known.
    async fn add_source_login(&self, login: NewSourceLogin, caller: &Caller) -> Result<SourceLoginView, ControlError>;

    /// Removes the logins for a git server, and returns them. Errors: there is none.
    async fn remove_source_login(&self, host: &str, caller: &Caller) -> Result<Vec<SourceLoginView>, ControlError>;

    /// Returns the key that an ssh server presents now. Errors: it does not answer.
    async fn host_key(&self, host: &str) -> Result<HostKeyView, ControlError>;

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

    /// Returns the certificates of all host names of apps, and those that no app uses, by name.
    async fn certificates(&self) -> Result<Vec<CertificateView>, ControlError>;

    /// Adds a certificate of the operator for a host name, or replaces it. `chain` and `key` are in PEM format. Errors:
    /// browsers could not use it.
    async fn add_certificate(
        &self,
        name: &str,
        chain: &str,
        key: &str,
        caller: &Caller,
    ) -> Result<CertificateView, ControlError>;

    /// Removes a certificate of the operator. Errors: there is none for this name.
    async fn remove_certificate(&self, name: &str, caller: &Caller) -> Result<CertificateView, ControlError>;

    /// Returns the logins for registries of images, by host.
    async fn registry_logins(&self) -> Result<Vec<RegistryLoginView>, ControlError>;

    /// Adds a login for a registry, or replaces that of the same host. Pulls and builds that begin later use it. Errors: the
    /// host or the login does not have the form of one.
    async fn add_registry_login(
        &self,
        host: &str,
        login: RegistryLogin,
        caller: &Caller,
    ) -> Result<RegistryLoginView, ControlError>;

    /// Removes the login for a registry. Errors: there is none.
    async fn remove_registry_login(&self, host: &str, caller: &Caller) -> Result<RegistryLoginView, ControlError>;

    /// Returns all webhooks with their newest deliveries, by name.
    async fn webhooks(&self) -> Result<Vec<WebhookView>, ControlError>;

    /// Adds a webhook. Errors: the name is taken or not a name; the app does not exist; the secret is too short; `serve` has
    /// no host name for webhooks.
    async fn create_webhook(&self, webhook: NewWebhook, caller: &Caller) -> Result<CreatedWebhook, ControlError>;

    /// Removes a webhook with its deliveries. From now on what is delivered to it is refused.
    async fn delete_webhook(&self, name: &str, caller: &Caller) -> Result<WebhookView, ControlError>;

    /// Receives a delivery to a webhook: verifies it before it is parsed, records it, and returns before the apps are looked
    /// at. Errors: it could not be recorded, so the host should repeat it.
    async fn receive_webhook(&self, request: WebhookRequest) -> Result<WebhookAnswer, ControlError>;

    /// Completes when the token with this id is revoked or expires.
    async fn token_ended(&self, id: &str);

    /// Signs a person in to the panel with the token that has this hash, which the caller has checked. A token has at most
    /// 32 sessions: the least recently used one ends. The audit trail records it. `source`: the person's address. Errors:
    /// the token was revoked or has expired meanwhile.
    async fn create_session(&self, token_hash: &str, source: Option<IpAddr>) -> Result<CreatedSession, ControlError>;

    /// Issues a link that signs in to the panel with the token that has this hash, and returns its code. It works once,
    /// within 2 minutes. A token has at most 16 unused links: the oldest one is no longer valid.
    fn create_sign_in_link(&self, token_hash: &str) -> String;

    /// Uses up a link, and signs the person in as [`Self::create_session`] does. Errors: those of it; the link was used or
    /// has expired.
    async fn redeem_sign_in_link(&self, code: &str, source: Option<IpAddr>) -> Result<CreatedSession, ControlError>;

    /// Finds a session by the SHA-256 of its secret, in hexadecimal, and counts this as a use. `None`: there is no such
    /// session, or it has ended.
    fn session_by_hash(&self, hash: &str) -> Option<SessionView>;

    /// Returns all sessions that have not ended, most recently used first.
    fn sessions(&self) -> Vec<SessionView>;

    /// Ends the session with this id. Errors: it has ended already; its record cannot be deleted, so that it comes back when
    /// `serve` starts again.
    async fn end_session(&self, id: &str) -> Result<SessionView, ControlError>;

    /// Completes when the session with this id ends: by [`Self::end_session`], with its token, or because it expires.
    async fn session_ended(&self, id: &str);

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
        let controller = Self(Arc::new(start::start(config).await?));
        controller.watch_sources().await;
        Ok(controller)
    }

    /// Looks at the apps of unfinished deliveries, and begins to poll if the settings say so.
    pub(crate) async fn watch_sources(&self) {
        self.resume_deliveries().await;
        if let Some(interval) = self.0.shared.config.poll {
            let (controller, stop) = (self.clone(), self.0.shared.stop.clone());
            tokio::spawn(supervise("poll", stop, move || controller.clone().poll(interval)));
        }
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

    /// How this host connects to new instances.
    pub fn reach(&self) -> Reach {
        self.0.shared.reach
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
}
