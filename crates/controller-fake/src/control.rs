//! A fake controller with two deployments that records its calls.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app_spec::AppSpec;
use async_trait::async_trait;
use controller::ControlError;
use controller::console::{Console, ConsoleRequest, ConsoleTarget};
use controller::unknown::{UnknownApp, UnknownList};
use controller::view::{
    AlertView, AppView, AuditEntry, Caller, CertificateView, ComponentHealthView, CreatedSession, CreatedToken,
    CreatedWebhook, DatabaseConnectionView, DeployOptions, DeploymentView, HostKeyView, HostView, InstanceTransition,
    InstanceUsage, InstanceView, JobInvocationPhase, JobInvocationView, LogEntry, LogRequest, MetricsView,
    NewSourceLogin, NewToken, NewWebhook, Page, PageQuery, Preview, RegistryLogin, RegistryLoginView, RollbackCheck,
    RollbackOptions, SessionView, SlackWebhook, SourceHeadView, SourceLoginView, SourceSecret, SpecVersion, TokenView,
    TrafficSample, UpdateOptions, WebhookAnswer, WebhookRequest, WebhookView,
};
use futures::{StreamExt, stream};
use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use rollout::time::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{FakeConsoles, samples};
use controller::{Control, LogLines};

pub const TOKEN: &str = "tok";

pub struct FakeControl {
    pub deployments: Vec<DeploymentView>,
    /// One line for each call.
    pub calls: Mutex<Vec<String>>,
    /// The spec of the app, if it is not that of the samples.
    pub spec: Option<serde_json::Value>,
    /// The specs of previews.
    pub proposals: Mutex<Vec<AppSpec>>,
    /// The spec that somebody else saves after the app was read.
    pub newer_spec: Mutex<Option<serde_json::Value>>,
    /// Returned once instead of the result.
    pub failure: Mutex<Option<ControlError>>,
    /// Number of apps. All are equal.
    pub apps: u64,
    /// Whether an update starts deployment 3.
    pub updated: Mutex<bool>,
    /// Whether logs never end.
    pub endless: bool,
    /// Created tokens by hash. Each change wakes up what waits for the end of a token.
    pub tokens: watch::Sender<BTreeMap<String, TokenView>>,
    /// Sessions by hash.
    pub sessions: watch::Sender<BTreeMap<String, SessionView>>,
    /// The audit trail, oldest first.
    pub audit: watch::Sender<Vec<AuditEntry>>,
    /// What happened to the fake shells of consoles.
    pub consoles: Arc<FakeConsoles>,
    /// The deployment that the app is pinned to.
    pub pinned: Option<DeploymentView>,
    /// How the deployment under way ends. Its receivers are the calls that wait for that.
    pub end: watch::Sender<Option<Stage>>,
    /// Ticks when the test says that something changed.
    pub changes: watch::Sender<u64>,
    /// The runs of jobs.
    pub runs: Mutex<Vec<JobInvocationView>>,
    /// What the banner says about the engine.
    pub engine_problem: Option<String>,
}

impl Default for FakeControl {
    fn default() -> Self {
        Self {
            deployments: vec![samples::deployment(1, Stage::Active), samples::deployment(2, Stage::Rolling)],
            calls: Mutex::default(),
            spec: None,
            proposals: Mutex::default(),
            newer_spec: Mutex::default(),
            failure: Mutex::default(),
            apps: 1,
            updated: Mutex::default(),
            endless: false,
            tokens: watch::channel(samples::tokens()).0,
            sessions: watch::Sender::default(),
            audit: watch::channel(Vec::new()).0,
            consoles: Arc::default(),
            pinned: None,
            end: watch::channel(None).0,
            changes: watch::channel(0).0,
            runs: Mutex::new(samples::job_invocations()),
            engine_problem: None,
        }
    }
}

impl FakeControl {
    fn record(&self, call: String) -> Result<(), ControlError> {
        self.calls.lock().expect("no panic").push(call);
        match self.failure.lock().expect("no panic").take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("no panic").clone()
    }

    pub fn console_notes(&self) -> Vec<String> {
        self.consoles.notes()
    }

    /// How many pieces of a flood the fake shell has handed over.
    pub fn console_pieces(&self) -> usize {
        self.consoles.pieces()
    }

    fn app(&self) -> AppView {
        let sample = samples::app(&self.deployments);
        AppView { pinned: self.pinned.clone(), spec: self.spec.clone().unwrap_or(sample.spec.clone()), ..sample }
    }

    fn newest(&self) -> DeploymentView {
        let newest = self.deployments.last().expect("there are two").clone();
        DeploymentView { waiting: vec!["waiting for web.0: 2 open requests, 11 s left".into()], ..newest }
    }
}

/// Records that the request was dropped.
struct Dropped<'a>(&'a FakeControl);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.calls.lock().expect("no panic").push("dropped never-answers".into());
    }
}

/// Refuses what cannot run yet, and missing values.
fn refuse(spec: &AppSpec) -> Result<(), ControlError> {
    let not_yet = spec.not_yet().iter().map(|it| it.api_message()).collect::<Vec<_>>();
    let needed = spec.needed_values().into_iter().map(|it| format!("{} needs a value", it.path));
    match not_yet.into_iter().chain(needed).reduce(|all, next| format!("{all}\n{next}")) {
        Some(problems) => Err(ControlError::InvalidSpec(problems)),
        None => Ok(()),
    }
}

fn sources(options: UpdateOptions) -> &'static str {
    if options.update_sources { " newest sources" } else { "" }
}

#[async_trait]
impl Control for FakeControl {
    fn token_hash(&self) -> String {
        hex::encode(Sha256::digest(TOKEN))
    }

    fn installation_id(&self) -> &str {
        "installation"
    }

    async fn create_app(&self, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError> {
        self.record(format!("create {} key={:?}", spec.name, caller.idempotency_key))?;
        Ok(self.app())
    }

    async fn update_app(
        &self,
        app: &AppId,
        spec: AppSpec,
        options: UpdateOptions,
        _: &Caller,
    ) -> Result<AppView, ControlError> {
        let mut view = self.app();
        if let Some(newer) = &*self.newer_spec.lock().expect("no panic")
            && options.replaces.is_some_and(|it| it != SpecVersion::of(newer))
        {
            return Err(ControlError::Conflict("somebody else changed the spec".into()));
        }
        self.record(format!("update {app} {}{}", spec.name, sources(options)))?;
        if *self.updated.lock().expect("no panic") {
            view.newest = Some(samples::deployment(3, Stage::Pending));
        }
        Ok(view)
    }

    async fn delete_app(&self, app: &AppId) -> Result<(), ControlError> {
        self.record(format!("delete {app}"))
    }

    async fn status(&self, id_or_name: &str) -> Result<(AppView, Vec<InstanceView>), ControlError> {
        Ok((self.find_app(id_or_name).await?, samples::instances()))
    }

    async fn recent_status(&self, app: &AppId) -> Result<(AppView, Vec<InstanceView>), ControlError> {
        self.status(app.as_str()).await
    }

    async fn find_app(&self, id_or_name: &str) -> Result<AppView, ControlError> {
        match id_or_name {
            samples::APP | "shop" | "shop-2" | "APP" => Ok(self.app()),
            samples::OTHER_APP | "blog" => {
                Ok(AppView { id: samples::OTHER_APP.into(), name: "blog".into(), ..self.app() })
            }
            "never-answers" => {
                self.record("find never-answers".into())?;
                let _dropped = Dropped(self);
                std::future::pending().await
            }
            other => Err(ControlError::NotFound(format!("no app {other:?}. It has: shop"))),
        }
    }

    async fn apps(&self, page: PageQuery) -> Result<Page<AppView>, ControlError> {
        let left = self.apps.saturating_sub((page.page - 1) * page.per_page).min(page.per_page);
        Ok(Page { items: (0..left).map(|_| self.app()).collect(), total: self.apps })
    }

    async fn restart(&self, _: &AppId, components: &[String], _: &Caller) -> Result<DeploymentView, ControlError> {
        self.record(format!("restart {components:?}"))?;
        Ok(self.newest())
    }

    async fn deploy(&self, _: &AppId, options: DeployOptions, _: &Caller) -> Result<DeploymentView, ControlError> {
        self.record(format!("deploy force={} clear={}", options.force_build, options.clear_cache))?;
        Ok(self.newest())
    }

    async fn roll_back(
        &self,
        _: &AppId,
        to: &DeploymentId,
        options: RollbackOptions,
        _: &Caller,
    ) -> Result<DeploymentView, ControlError> {
        self.record(format!("roll_back {to} skip_pin={}", options.skip_pin))?;
        Ok(self.newest())
    }

    async fn validate_rollback(&self, _: &AppId, to: &DeploymentId) -> Result<RollbackCheck, ControlError> {
        self.record(format!("validate_rollback {to}"))?;
        Ok(samples::rollback_check(self.deployments.iter().any(|it| it.id == *to)))
    }

    async fn set_secret_build_arguments(&self, _: &AppId, allowed: bool) -> Result<(), ControlError> {
        self.record(format!("set_secret_build_arguments {allowed}"))
    }

    async fn commit_rollback(&self, _: &AppId) -> Result<(), ControlError> {
        self.record("commit_rollback".into())
    }

    async fn revert_rollback(&self, _: &AppId, _: &Caller) -> Result<DeploymentView, ControlError> {
        self.record("revert_rollback".into())?;
        Ok(self.newest())
    }

    async fn preview_rollback(&self, _: &AppId, to: &DeploymentId) -> Result<Preview, ControlError> {
        self.record(format!("preview_rollback {to}"))?;
        Ok(Preview::default())
    }

    async fn preview_revert(&self, _: &AppId) -> Result<Preview, ControlError> {
        self.record("preview_revert".into())?;
        Ok(Preview { steps: vec!["return to commit 111111111111 of web and its image".into()], ..Preview::default() })
    }

    async fn deployments(&self, _: &AppId, page: PageQuery) -> Result<Page<DeploymentView>, ControlError> {
        let newest_first = self.deployments.iter().rev();
        let skip = ((page.page - 1) * page.per_page) as usize;
        let items = newest_first.skip(skip).take(page.per_page as usize).cloned().collect();
        Ok(Page { items, total: self.deployments.len() as u64 })
    }

    async fn deployment(&self, _: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        let found = self.deployments.iter().find(|it| it.id == *id || id.as_str() == "DEP");
        found.cloned().ok_or_else(|| ControlError::NotFound(format!("no deployment {id}")))
    }

    async fn ended_deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        let mut end = self.end.subscribe();
        let stage = end.wait_for(Option::is_some).await.expect("the sender is in self").expect("it is some");
        Ok(DeploymentView { stage, ..self.deployment(app, id).await? })
    }

    async fn timeline(&self, app: &AppId, id: &DeploymentId) -> Result<Vec<InstanceTransition>, ControlError> {
        self.deployment(app, id).await?;
        Ok(samples::timeline())
    }

    async fn spec_changes(&self, app: &AppId, id: &DeploymentId) -> Result<Vec<String>, ControlError> {
        let deployment = self.deployment(app, id).await?;
        Ok(if deployment.updates_spec { vec!["~ services.web.instance_count: 1 → 2".into()] } else { Vec::new() })
    }

    async fn cancel(&self, _: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        self.record(format!("cancel {id}"))?;
        Ok(self.newest())
    }

    async fn instances(&self, _: &AppId) -> Result<Vec<InstanceView>, ControlError> {
        Ok(samples::instances())
    }

    async fn logs(&self, query: LogRequest) -> Result<LogLines, ControlError> {
        let LogRequest { deployment, component, kind, follow, tail, .. } = query;
        let deployment = deployment.map(|it| it.to_string());
        self.record(format!("logs {deployment:?} {component:?} {kind:?} follow={follow} tail={tail:?}"))?;
        if component.as_deref() == Some("wrk") {
            return Err(ControlError::NotFound("no component \"wrk\". Did you mean \"worker\"?".into()));
        }
        let line = |n: u32| LogEntry {
            component: "web".into(),
            timestamp: format!("2026-03-01T10:00:0{n}Z"),
            text: format!("line {n}"),
        };
        let lines = stream::iter((1..=2).map(line).map(Ok));
        Ok(if self.endless { lines.chain(stream::pending()).boxed() } else { lines.boxed() })
    }

    async fn find_console(&self, request: ConsoleRequest) -> Result<ConsoleTarget, ControlError> {
        let ConsoleRequest { app, component, instance, deployment } = request;
        let deployment = deployment.map(|it| it.to_string());
        self.record(format!("find_console {component} {instance:?} {deployment:?}"))?;
        let (component, instance) = (component.as_str().into(), "by-1-shop-web".into());
        Ok(ConsoleTarget { app, app_name: "shop".into(), component, instance, alias: "web-0".into() })
    }

    async fn open_console(&self, target: ConsoleTarget) -> Result<Console, ControlError> {
        self.record(format!("open_console {}", target.alias))?;
        Ok(self.consoles.open())
    }

    async fn job_invocations(&self, _: &AppId) -> Result<Vec<JobInvocationView>, ControlError> {
        Ok(self.runs.lock().expect("no panic").clone())
    }

    async fn job_invocation(&self, _: &AppId, id: &str) -> Result<JobInvocationView, ControlError> {
        let found = samples::job_invocations().into_iter().find(|it| it.id == id);
        found.ok_or_else(|| {
            ControlError::NotFound(format!("no job invocation {id}. See: boatyard apps list-job-invocations shop"))
        })
    }

    async fn cancel_job_invocation(&self, _: &AppId, id: &str) -> Result<JobInvocationView, ControlError> {
        self.record(format!("cancel_job_invocation {id}"))?;
        let canceled = samples::job_invocations().remove(0);
        Ok(JobInvocationView { phase: JobInvocationPhase::Canceled, ..canceled })
    }

    async fn health(&self, _: &AppId) -> Result<Vec<ComponentHealthView>, ControlError> {
        Ok(samples::health())
    }

    async fn bandwidth(&self, apps: &[AppId], at: Timestamp) -> Result<Vec<u64>, ControlError> {
        let names: Vec<_> = apps.iter().map(ToString::to_string).collect();
        self.record(format!("bandwidth {} {}", names.join(" "), at.0))?;
        Ok(vec![1234; apps.len()])
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn usage_history(&self, _: &AppId) -> Result<Vec<InstanceUsage>, ControlError> {
        Ok(samples::usage())
    }

    async fn traffic_history(&self, _: &AppId) -> Result<Vec<TrafficSample>, ControlError> {
        Ok(samples::traffic())
    }

    fn recent_requests(&self, apps: &[AppId]) -> Vec<u64> {
        vec![30; apps.len()]
    }

    async fn metrics(&self) -> Result<MetricsView, ControlError> {
        Ok(samples::metrics())
    }

    async fn host(&self) -> HostView {
        samples::host()
    }

    fn engine_problem(&self) -> Option<String> {
        self.engine_problem.clone()
    }

    async fn database_connections(&self, _: &AppId) -> Result<Vec<DatabaseConnectionView>, ControlError> {
        Ok(vec![samples::database_connection()])
    }

    async fn alerts(&self, _: &AppId) -> Result<Vec<AlertView>, ControlError> {
        Ok(vec![samples::alert()])
    }

    async fn set_alert_destinations(
        &self,
        _: &AppId,
        alert: &str,
        emails: Vec<String>,
        slack_webhooks: Vec<SlackWebhook>,
    ) -> Result<AlertView, ControlError> {
        self.record(format!("set_alert_destinations {alert} {emails:?} {}", slack_webhooks.len()))?;
        match alert == samples::ALERT || alert == "ALERT" {
            true => Ok(AlertView { emails, slack_webhooks, ..samples::alert() }),
            false => Err(ControlError::NotFound(format!("no alert {alert}"))),
        }
    }

    async fn preview_update(
        &self,
        app: Option<&AppId>,
        spec: AppSpec,
        options: UpdateOptions,
    ) -> Result<Preview, ControlError> {
        self.record(format!("preview_update {} {}{}", app.is_some(), spec.name, sources(options)))?;
        refuse(&spec)?;
        self.proposals.lock().expect("no panic").push(spec);
        Ok(Preview { steps: vec!["create web.0".into()], ..Preview::default() })
    }

    async fn propose(&self, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError> {
        self.record(format!("propose {} {}", app.is_some(), spec.name))?;
        let needs_values = spec.needed_values().into_iter().map(|it| it.path).collect();
        self.proposals.lock().expect("no panic").push(spec);
        Ok(Preview { steps: vec!["create web.0".into()], needs_values, ..Preview::default() })
    }

    async fn preview_restart(&self, _: &AppId, components: &[String]) -> Result<Preview, ControlError> {
        self.record(format!("preview_restart {components:?}"))?;
        Ok(Preview { steps: vec!["create web.0".into(), "drain the old web.0".into()], ..Preview::default() })
    }

    async fn preview_deploy(&self, _: &AppId, options: DeployOptions) -> Result<Preview, ControlError> {
        self.record(format!("preview_deploy force={} clear={}", options.force_build, options.clear_cache))?;
        Ok(Preview::default())
    }

    async fn source_heads(&self, app: &AppId) -> Result<Vec<SourceHeadView>, ControlError> {
        self.record(format!("source_heads {app}"))?;
        Ok(samples::source_heads())
    }

    async fn source_heads_of(&self, _: &AppSpec) -> Vec<SourceHeadView> {
        samples::source_heads()
    }

    async fn down(&self, remove_apps: bool) -> Result<(), ControlError> {
        self.record(format!("down apps={remove_apps}"))
    }

    async fn unknown(&self) -> Result<UnknownList, ControlError> {
        Ok(UnknownList::default())
    }

    async fn delete_unknown(&self, app: &AppId) -> Result<UnknownApp, ControlError> {
        let (name, hosts, containers, networks, volumes) = Default::default();
        Ok(UnknownApp { app: app.clone(), name, hosts, containers, networks, volumes })
    }

    async fn source_logins(&self) -> Result<Vec<SourceLoginView>, ControlError> {
        Ok(samples::source_logins())
    }

    async fn add_source_login(&self, login: NewSourceLogin, _: &Caller) -> Result<SourceLoginView, ControlError> {
        let what = match &login.secret {
            SourceSecret::Token { user, token } => format!("token {token} {user:?}"),
            SourceSecret::SshKey { private_key, host_keys } => format!("key {private_key} {host_keys:?}"),
            SourceSecret::HostKeys(host_keys) => format!("host keys {host_keys:?}"),
        };
        self.record(format!("add_source_login {} {what}", login.host))?;
        Ok(samples::source_logins().remove(0))
    }

    async fn remove_source_login(&self, host: &str, _: &Caller) -> Result<Vec<SourceLoginView>, ControlError> {
        let found: Vec<_> = samples::source_logins().into_iter().filter(|it| it.host == host).collect();
        match found.is_empty() {
            true => Err(ControlError::NotFound(format!("no login for {host:?}"))),
            false => Ok(found),
        }
    }

    async fn host_key(&self, host: &str) -> Result<HostKeyView, ControlError> {
        self.record(format!("host_key {host}"))?;
        Ok(HostKeyView { host: host.into(), fingerprint: samples::FINGERPRINT.into() })
    }

    fn token_by_hash(&self, hash: &str) -> Option<TokenView> {
        self.tokens.borrow().get(hash).cloned()
    }

    fn tokens(&self) -> Vec<TokenView> {
        self.tokens.borrow().values().cloned().collect()
    }

    async fn create_token(&self, token: NewToken, _: &Caller) -> Result<CreatedToken, ControlError> {
        self.record(format!("create_token {} {:?} {:?} {:?}", token.name, token.scope, token.app, token.expires))?;
        Ok(CreatedToken { token: "dob_v1_new".into(), view: samples::token(&token.name, token.scope, None) })
    }

    async fn revoke_token(&self, id_or_name: &str, _: &Caller) -> Result<TokenView, ControlError> {
        let revoked = self.tokens().into_iter().find(|it| it.id == id_or_name || it.name == id_or_name);
        let revoked = revoked.ok_or_else(|| ControlError::NotFound(format!("no token {id_or_name:?}")))?;
        self.tokens.send_modify(|tokens| tokens.retain(|_, it| it.id != revoked.id));
        Ok(revoked)
    }

    async fn certificates(&self) -> Result<Vec<CertificateView>, ControlError> {
        Ok(vec![samples::certificate("shop.example.com")])
    }

    async fn add_certificate(
        &self,
        name: &str,
        chain: &str,
        key: &str,
        _: &Caller,
    ) -> Result<CertificateView, ControlError> {
        self.record(format!("add_certificate {name} {chain} {key}"))?;
        Ok(samples::certificate(name))
    }

    async fn remove_certificate(&self, name: &str, _: &Caller) -> Result<CertificateView, ControlError> {
        self.record(format!("remove_certificate {name}"))?;
        Ok(samples::certificate(name))
    }

    async fn registry_logins(&self) -> Result<Vec<RegistryLoginView>, ControlError> {
        Ok(vec![samples::registry_login("ghcr.io", "ada")])
    }

    async fn add_registry_login(
        &self,
        host: &str,
        login: RegistryLogin,
        _: &Caller,
    ) -> Result<RegistryLoginView, ControlError> {
        self.record(format!("add_registry_login {host} {} {}", login.username, login.password.expose()))?;
        Ok(samples::registry_login(host, &login.username))
    }

    async fn remove_registry_login(&self, host: &str, _: &Caller) -> Result<RegistryLoginView, ControlError> {
        self.record(format!("remove_registry_login {host}"))?;
        Ok(samples::registry_login(host, "ada"))
    }

    async fn webhooks(&self) -> Result<Vec<WebhookView>, ControlError> {
        Ok(vec![samples::webhook("github")])
    }

    async fn create_webhook(&self, webhook: NewWebhook, _: &Caller) -> Result<CreatedWebhook, ControlError> {
        self.record(format!("create_webhook {} {:?} {:?}", webhook.name, webhook.app, webhook.secret))?;
        let secret = webhook.secret.unwrap_or_else(|| "new-secret".into());
        Ok(CreatedWebhook { secret, view: samples::webhook(&webhook.name) })
    }

    async fn delete_webhook(&self, name: &str, _: &Caller) -> Result<WebhookView, ControlError> {
        self.record(format!("delete_webhook {name}"))?;
        Ok(samples::webhook(name))
    }

    /// Answers by the name of the webhook.
    async fn receive_webhook(&self, request: WebhookRequest) -> Result<WebhookAnswer, ControlError> {
        self.record(format!("receive_webhook {} {}", request.name, request.body.len()))?;
        Ok(match request.name.as_str() {
            "github" => WebhookAnswer::Accepted("looking at shop".into()),
            "ping" => WebhookAnswer::Done("received".into()),
            "garbage" => WebhookAnswer::Unreadable("the body is not JSON".into()),
            _ => WebhookAnswer::Refused,
        })
    }

    async fn token_ended(&self, id: &str) {
        let is_gone = |tokens: &BTreeMap<String, TokenView>| tokens.values().all(|it| it.id != id);
        self.tokens.subscribe().wait_for(is_gone).await.expect("the fake lives as long as the server");
    }

    async fn create_session(&self, token_hash: &str, source: Option<IpAddr>) -> Result<CreatedSession, ControlError> {
        let number = self.sessions.borrow().len() + 1;
        self.record("create_session".into())?;
        let view = SessionView {
            id: format!("session-{number}"),
            token_hash: token_hash.to_owned(),
            token: self.token_by_hash(token_hash),
            source,
            created: Timestamp(0),
            used: Timestamp(0),
            expires: Timestamp(1),
            remaining: Duration::from_secs(1),
        };
        let secret = format!("secret-{number}");
        self.sessions.send_modify(|all| drop(all.insert(hex::encode(Sha256::digest(&secret)), view.clone())));
        Ok(CreatedSession { secret, view })
    }

    fn create_sign_in_link(&self, token_hash: &str) -> String {
        format!("link-of-{token_hash}")
    }

    async fn redeem_sign_in_link(&self, code: &str, source: Option<IpAddr>) -> Result<CreatedSession, ControlError> {
        let token_hash = code.strip_prefix("link-of-");
        self.create_session(token_hash.ok_or_else(|| ControlError::NotFound("used".into()))?, source).await
    }

    fn session_by_hash(&self, hash: &str) -> Option<SessionView> {
        self.sessions.borrow().get(hash).cloned()
    }

    fn sessions(&self) -> Vec<SessionView> {
        self.sessions.borrow().values().cloned().collect()
    }

    async fn end_session(&self, id: &str) -> Result<SessionView, ControlError> {
        let ended = self.sessions().into_iter().find(|it| it.id == id);
        self.sessions.send_modify(|all| all.retain(|_, it| it.id != id));
        ended.ok_or_else(|| ControlError::NotFound("this session has already ended".into()))
    }

    async fn session_ended(&self, id: &str) {
        let is_gone = |all: &BTreeMap<String, SessionView>| all.values().all(|it| it.id != id);
        self.sessions.subscribe().wait_for(is_gone).await.expect("the fake lives as long as the server");
    }

    async fn record_request(&self, entry: AuditEntry) {
        self.audit.send_modify(|rows| rows.push(entry));
    }

    async fn audit(&self, app: Option<&str>, _: PageQuery) -> Result<Page<AuditEntry>, ControlError> {
        let is_wanted = |it: &&AuditEntry| app.is_none() || it.app_name.as_deref() == app;
        let items: Vec<_> = self.audit.borrow().iter().rev().filter(is_wanted).cloned().collect();
        Ok(Page { total: items.len() as u64, items })
    }
}
