//! The parts of a tree that a build depends on, and the identity that follows from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::context_path::{ContextPath, InvalidPath};
use crate::git_ref::{CommitId, TreeId};

/// The name in the context of a Dockerfile that is outside of it.
pub const RESERVED_DOCKERFILE: &str = ".boatyard.Dockerfile";

/// The result of a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The commit that the branch, tag or id refers to.
    pub commit: CommitId,
    /// That commit's root tree. Equal trees are equal sources.
    pub tree: TreeId,
    /// The branch; none for tags, ids and a detached HEAD.
    pub branch: Option<String>,
    /// The first line of the commit's message, without control characters, at most 200 characters.
    pub summary: String,
    /// The author time of the commit, in seconds since 1970, by the author's clock.
    pub author_time: i64,
    /// Whether objects were received. False if the mirror had all of them.
    pub received: bool,
    /// Whether this is the checked-out commit of a work tree on this host that has uncommitted changes.
    pub uncommitted: bool,
}

/// The part of a repository to build, and its Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The build context.
    pub source_dir: ContextPath,
    /// The Dockerfile.
    pub dockerfile: DockerfileChoice,
}

/// Where the Dockerfile comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DockerfileChoice {
    /// `Dockerfile` at the root of the context.
    Default,
    /// This path, relative to the repository's root or, if it does not exist there, to the context.
    Path(ContextPath),
    /// A text that is not in the repository: generated for a detected language.
    Written(String),
}

impl Selection {
    /// From `source_dir` and `dockerfile_path` as a spec has them. Errors: [`InvalidPath`].
    pub fn parse(source_dir: Option<&str>, dockerfile_path: Option<&str>) -> Result<Self, InvalidPath> {
        let source_dir = ContextPath::parse(source_dir.unwrap_or_default())?;
        let dockerfile = match dockerfile_path.filter(|path| !path.is_empty()) {
            None => DockerfileChoice::Default,
            Some(path) => DockerfileChoice::Path(ContextPath::parse(path)?),
        };
        Ok(Self { source_dir, dockerfile })
    }
}

/// Everything in a source that its image depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The tree of `source_dir`.
    pub context_tree: TreeId,
    /// The Dockerfile's blob id; for a generated one, the id that its text would have.
    pub dockerfile_blob: TreeId,
    /// The Dockerfile's text.
    pub dockerfile_text: String,
    /// The Dockerfile's name in the context, as the engine needs it.
    pub dockerfile_in_context: String,
    /// The blob of the ignore file in use: `<Dockerfile>.dockerignore` beside the Dockerfile, else `.dockerignore`.
    pub ignore_blob: Option<TreeId>,
    /// Notes for the user.
    pub notes: Vec<Note>,
}

impl Identity {
    /// A stable identity of this source, 64 hexadecimal digits. Two sources with the same hash build the same image, as
    /// far as the source determines it. It does not change with the commit, the branch or the repository's address.
    pub fn hash(&self) -> String {
        let ignore = self.ignore_blob.as_ref().map_or("", TreeId::as_str);
        let fields = [self.context_tree.as_str(), self.dockerfile_blob.as_str(), &self.dockerfile_in_context, ignore];
        let mut hash = Sha256::new();
        hash.update(b"boatyard source 1");
        for field in fields {
            // Fields cannot contain NUL, so the separator is unambiguous.
            hash.update(b"\0");
            hash.update(field.as_bytes());
        }
        hex::encode(hash.finalize())
    }
}

/// The files below a directory, and the texts of some of them, to detect a language.
///
/// Files that the `.dockerignore` of the directory excludes are left out, except for its `Dockerfile`. Four levels of
/// directories are entered, but neither `node_modules` nor `.git`, nor the directories in `vendor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Paths of files and symbolic links, relative to the directory, sorted.
    pub paths: Vec<String>,
    /// The wanted files that are regular files, text, and at most 2 MiB long, by path. At most 4 MiB in all.
    pub texts: BTreeMap<String, String>,
    /// Whether files are left out, because there are more than 20,000. Those near the root come first.
    pub cut: bool,
}

/// Something that a user building from this source should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// The path was found relative to the context, not to the root.
    DockerfileInSourceDir {
        /// The path as given.
        given: ContextPath,
        /// Where it was found, from the root.
        found: ContextPath,
    },
    /// A submodule: the context contains an empty directory instead.
    Submodule {
        /// Its path in the context.
        path: String,
    },
    /// A git LFS pointer: the context contains the pointer, not the file.
    LfsPointer {
        /// Its path in the context.
        path: String,
        /// The size of the file, if the pointer states it.
        bytes: Option<u64>,
    },
    /// More submodules or pointers than are listed one by one.
    More {
        /// How many.
        count: u64,
    },
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DockerfileInSourceDir { given, found } => write!(
                f,
                "there is no {given:?} at the root of the repository; using \"{found}\". App Platform reads dockerfile_path \
                 from the root: write \"{found}\" so that it works on both",
                given = given.as_str()
            ),
            Self::Submodule { path } => {
                write!(f, "{path} is a submodule; submodules are not fetched, so the build gets an empty directory")
            }
            Self::LfsPointer { path, bytes: Some(bytes) } => {
                write!(
                    f,
                    "{path} is a git LFS pointer; its {bytes} bytes are not fetched, so the build gets the pointer"
                )
            }
            Self::LfsPointer { path, bytes: None } => {
                write!(f, "{path} is a git LFS pointer; its content is not fetched, so the build gets the pointer")
            }
            Self::More { count } => write!(f, "and {count} more submodules or git LFS pointers"),
        }
    }
}
