//! What can go wrong with a source, in sentences a person can act on.
//!
//! The same type crosses the pipe between worker and parent, so every variant holds plain data.

use serde::{Deserialize, Serialize};

use crate::context_path::ContextPath;
use crate::git_ref::CommitId;

/// Why a source could not be fetched, read or streamed. The version that runs is never touched by any of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SourceError {
    /// The address is not (or no longer) allowed.
    #[error("{0}")]
    Address(String),
    /// No connection, no such host, a broken answer, a server error.
    #[error("{repo} cannot be reached: {why}")]
    Unreachable { repo: String, why: String },
    /// Every address of the host is in a network that needs the operator's word.
    #[error(
        "{repo} leads to {address}, a {network} address, which is not fetched from unless Boatyard is started with \
         --allow-sources-from {network}"
    )]
    AddressRefused { repo: String, address: String, network: String },
    /// 401, 403, 404, or a server that wants a login when none is given.
    #[error("repository {repo} does not exist or needs a login")]
    NotFoundOrLogin { repo: String },
    /// The login given was refused.
    #[error("{repo} refused the login given for it; check that the token or key is valid and may read this repository")]
    LoginRefused { repo: String },
    /// The server's TLS certificate is not trusted.
    #[error("the certificate of {repo} is not trusted: {why}")]
    Certificate { repo: String, why: String },
    /// An ssh host key nobody has vouched for.
    #[error(
        "the ssh host key of {host} is not known: {fingerprint}; compare it with the one its operator publishes, then add it"
    )]
    HostKeyUnknown { host: String, fingerprint: String },
    /// An ssh host key that differs from the known one.
    #[error("the ssh host key of {host} has changed to {fingerprint}; someone may be in between, nothing was fetched")]
    HostKeyChanged { host: String, fingerprint: String },
    /// A redirect to another host.
    #[error("{repo} redirects to another host, which is not followed: {why}; use the new address")]
    Redirect { repo: String, why: String },
    /// No progress for longer than allowed.
    #[error("no progress from {repo} for {seconds} s")]
    Stalled { repo: String, seconds: u64 },
    /// Not done by its deadline.
    #[error("{repo} was not done within {seconds} s")]
    Deadline { repo: String, seconds: u64 },
    /// No such branch.
    #[error("branch \"{branch}\" does not exist in {repo}{}{}", has(have, *more), instead(*name_kind))]
    BranchMissing { branch: String, repo: String, have: Vec<String>, more: usize, name_kind: NameKind },
    /// No such tag.
    #[error("tag \"{tag}\" does not exist in {repo}{}", has(have, *more))]
    TagMissing { tag: String, repo: String, have: Vec<String>, more: usize },
    /// The commit is gone, after a force-push for example, or never was.
    #[error("commit {commit} does not exist in {repo}; it may have been removed by a force-push")]
    CommitMissing { commit: CommitId, repo: String },
    /// The commit is not in our mirror.
    #[error("commit {commit} of {repo} is not fetched; fetch it first")]
    NotFetched { commit: CommitId, repo: String },
    /// A repository without a commit.
    #[error("{repo} is empty: push a commit first")]
    Empty { repo: String },
    /// HEAD names nothing.
    #[error("{repo} does not say which branch is its default; name one{}", has(have, *more))]
    NoDefaultBranch { repo: String, have: Vec<String>, more: usize },
    /// A directory without a repository.
    #[error("{path} is not a git repository")]
    NotARepository { path: String },
    /// A repository of a format that libgit2 does not read.
    #[error("{path} is a git repository of a format that is not supported yet: {format}; convert a clone of it")]
    UnsupportedFormat { path: String, format: String },
    /// A repository on this host that is there and cannot be read.
    #[error("{path} cannot be read as a git repository: {why}")]
    LocalUnreadable { path: String, why: String },
    /// The repository at hand keeps its objects outside the allowed directories.
    #[error(
        "{path} is read from {outside} as well, which is not inside a directory for local sources; see --local-sources"
    )]
    ObjectsOutside { path: String, outside: String },
    /// `source_dir` is not there.
    #[error("no directory \"{dir}\" in commit {commit}{}", found(near))]
    SourceDirMissing { dir: ContextPath, commit: String, near: Vec<String> },
    /// `source_dir` is something else.
    #[error("\"{dir}\" in commit {commit} is not a directory but {what}")]
    SourceDirNotADirectory { dir: ContextPath, commit: String, what: String },
    /// No Dockerfile where it should be.
    #[error("no Dockerfile at \"{path}\" in commit {commit}{}", found(near))]
    DockerfileMissing { path: ContextPath, commit: String, near: Vec<String> },
    /// The Dockerfile is a directory, a link or a submodule.
    #[error("\"{path}\" in commit {commit} is not a file but {what}; name the file itself in dockerfile_path")]
    DockerfileNotAFile { path: ContextPath, commit: String, what: String },
    /// Text that is not UTF-8.
    #[error("\"{path}\" in commit {commit} is not UTF-8 text")]
    NotText { path: String, commit: String },
    /// A `.dockerignore` that Docker would refuse.
    #[error("{path} in commit {commit}, {why}")]
    Dockerignore { path: String, commit: String, why: String },
    /// A limit of [`crate::Limits`].
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge { what: String, limit: String },
    /// A tree that no honest git writes.
    #[error("commit {commit} contains an entry that git itself would refuse: {path:?}")]
    HostileEntry { path: String, commit: String },
    /// Objects are missing or damaged.
    #[error("the objects of {repo} are damaged ({why}); they are fetched anew by the next fetch")]
    Damaged { repo: String, why: String },
    /// The mirror directory cannot be used.
    #[error("cannot {doing}: {why}")]
    Disk { doing: String, why: String },
    /// The worker ended without an answer.
    #[error("the git worker for {repo} ended early ({how}); nothing of its output is used{}", tail(stderr))]
    WorkerDied { repo: String, how: String, stderr: String },
    /// The worker could not be started, or spoke nonsense.
    #[error("the git worker cannot be used: {why}")]
    Worker { why: String },
}

impl SourceError {
    /// Whether the same request may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Stalled { .. }
                | Self::Deadline { .. }
                | Self::Damaged { .. }
                | Self::WorkerDied { .. }
                | Self::NotFetched { .. }
        )
    }
}

/// What a name that is no branch does stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameKind {
    /// Nothing that is known.
    #[default]
    Nothing,
    /// A tag.
    Tag,
    /// A commit, by the look of it.
    Commit,
}

fn instead(name_kind: NameKind) -> &'static str {
    match name_kind {
        NameKind::Nothing => "",
        NameKind::Tag => {
            ". There is a tag of that name, but a spec names a branch: make a branch that begins at the tag"
        }
        NameKind::Commit => {
            ". It looks like a commit, but a spec names a branch: make a branch that begins at the commit"
        }
    }
}

fn has(have: &[String], more: usize) -> String {
    match (have.is_empty(), more) {
        (true, _) => "; it has none".to_owned(),
        (false, 0) => format!("; it has: {}", have.join(", ")),
        (false, more) => format!("; it has: {} and {more} more", have.join(", ")),
    }
}

fn found(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; found: {}", near.join(", ")) }
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}
