//! The calls from the API to the controller. A trait, so that tests run without an engine.

use app_spec::AppSpec;
use async_trait::async_trait;
use controller::unknown::{UnknownApp, UnknownList};
use controller::view::{
    AppView, Caller, DeployOptions, DeploymentView, InstanceView, LogEntry, LogRequest, Page, PageQuery, Preview,
};
use controller::{ControlError, Controller};
use futures::stream::BoxStream;
use rollout::ids::{AppId, DeploymentId};

/// Lines of a log. An error ends the stream.
pub type LogLines = BoxStream<'static, Result<LogEntry, ControlError>>;

/// What the API needs of a controller. Each method is documented on [`Controller`].
#[async_trait]
#[allow(missing_docs, reason = "documented on Controller")]
pub trait Control: Send + Sync + 'static {
    /// SHA-256 of the admin token, in lower-case hexadecimal.
    fn token_hash(&self) -> String;
    fn installation_id(&self) -> String;
    async fn create_app(&self, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError>;
    async fn update_app(&self, app: &AppId, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError>;
    async fn delete_app(&self, app: &AppId) -> Result<(), ControlError>;
    async fn find_app(&self, id_or_name: &str) -> Result<AppView, ControlError>;
    async fn apps(&self, page: PageQuery) -> Result<Page<AppView>, ControlError>;
    async fn restart(
        &self,
        app: &AppId,
        components: &[String],
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError>;
    async fn deploy(
        &self,
        app: &AppId,
        options: DeployOptions,
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError>;
    async fn deployments(&self, app: &AppId, page: PageQuery) -> Result<Page<DeploymentView>, ControlError>;
    async fn deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError>;
    async fn cancel(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError>;
    async fn instances(&self, app: &AppId) -> Result<Vec<InstanceView>, ControlError>;
    async fn logs(&self, question: LogRequest) -> Result<LogLines, ControlError>;
    async fn preview_update(&self, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError>;
    async fn propose(&self, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError>;
    async fn preview_restart(&self, app: &AppId, components: &[String]) -> Result<Preview, ControlError>;
    async fn preview_deploy(&self, app: &AppId, options: DeployOptions) -> Result<Preview, ControlError>;
    async fn down(&self, remove_apps: bool) -> Result<(), ControlError>;
    async fn unknown(&self) -> Result<UnknownList, ControlError>;
    async fn delete_unknown(&self, app: &AppId) -> Result<UnknownApp, ControlError>;
}

#[async_trait]
impl Control for Controller {
    fn token_hash(&self) -> String {
        Controller::token_hash(self)
    }

    fn installation_id(&self) -> String {
        Controller::installation_id(self).to_owned()
    }

    async fn create_app(&self, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError> {
        Controller::create_app(self, spec, caller).await
    }

    async fn update_app(&self, app: &AppId, spec: AppSpec, caller: &Caller) -> Result<AppView, ControlError> {
        Controller::update_app(self, app, spec, caller).await
    }

    async fn delete_app(&self, app: &AppId) -> Result<(), ControlError> {
        Controller::delete_app(self, app).await
    }

    async fn find_app(&self, id_or_name: &str) -> Result<AppView, ControlError> {
        Controller::find_app(self, id_or_name).await
    }

    async fn apps(&self, page: PageQuery) -> Result<Page<AppView>, ControlError> {
        Controller::apps(self, page).await
    }

    async fn restart(
        &self,
        app: &AppId,
        components: &[String],
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError> {
        Controller::restart(self, app, components, caller).await
    }

    async fn deploy(
        &self,
        app: &AppId,
        options: DeployOptions,
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError> {
        Controller::deploy(self, app, options, caller).await
    }

    async fn deployments(&self, app: &AppId, page: PageQuery) -> Result<Page<DeploymentView>, ControlError> {
        Controller::deployments(self, app, page).await
    }

    async fn deployment(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        Controller::deployment(self, app, id).await
    }

    async fn cancel(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        Controller::cancel(self, app, id).await
    }

    async fn instances(&self, app: &AppId) -> Result<Vec<InstanceView>, ControlError> {
        Controller::instances(self, app).await
    }

    async fn logs(&self, question: LogRequest) -> Result<LogLines, ControlError> {
        Controller::logs(self, question).await
    }

    async fn preview_update(&self, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError> {
        Controller::preview_update(self, app, spec).await
    }

    async fn propose(&self, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError> {
        Controller::propose(self, app, spec).await
    }

    async fn preview_restart(&self, app: &AppId, components: &[String]) -> Result<Preview, ControlError> {
        Controller::preview_restart(self, app, components).await
    }

    async fn preview_deploy(&self, app: &AppId, options: DeployOptions) -> Result<Preview, ControlError> {
        Controller::preview_deploy(self, app, options).await
    }

    async fn down(&self, remove_apps: bool) -> Result<(), ControlError> {
        Controller::down(self, remove_apps).await
    }

    async fn unknown(&self) -> Result<UnknownList, ControlError> {
        Controller::unknown(self).await
    }

    async fn delete_unknown(&self, app: &AppId) -> Result<UnknownApp, ControlError> {
        Controller::delete_unknown(self, app).await
    }
}
