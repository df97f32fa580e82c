//! The images of a deployment: built from sources, pulled from registries, or checked for a restart.

use std::collections::{BTreeMap, HashSet};

use app_spec::{AppSpec, Common, Facts, ImageSource, Scope, Source, image_reference, resolve_envs};
use builder::{Cache, ImageLookup, KnownImage, LogSink, Recipe};
use engine::EngineError;
use futures::future::BoxFuture;
use rollout::deployment::Part;
use rollout::ids::{ComponentName, DeploymentId};
use rollout::progress::{LeafKey, Reason};
use rollout::queue::Build;
use source::{CommitId, GitRef, Selection};
use store::StoreError;
use store::records::{BuiltImage, Change, Deployment, Image};

use super::actions::{ActionResult, ImageReady, Subject};
use super::context::Context;
use super::{Shared, restart, secret_values};
use crate::clock;
use crate::redact::Secrets;

type Key = (DeploymentId, ComponentName);

/// What is known about images besides the records.
#[derive(Default)]
pub(super) struct Images {
    failed: BTreeMap<Key, String>,
    /// Images that a restart needs and that the engine has.
    found: HashSet<Key>,
    /// Images that could not be recorded yet, for example because the disk is full. Kept, so that they are not built
    /// twice.
    unwritten: BTreeMap<Key, ImageReady>,
}

impl Images {
    pub fn parts(&self, cx: &Context, deployment: &Deployment, spec: &AppSpec) -> BTreeMap<ComponentName, Part> {
        let names = spec.components().map(|it| ComponentName::from(it.name()));
        let part = |name: ComponentName| {
            let is_ready = deployment.images.contains_key(&name);
            (name.clone(), self.part(cx, (deployment.id.clone(), name), is_ready))
        };
        names.map(part).collect()
    }

    /// The images of the components that a restart replaces.
    pub fn restart_parts(&self, cx: &Context, deployment: &Deployment) -> BTreeMap<ComponentName, Part> {
        let targets = deployment.targets.iter().flatten();
        let part = |name: &ComponentName| {
            let key = (deployment.id.clone(), name.clone());
            let is_found = self.found.contains(&key);
            (name.clone(), self.part(cx, key, is_found))
        };
        let replaced = targets.map(|it| &it.component).filter(|it| deployment.request.restart.names(it));
        replaced.map(part).collect()
    }

    /// Whether a restart is still checking its images. Until it has found all of them, it creates no container.
    pub fn is_checking(&self, cx: &Context) -> bool {
        let untouched = cx.records.rolling().filter(|it| restart::is_untouched(cx, it));
        untouched.is_some_and(|it| self.restart_parts(cx, it).values().any(|part| *part != Part::Ready))
    }

    fn part(&self, cx: &Context, key: Key, is_ready: bool) -> Part {
        match self.failed.get(&key) {
            _ if is_ready => Part::Ready,
            Some(why) => Part::Failed(why.clone()),
            None if self.unwritten.contains_key(&key) || cx.actions.is_running(&Subject::Image(key.0, key.1)) => {
                Part::UnderWay
            }
            None => Part::Missing,
        }
    }

    /// Begins to build or pull the image of one component. For a repository, the first action resolves the commit, and
    /// the task records the commit before the build starts.
    pub async fn begin(
        &mut self,
        cx: &mut Context,
        mut deployment: Deployment,
        spec: &AppSpec,
        component: ComponentName,
    ) -> Result<(), StoreError> {
        let id = deployment.id.clone();
        if deployment.progress.start(&LeafKey::Build(component.clone()), clock::now()) {
            cx.commit(vec![Change::Deployment(Box::new(deployment.clone()))]).await?;
        }
        let found = spec.component(component.as_str());
        let Some((common, holder)) = found.and_then(|it| Some((it.common()?, it))) else {
            self.failed.insert((id, component), "it has nothing to build".into());
            return Ok(());
        };
        let commit = deployment.commits.get(&component);
        let work = match (holder.source(), commit) {
            (Source::Image(image), _) => Ok(Work::Image(image.clone())),
            (_, commit) => recipe(cx, &deployment, spec, &component, common).and_then(|recipe| work(recipe, commit)),
        };
        let (app, append) = (&cx.records.app.id, commit.is_some());
        // No revision contains the secrets of the new spec yet.
        let secrets = Secrets::new(&[secret_values(&cx.records), written_secrets(spec)].concat());
        let sink = cx.shared.logbook.build_sink(app, &id, &component, &secrets, append);
        if let Ok(Work::Resolve(_)) = &work
            && let Some(withheld) = withheld(spec, &component)
        {
            sink(&withheld);
        }
        let (shared, force) = (cx.shared.clone(), deployment.request.build >= Build::Force);
        cx.actions.begin(Subject::Image(id.clone(), component.clone()), async move {
            let result = match work {
                Ok(Work::Image(image)) => find_or_pull(&shared, &image, force, &sink).await,
                Ok(Work::Resolve(recipe)) => match shared.image_builder.resolve(&recipe, &sink).await {
                    Ok(commit) => return ActionResult::CommitResolved { deployment: id, component, commit },
                    Err(error) => Err(chain(&error)),
                },
                Ok(Work::Build(recipe, commit)) => build(&shared, &recipe, &commit, sink.clone()).await,
                Err(why) => Err(why),
            };
            let result = result.map_err(|why| secrets.redactor().line(&why));
            if let Err(why) = &result {
                sink(why);
            }
            ActionResult::ImageReady { deployment: id, component, result }
        });
        Ok(())
    }

    /// A restart builds and pulls nothing, so the engine must have every image that it needs. Asks the engine before
    /// the restart changes anything.
    pub fn begin_check(&mut self, cx: &mut Context, deployment: &Deployment, component: ComponentName) {
        let id = deployment.id.clone();
        let target = deployment.targets.iter().flatten().find(|it| it.component == component);
        let revision = target.and_then(|it| cx.records.revision(&it.revision));
        let Some(image) = revision.map(|it| it.image.clone()) else {
            self.failed.insert((id, component), "its revision is not on record".into());
            return;
        };
        let (shared, app) = (cx.shared.clone(), cx.records.app.name.clone());
        cx.actions.begin(Subject::Image(id.clone(), component.clone()), async move {
            let quiet: LogSink = std::sync::Arc::new(|_: &str| {});
            let result = match patiently(|| shared.engine.image(&image), &quiet).await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(image_is_gone(&app, &image)),
                Err(error) => Err(error.to_string()),
            };
            ActionResult::ImageChecked { deployment: id, component, result }
        });
    }

    pub fn checked(&mut self, key: Key, result: Result<(), String>) {
        match result {
            Ok(()) => drop(self.found.insert(key)),
            Err(why) => drop(self.failed.insert(key, why)),
        }
    }

    /// Records an image, or why it could not be built or found.
    pub async fn ready(
        &mut self,
        cx: &mut Context,
        key: Key,
        result: Result<ImageReady, String>,
    ) -> Result<(), StoreError> {
        let (id, component) = &key;
        let Some(deployment) = cx.records.deployment(id).cloned().filter(|it| !it.stage.is_ended()) else {
            return Ok(());
        };
        let image = match result {
            Ok(image) => image,
            Err(why) => {
                self.failed.insert(key, why);
                return Ok(());
            }
        };
        let written = write(cx, deployment, component.clone(), image.clone()).await;
        if written.is_err() {
            self.unwritten.insert(key, image);
        }
        written
    }

    /// Tries again to record an image. Returns whether there was one.
    pub async fn write_late(&mut self, cx: &mut Context) -> Result<bool, StoreError> {
        let Some((key, image)) = self.unwritten.pop_first() else { return Ok(false) };
        self.ready(cx, key, Ok(image)).await.map(|()| true)
    }

    /// Aborts the builds and checks of a deployment that no longer needs them.
    pub fn end(&mut self, cx: &mut Context, deployment: &DeploymentId) {
        for component in of_deployment(cx, deployment) {
            cx.actions.end(&Subject::Image(deployment.clone(), component));
        }
        self.forget(deployment);
    }

    /// Drops the results of a deployment that has all its images or has ended.
    pub fn forget(&mut self, deployment: &DeploymentId) {
        self.failed.retain(|(id, _), _| id != deployment);
        self.found.retain(|(id, _)| id != deployment);
    }
}

/// Components whose image an action is building, pulling or checking for a deployment.
pub(super) fn of_deployment(cx: &Context, deployment: &DeploymentId) -> Vec<ComponentName> {
    let component = |subject: &Subject| match subject {
        Subject::Image(id, component) if id == deployment => Some(component.clone()),
        _ => None,
    };
    cx.actions.subjects().filter_map(component).collect()
}

/// Records which commit will be built.
pub(super) async fn commit_resolved(
    cx: &mut Context,
    id: &DeploymentId,
    component: ComponentName,
    commit: CommitId,
) -> Result<(), StoreError> {
    let Some(mut deployment) = cx.records.deployment(id).cloned().filter(|it| !it.stage.is_ended()) else {
        return Ok(());
    };
    deployment.commits.insert(component, commit.as_str().to_owned());
    cx.commit(vec![Change::Deployment(Box::new(deployment))]).await
}

async fn write(
    cx: &mut Context,
    mut deployment: Deployment,
    component: ComponentName,
    ready: ImageReady,
) -> Result<(), StoreError> {
    let now = clock::now();
    let code = if ready.image.commit.is_none() { "PreBuiltImage" } else { "PreviousBuildReused" };
    let reason = (!ready.image.built).then(|| Reason { code: code.into(), message: ready.image.note.clone() });
    deployment.progress.succeed(&LeafKey::Build(component.clone()), reason, now);
    let mut changes = Vec::new();
    if let (Some(built), Some(commit)) = (ready.built, &ready.image.commit) {
        changes.push(Change::BuiltImage(BuiltImage {
            identity: built.identity,
            app: cx.records.app.id.clone(),
            image: ready.image.id.clone(),
            reference: ready.image.reference.clone(),
            commit: commit.clone(),
            built: now,
        }));
    }
    deployment.images.insert(component, ready.image);
    changes.push(Change::Deployment(Box::new(deployment)));
    cx.commit(changes).await
}

fn recipe(
    cx: &Context,
    deployment: &Deployment,
    spec: &AppSpec,
    component: &ComponentName,
    common: &Common,
) -> Result<Recipe, String> {
    let (url, branch) = common.source.repository().ok_or("it has no repository")?;
    let repo = cx.shared.image_builder.repo_url(&url).map_err(|error| error.to_string())?;
    let git_ref = match branch {
        Some(branch) => GitRef::branch(branch).map_err(|error| error.to_string())?,
        None => GitRef::DefaultBranch,
    };
    let dockerfile = common.dockerfile_path();
    let selection =
        Selection::parse(Some(&common.source_dir()), dockerfile.as_deref()).map_err(|error| error.to_string())?;
    let labels = BTreeMap::from([("io.boatyard.image".to_owned(), cx.records.app.id.to_string())]);
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
        repository: cx.shared.names.repository(&cx.records.app.id, component),
        tag_suffix: deployment.number.to_string(),
        labels,
    })
}

/// The error message for a restart whose image is missing.
pub(crate) fn image_is_gone(app: &str, image: &str) -> String {
    format!(
        "its image {image} is no longer on the engine, so the restart cannot make an exact copy; nothing was changed. \
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

/// Build-scope variables as build arguments, and the names of the secrets among them, which are left out: build
/// arguments stay in the image's history.
pub(crate) fn build_args(spec: &AppSpec, component: &ComponentName) -> (BTreeMap<String, String>, Vec<String>) {
    let environment = resolve_envs(spec, component.as_str(), Scope::Build, &Facts::default()).unwrap_or_default();
    let (secrets, given): (Vec<_>, Vec<_>) = environment.vars.into_iter().partition(|(_, value)| value.secret);
    let given = given.into_iter().map(|(key, value)| (key, value.text));
    (given.collect(), secrets.into_iter().map(|(key, _)| key).collect())
}

/// A line of the build log that names the secrets that a person may expect in the build.
fn withheld(spec: &AppSpec, component: &ComponentName) -> Option<String> {
    let (_, secrets) = build_args(spec, component);
    (!secrets.is_empty()).then(|| {
        format!(
            "Not given to the build: {}. A build argument stays readable in the image's history, and these are secrets. \
             The component gets them when it runs, if their scope includes that",
            secrets.join(", ")
        )
    })
}

async fn build(shared: &Shared, recipe: &Recipe, commit: &CommitId, sink: LogSink) -> Result<ImageReady, String> {
    let store = shared.store.clone();
    let known: ImageLookup = Box::new(move |identity| {
        let store = store.clone();
        Box::pin(async move {
            let found = store.built_image(&identity).await.ok().flatten()?;
            Some(KnownImage { image: found.image, reference: found.reference })
        })
    });
    let built = shared.image_builder.ensure_image(recipe, commit, known, sink).await.map_err(|error| chain(&error))?;
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
    Ok(ImageReady { image, built: Some(built) })
}

/// The secret values of a spec.
fn written_secrets(spec: &AppSpec) -> Vec<String> {
    let all = std::cell::RefCell::new(Vec::new());
    spec.to_json_value(&|_, secret| {
        all.borrow_mut().push(secret.expose().to_owned());
        String::new()
    });
    all.into_inner()
}

/// A prebuilt image: the local one, unless `force` requires a new pull. If the registry does not answer, the local
/// image is used, and the log reports that.
async fn find_or_pull(
    shared: &Shared,
    source: &ImageSource,
    force: bool,
    sink: &LogSink,
) -> Result<ImageReady, String> {
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
    Ok(ImageReady { image, built: None })
}

/// Asks the engine, and asks again while the engine is briefly unavailable, so that the deployment does not fail. The
/// deployment's deadline limits the wait.
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

/// An error message, with the messages of its sources that it does not contain already.
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
