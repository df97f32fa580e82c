//! Previews: shows what a request would do. A preview makes the same decisions as a deployment, and then runs the
//! planner on a model of the current state.

mod describe;
mod simulate;

use std::collections::BTreeMap;

use app_spec::{AppSpec, Source, image_reference};
use engine::EngineError;
use futures::future::try_join_all;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use rollout::queue::{Admission, QueuePosition, Request, Restart};
use rollout::sources::Version;
use store::records::{AppRollback, AppState, Image};
use uuid::Uuid;

use self::simulate::{Simulation, SimulationInput};
use super::Controller;
use super::create::{check_supported, needs_values};
use super::operations::{deploy_request, restart_request, update_request};
use crate::app::{
    KeptFrom, Pull, Revert, Sourcing, active, check_not_pinned, check_rollback, inherited_rollback, queued, refuse,
    return_to, revert, sourcing, unchanged,
};
use crate::engine_watch::ANSWER_WITHIN;
use crate::error::ControlError;
use crate::specs::{NeedsValues, Specs};
use crate::view::{DeployOptions, Preview, UpdateOptions};

impl Controller {
    pub(super) async fn simulate_update(
        &self,
        app: Option<&AppId>,
        spec: AppSpec,
        options: UpdateOptions,
    ) -> Result<Preview, ControlError> {
        let plan = self.simulate_proposal(app, spec, options).await?;
        match plan.needs_values.is_empty() {
            true => Ok(plan),
            false => Err(needs_values(NeedsValues(plan.needs_values))),
        }
    }

    pub(super) async fn simulate_proposal(
        &self,
        app: Option<&AppId>,
        spec: AppSpec,
        options: UpdateOptions,
    ) -> Result<Preview, ControlError> {
        let Some(app) = app else { return self.propose_new(spec).await };
        let (spec, NeedsValues(needs_values)) = self.completed(app, spec).await?;
        let state = self.state(app).await?;
        let specs = Specs::of(app, &self.0.shared.sealer);
        let before = self.read_spec(&state, active(&state).map_or(&state.app.spec, |it| &it.spec))?;
        let changes = app_spec::changes(&before, &spec).iter().map(ToString::to_string).collect();
        let is_answered = needs_values.is_empty() && !options.update_sources;
        if let Some(there) = unchanged(&state, &specs, &spec).filter(|_| is_answered) {
            let why = match there.stage.is_ended() {
                true => "this spec serves already".to_owned(),
                false => format!("deployment {}, which is under way, brings this spec", there.number),
            };
            return Ok(Preview { changes, steps: vec![format!("nothing: {why}")], needs_values, ..Preview::default() });
        }
        check_not_pinned(&state)?;
        let (request, _) = update_request(options);
        let preview = self.simulate(state, with_placeholders(spec), request, None).await?;
        Ok(Preview { changes, needs_values, ..preview })
    }

    async fn propose_new(&self, spec: AppSpec) -> Result<Preview, ControlError> {
        check_supported(&spec)?;
        self.check_repositories(&spec)?;
        self.check_name_is_free(&spec.name).await?;
        let id = AppId::new(Uuid::new_v4().to_string());
        let (spec, NeedsValues(needs_values)) = Specs::of(&id, &self.0.shared.sealer).complete(spec, None);
        let state = AppState::new(self.new_app(id, &spec, serde_json::Value::Null).await?);
        let preview = self.simulate(state, with_placeholders(spec), Request::deploy(), None).await?;
        Ok(Preview { needs_values, ..preview })
    }

    pub(super) async fn simulate_restart(&self, app: &AppId, components: &[String]) -> Result<Preview, ControlError> {
        let state = self.state(app).await?;
        let active = active(&state).ok_or_else(|| {
            ControlError::Conflict(format!("app {} was never active, so there is nothing to restart", state.app.name))
        })?;
        let spec = self.read_spec(&state, &active.spec)?;
        let (restart, _) = restart_request(components);
        crate::app::check_restart(&state.app.name, &spec, &restart)?;
        self.check_images_exist(&state, &restart).await?;
        self.simulate(state, spec, Request::restart(restart), None).await
    }

    /// Errors: the engine does not have an image that the restart needs. If the engine does not answer in time, the
    /// check passes.
    async fn check_images_exist(&self, state: &AppState, restart: &Restart) -> Result<(), ControlError> {
        let targets = state.targets_in_force();
        let checks = targets.iter().filter(|it| restart.names(&it.component)).map(async |target| {
            let Some(revision) = state.revisions.iter().find(|it| it.id == target.revision) else { return Ok(()) };
            if let Ok(None) = self.find_image(&revision.image).await {
                let why = crate::app::image_is_gone(&state.app.name, &revision.image);
                return Err(ControlError::Conflict(format!("{}: {why}", target.component)));
            }
            Ok(())
        });
        try_join_all(checks).await.map(drop)
    }

    pub(super) async fn simulate_deploy(&self, app: &AppId, options: DeployOptions) -> Result<Preview, ControlError> {
        let state = self.state(app).await?;
        check_not_pinned(&state)?;
        let spec = self.read_spec(&state, &state.app.spec)?;
        let (request, _) = deploy_request(options);
        self.simulate(state, spec, request, None).await
    }

    pub(super) async fn simulate_rollback(&self, app: &AppId, to: &DeploymentId) -> Result<Preview, ControlError> {
        let state = self.state(app).await?;
        let specs = Specs::of(app, &self.0.shared.sealer);
        let target = self.0.shared.store.deployment(to).await?.filter(|it| it.app == *app);
        refuse(check_rollback(&state, &specs, to, target.as_ref()))?;
        let target = target.ok_or_else(|| ControlError::NotFound(format!("no deployment {to} of this app")))?;
        self.simulate_return(state, &target.spec, return_to(&specs, &target)).await
    }

    pub(super) async fn simulate_revert(&self, app: &AppId) -> Result<Preview, ControlError> {
        let state = self.state(app).await?;
        let Revert { spec, rollback, .. } = revert(&state)?;
        self.simulate_return(state, &spec, rollback).await
    }

    /// A return of the app to a stored spec, with the images of the rollback or revert.
    async fn simulate_return(
        &self,
        state: AppState,
        stored: &serde_json::Value,
        rollback: AppRollback,
    ) -> Result<Preview, ControlError> {
        let before = self.read_spec(&state, active(&state).map_or(&state.app.spec, |it| &it.spec))?;
        let spec = self.read_spec(&state, stored)?;
        let changes = app_spec::changes(&before, &spec).iter().map(ToString::to_string).collect();
        let preview = self.simulate(state, spec, Request::recorded(), Some(rollback)).await?;
        Ok(Preview { changes, ..preview })
    }

    /// The steps of a request, and the instances that it changes.
    async fn simulate(
        &self,
        state: AppState,
        spec: AppSpec,
        request: Request,
        rollback: Option<AppRollback>,
    ) -> Result<Preview, ControlError> {
        let (spec, Turn { request, lines, absorbed }) = match Turn::of(&state, &request) {
            turn if request.is_restart() && !turn.request.is_restart() => {
                (self.read_spec(&state, &state.app.spec)?, turn)
            }
            turn => (spec, turn),
        };
        let rollback = rollback.or(absorbed);
        let serving = active(&state).cloned();
        let before = serving.as_ref().map(|it| self.read_spec(&state, &it.spec)).transpose()?;
        let serving = serving.zip(before);
        let images = match request.is_restart() {
            true => BTreeMap::new(),
            false => self.images(&state, &request, rollback.as_ref(), &spec).await,
        };
        let shared = self.0.shared.clone();
        // Planning for an app with hundreds of instances takes a while, so it must not block the runtime.
        let preview = tokio::task::spawn_blocking(move || {
            let (serving, rollback) = (serving.as_ref(), rollback.as_ref());
            let input = SimulationInput { state: &state, serving, spec: &spec, request: &request, rollback };
            let simulation = Simulation::of(&shared, &input, &images);
            let instances = simulation.as_ref().map_or_else(|_| Vec::new(), |it| it.instance_changes(input.state));
            let steps = [lines, describe::steps(&input, &images, simulation)].concat();
            Preview { steps, instances, ..Preview::default() }
        });
        preview.await.map_err(|error| ControlError::Internal {
            message: "the steps could not be worked out. See the log of `boatyard serve`".into(),
            cause: error.into(),
        })
    }

    /// The image of each component, as far as it is known before fetching.
    async fn images(
        &self,
        state: &AppState,
        request: &Request,
        rollback: Option<&AppRollback>,
        spec: &AppSpec,
    ) -> BTreeMap<ComponentName, Expected> {
        let specs = Specs::of(&state.app.id, &self.0.shared.sealer);
        let expected = spec.components().map(async |component| {
            let name = ComponentName::from(component.name());
            let sourcing = sourcing(state, &specs, request.build, rollback, spec, &name);
            let expected = match (component.source(), sourcing) {
                (_, Sourcing { version: Version::KeptImage, previous: Some(image), kept_from, .. }) => Expected {
                    is_available: self.has_image(&image.id).await,
                    image,
                    version: Version::KeptImage,
                    kept_from,
                    pulls: false,
                },
                (Source::Image(source), sourcing) => {
                    let pull = Pull::of(request.build, &sourcing);
                    self.prebuilt(&image_reference(source), pull, sourcing.previous).await
                }
                (_, sourcing) => from_source(&name, &sourcing),
            };
            (name, expected)
        });
        futures::future::join_all(expected).await.into_iter().collect()
    }

    async fn prebuilt(&self, reference: &str, pull: Pull, previous: Option<Image>) -> Expected {
        let shared = &self.0.shared;
        let local = self.find_image(reference).await.ok().flatten();
        let pulls = match pull {
            Pull::Always => true,
            Pull::IfMissing => local.is_none(),
            Pull::IfFromRegistry if local.is_none() => true,
            Pull::IfFromRegistry => {
                let digest = shared.watch.answer(ANSWER_WITHIN, shared.engine.image_digest(reference)).await;
                !reference.contains('@') && matches!(digest, Ok(Some(_)))
            }
        };
        let is_available = local.is_some();
        let id = local.or(previous.map(|it| it.id)).unwrap_or_else(|| format!("new: {reference}"));
        let kept_from = KeptFrom::Serving;
        Expected { image: image(id, reference), is_available, version: Version::Newest, kept_from, pulls }
    }

    /// Whether the engine has the image. An image that the engine does not report in time counts as missing.
    async fn has_image(&self, id: &str) -> bool {
        matches!(self.find_image(id).await, Ok(Some(_)))
    }

    async fn find_image(&self, reference: &str) -> Result<Option<String>, EngineError> {
        let shared = &self.0.shared;
        shared.watch.answer(ANSWER_WITHIN, shared.engine.image(reference)).await
    }
}

/// Fills in placeholders for missing values, so that the steps can be planned.
fn with_placeholders(mut spec: AppSpec) -> AppSpec {
    for needed in spec.needed_values() {
        spec.give(needed.component.as_deref(), &needed.key, "given");
    }
    spec
}

/// What a request becomes, given the deployments that are queued before it.
struct Turn {
    request: Request,
    /// Sentences: which deployment the request waits for, and which it absorbs.
    lines: Vec<String>,
    /// The rollback of the app that waits, and that the request carries out as well.
    absorbed: Option<AppRollback>,
}

impl Turn {
    fn of(state: &AppState, request: &Request) -> Self {
        let QueuePosition { admission, running, waiting } = QueuePosition::of(&queued(state), request);
        let wait = running
            .last()
            .map(|it| format!("wait for deployment {it} to end; the steps below begin with what is there now"));
        let waiting = state.deployments.iter().find(|it| Some(it.number) == waiting);
        let (merged, first, absorbed) = match (admission, waiting) {
            (Admission::Absorb(merged), Some(waiting)) => {
                let number = waiting.number;
                let text = match request.replaces(&waiting.request) {
                    true => format!("replace deployment {number}, which waits"),
                    false => format!("do what deployment {number}, which waits, was to do as well"),
                };
                (merged, Some(text), inherited_rollback(waiting, request))
            }
            (Admission::Wait, _) => (request.clone(), None, None),
            _ => return Self { request: request.clone(), lines: Vec::new(), absorbed: None },
        };
        Self { request: merged, lines: first.into_iter().chain(wait).collect(), absorbed }
    }
}

/// The image that a component is expected to have.
struct Expected {
    image: Image,
    /// The image needs no pull or build: the engine has it, or the active deployment built it from the same source.
    is_available: bool,
    version: Version,
    kept_from: KeptFrom,
    /// A prebuilt image is pulled.
    pulls: bool,
}

/// Before a fetch, a branch that was built with the same settings counts as unchanged.
fn from_source(name: &ComponentName, sourcing: &Sourcing) -> Expected {
    let (version, kept_from, pulls) = (sourcing.version, sourcing.kept_from, false);
    let new = || image(format!("new: {name}"), "");
    match (&sourcing.previous, version) {
        (Some(previous), Version::Newest) if previous.origin == sourcing.origin => {
            Expected { image: previous.clone(), is_available: true, version, kept_from, pulls }
        }
        (Some(previous), Version::KeptCommit) => {
            let image = Image { commit: previous.commit.clone(), ..new() };
            Expected { image, is_available: false, version, kept_from, pulls }
        }
        _ => Expected { image: new(), is_available: false, version, kept_from, pulls },
    }
}

fn image(id: String, reference: &str) -> Image {
    Image { id, reference: reference.to_owned(), ..Image::default() }
}
