//! Who makes images from sources. Behind it stand git workers and the engine; the tests of this crate put a repository in
//! memory there.

use async_trait::async_trait;
use builder::{BuildError, Builder, Built, ImageLookup, LogSink, Recipe};
use source::{CommitId, RepoUrl, RepoUrlError, SourceError};

/// Resolves first, so that the commit can be written down before anything is built from it.
#[async_trait]
pub(crate) trait ImageBuilder: Send + Sync {
    /// Parses the address of a repository. Errors: it may not be used here.
    fn repo_url(&self, text: &str) -> Result<RepoUrl, RepoUrlError>;
    /// Removes what was fetched of all repositories but these. Returns how many there were.
    async fn forget_all_but(&self, keep: &[RepoUrl]) -> Result<u32, SourceError>;
    /// The commit that a recipe's reference names now.
    async fn resolve(&self, recipe: &Recipe, log: &LogSink) -> Result<CommitId, BuildError>;
    /// The image of a recipe at a commit, built or found.
    async fn have(
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

    async fn forget_all_but(&self, keep: &[RepoUrl]) -> Result<u32, SourceError> {
        self.source().remove_mirrors_except(keep).await
    }

    async fn resolve(&self, recipe: &Recipe, log: &LogSink) -> Result<CommitId, BuildError> {
        Builder::resolve(self, recipe, log).await
    }

    async fn have(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        known: ImageLookup,
        log: LogSink,
    ) -> Result<Built, BuildError> {
        Builder::ensure_image(self, recipe, commit, known, log).await
    }
}
