//! A repository in memory: one branch whose head moves, commits that vanish, and builds that can be held.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use builder::{BuildError, Built, ImageLookup, LogSink, Recipe};
use engine_fake::{Behaviour, FakeEngine};
use source::{CommitId, RepoUrl, RepoUrlError, SourceError, UrlRules};
use tokio::sync::watch;

use crate::image_builder::ImageBuilder;

/// Clones share one repository, which survives a controller.
#[derive(Clone)]
pub struct MemoryImageBuilder {
    engine: FakeEngine,
    head: Arc<Mutex<String>>,
    vanished: Arc<Mutex<BTreeSet<String>>>,
    /// The repositories that the last call of `remove_mirrors_except` kept.
    kept: Arc<Mutex<Option<BTreeSet<String>>>>,
    /// While true, builds start but do not end.
    held: watch::Sender<bool>,
}

impl MemoryImageBuilder {
    pub fn new(engine: FakeEngine) -> Self {
        let held = watch::Sender::new(false);
        Self { engine, head: Arc::default(), vanished: Arc::default(), kept: Arc::default(), held }
    }

    /// Moves the branch to this commit.
    pub fn push(&self, commit: &str) {
        commit.clone_into(&mut self.head.lock().unwrap());
    }

    /// Removes a commit.
    pub fn vanish(&self, commit: &str) {
        self.vanished.lock().unwrap().insert(commit.to_owned());
    }

    /// The repositories that the last call of `remove_mirrors_except` kept.
    pub fn kept(&self) -> Option<BTreeSet<String>> {
        self.kept.lock().unwrap().clone()
    }

    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }
}

#[async_trait]
impl ImageBuilder for MemoryImageBuilder {
    fn repo_url(&self, text: &str) -> Result<RepoUrl, RepoUrlError> {
        RepoUrl::parse(text, &UrlRules::default())
    }

    async fn remove_mirrors_except(&self, keep: &[RepoUrl]) -> Result<u32, SourceError> {
        *self.kept.lock().unwrap() = Some(keep.iter().map(ToString::to_string).collect());
        Ok(0)
    }

    async fn resolve(&self, _recipe: &Recipe, _log: &LogSink) -> Result<CommitId, BuildError> {
        tokio::task::yield_now().await;
        Ok(CommitId::parse(&self.head.lock().unwrap()).unwrap())
    }

    async fn ensure_image(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        _known: ImageLookup,
        _log: LogSink,
    ) -> Result<Built, BuildError> {
        // Cannot fail: the sender lives in `self`.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        if self.vanished.lock().unwrap().contains(commit.as_str()) {
            return Err(SourceError::CommitMissing { commit: commit.clone(), repo: recipe.repo.to_string() }.into());
        }
        let reference = format!("{}:{commit}", recipe.repository);
        let behaviour = Behaviour { ready_after: Duration::from_millis(300), ..Behaviour::default() };
        let image = self.engine.add_image(&reference, behaviour);
        let identity = commit.to_string();
        Ok(Built { image, reference, identity, commit: commit.to_string(), built: true })
    }
}
