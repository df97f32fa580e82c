//! [`Control`] on a running controller. Longer operations are in files of their own.

use std::net::IpAddr;
use std::time::Duration;

use app_spec::AppSpec;
use async_trait::async_trait;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use rollout::queue::{Request, Restart};
use rollout::time::Timestamp;
use tokio::sync::watch;

use super::down::{Graces, stop_all};
use super::inspections::Age;
use super::{Control, Controller, create};
use crate::app::{AppCommand, DeployRequest, NewSpec, Waits};
use crate::console::{Console, ConsoleRequest, ConsoleTarget};
use crate::error::{ControlError, closest};
use crate::logs::{LogLines, Logs};
use crate::unknown::{self, UnknownApp, UnknownList};
use crate::view::{
    AlertView, AppView, AuditEntry, Caller, CertificateView, ComponentHealthView, CreatedSession, CreatedToken,
    CreatedWebhook, DatabaseConnectionView, DeployOptions, DeploymentView, HostKeyView, HostView, InstanceTransition,
    InstanceUsage, InstanceView, JobInvocationView, LogRequest, MetricsView, NewSourceLogin, NewToken, NewWebhook,
    Page, PageQuery, Preview, RegistryLogin, RegistryLoginView, RollbackCheck, RollbackOptions, SessionView,
    SlackWebhook, SourceHeadView, SourceLoginView, TokenView, TrafficSample, UpdateOptions, WebhookAnswer,
    WebhookRequest, WebhookView,
};

/// How long `down` waits for open requests: as long as a draining instance waits.
const DOWN_DRAIN: Duration = Duration::from_secs(60);

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
        let spec = Some(NewSpec { spec, replaces: options.replaces });
        let request = DeployRequest { spec, ..DeployRequest::new(request, cause, caller.clone()) };
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
        let request = DeployRequest::new(Request::restart(restart), cause, caller.clone());
        self.start_deployment(app, request).await
    }

    async fn deploy(
        &self,
        app: &AppId,
        options: DeployOptions,
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError> {
        let (request, cause) = deploy_request(options);
        let request = DeployRequest::new(request, cause, caller.clone());
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

    async fn set_secret_build_arguments(&self, app: &AppId, allowed: bool) -> Result<(), ControlError> {
        self.send_command(app, |reply| AppCommand::SetSecretBuildArguments { allowed, reply }).await
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

    async fn timeline(&self, app: &AppId, id: &DeploymentId) -> Result<Vec<InstanceTransition>, ControlError> {
        self.timeline_of(app, id).await
    }

    async fn spec_changes(&self, app: &AppId, id: &DeploymentId) -> Result<Vec<String>, ControlError> {
        self.spec_changes_of(app, id).await
    }

    async fn cancel(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        self.deployment(app, id).await?;
        let deployment = self.send_command(app, |reply| AppCommand::Cancel { deployment: id.clone(), reply }).await?;
        Ok(DeploymentView::new(deployment, &Waits::default()))
    }

    async fn instances(&self, app: &AppId) -> Result<Vec<InstanceView>, ControlError> {
        Ok(self.instance_views(&self.state(app).await?, Age::Now).await)
    }

    async fn status(&self, id_or_name: &str) -> Result<(AppView, Vec<InstanceView>), ControlError> {
        let by_id = self.0.shared.store.app_state(&AppId::from(id_or_name)).await?;
        let state = match by_id {
            Some(state) => state,
            None => self.state(&self.find_app(id_or_name).await?.id).await?,
        };
        let instances = self.instance_views(&state, Age::Now).await;
        Ok((self.view(state).await, instances))
    }

    async fn recent_status(&self, app: &AppId) -> Result<(AppView, Vec<InstanceView>), ControlError> {
        let state = self.state(app).await?;
        let instances = self.instance_views(&state, Age::Recent).await;
        Ok((self.view(state).await, instances))
    }

    async fn logs(&self, question: LogRequest) -> Result<LogLines, ControlError> {
        self.record(&question.app).await?;
        let shared = &self.0.shared;
        let (store, logbook) = (shared.store.clone(), shared.logbook.clone());
        let (engine, watch) = (shared.engine.clone(), shared.watch.clone());
        Logs { store, engine, watch, logbook, changes: self.changes() }.read(question).await
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

    async fn job_invocation(&self, app: &AppId, id: &str) -> Result<JobInvocationView, ControlError> {
        self.job_invocation_of(app, id).await
    }

    async fn cancel_job_invocation(&self, app: &AppId, id: &str) -> Result<JobInvocationView, ControlError> {
        self.cancel_job(app, id).await
    }

    async fn health(&self, app: &AppId) -> Result<Vec<ComponentHealthView>, ControlError> {
        self.health_of(app).await
    }

    async fn bandwidth(&self, apps: &[AppId], at: Timestamp) -> Result<Vec<u64>, ControlError> {
        self.bandwidth_of(apps, at).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.shared.changes.subscribe()
    }

    async fn usage_history(&self, app: &AppId) -> Result<Vec<InstanceUsage>, ControlError> {
        self.usage_history_of(app).await
    }

    async fn traffic_history(&self, app: &AppId) -> Result<Vec<TrafficSample>, ControlError> {
        self.traffic_history_of(app).await
    }

    fn recent_requests(&self, apps: &[AppId]) -> Vec<u64> {
        self.0.shared.traffic.recent_requests(apps)
    }

    async fn metrics(&self) -> Result<MetricsView, ControlError> {
        self.read_metrics().await
    }

    async fn host(&self) -> HostView {
        self.describe_host().await
    }

    fn engine_problem(&self) -> Option<String> {
        let error = self.0.shared.watch.view().borrow().unreachable.clone()?;
        Some(format!(
            "{error}. The ingress and the running apps go on; deployments, restarts and repairs wait until the engine answers. \
             The engine's log says more: journalctl --unit docker"
        ))
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

    async fn preview_revert(&self, app: &AppId) -> Result<Preview, ControlError> {
        self.simulate_revert(app).await
    }

    async fn source_heads(&self, app: &AppId) -> Result<Vec<SourceHeadView>, ControlError> {
        self.heads_of_app(app).await
    }

    async fn source_heads_of(&self, spec: &AppSpec) -> Vec<SourceHeadView> {
        self.heads_of_spec(spec).await
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

    async fn source_logins(&self) -> Result<Vec<SourceLoginView>, ControlError> {
        self.all_source_logins().await
    }

    async fn add_source_login(&self, login: NewSourceLogin, caller: &Caller) -> Result<SourceLoginView, ControlError> {
        self.put_source_login(login, caller).await
    }

    async fn remove_source_login(&self, host: &str, caller: &Caller) -> Result<Vec<SourceLoginView>, ControlError> {
        self.delete_source_login(host, caller).await
    }

    async fn host_key(&self, host: &str) -> Result<HostKeyView, ControlError> {
        self.presented_host_key(host).await
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

    async fn certificates(&self) -> Result<Vec<CertificateView>, ControlError> {
        self.list_certificates().await
    }

    async fn add_certificate(
        &self,
        name: &str,
        chain: &str,
        key: &str,
        caller: &Caller,
    ) -> Result<CertificateView, ControlError> {
        self.put_certificate(name, chain, key, caller).await
    }

    async fn remove_certificate(&self, name: &str, caller: &Caller) -> Result<CertificateView, ControlError> {
        self.delete_certificate(name, caller).await
    }

    async fn registry_logins(&self) -> Result<Vec<RegistryLoginView>, ControlError> {
        self.list_registry_logins().await
    }

    async fn add_registry_login(
        &self,
        host: &str,
        login: RegistryLogin,
        caller: &Caller,
    ) -> Result<RegistryLoginView, ControlError> {
        self.put_registry_login(host, login, caller).await
    }

    async fn remove_registry_login(&self, host: &str, caller: &Caller) -> Result<RegistryLoginView, ControlError> {
        self.delete_registry_login(host, caller).await
    }

    async fn webhooks(&self) -> Result<Vec<WebhookView>, ControlError> {
        self.list_webhooks().await
    }

    async fn create_webhook(&self, webhook: NewWebhook, caller: &Caller) -> Result<CreatedWebhook, ControlError> {
        self.new_webhook(webhook, caller).await
    }

    async fn delete_webhook(&self, name: &str, caller: &Caller) -> Result<WebhookView, ControlError> {
        self.remove_webhook(name, caller).await
    }

    async fn receive_webhook(&self, request: WebhookRequest) -> Result<WebhookAnswer, ControlError> {
        self.receive(request).await
    }

    async fn token_ended(&self, id: &str) {
        self.0.tokens.ended(id).await;
    }

    async fn create_session(&self, token_hash: &str, source: Option<IpAddr>) -> Result<CreatedSession, ControlError> {
        self.new_session(token_hash, source).await
    }

    fn create_sign_in_link(&self, token_hash: &str) -> String {
        self.0.sign_in_links.issue(token_hash)
    }

    async fn redeem_sign_in_link(&self, code: &str, source: Option<IpAddr>) -> Result<CreatedSession, ControlError> {
        self.session_of_link(code, source).await
    }

    fn session_by_hash(&self, hash: &str) -> Option<SessionView> {
        self.used_session(hash)
    }

    fn sessions(&self) -> Vec<SessionView> {
        self.live_sessions()
    }

    async fn end_session(&self, id: &str) -> Result<SessionView, ControlError> {
        self.delete_session(id).await
    }

    async fn session_ended(&self, id: &str) {
        self.until_session_ended(id).await;
    }

    async fn record_request(&self, entry: AuditEntry) {
        self.write_audit(entry).await;
    }

    async fn audit(&self, app: Option<&str>, page: PageQuery) -> Result<Page<AuditEntry>, ControlError> {
        self.audit_page(app, page).await
    }
}

/// How many items come before a page, and how many it has at most.
pub(super) fn bounds(page: PageQuery) -> (u64, u64) {
    ((page.page.max(1) - 1).saturating_mul(page.per_page), page.per_page.clamp(1, 200))
}

pub(super) fn restart_request(components: &[String]) -> (Restart, String) {
    if components.is_empty() {
        return (Restart::All, "restart of everything".into());
    }
    let names = components.iter().map(|it| ComponentName::from(it.as_str())).collect();
    (Restart::Only(names), format!("restart of {}", components.join(", ")))
}

pub(super) fn update_request(options: UpdateOptions) -> (Request, &'static str) {
    match options.update_sources {
        false => (Request::update(), "app spec updated"),
        true => (Request::deploy(), "app spec updated, with the newest sources"),
    }
}

pub(super) fn deploy_request(options: DeployOptions) -> (Request, &'static str) {
    match (options.force_build || options.clear_cache, options.clear_cache) {
        (false, _) => (Request::deploy(), "manual"),
        (true, false) => (Request::rebuild(false), "force rebuild"),
        (true, true) => (Request::rebuild(true), "force rebuild, build cache cleared"),
    }
}
