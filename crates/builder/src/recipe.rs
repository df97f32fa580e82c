//! What to build, and the name that follows from what goes into it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use source::{GitRef, RepoUrl, Selection};

/// One image to be had from a repository.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Where the source lies.
    pub repo: RepoUrl,
    /// What of it.
    pub git_ref: GitRef,
    /// Which directory, by which Dockerfile.
    pub selection: Selection,
    /// Build arguments. Never secrets: they would stay in the image's history.
    pub args: BTreeMap<String, String>,
    /// How much of what was built before may be used.
    pub cache: Cache,
    /// The result is tagged `<repository>:<first 16 digits of its identity>-<tag_suffix>`.
    pub repository: String,
    /// Tells two builds of one source apart, so that the older image keeps a name by which it can be found and removed.
    pub tag_suffix: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
}

/// How much of what was built before may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// The image, if the same source was built before.
    ReuseImage,
    /// The engine's cached steps, but the build runs.
    ReuseSteps,
    /// Nothing: every step runs, and the bases are fetched again where a registry answers.
    Clear,
}

/// An image that the caller remembers to have been built for an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownImage {
    /// The engine's id.
    pub image: String,
    /// The name it is kept under.
    pub reference: String,
}

/// The identity of a build: the source's own, and the arguments given to it. 64 hexadecimal digits.
pub(crate) fn identity(source: &source::Identity, args: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"boatyard build 1");
    // Length-prefixed: no two lists of fields can be mistaken for each other.
    for field in std::iter::once(&source.hash()).chain(args.iter().flat_map(|(key, value)| [key, value])) {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hex::encode(hash.finalize())
}
