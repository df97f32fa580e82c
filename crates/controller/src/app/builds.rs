//! Having the images of a deployment: built from sources, or resolved from registries.

use std::collections::BTreeMap;

use app_spec::{AppSpec, Common, Facts, ImageSource, Scope, Source, image_reference, resolve_envs};
use builder::{Cache, ImageLookup, KnownImage, LogSink, Recipe};
use engine::EngineError;
use futures::future::BoxFuture;
use rollout::ids::{ComponentName, DeploymentId};
use rollout::progress::{LeafKey, Reason};
use rollout::queue::Build;
use source::{CommitId, GitRef, Selection};
use store::StoreError;
use store::records::{BuiltImage, Change, Deployment, Image};
use tracing::Instrument;

use super::done::{Done, Had};
use super::{AppTask, Shared, secret_values};
use crate::clock;
use crate::redact::Secrets;

impl AppTask {
    /// Begins to have the image of one component; of one with a repository first its commit, which is written down before
    /// anything is built from it.
    pub(super) async fn begin_build(
        &mut self,
        mut deployment: Deployment,
        spec: &AppSpec,
        component: ComponentName,
    ) -> Result<(), StoreError> {
        let id = deployment.id.clone();
        if deployment.progress.start(&LeafKey::Build(component.clone()), clock::now()) {
            self.commit(vec![Change::Deployment(Box::new(deployment.clone()))]).await?;
        }
        let found = spec.component(component.as_str());
        let Some((common, holder)) = found.and_then(|it| Some((it.common()?, it))) else {
            self.build_failures.insert((id, component), "it has nothing to build".into());
            return Ok(());
        };
        let commit = deployment.commits.get(&component);
        let work = match (holder.source(), commit) {
            (Source::Image(image), _) => Ok(Work::Image(image.clone())),
            (_, commit) => self.recipe(&deployment, spec, &component, common).and_then(|recipe| work(recipe, commit)),
        };
        let (app, goes_on) = (&self.state.app.id, commit.is_some());
        // Those of the spec that is built are in no revision yet.
        let secrets = Secrets::new(&[secret_values(&self.state), written_secrets(spec)].concat());
        let sink = self.shared.logbook.build_sink(app, &id, &component, &secrets, goes_on);
        if let Ok(Work::Resolve(_)) = &work
            && let Some(withheld) = withheld(spec, &component)
        {
            sink(&withheld);
        }
        let (shared, force) = (self.shared.clone(), deployment.request.build >= Build::Force);
        let key = (id.clone(), component.clone());
        let act = async move {
            let result = match work {
                Ok(Work::Image(image)) => have_image(&shared, &image, force, &sink).await,
                Ok(Work::Resolve(recipe)) => match shared.workshop.resolve(&recipe, &sink).await {
                    Ok(commit) => return Done::Resolved { deployment: id, component, commit },
                    Err(error) => Err(chain(&error)),
                },
                Ok(Work::Build(recipe, commit)) => build(&shared, &recipe, &commit, sink.clone()).await,
                Err(why) => Err(why),
            };
            let result = result.map_err(|why| secrets.redactor().line(&why));
            if let Err(why) = &result {
                sink(why);
            }
            Done::Had { deployment: id, component, result }
        };
        let handle = self.acts.spawn(act.in_current_span());
        self.builds.insert(key, handle);
        Ok(())
    }

    /// A restart builds and fetches nothing: each image it needs has to be on the engine, which is asked before anything is
    /// touched.
    pub(super) fn begin_image_check(&mut self, deployment: &Deployment, component: ComponentName) {
        let key = (deployment.id.clone(), component.clone());
        let Some(image) = self.image_of(deployment, &component) else {
            self.build_failures.insert(key, "its revision is not on record".into());
            return;
        };
        let (shared, id, app) = (self.shared.clone(), deployment.id.clone(), self.state.app.name.clone());
        let act = async move {
            let quiet: LogSink = std::sync::Arc::new(|_: &str| {});
            let result = match patiently(|| shared.engine.image(&image), &quiet).await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(image_is_gone(&app, &image)),
                Err(error) => Err(error.to_string()),
            };
            Done::ImageChecked { deployment: id, component, result }
        };
        let handle = self.acts.spawn(act.in_current_span());
        self.builds.insert(key, handle);
    }

    /// The image that a restart starts a component's new instances from.
    fn image_of(&self, deployment: &Deployment, component: &ComponentName) -> Option<String> {
        let target = deployment.targets.iter().flatten().find(|it| it.component == *component)?;
        Some(self.revision(&target.revision)?.image.clone())
    }

    pub(super) fn image_checked(&mut self, key: (DeploymentId, ComponentName), result: Result<(), String>) {
        if self.builds.remove(&key).is_none() {
            // Its deployment ended meanwhile.
            return;
        }
        match result {
            Ok(()) => drop(self.images_found.insert(key)),
            Err(why) => drop(self.build_failures.insert(key, why)),
        }
    }

    fn recipe(
        &self,
        deployment: &Deployment,
        spec: &AppSpec,
        component: &ComponentName,
        common: &Common,
    ) -> Result<Recipe, String> {
        let (url, branch) = common.source.repository().ok_or("it has no repository")?;
        let repo = self.shared.workshop.repo_url(&url).map_err(|error| error.to_string())?;
        let git_ref = match branch {
            Some(branch) => GitRef::branch(branch).map_err(|error| error.to_string())?,
            None => GitRef::DefaultBranch,
        };
        let dockerfile = common.dockerfile_path();
        let selection =
            Selection::parse(Some(&common.source_dir()), dockerfile.as_deref()).map_err(|error| error.to_string())?;
        let labels = BTreeMap::from([("io.boatyard.image".to_owned(), self.state.app.id.to_string())]);
        Ok(Recipe {
            repo,
            git_ref,
            selection,
            args: build_args(spec, component).0,
            cache: match deployment.request.build {
                Build::Frozen | Build::Reuse => Cache::ReuseImage,
                Build::Force => Cache::ReuseSteps,
                Build::ForceWithoutCache => Cache::Clear,
            },
            repository: self.shared.names.repository(&self.state.app.id, component),
            tag_suffix: deployment.number.to_string(),
            labels,
        })
    }

    /// Writes down which commit is built, before it is.
    pub(super) async fn resolved(
        &mut self,
        id: &DeploymentId,
        component: ComponentName,
        commit: CommitId,
    ) -> Result<(), StoreError> {
        self.builds.remove(&(id.clone(), component.clone()));
        let Some(mut deployment) = self.deployment(id).cloned().filter(|it| !it.stage.is_ended()) else {
            return Ok(());
        };
        deployment.commits.insert(component, commit.as_str().to_owned());
        self.commit(vec![Change::Deployment(Box::new(deployment))]).await
    }

    /// Writes a had image down, or why there is none.
    pub(super) async fn had(
        &mut self,
        id: &DeploymentId,
        component: ComponentName,
        result: Result<Had, String>,
    ) -> Result<(), StoreError> {
        let key = (id.clone(), component.clone());
        let Some(deployment) = self.deployment(id).cloned().filter(|it| !it.stage.is_ended()) else {
            self.builds.remove(&key);
            return Ok(());
        };
        let had = match result {
            Ok(had) => had,
            Err(why) => {
                self.builds.remove(&key);
                self.build_failures.insert(key, why);
                return Ok(());
            }
        };
        if let Err(problem) = self.write_image(deployment, component, had.clone()).await {
            // Nothing is built twice because a disk is full for a while.
            self.unwritten.insert(key, had);
            return Err(problem);
        }
        self.builds.remove(&key);
        Ok(())
    }

    /// Tries again to write down an image whose writing failed. Returns whether there was one.
    pub(super) async fn write_late_image(&mut self) -> Result<bool, StoreError> {
        let Some(((id, component), had)) = self.unwritten.pop_first() else { return Ok(false) };
        self.had(&id, component, Ok(had)).await.map(|()| true)
    }

    async fn write_image(
        &mut self,
        mut deployment: Deployment,
        component: ComponentName,
        had: Had,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        let code = if had.image.commit.is_none() { "PreBuiltImage" } else { "PreviousBuildReused" };
        let reason = (!had.image.built).then(|| Reason { code: code.into(), message: had.image.note.clone() });
        deployment.progress.succeed(&LeafKey::Build(component.clone()), reason, now);
        let mut changes = Vec::new();
        if let (Some(built), Some(commit)) = (had.built, &had.image.commit) {
            changes.push(Change::BuiltImage(BuiltImage {
                identity: built.identity,
                app: self.state.app.id.clone(),
                image: had.image.id.clone(),
                reference: had.image.reference.clone(),
                commit: commit.clone(),
                built: now,
            }));
        }
        deployment.images.insert(component, had.image);
        changes.push(Change::Deployment(Box::new(deployment)));
        self.commit(changes).await
    }

    /// Ends what is being built for a deployment that will not need it.
    pub(super) fn end_builds(&mut self, id: &DeploymentId) {
        self.builds.retain(|(deployment, _), handle| {
            if deployment == id {
                handle.abort();
            }
            deployment != id
        });
        self.build_failures.retain(|(deployment, _), _| deployment != id);
        self.images_found.retain(|(deployment, _)| deployment != id);
    }

    /// A restart builds nothing: its build leaves say so.
    pub(super) fn show_prebuilt(&self, deployment: &mut Deployment) {
        let names: Vec<_> = deployment.images.keys().cloned().collect();
        for name in names {
            let reason =
                Reason { code: "PreviousBuildReused".into(), message: "restart: the image that serves".into() };
            deployment.progress.succeed(&LeafKey::Build(name), Some(reason), clock::now());
        }
    }
}

/// Why a restart that needs an image is refused without it.
pub(crate) fn image_is_gone(app: &str, image: &str) -> String {
    format!(
        "its image {image} is not on the engine any more, so there is nothing to make an exact copy of; nothing was changed. \
         To build or pull it again: boatyard apps create-deployment {app}"
    )
}

enum Work {
    Image(ImageSource),
    Resolve(Box<Recipe>),
    Build(Box<Recipe>, CommitId),
}

fn work(recipe: Recipe, commit: Option<&String>) -> Result<Work, String> {
    let recipe = Box::new(recipe);
    match commit {
        None => Ok(Work::Resolve(recipe)),
        Some(commit) => CommitId::parse(commit).map(|it| Work::Build(recipe, it)).map_err(|error| error.to_string()),
    }
}

/// Build-scope variables as build arguments, and the names of those that are none because they are secrets: arguments stay
/// in the image's history (M12).
pub(crate) fn build_args(spec: &AppSpec, component: &ComponentName) -> (BTreeMap<String, String>, Vec<String>) {
    let environment =
        resolve_envs(spec, component.as_str(), Scope::DockerfileBuild, &Facts::default()).unwrap_or_default();
    let (secrets, given): (Vec<_>, Vec<_>) = environment.vars.into_iter().partition(|(_, value)| value.secret);
    let given = given.into_iter().map(|(key, value)| (key, value.text));
    (given.collect(), secrets.into_iter().map(|(key, _)| key).collect())
}

/// A line of the build log about secrets that a person may look for in the build.
fn withheld(spec: &AppSpec, component: &ComponentName) -> Option<String> {
    let (_, secrets) = build_args(spec, component);
    (!secrets.is_empty()).then(|| {
        format!(
            "Not given to the build: {}. A build argument stays readable in the image's history, and these are secrets; \
             they are there when it runs, if their scope says so",
            secrets.join(", ")
        )
    })
}

async fn build(shared: &Shared, recipe: &Recipe, commit: &CommitId, sink: LogSink) -> Result<Had, String> {
    let store = shared.store.clone();
    let known: ImageLookup = Box::new(move |identity| {
        let store = store.clone();
        Box::pin(async move {
            let found = store.built_image(&identity).await.ok().flatten()?;
            Some(KnownImage { image: found.image, reference: found.reference })
        })
    });
    let built = shared.workshop.have(recipe, commit, known, sink).await.map_err(|error| chain(&error))?;
    let short = &built.commit[..built.commit.len().min(12)];
    let note = if built.built {
        format!("built from {short}")
    } else {
        format!("reused: {short} has the tree it was built from")
    };
    let image = Image {
        id: built.image.clone(),
        reference: built.reference.clone(),
        commit: Some(built.commit.clone()),
        built: built.built,
        note,
    };
    Ok(Had { image, built: Some(built) })
}

/// Secrets as a spec has them.
fn written_secrets(spec: &AppSpec) -> Vec<String> {
    let all = std::cell::RefCell::new(Vec::new());
    spec.to_json_value(&|_, secret| {
        all.borrow_mut().push(secret.expose().to_owned());
        String::new()
    });
    all.into_inner()
}

/// A prebuilt image: the local one, unless it is to be resolved again; the registry's otherwise. Where no registry
/// answers, the local one is used and the log says so.
pub(super) async fn have_image(
    shared: &Shared,
    source: &ImageSource,
    force: bool,
    sink: &LogSink,
) -> Result<Had, String> {
    let reference = image_reference(source);
    let engine = &shared.engine;
    let local = patiently(|| engine.image(&reference), sink).await.map_err(|error| error.to_string())?;
    let (id, note) = match local {
        Some(id) if !force => (id, "the local image".to_owned()),
        local => match (patiently(|| engine.pull(&reference), sink).await, local) {
            (Ok(id), _) => (id, "pulled".to_owned()),
            (Err(error), Some(id)) => {
                (id, format!("the registry could not be asked ({error}); the local image is used"))
            }
            (Err(error), None) => return Err(chain(&error)),
        },
    };
    sink(&format!("{reference}: {note}"));
    let image = Image { id, reference, commit: None, built: false, note };
    Ok(Had { image, built: None })
}

/// An answer of the engine, asked for again while it has none for the moment only: as with instances, a deployment is not
/// lost by a hiccup. It is the deployment's own deadline that ends this.
async fn patiently<'a, T>(
    ask: impl Fn() -> BoxFuture<'a, Result<T, EngineError>>,
    sink: &LogSink,
) -> Result<T, EngineError> {
    loop {
        match ask().await {
            Err(error) if error.is_transient() => sink(&format!("{error}; trying again")),
            answer => return answer,
        }
        tokio::time::sleep(super::STORE_PAUSE).await;
    }
}

/// A message with everything below it that it does not say itself.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        below = cause.source();
    }
    text
}
