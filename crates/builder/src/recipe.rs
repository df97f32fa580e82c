//! What to build, and its identity.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use source::{GitRef, RepoUrl, Selection};

/// The description of an image to build from a repository.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The repository.
    pub repo: RepoUrl,
    /// The branch, tag or commit.
    pub git_ref: GitRef,
    /// The directory and the Dockerfile.
    pub selection: Selection,
    /// Build arguments. Not for secrets: they would remain in the image's history.
    pub args: BTreeMap<String, String>,
    /// What may be reused of earlier builds.
    pub cache: Cache,
    /// The result is tagged `<repository>:<first 16 digits of its identity>-<tag_suffix>`.
    pub repository: String,
    /// Distinguishes builds of one source, so that the older image keeps a tag by which it can be found and removed.
    pub tag_suffix: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
}

/// What may be reused of earlier builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Reuse the image if the same source was built before.
    ReuseImage,
    /// Run the build with the engine's cached steps.
    ReuseSteps,
    /// Run every step, and pull the base images again if a registry answers.
    Clear,
}

/// An image that the caller found for an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownImage {
    /// The engine's id.
    pub image: String,
    /// Its tag.
    pub reference: String,
}

/// The identity of a build, from the source's identity and the build arguments. 64 hexadecimal digits.
pub(crate) fn identity(source: &source::Identity, args: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"boatyard build 1");
    // Fields are length-prefixed, so different lists of fields cannot have the same encoding.
    for field in std::iter::once(&source.hash()).chain(args.iter().flat_map(|(key, value)| [key, value])) {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hex::encode(hash.finalize())
}
