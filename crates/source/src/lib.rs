//! Git: fetches repositories, resolves references, identifies trees, and streams build contexts.
//!
//! Every git operation runs in a child process of the same binary ([`run_worker`], the hidden subcommand
//! `source-worker`) with resource limits, an empty environment, no capabilities and access to few files. A hostile
//! repository can harm only its own child process, cancelling is a kill, and memory is freed when the process ends.
//! [`Source`] starts these processes. Only [`read_work_tree`] and [`WorkingCopy`] read a directory of the caller in this
//! process.
//!
//! This crate never checks out a tree, never runs a hook, a filter or a credential helper, never follows a symbolic
//! link of a repository, and never fetches submodules or LFS objects (it reports them instead). It reads local
//! repositories only in the directories that the operator named, and fetches from this host or its local link only if
//! the operator allows it.

mod context_path;
mod credentials;
mod directory;
mod dockerignore;
mod egress;
mod error;
mod git_ref;
mod identity;
mod known_hosts;
mod limits;
mod protocol;
mod repo_url;
mod source;
mod work_tree;
mod worker;
mod worker_process;
mod working_copy;

pub use context_path::{ContextPath, InvalidPath};
pub use credentials::{Fingerprint, InvalidFingerprint, Logins, Secret, SshKey, Token};
pub use dockerignore::{Dockerignore, InvalidPattern};
pub use egress::SpecialNetwork;
pub use error::{NameKind, SourceError};
pub use git_ref::{CommitId, GitRef, InvalidRef, RefName, TreeId};
pub use identity::{Directory, DockerfileChoice, Identity, Note, RESERVED_DOCKERFILE, Resolved, Selection};
pub use known_hosts::{NoKnownHost, known_host_keys};
pub use limits::Limits;
pub use protocol::FetchProgress;
pub use repo_url::{HostNames, RepoUrl, RepoUrlError, UrlRules};
pub use source::{Context, ContextStream, FetchOptions, Source, SourceSettings};
pub use work_tree::read_work_tree;
pub use worker::run_worker;
pub use working_copy::{WORKING_COPY_BRANCH, WorkingCopy, WorkingCopyError};
