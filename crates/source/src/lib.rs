//! Git: fetch, resolve, identity of a tree, and the build context as a stream.
//!
//! Every git operation runs in a child process of the same binary ([`run_worker`], the hidden subcommand
//! `source-worker`) with resource limits, an empty environment, no capabilities and no files but those it needs, so that a
//! hostile repository can hurt nothing but its own child, cancelling is a kill, and memory goes back when it ends.
//! [`Source`] is the side that starts those children.
//!
//! What this crate refuses to do: it never checks out a tree, never runs a hook, a filter or a credential helper, never
//! follows a symbolic link of a repository, never fetches submodules or LFS objects (it says so instead), never reads
//! a local repository outside the directories the operator named, and never fetches from this host or its local link
//! unless the operator said so.

mod context_path;
mod credentials;
mod dockerignore;
mod egress;
mod error;
mod git_ref;
mod identity;
mod limits;
mod protocol;
mod repo_url;
mod source;
mod worker;
mod worker_process;

pub use context_path::{ContextPath, InvalidPath};
pub use credentials::{Credentials, KnownHost, Secret};
pub use dockerignore::{Dockerignore, InvalidPattern};
pub use egress::SpecialNetwork;
pub use error::{NameKind, SourceError};
pub use git_ref::{CommitId, GitRef, InvalidRef, RefName, TreeId};
pub use identity::{Directory, DockerfileChoice, Identity, Note, RESERVED_DOCKERFILE, Resolved, Selection};
pub use limits::Limits;
pub use protocol::FetchProgress;
pub use repo_url::{RepoUrl, RepoUrlError, UrlRules};
pub use source::{Context, ContextStream, FetchOptions, Source, SourceSettings};
pub use worker::run_worker;
