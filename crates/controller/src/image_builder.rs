//! Building images from sources. The real implementation uses git workers and the engine; tests of this crate use a
//! repository in memory.

use async_trait::async_trait;
use builder::{BuildError, BuildPlan, Builder, Built, Hints, ImageLookup, LogSink, Recipe};
use source::{CommitId, Fingerprint, GitRef, RepoUrl, RepoUrlError, Resolved, Selection, SourceError};

/// Resolving and building are separate calls, so that the controller can record the commit before it builds.
#[async_trait]
pub(crate) trait ImageBuilder: Send + Sync {
    /// Parses the address of a repository. Errors: the address is not allowed.
    fn repo_url(&self, text: &str) -> Result<RepoUrl, RepoUrlError>;
    /// Removes the mirrors of all repositories except these. Returns how many were removed.
    async fn remove_mirrors_except(&self, keep: &[RepoUrl]) -> Result<u32, SourceError>;
    /// The key that an ssh server presents now.
    async fn host_key(&self, host: &str) -> Result<Fingerprint, SourceError>;
    /// The newest commit of a reference, looked up for display.
    async fn head(&self, repo: &RepoUrl, git_ref: &GitRef) -> Result<Resolved, SourceError>;
    /// What a component would be built with at a commit that was looked up.
    async fn plan(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        hints: &Hints,
    ) -> Result<BuildPlan, BuildError>;
    /// Identifies what a build of a component reads at a commit that was looked up: equal contents build the same image.
    async fn content(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        hints: &Hints,
    ) -> Result<String, BuildError>;
    /// The commit that a recipe's branch points to now.
    async fn resolve(&self, recipe: &Recipe, log: &LogSink) -> Result<CommitId, BuildError>;
    /// The position in the queue of the build with this name, from 1. `None`: it does not wait there.
    fn queue_position(&self, queue_name: &str) -> Option<usize>;
    /// Returns the image of a recipe at a commit; builds it if no image exists.
    async fn ensure_image(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        known: ImageLookup,
        log: LogSink,
    ) -> Result<Built, BuildError>;
}

#[async_trait]
impl ImageBuilder for Builder {
    fn repo_url(&self, text: &str) -> Result<RepoUrl, RepoUrlError> {
        self.source().repo_url(text)
    }

    async fn remove_mirrors_except(&self, keep: &[RepoUrl]) -> Result<u32, SourceError> {
        self.source().remove_mirrors_except(keep).await
    }

    async fn host_key(&self, host: &str) -> Result<Fingerprint, SourceError> {
        self.source().host_key(host).await
    }

    async fn head(&self, repo: &RepoUrl, git_ref: &GitRef) -> Result<Resolved, SourceError> {
        Builder::head(self, repo, git_ref).await
    }

    async fn plan(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        hints: &Hints,
    ) -> Result<BuildPlan, BuildError> {
        Builder::plan(self, repo, commit, selection, hints).await
    }

    async fn content(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        hints: &Hints,
    ) -> Result<String, BuildError> {
        Builder::content(self, repo, commit, selection, hints).await
    }

    async fn resolve(&self, recipe: &Recipe, log: &LogSink) -> Result<CommitId, BuildError> {
        Builder::resolve(self, recipe, log).await
    }

    fn queue_position(&self, queue_name: &str) -> Option<usize> {
        Builder::queue_position(self, queue_name)
    }

    async fn ensure_image(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        known: ImageLookup,
        log: LogSink,
    ) -> Result<Built, BuildError> {
        Builder::ensure_image(self, recipe, commit, known, log).await
    }
}
