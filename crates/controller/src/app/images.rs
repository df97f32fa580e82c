//! The images of a deployment: built from sources, pulled from registries, or checked for a restart.

use std::collections::{BTreeMap, HashSet};

use app_spec::{AppSpec, BuildFields, Component, Source};
use builder::{BuildError, BuildSecrets, Cache, ImageLookup, KnownImage, LogSink, Recipe, queue_name};
use engine::{RegistryLogin, Secret};
use rollout::deployment::Part;
use rollout::ids::{ComponentName, DeploymentId};
use rollout::progress::{LeafKey, Reason};
use rollout::queue::Build;
use rollout::sources::{Version, build_variables};
use source::{CommitId, GitRef, Selection, SourceError};
use store::StoreError;
use store::records::{BuiltImage, Change, Deployment, Image};

use super::actions::{ActionResult, ImageReady, Subject};
use super::compose::build_facts;
use super::context::Context;
use super::prebuilt::{self, Pull, PulledFrom, patiently};
use super::serving_images::{KeptFrom, sourcing};
use super::site_files::Extraction;
use super::{Shared, app_rollback, restart, secret_values};
use crate::build_hints::build_hints;
use crate::clock;
use crate::redact::Secrets;
use crate::registries;
use crate::specs::hash_build_secrets;

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
        let Some((fields, holder)) = found.and_then(|it| Some((it.build_fields()?, it))) else {
            self.failed.insert((id, component), "it has nothing to build".into());
            return Ok(());
        };
        let commit = deployment.commits.get(&component);
        let (requested, rollback) = (deployment.request.build, deployment.app_rollback.as_ref());
        let logins = registries::logins(&cx.shared.store).await?;
        let passwords = logins.values().map(|it| it.password.expose().to_owned()).collect();
        let sourcing = sourcing(&cx.records, &cx.records.specs(), requested, rollback, spec, &component);
        let kept_from = sourcing.kept_from;
        let is_exact = app_rollback::is_exact(&deployment);
        let kept = sourcing.previous.clone().filter(|_| sourcing.version != Version::Newest && commit.is_none());
        let work = match (holder.source(), holder) {
            (source, _) if is_exact && !kept.as_ref().is_some_and(|it| is_of(it, source)) => {
                Err(format!("the records have no image {kept_from} from the source in its spec"))
            }
            // The job does not run. A later deployment that runs it finds this image, or builds it again.
            (_, Component::Job(_)) if is_exact => Ok(Work::Recorded(kept.unwrap_or_default())),
            (Source::Image(image), _) => registries::login_for(image, &logins).map(|login| {
                let from = PulledFrom { source: image.clone(), login };
                match kept {
                    Some(kept) => Work::KeepImage(kept, from),
                    None => Work::Image(from, Pull::of(requested, &sourcing)),
                }
            }),
            _ => work(recipe(cx, &deployment, spec, holder, &fields, logins), commit, kept, sourcing.version),
        };
        let (app, name, append) = (&cx.records.app.id, cx.records.app.name.clone(), commit.is_some());
        // No revision contains the secrets of the new spec yet.
        let secrets = Secrets::new(&[secret_values(&cx.records), written_secrets(spec), passwords].concat());
        let sink = cx.shared.logbook.build_sink(app, &id, &component, &secrets, append);
        let (shared, origin) = (cx.shared.clone(), sourcing.origin);
        let extraction = Extraction::of(cx, &deployment, holder);
        cx.actions.begin(Subject::Image(id.clone(), component.clone()), async move {
            let result = match work {
                Ok(Work::Image(image, pull)) => prebuilt::find_or_pull(&shared, &image, pull, &sink).await,
                Ok(Work::Recorded(image)) => {
                    let note = format!("the image {kept_from}; the job does not run");
                    Ok(ImageReady { image: Image { built: false, note, ..image }, built: None, remark: None })
                }
                Ok(Work::KeepImage(kept, image)) => {
                    let found = prebuilt::keep(&shared, kept, &image, kept_from, &sink).await;
                    found.map_err(|why| kept_is_gone(&name, kept_from, why))
                }
                Ok(Work::Keep(recipe, commit, image)) => {
                    keep(&shared, &name, recipe, &commit, image, kept_from, &sink).await
                }
                Ok(Work::Resolve(recipe)) => match shared.image_builder.resolve(&recipe, &sink).await {
                    Ok(commit) => return ActionResult::CommitResolved { deployment: id, component, commit },
                    Err(error) => Err(chain(&error)),
                },
                Ok(Work::Build(recipe, commit)) => {
                    build(&shared, &recipe, &commit, sink.clone()).await.map_err(|error| chain(&error))
                }
                Err(why) => Err(why),
            };
            let mut result = result.map(|ready| ImageReady { image: Image { origin, ..ready.image }, ..ready });
            if let (Ok(ready), Some(extraction)) = (&mut result, extraction) {
                match extraction.run(&shared, &ready.image, &sink).await {
                    Ok(files) => ready.image.files = Some(files),
                    Err(why) => result = Err(why),
                }
            }
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

/// What the action for a component's image does, for people.
pub(super) fn progress_line(cx: &Context, deployment: &Deployment, component: &ComponentName) -> String {
    let repository = cx.shared.names.repository(&cx.records.app.id, component);
    let name = queue_name(&repository, &deployment.number.to_string());
    match cx.shared.image_builder.queue_position(&name) {
        Some(position) => format!("waiting to build {component}: position {position} in the queue of builds"),
        None => format!("building {component}"),
    }
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
    deployment.record.notes.extend(ready.remark.map(|remark| format!("{component}: {remark}")));
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
    holder: Component<'_>,
    fields: &BuildFields<'_>,
    logins: BTreeMap<String, RegistryLogin>,
) -> Result<Recipe, String> {
    let component = &ComponentName::from(holder.name());
    let (url, branch) = fields.source.repository().ok_or("it has no repository")?;
    let repo = cx.shared.image_builder.repo_url(&url).map_err(|error| error.to_string())?;
    let git_ref = match branch {
        Some(branch) => GitRef::branch(branch).map_err(|error| error.to_string())?,
        None => GitRef::DefaultBranch,
    };
    let dockerfile = fields.dockerfile_path();
    let selection =
        Selection::parse(Some(&fields.source_dir()), dockerfile.as_deref()).map_err(|error| error.to_string())?;
    let variables =
        build_variables(spec, component, &build_facts(&cx.shared, &cx.records.app, spec, &deployment.commits));
    let repository = cx.shared.names.repository(&cx.records.app.id, component);
    let cache_scope = match cx.records.app.build_caches {
        0 => repository.clone(),
        since => format!("{repository}-{since}"),
    };
    let labels = BTreeMap::from([("io.boatyard.image".to_owned(), cx.records.app.id.to_string())]);
    Ok(Recipe {
        repo,
        git_ref,
        selection,
        hints: build_hints(spec, holder, &variables, &cache_scope).ok_or("it has nothing to build")?,
        secrets: BuildSecrets {
            key: variables.secrets_hash(&|text| hash_build_secrets(&cx.shared.sealer, text)).unwrap_or_default(),
            values: variables.secrets.into_iter().map(|(key, value)| (key, Secret::new(value))).collect(),
            as_arguments: cx.records.app.secret_build_arguments,
        },
        args: variables.args,
        logins,
        cache: match deployment.request.build {
            Build::Frozen | Build::KeepSources | Build::Recorded | Build::Reuse => Cache::ReuseImage,
            Build::Force => Cache::ReuseSteps,
            Build::ForceWithoutCache => Cache::Clear,
        },
        repository,
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
    Image(PulledFrom, Pull),
    /// Use this prebuilt image.
    KeepImage(Image, PulledFrom),
    /// Use this image without looking for it.
    Recorded(Image),
    Resolve(Box<Recipe>),
    Build(Box<Recipe>, CommitId),
    /// Use this image of a commit, or without one build the commit. Only a build needs the recipe.
    Keep(Result<Box<Recipe>, String>, CommitId, Option<Image>),
}

/// Whether an image can be from this source: one of a repository has a commit.
fn is_of(image: &Image, source: &Source) -> bool {
    image.commit.is_none() == matches!(source, Source::Image(_))
}

/// `recipe`: an error if the repository cannot be named now. `commit`: the one that this deployment has resolved. `kept`:
/// the image whose commit stays.
fn work(
    recipe: Result<Recipe, String>,
    commit: Option<&String>,
    kept: Option<Image>,
    version: Version,
) -> Result<Work, String> {
    let recipe = recipe.map(Box::new);
    let parse = |commit: &str| CommitId::parse(commit).map_err(|error| error.to_string());
    match (commit, kept.as_ref().and_then(|it| it.commit.as_deref())) {
        (Some(commit), _) => Ok(Work::Build(recipe?, parse(commit)?)),
        (None, Some(commit)) => {
            let commit = parse(commit)?;
            Ok(Work::Keep(recipe, commit, kept.filter(|_| version == Version::KeptImage)))
        }
        (None, None) => Ok(Work::Resolve(recipe?)),
    }
}

/// An image of a commit that serves, or that a rollback returns to. It needs no repository while the engine has `image`.
async fn keep(
    shared: &Shared,
    app: &str,
    recipe: Result<Box<Recipe>, String>,
    commit: &CommitId,
    image: Option<Image>,
    from: KeptFrom,
    sink: &LogSink,
) -> Result<ImageReady, String> {
    let short = &commit.as_str()[..12];
    sink(&match from {
        KeptFrom::Serving => format!("Keeping commit {short}, which serves, because the spec names the same source"),
        KeptFrom::Deployment(_) => format!("Returning to commit {short} {from}"),
    });
    if let Some(image) = &image
        && patiently(|| shared.engine.image(&image.id), sink).await.map_err(|error| chain(&error))?.is_some()
    {
        sink(&format!("Nothing to build: {} was built from it", image.reference));
        let note = match from {
            KeptFrom::Serving => format!("kept: {short} and its image serve"),
            KeptFrom::Deployment(_) => format!("{short} with the image {from}"),
        };
        return Ok(ImageReady { image: Image { built: false, note, ..image.clone() }, built: None, remark: None });
    }
    let why = match recipe {
        Err(why) => why,
        Ok(recipe) => match build(shared, &recipe, commit, sink.clone()).await {
            Ok(ready) => return Ok(ready),
            Err(error) if from == KeptFrom::Serving => return Err(serving_is_gone(app, &error)),
            Err(error) => chain(&error),
        },
    };
    let gone = image.map(|it| format!("the image {} {from} is no longer on the engine, and ", it.reference));
    let gone = gone.unwrap_or_default();
    Err(match from {
        KeptFrom::Serving => why,
        KeptFrom::Deployment(_) => {
            kept_is_gone(app, from, format!("{gone}its commit {short} could not be built again: {why}"))
        }
    })
}

fn serving_is_gone(app: &str, error: &BuildError) -> String {
    let message = chain(error);
    match error {
        BuildError::Source(SourceError::CommitMissing { .. }) => format!(
            "{message}. It is the commit that serves, which an update keeps; nothing was changed. To deploy the newest \
             commit: boatyard apps update {app} --spec FILE --update-sources, or boatyard apps create-deployment {app}"
        ),
        _ => message,
    }
}

/// Adds to a message about a kept image what helps, if a rollback needs the image.
fn kept_is_gone(app: &str, from: KeptFrom, message: String) -> String {
    match from {
        KeptFrom::Serving => message,
        KeptFrom::Deployment(_) => format!(
            "{}; nothing was changed. Make its source available again, or roll back to a deployment whose images are \
             still there: boatyard apps list-deployments {app}",
            message.trim_end_matches('.')
        ),
    }
}

async fn build(shared: &Shared, recipe: &Recipe, commit: &CommitId, sink: LogSink) -> Result<ImageReady, BuildError> {
    let store = shared.store.clone();
    let known: ImageLookup = Box::new(move |identity| {
        let store = store.clone();
        Box::pin(async move {
            let found = store.built_image(&identity).await.ok().flatten()?;
            Some(KnownImage { image: found.image, reference: found.reference })
        })
    });
    let built = shared.image_builder.ensure_image(recipe, commit, known, sink).await?;
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
        ..Image::default()
    };
    Ok(ImageReady { image, built: Some(built), remark: None })
}

/// The secret values of a spec.
pub(crate) fn written_secrets(spec: &AppSpec) -> Vec<String> {
    let all = std::cell::RefCell::new(Vec::new());
    spec.to_json_value(&|_, secret| {
        all.borrow_mut().push(secret.expose().to_owned());
        String::new()
    });
    all.into_inner()
}

/// An error message, with the messages of its sources that it does not contain already.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
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
