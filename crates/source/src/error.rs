//! Errors of this crate, in sentences that people can act on.
//!
//! The type crosses the pipe between worker and parent, so every variant contains plain data.

use serde::{Deserialize, Serialize};

use crate::context_path::ContextPath;
use crate::credentials::Fingerprint;
use crate::git_ref::CommitId;

/// Why a source could not be fetched, read or streamed. None of these affects the version that is running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SourceError {
    /// The address is not (or no longer) allowed.
    #[error("{0}")]
    Address(String),
    /// No connection, an unknown host, an invalid answer, or a server error.
    #[error("{repo} cannot be reached: {why}")]
    Unreachable { repo: String, why: String },
    /// Every address of the host is in a network that the operator must allow.
    #[error(
        "{repo} resolves to {address}, a {network} address; sources are not fetched from such addresses. To allow it, start \
         Boatyard with --allow-sources-from {network}"
    )]
    AddressRefused { repo: String, address: String, network: String },
    /// 401, 403, 404, or a server that requires a login if none is given.
    #[error(
        "repository {repo} does not exist or needs a login. To add one: boatyard sources add {host} --token-file FILE"
    )]
    NotFoundOrLogin { repo: String, host: String },
    /// A repository that is named by ssh, and no key for its host.
    #[error("{repo} needs a key for ssh. To add one: boatyard sources add {host} --ssh-key FILE")]
    KeyNeeded { repo: String, host: String },
    /// The server accepted the login or asked for none, and has no such repository for it.
    #[error("repository {repo} does not exist, or the login for {host} may not read it{}", tail(why))]
    NotFoundWithLogin { repo: String, host: String, why: String },
    /// The server refused the token.
    #[error(
        "{host} refused the token for {repo}: it is wrong, has expired, or may not read this repository. To replace it: \
         boatyard sources add {host} --token-file FILE"
    )]
    TokenRefused { repo: String, host: String },
    /// The server refused the ssh key.
    #[error(
        "{host} refused the ssh key for {repo}. Add its public key there, as a deploy key or for a user, or replace it: \
         boatyard sources add {host} --ssh-key FILE"
    )]
    KeyRefused { repo: String, host: String },
    /// The login for the repository's host cannot be looked up.
    #[error("the login for {repo} cannot be read: {why}")]
    LoginUnreadable { repo: String, why: String },
    /// The ssh key cannot be used.
    #[error("the ssh key for {host} cannot be used ({why}). To replace it: boatyard sources add {host} --ssh-key FILE")]
    KeyUnusable { host: String, why: String },
    /// The server's TLS certificate is not trusted.
    #[error("the certificate of {repo} is not trusted: {why}")]
    Certificate { repo: String, why: String },
    /// An ssh host key that is not pinned.
    #[error(
        "{host} presents the ssh host key {fingerprint}, but pinned {}; nothing was fetched, because somebody may intercept \
         the connection. If the operator of {host} publishes this key, pin it: boatyard sources add {host} --fingerprint \
         {fingerprint}",
        list(pinned)
    )]
    HostKeyChanged { host: String, pinned: Vec<Fingerprint>, fingerprint: Fingerprint },
    /// A redirect to another host, from https to http, or to something else than a repository.
    #[error("{repo} redirects to {to}, which is not followed. If the repository is there now, use its new address")]
    Redirect { repo: String, to: String },
    /// No progress for longer than the stall timeout.
    #[error("no progress from {repo} for {seconds} s")]
    Stalled { repo: String, seconds: u64 },
    /// Not finished before the deadline.
    #[error("the operation on {repo} did not finish within {seconds} s")]
    Deadline { repo: String, seconds: u64 },
    /// No such branch.
    #[error("branch \"{branch}\" does not exist in {repo}{}{}", has(have, *more), instead(*name_kind))]
    BranchMissing { branch: String, repo: String, have: Vec<String>, more: usize, name_kind: NameKind },
    /// No such tag.
    #[error("tag \"{tag}\" does not exist in {repo}{}", has(have, *more))]
    TagMissing { tag: String, repo: String, have: Vec<String>, more: usize },
    /// The commit does not exist: it never did, or a force-push removed it.
    #[error("commit {commit} does not exist in {repo}; it may have been removed by a force-push")]
    CommitMissing { commit: CommitId, repo: String },
    /// The commit is not in the mirror.
    #[error("commit {commit} of {repo} is not in the mirror; fetch it first")]
    NotFetched { commit: CommitId, repo: String },
    /// A repository without commits.
    #[error("{repo} is empty: push a commit first")]
    Empty { repo: String },
    /// HEAD names no branch.
    #[error("{repo} does not say which branch is its default; name one{}", has(have, *more))]
    NoDefaultBranch { repo: String, have: Vec<String>, more: usize },
    /// A directory without a repository.
    #[error("{path} is not a git repository")]
    NotARepository { path: String },
    /// A repository of a format that libgit2 does not read.
    #[error("{path} is a git repository of a format that is not supported yet: {format}; convert a clone of it")]
    UnsupportedFormat { path: String, format: String },
    /// A local repository that exists and cannot be read.
    #[error("{path} cannot be read as a git repository: {why}")]
    LocalUnreadable { path: String, why: String },
    /// A local repository that uses objects outside the allowed directories.
    #[error(
        "{path} also uses {outside}, which is not inside a directory for local sources; add it with --local-sources"
    )]
    ObjectsOutside { path: String, outside: String },
    /// `source_dir` does not exist.
    #[error("no directory \"{dir}\" in commit {commit}{}", found(near))]
    SourceDirMissing { dir: ContextPath, commit: String, near: Vec<String> },
    /// `source_dir` is not a directory.
    #[error("\"{dir}\" in commit {commit} is not a directory but {what}")]
    SourceDirNotADirectory { dir: ContextPath, commit: String, what: String },
    /// The Dockerfile does not exist.
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
    /// A tree that git never writes.
    #[error("commit {commit} contains an entry that git refuses: {path:?}")]
    HostileEntry { path: String, commit: String },
    /// Objects are missing or damaged.
    #[error("the objects of {repo} are damaged ({why}); the next fetch downloads them again")]
    Damaged { repo: String, why: String },
    /// The mirror directory cannot be used.
    #[error("cannot {doing}: {why}")]
    Disk { doing: String, why: String },
    /// The worker exited without an answer.
    #[error("the git worker for {repo} exited early ({how}); its output was discarded{}", tail(stderr))]
    WorkerDied { repo: String, how: String, stderr: String },
    /// The worker could not be started, or its answer was not valid.
    #[error("the git worker failed: {why}")]
    Worker { why: String },
}

impl SourceError {
    /// Whether the same request may succeed later without any change.
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

/// What a name that is not a branch refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameKind {
    /// Nothing known.
    #[default]
    Nothing,
    /// A tag.
    Tag,
    /// Probably a commit.
    Commit,
}

fn instead(name_kind: NameKind) -> &'static str {
    match name_kind {
        NameKind::Nothing => "",
        NameKind::Tag => ". A tag has this name, but a spec must name a branch: create a branch at the tag",
        NameKind::Commit => ". It looks like a commit, but a spec must name a branch: create a branch at the commit",
    }
}

fn has(have: &[String], more: usize) -> String {
    match (have.is_empty(), more) {
        (true, _) => "; it has none".to_owned(),
        (false, 0) => format!("; it has: {}", have.join(", ")),
        (false, more) => format!("; it has: {} and {more} more", have.join(", ")),
    }
}

fn list(pinned: &[Fingerprint]) -> String {
    match pinned {
        [] => "are none".to_owned(),
        [one] => format!("is {one}"),
        all => format!("are {}", all.iter().map(Fingerprint::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn found(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; found: {}", near.join(", ")) }
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}
