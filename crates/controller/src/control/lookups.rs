//! What the operations share: an app's records, its task, and the views of its state.

use std::sync::Arc;

use app_spec::AppSpec;
use engine::ContainerDetails;
use futures::future::{BoxFuture, FutureExt};
use futures::{StreamExt, stream};
use rollout::deployment::Stage;
use rollout::ids::{AppId, ComponentName, InstanceName};
use rollout::instance::InstancePhase;
use rollout::target::ComponentKind;
use store::records::{App, AppState, Deployment, LastEnd};
use tokio::sync::oneshot;

use super::Controller;
use super::inspections::Age;
use crate::app::{AppCommand, AppHandle, DeployRequest, Waits};
use crate::domains;
use crate::error::ControlError;
use crate::specs::Specs;
use crate::view::{AppView, DeploymentView, InstanceView};

/// How many instances the engine is asked about in parallel.
const AT_ONCE: usize = 8;

impl Controller {
    pub(super) async fn start_deployment(
        &self,
        app: &AppId,
        request: DeployRequest,
    ) -> Result<DeploymentView, ControlError> {
        Ok(DeploymentView::new(self.request_deployment(app, request).await?, &Waits::default()))
    }

    pub(super) async fn request_deployment(
        &self,
        app: &AppId,
        request: DeployRequest,
    ) -> Result<Deployment, ControlError> {
        self.send_command(app, |reply| AppCommand::Deploy { request: Box::new(request), reply }).await
    }

    /// Sends a request to the app's task. Errors: [`ControlError::NotFound`] only if no record of the app exists,
    /// because clients read it as "the app was deleted".
    pub(super) async fn send_command<T>(
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

    /// Reads a stored spec of an app, with its secrets in plain text.
    pub(super) fn read_spec(&self, state: &AppState, stored: &serde_json::Value) -> Result<AppSpec, ControlError> {
        let name = &state.app.name;
        Specs::of(&state.app.id, &self.0.shared.sealer).open(stored).ok_or_else(|| {
            ControlError::Conflict(format!("the spec of {name} cannot be read by this version; see the log of serve"))
        })
    }

    /// What the app's task last published.
    pub(super) async fn waits(&self, app: &AppId) -> Arc<Waits> {
        self.0.apps.read().await.get(app).map(|handle| handle.waiting.borrow().clone()).unwrap_or_default()
    }

    pub(super) async fn instance_views(&self, state: &AppState, age: Age) -> Vec<InstanceView> {
        let instances = state.instances.iter().map(|row| {
            let kind = match row.kind {
                ComponentKind::Service => "SERVICE",
                ComponentKind::Worker => "WORKER",
            };
            let alias = format!("{}-{}", row.component, row.slot);
            let view = self.instance_view(&row.name, &row.component, kind, alias, Some(row.phase), age);
            let counted = |it: InstanceView| InstanceView {
                restarts: row.restarts.count,
                last_end: row.restarts.last.clone(),
                ..it
            };
            view.map(counted).boxed()
        });
        let databases =
            state.databases.iter().filter(|it| it.wanted).map(|it| {
                self.instance_view(&it.container, &it.name, "DATABASE", it.name.to_string(), None, age).boxed()
            });
        let runs = state.job_runs.iter().filter(|it| !it.collected);
        let runs = runs.map(|it| self.instance_view(&it.name, &it.job, "JOB", it.job.to_string(), None, age).boxed());
        let views: Vec<BoxFuture<'_, InstanceView>> = instances.chain(databases).chain(runs).collect();
        stream::iter(views).buffered(AT_ONCE).collect().await
    }

    /// One sentence for each app that is being deleted, with what its deletion waits for.
    pub(super) async fn deletions_in_progress(&self) -> Result<Vec<String>, ControlError> {
        let mut sentences = Vec::new();
        for app in self.0.shared.store.apps().await?.into_iter().filter(|it| it.deleting) {
            let waits = self.waits(&app.id).await;
            let reasons = waits.app.iter().map(|it| format!("; {it}")).collect::<String>();
            sentences.push(format!("app {} ({}) is being deleted{reasons}", app.name, app.id));
        }
        Ok(sentences)
    }

    /// If the engine does not answer in time, the view lacks what only the engine knows.
    async fn instance_view(
        &self,
        name: &InstanceName,
        component: &ComponentName,
        component_type: &'static str,
        instance_alias: String,
        phase: Option<InstancePhase>,
        age: Age,
    ) -> InstanceView {
        let (details, processes) = self.inspect(name, age).await;
        let ended = |it: &ContainerDetails| {
            let at = it.finished_at.clone().filter(|_| it.restart_count > 0)?;
            Some(LastEnd { at, code: it.exit_code, out_of_memory: it.oom_killed })
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

    pub(super) async fn record(&self, app: &AppId) -> Result<App, ControlError> {
        let record = self.0.shared.store.app(app).await?.filter(|it| !it.deleting);
        record.ok_or_else(|| ControlError::NotFound(format!("no app {app}")))
    }

    /// Refuses requests once another controller has taken over; the API of this one may still answer for a moment.
    pub(super) fn in_charge(&self) -> Result<(), ControlError> {
        match self.0.shared.fence.lost().is_cancelled() {
            true => Err(ControlError::Conflict(
                "another controller of this installation has taken over; ask that one".into(),
            )),
            false => Ok(()),
        }
    }

    pub(super) async fn handle(&self, app: &AppId) -> Result<AppHandle, ControlError> {
        self.in_charge()?;
        self.record(app).await?;
        let handle = self.0.apps.read().await.get(app).cloned();
        handle.ok_or_else(|| {
            ControlError::Conflict("this app cannot be read by this version; see the log of serve".into())
        })
    }

    pub(super) async fn app(&self, id: &AppId) -> Result<AppView, ControlError> {
        Ok(self.view(self.state(id).await?).await)
    }

    /// Errors: the app does not exist, or was deleted.
    pub(super) async fn state(&self, id: &AppId) -> Result<AppState, ControlError> {
        let state = self.0.shared.store.app_state(id).await?.filter(|it| !it.app.deleting);
        state.ok_or_else(|| ControlError::NotFound(format!("no app {id}")))
    }

    pub(super) async fn view(&self, state: AppState) -> AppView {
        let waits = self.waits(&state.app.id).await;
        let (app, deployments, ingress) = (&state.app, &state.deployments, &self.0.shared.ingress);
        let find = |wanted: &dyn Fn(&Deployment) -> bool| deployments.iter().find(|it| wanted(it));
        let under_way = |it: &Deployment| !it.stage.is_ended() && it.stage != Stage::Pending;
        let active = find(&|it| Some(&it.id) == app.active.as_ref());
        let shown = domains::shown_host(&app.name, active.map_or(&app.spec, |it| &it.spec));
        let view = |it: Option<&Deployment>| it.map(|it| DeploymentView::new(it.clone(), &waits));
        AppView {
            active: view(active),
            in_progress: view(find(&|it| it.stage.rolls()).or_else(|| find(&under_way))),
            pending: view(find(&|it| it.stage == Stage::Pending)),
            newest: view(deployments.iter().max_by_key(|it| it.number)),
            pinned: view(find(&|it| Some(&it.id) == app.pinned.as_ref())),
            default_url: ingress.url(&app.name),
            live_url: ingress.url_of_host(&app.name, &shown),
            live_domain: shown,
            domains: domains::views(&self.0.shared, &app.id, &app.spec).await,
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
