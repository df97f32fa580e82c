//! Fetches into a mirror under its lock: only the requested reference, without history if the server supports that.
//!
//! References are stored under hashed names, so that a server's branch name never becomes a path on disk, and a branch
//! `a` that was replaced by `a/b` causes no conflict.

use std::io::Write;

use git2::{AutotagOption, Direction, FetchOptions, Oid, Remote, Repository};
use sha2::{Digest, Sha256};

use super::session::Session;
use super::{errors, local, mirror, report, resolve};
use crate::credentials::{Fingerprint, Login};
use crate::error::SourceError;
use crate::git_ref::GitRef;
use crate::identity::Resolved;
use crate::protocol::{FetchProgress, FrameKind, Request};
use crate::repo_url::{RepoLocation, RepoUrl};

/// The whole history, also what an earlier fetch left out (libgit2's GIT_FETCH_DEPTH_UNSHALLOW).
const WHOLE_HISTORY: i32 = i32::MAX;

/// Fetches `git_ref` and returns its commit. `server`: the address to fetch from, and the login for its host.
pub(super) fn fetch(
    request: &Request,
    repo: &RepoUrl,
    git_ref: &GitRef,
    (server, login): (&RepoUrl, Option<&Login>),
    out: &mut impl Write,
) -> Result<Resolved, SourceError> {
    if let RepoLocation::Local { path } = repo.location() {
        let opened = local::open(path, &request.rules)?;
        let resolved = resolve::local(&opened, repo, git_ref)?;
        let is_checked_out = opened
            .head()
            .is_ok_and(|head| head.target().is_some_and(|head| head.to_string() == resolved.commit.as_str()));
        let uncommitted = is_checked_out && local::has_uncommitted_changes(&opened, path);
        return Ok(Resolved { uncommitted, ..resolved });
    }
    let locked = mirror::lock(&request.mirrors, repo, || report(out, FrameKind::Progress, &FetchProgress::Waiting))?;
    let opened = locked.open_or_create()?;
    let session = Session::new(server, login, request, out);
    let outcome = fetch_from_server(&opened, repo, git_ref, &session);
    if let Err(SourceError::Damaged { .. }) = &outcome {
        // A crash or a full disk damaged the mirror. Fetch everything again now, not at the next request.
        drop(opened);
        return fetch_from_server(&locked.recreate()?, repo, git_ref, &session).inspect_err(|_| locked.invalidate());
    }
    outcome
}

/// The key that an ssh server presents. The connection ends before a login.
pub(super) fn host_key(request: &Request, server: &RepoUrl, out: &mut impl Write) -> Result<Fingerprint, SourceError> {
    let session = Session::new(server, None, request, out);
    let failed = |error: git2::Error| session.failure(&error);
    let mut remote = Remote::create_detached(session.connect_address()?).map_err(failed)?;
    let connected = remote.connect_auth(Direction::Fetch, Some(session.callbacks()), None).map(drop);
    match connected.map_err(failed) {
        Err(SourceError::HostKeyChanged { fingerprint, .. }) => Ok(fingerprint),
        Err(error) => Err(error),
        Ok(()) => Err(SourceError::Worker { why: format!("{server} was not asked for its key") }),
    }
}

fn fetch_from_server<W: Write>(
    opened: &Repository,
    repo: &RepoUrl,
    git_ref: &GitRef,
    session: &Session<'_, W>,
) -> Result<Resolved, SourceError> {
    if let GitRef::Commit(commit) = git_ref
        && let Some(resolved) = already_fetched(opened, repo, parse(commit.as_str(), repo)?, None)?
    {
        return Ok(resolved);
    }
    let address = session.connect_address()?;
    let mut remote = opened.remote_anonymous(address).map_err(|error| session.failure(&error))?;
    let mut connection = remote
        .connect_auth(Direction::Fetch, Some(session.callbacks()), None)
        .map_err(|error| session.failure(&error))?;
    session.report_progress(&FetchProgress::Connected);
    let listed = connection.list().map_err(|error| session.failure(&error))?;
    let heads = resolve::Heads {
        all: listed
            .iter()
            .filter(|head| head.name().starts_with("refs/"))
            .map(|head| (head.name().to_owned(), head.oid()))
            .collect(),
        default: listed
            .iter()
            .find(|head| head.name() == "HEAD")
            .and_then(|head| head.symref_target().map(str::to_owned)),
    };
    let found = heads.find(git_ref, repo)?;
    if let Some(found) = &found
        && let Some(resolved) = already_fetched(opened, repo, found.id, found.branch.clone())?
    {
        return Ok(resolved);
    }
    let remote = connection.remote();
    let Some(found) = found else { return fetch_by_id(opened, repo, git_ref, remote, session) };
    let refspec = format!("+{}:{}", found.reference, mirror_ref_name(&found.reference));
    receive(remote, &[&refspec], 1, session)?;
    resolve::describe(&resolve::peel(opened, repo, found.id)?, found.branch, true)
}

/// Fetches a commit by its id. Many servers serve any commit they have, others only commits that a reference names.
fn fetch_by_id<W: Write>(
    opened: &Repository,
    repo: &RepoUrl,
    git_ref: &GitRef,
    remote: &mut git2::Remote<'_>,
    session: &Session<'_, W>,
) -> Result<Resolved, SourceError> {
    let GitRef::Commit(commit) = git_ref else {
        return Err(SourceError::Worker { why: "the server's list has no such reference".to_owned() });
    };
    let refspec = format!("+{commit}:{}", mirror_ref_name(commit.as_str()));
    if receive(remote, &[&refspec], 1, session).is_err() || !has_commit(opened, parse(commit.as_str(), repo)?) {
        let everything = ["+refs/heads/*:refs/boatyard/heads/*", "+refs/tags/*:refs/boatyard/tags/*"];
        receive(remote, &everything, WHOLE_HISTORY, session)?;
    }
    resolve::describe(&resolve::find_commit(opened, repo, commit)?, None, true)
}

/// The commit, if it is in the mirror and needs no transfer.
fn already_fetched(
    opened: &Repository,
    repo: &RepoUrl,
    id: Oid,
    branch: Option<String>,
) -> Result<Option<Resolved>, SourceError> {
    let odb = opened.odb().map_err(|error| errors::damaged(&error, repo))?;
    if !odb.exists(id) {
        return Ok(None);
    }
    let commit = resolve::peel(opened, repo, id)?;
    // A pack contains a commit with its tree or not at all. Without the tree the mirror is damaged.
    commit.tree().map_err(|error| errors::damaged(&error, repo))?;
    resolve::describe(&commit, branch, false).map(Some)
}

fn has_commit(opened: &Repository, id: Oid) -> bool {
    opened.find_commit(id).is_ok()
}

fn receive<W: Write>(
    remote: &mut git2::Remote<'_>,
    refspecs: &[&str],
    depth: i32,
    session: &Session<'_, W>,
) -> Result<(), SourceError> {
    let mut attempt = |depth| {
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(session.callbacks())
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            .depth(depth);
        remote.fetch(refspecs, Some(&mut options), None)
    };
    match attempt(depth) {
        // The server does not support shallow fetches. Fetch with history.
        Err(error) if depth == 1 && error.message().contains("shallow") => attempt(0),
        other => other,
    }
    .map_err(|error| session.failure(&error))
}

fn mirror_ref_name(reference: &str) -> String {
    let hash = Sha256::digest(reference.as_bytes());
    format!("refs/boatyard/fetched/{}", hex::encode(&hash[..16]))
}

fn parse(id: &str, repo: &RepoUrl) -> Result<Oid, SourceError> {
    Oid::from_str(id).map_err(|error| errors::damaged(&error, repo))
}
