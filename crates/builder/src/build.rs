//! The steps of a build, one after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use engine::{BuildEvent, BuildSpec, BuildStepState, Engine, EngineError};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use source::{CommitId, FetchOptions, FetchProgress, GitRef, Identity, Note, Source, SourceError};
use thiserror::Error;
use tokio::sync::Mutex as AsyncMutex;

use crate::bases;
use crate::recipe::{Cache, KnownImage, Recipe, identity};

/// What the caller remembers to have been built for an identity.
pub type ImageLookup = Box<dyn Fn(String) -> BoxFuture<'static, Option<KnownImage>> + Send + Sync>;

/// Takes one line of a build's log.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Builds images on one engine from git sources.
#[derive(Clone)]
pub struct Builder {
    engine: Arc<dyn Engine>,
    source: Source,
    /// One build at a time for one identity, also across components: the second finds the first one's image.
    build_locks: Arc<Mutex<BTreeMap<String, Weak<BuildLock>>>>,
}

/// Whose turn it is to build an identity, and what the one before made.
type BuildLock = AsyncMutex<Option<KnownImage>>;

/// An image that was had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The engine's id.
    pub image: String,
    /// The name it is kept under.
    pub reference: String,
    /// What went into it.
    pub identity: String,
    /// The commit it comes from.
    pub commit: String,
    /// Whether the engine built it just now.
    pub built: bool,
}

/// Why there is no image. `Display` is for people; the chain below says more.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The source could not be had. Nothing was built.
    #[error("{0}")]
    Source(#[from] SourceError),
    /// The engine did not build it.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

impl Builder {
    /// Builds on `engine` from `source`.
    pub fn new(engine: Arc<dyn Engine>, source: Source) -> Self {
        Self { engine, source, build_locks: Arc::default() }
    }

    /// The source side, for addresses.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Fetches what the recipe names, and says which commit that is now. Errors: [`BuildError::Source`].
    pub async fn resolve(&self, recipe: &Recipe, log: &LogSink) -> Result<CommitId, BuildError> {
        self.fetch(recipe, &recipe.git_ref, log).await
    }

    /// Has the image of `recipe` at a commit, whatever its reference names meanwhile: looks whether it was built before,
    /// builds if not. `known` tells what the caller remembers of an identity. Dropping the future cancels; nothing of the
    /// build stays behind.
    ///
    /// Errors: [`BuildError`]; the log has said more by then. A commit that is not to be had any more is one.
    pub async fn ensure_image(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        lookup: ImageLookup,
        log: LogSink,
    ) -> Result<Built, BuildError> {
        let source_identity = self.source_identity(recipe, commit, &log).await?;
        for note in &source_identity.notes {
            log(&describe(note));
        }
        let identity = identity(&source_identity, &recipe.args);
        let build_lock = self.build_lock(&identity);
        let mut built_meanwhile = build_lock.lock().await;
        // One that was made while this one waited for its turn is as fresh as could be asked for.
        let candidate = match built_meanwhile.clone() {
            Some(made) => Some(made),
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
        if let Some(found) = self.existing_image(candidate).await? {
            log(&format!("Nothing to build: {} was built from the same tree before", found.reference));
            return Ok(built(self.tag_for_app(found, recipe, &identity).await?, false));
        }
        let made = self.build(recipe, commit, &source_identity, &identity, &log).await?;
        *built_meanwhile = Some(made.clone());
        Ok(built(made, true))
    }

    /// The mirror may be younger than the moment in which the commit was resolved, or have suffered since.
    async fn source_identity(&self, recipe: &Recipe, commit: &CommitId, log: &LogSink) -> Result<Identity, BuildError> {
        let identity = || self.source.identity(&recipe.repo, commit, &recipe.selection);
        match identity().await {
            Err(SourceError::NotFetched { .. } | SourceError::Damaged { .. }) => {
                self.fetch(recipe, &GitRef::Commit(commit.clone()), log).await?;
                Ok(identity().await?)
            }
            other => Ok(other?),
        }
    }

    async fn fetch(&self, recipe: &Recipe, git_ref: &GitRef, log: &LogSink) -> Result<CommitId, BuildError> {
        log(&format!("Fetching {} ({git_ref})", recipe.repo));
        let progress = |news: FetchProgress| match news {
            FetchProgress::Waiting => log("Another fetch of this repository is running; waiting for it"),
            FetchProgress::Remote(line) => log(&line),
            FetchProgress::Connected | FetchProgress::Receiving { .. } => {}
        };
        let resolved = self.source.fetch(&recipe.repo, git_ref, FetchOptions::default(), progress).await?;
        log(&format!("Commit {} {}", resolved.commit.as_str(), resolved.summary));
        if resolved.uncommitted {
            log(&format!("Note: {} has changes that are not committed; they are not part of the build", recipe.repo));
        }
        Ok(resolved.commit)
    }

    async fn build(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        source_identity: &Identity,
        identity: &str,
        log: &LogSink,
    ) -> Result<KnownImage, BuildError> {
        if recipe.cache == Cache::Clear {
            self.pull_bases(&source_identity.dockerfile_text, &recipe.args, log).await;
        }
        let on_note = {
            let log = log.clone();
            move |note: Note| log(&describe(&note))
        };
        let context = self.source.context(&recipe.repo, commit, &recipe.selection, on_note).await?;
        let reference = reference(recipe, identity);
        let spec = BuildSpec {
            tag: reference.clone(),
            dockerfile: context.dockerfile,
            args: recipe.args.clone(),
            no_cache: recipe.cache == Cache::Clear,
            labels: recipe.labels.clone(),
        };
        log(&format!("Building {reference}{}", if spec.no_cache { " without the build cache" } else { "" }));
        // The engine can only say that the context broke; the reason is kept here.
        let context_error: Arc<Mutex<Option<SourceError>>> = Arc::default();
        let keep = context_error.clone();
        let stream = context.stream.map_err(move |error| {
            let shown = std::io::Error::other(error.to_string());
            *keep.lock().expect("nobody panics holding it") = Some(error);
            shown
        });
        let made = self.run(&spec, stream.boxed(), log).await;
        match (made, context_error.lock().expect("nobody panics holding it").take()) {
            (Ok(image), _) => Ok(KnownImage { image, reference }),
            (Err(_), Some(cause)) => Err(cause.into()),
            (Err(error), None) => Err(explain_heredocs(error, &source_identity.dockerfile_text).into()),
        }
    }

    async fn run(&self, spec: &BuildSpec, context: engine::Context, log: &LogSink) -> Result<String, EngineError> {
        let mut events = self.engine.build(spec, context).await?;
        let mut image = None;
        while let Some(event) = events.try_next().await? {
            match event {
                BuildEvent::Log(line) => log(&line),
                BuildEvent::Step { name, state } => {
                    let name = single_line(&name);
                    match state {
                        BuildStepState::Started => log(&name),
                        BuildStepState::Cached => log(&format!("{name} (cached)")),
                        BuildStepState::Failed => log(&format!("{name} failed")),
                        BuildStepState::Done => {}
                    }
                }
                BuildEvent::Built { image: id } => image = Some(id),
            }
        }
        let lost =
            || EngineError::Other { verb: "build", status: None, message: "the build ended without an image".into() };
        image.ok_or_else(lost)
    }

    /// Pulls the images that the build starts from, so that it does not use old ones. Nothing that goes wrong here ends the
    /// build: it resolves its images itself, and may have them from elsewhere or not need them.
    async fn pull_bases(&self, dockerfile: &str, args: &BTreeMap<String, String>, log: &LogSink) {
        for base in bases::of_dockerfile(dockerfile, args) {
            log(&format!("Fetching base image {base}"));
            let Err(error) = self.engine.pull(&base).await else { continue };
            let instead = match self.engine.image(&base).await {
                Ok(Some(_)) => "the local one is used",
                Ok(None) | Err(_) => "the build looks for it itself",
            };
            log(&format!("{base} could not be fetched ({error}); {instead}"));
        }
    }

    async fn existing_image(&self, lookup: Option<KnownImage>) -> Result<Option<KnownImage>, EngineError> {
        let Some(lookup) = lookup else { return Ok(None) };
        let here = self.engine.image(&lookup.image).await?;
        Ok(here.is_some().then_some(lookup))
    }

    /// What another app has built gets a name among one's own, too: either may forget it without the other.
    async fn tag_for_app(&self, found: KnownImage, recipe: &Recipe, identity: &str) -> Result<KnownImage, EngineError> {
        if found.reference.split(':').next() == Some(&recipe.repository) {
            return Ok(found);
        }
        let reference = reference(recipe, identity);
        self.engine.tag(&found.image, &reference).await?;
        Ok(KnownImage { reference, ..found })
    }

    fn build_lock(&self, identity: &str) -> Arc<BuildLock> {
        let mut build_locks = self.build_locks.lock().expect("nobody panics holding it");
        build_locks.retain(|_, build_lock| build_lock.strong_count() > 0);
        if let Some(build_lock) = build_locks.get(identity).and_then(Weak::upgrade) {
            return build_lock;
        }
        let build_lock = Arc::<BuildLock>::default();
        build_locks.insert(identity.to_owned(), Arc::downgrade(&build_lock));
        build_lock
    }
}

/// The name that an image of this recipe is kept under.
fn reference(recipe: &Recipe, identity: &str) -> String {
    format!("{}:{}-{}", recipe.repository, &identity[..16], recipe.tag_suffix)
}

/// The name of a step holds its arguments, which may have line ends.
fn single_line(name: &str) -> String {
    name.replace('\r', "\\r").replace('\n', "\\n")
}

/// An engine whose builder is older than here-documents takes their lines for instructions.
fn explain_heredocs(error: EngineError, dockerfile: &str) -> EngineError {
    match error {
        EngineError::DockerfileInvalid { message }
            if message.contains("unknown instruction") && bases::has_heredocs(dockerfile) =>
        {
            EngineError::DockerfileInvalid {
                message: format!(
                    "{message}. The Dockerfile has here-documents (<<), which the builder of this engine does not know: \
                     begin the Dockerfile with the line `# syntax=docker/dockerfile:1`, or use Docker Engine 23 or newer"
                ),
            }
        }
        other => other,
    }
}

fn describe(note: &Note) -> String {
    format!("Note: {note}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_step_stays_on_one_line() {
        assert_eq!(single_line("[2/2] RUN printf 'a\r\nb'"), "[2/2] RUN printf 'a\\r\\nb'");
    }

    #[test]
    fn here_documents_are_named_where_an_old_builder_stumbles_over_them() {
        let refused = || EngineError::DockerfileInvalid {
            message: "dockerfile parse error line 3: unknown instruction: SELECT".to_owned(),
        };
        let with = explain_heredocs(refused(), "FROM a\nRUN <<SQL cat > /x\nSELECT 1\nSQL\n").to_string();
        assert!(with.contains("# syntax=docker/dockerfile:1") && with.contains("Docker Engine 23"), "{with}");
        let without = explain_heredocs(refused(), "FROM a\nSELECT 1\n").to_string();
        assert!(!without.contains("syntax="), "{without}");
    }
}
