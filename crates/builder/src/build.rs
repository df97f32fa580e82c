//! The steps of a build, one after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use detect::{Bases, Undetected};
use engine::{BuildEvent, BuildSpec, BuildStepState, Engine, EngineError, RegistryLogin, reference};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use source::{
    CommitId, ContextPath, Directory, DockerfileChoice, FetchOptions, FetchProgress, GitRef, Identity, Logins, Note,
    RepoUrl, Resolved, Selection, Source, SourceError,
};
use thiserror::Error;
use tokio::sync::Mutex as AsyncMutex;

use crate::bases;
use crate::dockerfile::{BuildPlan, Chosen};
use crate::queue::BuildQueue;
use crate::recipe::{Cache, Hints, KnownImage, Recipe, identity};
use crate::variables::Variables;

/// Looks up an image that was built earlier for an identity.
pub type ImageLookup = Box<dyn Fn(String) -> BoxFuture<'static, Option<KnownImage>> + Send + Sync>;

/// Looks up the logins for the host of a repository. Errors: a login is on record and cannot be read.
pub type LoginLookup = Arc<dyn Fn(RepoUrl) -> BoxFuture<'static, Result<Logins, SourceError>> + Send + Sync>;

/// Receives the lines of a build's log.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Builds images on one engine from git sources.
#[derive(Clone)]
pub struct Builder {
    engine: Arc<dyn Engine>,
    source: Source,
    logins: LoginLookup,
    /// The base images of generated Dockerfiles.
    bases: Arc<Bases>,
    queue: BuildQueue,
    time_limit: Duration,
    /// One build at a time per identity, also across components: the second build reuses the first one's image.
    build_locks: Arc<Mutex<BTreeMap<String, Weak<BuildLock>>>>,
}

/// What the builds of an installation may take.
#[derive(Debug, Clone, Copy)]
pub struct BuildLimits {
    /// How many builds run at once, at least 1. The others wait in a queue.
    pub at_once: usize,
    /// The longest time that one build may run. The time in the queue does not count.
    pub time: Duration,
}

/// What one build is made from, besides the recipe.
struct Inputs<'a> {
    commit: &'a CommitId,
    /// With the Dockerfile of the build.
    selection: &'a Selection,
    source: &'a Identity,
    variables: Variables,
    /// The identity of the build.
    identity: &'a str,
}

/// Held while an identity is built. Contains the image after the first build.
type BuildLock = AsyncMutex<Option<KnownImage>>;

/// An image that is ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The engine's id.
    pub image: String,
    /// Its tag.
    pub reference: String,
    /// The identity of its build.
    pub identity: String,
    /// The commit it comes from.
    pub commit: String,
    /// Whether it was built now, rather than reused.
    pub built: bool,
}

/// Why the image is not available. `Display` is a short message; the error's sources have the details.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The source could not be fetched or read. Nothing was built.
    #[error("{0}")]
    Source(#[from] SourceError),
    /// The spec names no Dockerfile, the source directory has none, and no language was detected. Nothing was built.
    #[error("{}{why}", below(source_dir))]
    Undetected {
        /// The directory that was looked at.
        source_dir: ContextPath,
        /// The reason.
        why: Undetected,
    },
    /// The build took too long. It was ended, and the engine keeps the steps that were complete.
    #[error(
        "the build was ended after {} min, which is the limit for one build. Its log shows the step that took long. To allow \
         more: boatyard serve --build-time-limit MINUTES",
        limit.as_secs() / 60
    )]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// The engine failed to build it.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

impl Builder {
    /// Builds on `engine` from `source`, with the logins that `logins` finds. `bases`: the base images of generated
    /// Dockerfiles.
    pub fn new(
        engine: Arc<dyn Engine>,
        source: Source,
        logins: LoginLookup,
        bases: Bases,
        limits: BuildLimits,
    ) -> Self {
        let (queue, time_limit) = (BuildQueue::new(limits.at_once), limits.time);
        Self { engine, source, logins, bases: Arc::new(bases), queue, time_limit, build_locks: Arc::default() }
    }

    /// The position in the queue of the build with this [`Recipe::queue_name`], from 1. `None`: it does not wait there.
    pub fn queue_position(&self, queue_name: &str) -> Option<usize> {
        self.queue.position(queue_name)
    }

    /// The source, to parse addresses.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Fetches the recipe's reference and returns its current commit. Errors: [`BuildError::Source`].
    pub async fn resolve(&self, recipe: &Recipe, log: &LogSink) -> Result<CommitId, BuildError> {
        self.fetch(recipe, &recipe.git_ref, log).await
    }

    /// Looks up the newest commit of a reference for display. Changes nothing that builds use: at most the mirror gains
    /// objects. Dropping the future ends the look-up. Errors: those of [`Source::fetch`].
    pub async fn head(&self, repo: &RepoUrl, git_ref: &GitRef) -> Result<Resolved, SourceError> {
        let options = FetchOptions { logins: (self.logins)(repo.clone()).await?, deadline: None };
        self.source.fetch(repo, git_ref, options, |_| {}).await
    }

    /// Looks up what a component would be built with at a commit that was looked up. Errors: a build would not find its
    /// directory or its Dockerfile, or nothing was detected.
    pub async fn plan(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        hints: &Hints,
    ) -> Result<BuildPlan, BuildError> {
        self.read(repo, commit, selection, hints).await.map(|(chosen, _)| chosen.plan)
    }

    /// Identifies what a build of a component reads at a commit that was looked up. Two commits with the same result build
    /// the same image, as far as the source determines it. Errors: those of [`Builder::plan`].
    pub async fn content(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        hints: &Hints,
    ) -> Result<String, BuildError> {
        self.read(repo, commit, selection, hints).await.map(|(_, identity)| identity.hash())
    }

    /// Chooses the Dockerfile, and identifies the source with it.
    async fn read(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        hints: &Hints,
    ) -> Result<(Chosen, Identity), BuildError> {
        let chosen = match &selection.dockerfile {
            DockerfileChoice::Path(path) => Chosen::named(selection, path),
            DockerfileChoice::Default | DockerfileChoice::Written(_) => {
                let found = self.source.directory(repo, commit, &selection.source_dir).await?;
                self.detected(selection, hints, found).await?
            }
        };
        let identity = self.source.identity(repo, commit, &chosen.identity).await?;
        Ok((chosen, identity))
    }

    /// Parsing files of a repository may take long and must not delay other tasks.
    async fn detected(&self, selection: &Selection, hints: &Hints, found: Directory) -> Result<Chosen, BuildError> {
        let (given, hints, bases) = (selection.clone(), hints.clone(), self.bases.clone());
        let detecting = tokio::task::spawn_blocking(move || Chosen::detected(&given, found, &hints, &bases)).await;
        let chosen = detecting.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        chosen.map_err(|why| BuildError::Undetected { source_dir: selection.source_dir.clone(), why })
    }

    /// Returns the image of `recipe` at a commit, even if its reference has moved since. Builds it unless `lookup` or
    /// an earlier call finds one. Dropping the future cancels the build and leaves nothing behind.
    ///
    /// Errors: [`BuildError`]; the log has the details. A commit that no longer exists is an error.
    pub async fn ensure_image(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        lookup: ImageLookup,
        log: LogSink,
    ) -> Result<Built, BuildError> {
        let (chosen, source_identity) = self.read_or_fetch(recipe, commit, &log).await?;
        for line in chosen.log_lines(&recipe.selection, &recipe.hints) {
            log(&single_line(&line));
        }
        for note in &source_identity.notes {
            log(&describe(note));
        }
        let is_generated = matches!(chosen.plan, BuildPlan::Detected(_));
        let text = match &chosen.build.dockerfile {
            DockerfileChoice::Written(text) => text,
            DockerfileChoice::Default | DockerfileChoice::Path(_) => &source_identity.dockerfile_text,
        };
        let variables = Variables::of(&recipe.args, &recipe.secrets, text, is_generated);
        if let Some(line) = variables.log_line(&recipe.hints.app) {
            log(&line);
        }
        let identity = identity(&source_identity, &recipe.args, variables.identity.as_deref());
        let build_lock = self.build_lock(&identity);
        let mut built_meanwhile = match build_lock.try_lock() {
            Ok(held) => held,
            Err(_) => {
                log("Another build of the same source is running; waiting for its image");
                build_lock.lock().await
            }
        };
        // An image that was built while this call waited for the lock is recent enough for any cache setting.
        let candidate = match built_meanwhile.clone() {
            Some(image) => Some(image),
            None if recipe.cache == Cache::ReuseImage => lookup(identity.clone()).await,
            None => None,
        };
        let built = |image: KnownImage, built| Built {
            image: image.image,
            reference: image.reference,
            identity: identity.clone(),
            commit: commit.as_str().to_owned(),
            built,
        };
        if let Some(found) = self.existing_image(candidate).await?
            && let Some(tagged) = self.tag_for_app(&found, recipe, &identity).await?
        {
            log(&format!("Nothing to build: {} was built from the same source", found.reference));
            return Ok(built(tagged, false));
        }
        let inputs =
            Inputs { commit, selection: &chosen.build, source: &source_identity, variables, identity: &identity };
        let image = self.build(recipe, inputs, &log).await?;
        *built_meanwhile = Some(image.clone());
        Ok(built(image, true))
    }

    /// The commit may be missing or damaged in the mirror, if the mirror was created again after the commit was
    /// resolved. Fetches it again then.
    async fn read_or_fetch(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        log: &LogSink,
    ) -> Result<(Chosen, Identity), BuildError> {
        let read = || self.read(&recipe.repo, commit, &recipe.selection, &recipe.hints);
        match read().await {
            Err(BuildError::Source(SourceError::NotFetched { .. } | SourceError::Damaged { .. })) => {
                self.fetch(recipe, &GitRef::Commit(commit.clone()), log).await?;
                read().await
            }
            other => other,
        }
    }

    async fn fetch(&self, recipe: &Recipe, git_ref: &GitRef, log: &LogSink) -> Result<CommitId, BuildError> {
        log(&format!("Fetching {} ({git_ref})", recipe.repo));
        let progress = |event: FetchProgress| match event {
            FetchProgress::Waiting => log("Another fetch of this repository is running; waiting for it"),
            FetchProgress::Remote(line) => log(&line),
            FetchProgress::Connected | FetchProgress::Receiving { .. } => {}
        };
        let options = FetchOptions { logins: (self.logins)(recipe.repo.clone()).await?, deadline: None };
        let resolved = self.source.fetch(&recipe.repo, git_ref, options, progress).await?;
        log(&format!("Commit {} {}", resolved.commit.as_str(), resolved.summary));
        if resolved.uncommitted {
            log(&format!("Note: {} has uncommitted changes; they are not part of the build", recipe.repo));
        }
        Ok(resolved.commit)
    }

    /// Waits for its turn, and builds within the time limit.
    async fn build(&self, recipe: &Recipe, inputs: Inputs<'_>, log: &LogSink) -> Result<KnownImage, BuildError> {
        let on_wait = |position| log(&format!("Waiting for other builds to end; position {position} in the queue"));
        let _turn = self.queue.turn(&recipe.queue_name(), on_wait).await;
        let building = self.build_now(recipe, inputs, log);
        let limit = self.time_limit;
        tokio::time::timeout(limit, building).await.unwrap_or(Err(BuildError::TimeLimit { limit }))
    }

    async fn build_now(&self, recipe: &Recipe, inputs: Inputs<'_>, log: &LogSink) -> Result<KnownImage, BuildError> {
        let Inputs { commit, selection, source, variables, identity } = inputs;
        if recipe.cache == Cache::Clear {
            self.pull_bases(&source.dockerfile_text, &variables.args, &recipe.logins, log).await;
        }
        let on_note = {
            let log = log.clone();
            move |note: Note| log(&describe(&note))
        };
        let context = self.source.context(&recipe.repo, commit, selection, on_note).await?;
        let reference = tag_of(recipe, identity);
        let spec = BuildSpec {
            tag: reference.clone(),
            dockerfile: context.dockerfile,
            args: variables.args,
            cache_key: (!variables.secrets.is_empty()).then(|| recipe.secrets.key.clone()),
            secrets: variables.secrets,
            logins: recipe.logins.clone(),
            no_cache: recipe.cache == Cache::Clear,
            labels: recipe.labels.clone(),
        };
        log(&format!("Building {reference}{}", if spec.no_cache { " without the build cache" } else { "" }));
        // The engine only reports that the context stream failed; the reason is kept here.
        let context_error: Arc<Mutex<Option<SourceError>>> = Arc::default();
        let keep = context_error.clone();
        let stream = context.stream.map_err(move |error| {
            let for_engine = std::io::Error::other(error.to_string());
            *keep.lock().expect("code under this lock cannot panic") = Some(error);
            for_engine
        });
        let result = self.run(&spec, stream.boxed(), log).await;
        match (result, context_error.lock().expect("code under this lock cannot panic").take()) {
            (Ok(image), _) => Ok(KnownImage { image, reference }),
            (Err(_), Some(cause)) => Err(cause.into()),
            (Err(error), None) => Err(explain_heredocs(error, &source.dockerfile_text).into()),
        }
    }

    async fn run(&self, spec: &BuildSpec, context: engine::Context, log: &LogSink) -> Result<String, EngineError> {
        let mut events = self.engine.build(spec, context).await?;
        let mut image = None;
        let mut begun = BTreeMap::new();
        while let Some(event) = events.try_next().await? {
            match event {
                BuildEvent::Log(line) => log(&line),
                BuildEvent::Step { name, state } => {
                    let name = single_line(&name);
                    match state {
                        BuildStepState::Started => {
                            log(&name);
                            begun.insert(name, Instant::now());
                        }
                        BuildStepState::Cached => log(&format!("{name} (cached)")),
                        BuildStepState::Failed => log(&format!("{name} failed")),
                        BuildStepState::Done => {
                            let took = begun.remove(&name).map(|it| it.elapsed().as_secs_f32()).unwrap_or_default();
                            log(&format!("{name} done in {took:.1} s"));
                        }
                    }
                }
                BuildEvent::Built { image: id } => image = Some(id),
            }
        }
        let lost =
            || EngineError::Other { verb: "build", status: None, message: "the build ended without an image".into() };
        image.ok_or_else(lost)
    }

    /// Pulls the base images, so that the build does not use outdated ones. A failure does not end the build: the build
    /// resolves its images itself, and may find them elsewhere or not need them.
    async fn pull_bases(
        &self,
        dockerfile: &str,
        args: &BTreeMap<String, String>,
        logins: &BTreeMap<String, RegistryLogin>,
        log: &LogSink,
    ) {
        for base in bases::of_dockerfile(dockerfile, args) {
            log(&format!("Pulling base image {base}"));
            let login = logins.get(reference::host(&base));
            let Err(error) = self.engine.pull(&base, login).await else { continue };
            let instead = match self.engine.image(&base).await {
                Ok(Some(_)) => "using the local image",
                Ok(None) | Err(_) => "leaving it to the build",
            };
            log(&format!("cannot pull {base} ({error}); {instead}"));
        }
    }

    async fn existing_image(&self, lookup: Option<KnownImage>) -> Result<Option<KnownImage>, EngineError> {
        let Some(lookup) = lookup else { return Ok(None) };
        let here = self.engine.image(&lookup.image).await?;
        Ok(here.is_some().then_some(lookup))
    }

    /// Tags an image that another app built, so that either app can remove its tag without affecting the other. `None`:
    /// the image is gone, because the other app was deleted meanwhile.
    async fn tag_for_app(
        &self,
        found: &KnownImage,
        recipe: &Recipe,
        identity: &str,
    ) -> Result<Option<KnownImage>, EngineError> {
        if found.reference.split(':').next() == Some(&recipe.repository) {
            return Ok(Some(found.clone()));
        }
        let reference = tag_of(recipe, identity);
        match self.engine.tag(&found.image, &reference).await {
            Ok(()) => Ok(Some(KnownImage { reference, ..found.clone() })),
            Err(EngineError::ImageMissing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn build_lock(&self, identity: &str) -> Arc<BuildLock> {
        let mut build_locks = self.build_locks.lock().expect("code under this lock cannot panic");
        build_locks.retain(|_, build_lock| build_lock.strong_count() > 0);
        if let Some(build_lock) = build_locks.get(identity).and_then(Weak::upgrade) {
            return build_lock;
        }
        let build_lock = Arc::<BuildLock>::default();
        build_locks.insert(identity.to_owned(), Arc::downgrade(&build_lock));
        build_lock
    }
}

/// The tag of this recipe's image.
fn tag_of(recipe: &Recipe, identity: &str) -> String {
    format!("{}:{}-{}", recipe.repository, &identity[..16], recipe.tag_suffix)
}

/// A step's name contains its arguments, which may contain line breaks.
fn single_line(name: &str) -> String {
    name.replace('\r', "\\r").replace('\n', "\\n")
}

/// Explains the error of a builder that does not support here-documents and parses their lines as instructions.
fn explain_heredocs(error: EngineError, dockerfile: &str) -> EngineError {
    match error {
        EngineError::DockerfileInvalid { message }
            if message.contains("unknown instruction") && bases::has_heredocs(dockerfile) =>
        {
            EngineError::DockerfileInvalid {
                message: format!(
                    "{message}. The Dockerfile has here-documents (<<), which the builder of this engine does not support: \
                     start the Dockerfile with the line `# syntax=docker/dockerfile:1`, or use Docker Engine 23 or newer"
                ),
            }
        }
        other => other,
    }
}

/// Names the directory in an error, unless it is the root.
fn below(source_dir: &ContextPath) -> String {
    if source_dir.is_root() { String::new() } else { format!("in {source_dir}: ") }
}

fn describe(note: &Note) -> String {
    format!("Note: {note}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_step_is_one_line() {
        assert_eq!(single_line("[2/2] RUN printf 'a\r\nb'"), "[2/2] RUN printf 'a\\r\\nb'");
    }

    #[test]
    fn an_old_builders_error_about_here_documents_is_explained() {
        let refused = || EngineError::DockerfileInvalid {
            message: "dockerfile parse error line 3: unknown instruction: SELECT".to_owned(),
        };
        let with = explain_heredocs(refused(), "FROM a\nRUN <<SQL cat > /x\nSELECT 1\nSQL\n").to_string();
        assert!(with.contains("# syntax=docker/dockerfile:1") && with.contains("Docker Engine 23"), "{with}");
        let without = explain_heredocs(refused(), "FROM a\nSELECT 1\n").to_string();
        assert!(!without.contains("syntax="), "{without}");
    }
}
