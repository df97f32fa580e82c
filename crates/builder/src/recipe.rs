//! What to build, and its identity.

use std::collections::BTreeMap;

use detect::{Bases, Request};
use engine::{RegistryLogin, Secret};
use sha2::{Digest, Sha256};
use source::{GitRef, RepoUrl, Selection};

/// The description of an image to build from a repository.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The repository.
    pub repo: RepoUrl,
    /// The branch, tag or commit.
    pub git_ref: GitRef,
    /// The directory, and the Dockerfile that the spec names.
    pub selection: Selection,
    /// For the detection of a language, if the selection names no Dockerfile.
    pub hints: Hints,
    /// Build arguments. They remain in the image's history.
    pub args: BTreeMap<String, String>,
    /// Secret variables.
    pub secrets: BuildSecrets,
    /// Logins for the registries of base images, by host.
    pub logins: BTreeMap<String, RegistryLogin>,
    /// What may be reused of earlier builds.
    pub cache: Cache,
    /// The result is tagged `<repository>:<first 16 digits of its identity>-<tag_suffix>`.
    pub repository: String,
    /// Distinguishes builds of one source, so that the older image keeps a tag by which it can be found and removed.
    pub tag_suffix: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
}

impl Recipe {
    /// Identifies the build in the queue.
    pub fn queue_name(&self) -> String {
        queue_name(&self.repository, &self.tag_suffix)
    }
}

/// Identifies a build in the queue: see [`Recipe::repository`] and [`Recipe::tag_suffix`].
pub fn queue_name(repository: &str, tag_suffix: &str) -> String {
    format!("{repository}-{tag_suffix}")
}

/// The secret variables of a build.
#[derive(Debug, Clone, Default)]
pub struct BuildSecrets {
    /// The values by name. Steps can mount them as files.
    pub values: BTreeMap<String, Secret>,
    /// A keyed hash of the names and values, of at most 63 lowercase letters and digits. A build whose secrets changed has
    /// another one, so its steps run again.
    pub key: String,
    /// Whether a Dockerfile of the repository also gets them as build arguments. They remain in the image's history then.
    pub as_arguments: bool,
}

/// What the app spec says about the component, for the detection of its language. See [`Request`] for the fields.
#[derive(Debug, Clone)]
pub struct Hints {
    /// The name of the app, for a command in the log.
    pub app: String,
    /// The name of the component.
    pub component: String,
    /// Its kind.
    pub kind: detect::Kind,
    /// `environment_slug`.
    pub slug: Option<String>,
    /// `build_command`.
    pub build_command: Option<String>,
    /// `run_command`.
    pub run_command: Option<String>,
    /// `output_dir` of a static site.
    pub output_dir: Option<String>,
    /// The names of the build arguments.
    pub build_args: Vec<String>,
    /// The names of the secret variables.
    pub build_secrets: Vec<String>,
    /// Begins the ids of cache mounts.
    pub cache_scope: String,
}

impl Hints {
    pub(crate) fn request<'a>(&'a self, bases: &'a Bases) -> Request<'a> {
        Request {
            slug: self.slug.as_deref(),
            build_command: self.build_command.as_deref(),
            run_command: self.run_command.as_deref(),
            output_dir: self.output_dir.as_deref(),
            build_args: self.build_args.iter().map(String::as_str).collect(),
            build_secrets: self.build_secrets.iter().map(String::as_str).collect(),
            ..Request::new(&self.component, self.kind, bases)
        }
    }
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

/// The identity of a build, from the source's identity, the build arguments without secrets, and what distinguishes the
/// secrets. 64 hexadecimal digits.
pub(crate) fn identity(source: &source::Identity, args: &BTreeMap<String, String>, secrets: Option<&str>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"boatyard build 1");
    let source = source.hash();
    let args = args.iter().flat_map(|(key, value)| [key.as_str(), value]);
    // A variable cannot have this name.
    let secrets = secrets.iter().flat_map(|secrets| ["the secrets", secrets]);
    // Fields are length-prefixed, so different lists of fields cannot have the same encoding.
    for field in std::iter::once(source.as_str()).chain(args).chain(secrets) {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hex::encode(hash.finalize())
}
