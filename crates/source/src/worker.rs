//! The worker: one request, one answer, then the process ends. Everything that calls git is below this module.

mod context;
mod errors;
mod fetch;
mod local;
pub(crate) mod mirror;
mod options;
mod privileges;
mod relay;
mod resolve;
mod resource_limits;
mod session;
mod tree;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use git2::Repository;

use crate::error::SourceError;
use crate::git_ref::CommitId;
use crate::protocol::{Action, FrameKind, MAX_REQUEST, Request, write_frame};
use crate::repo_url::{RepoLocation, RepoUrl};

/// The body of the hidden subcommand `source-worker`: reads one request from `stdin`, writes the answer to `stdout`.
///
/// It changes the whole process (resource limits, git options, a thread that ends it when `stdin` closes), so nothing else
/// belongs into it. Exit code 0 when an answer was written, even if it is an error; 2 without an understandable request.
pub fn run_worker(stdin: impl Read + Send + 'static, mut stdout: impl Write) -> ExitCode {
    let dropped = privileges::drop_privileges();
    let mut stdin = BufReader::new(stdin);
    let mut line = Vec::new();
    if (&mut stdin).take(MAX_REQUEST).read_until(b'\n', &mut line).is_err() {
        return ExitCode::from(2);
    }
    let request: Request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => {
            // The text of a request is not repeated: it may hold a token.
            eprintln!("this is an internal command of Boatyard; no request was understood (column {})", error.column());
            return ExitCode::from(2);
        }
    };
    // Threads inherit what was given up before they start, so this comes first.
    let prepared = dropped.and_then(|()| prepare(&request));
    resource_limits::exit_with_parent(stdin, request.limits.total);
    let outcome = prepared.and_then(|repo| answer(&request, &repo, &mut stdout));
    let written = match outcome {
        Ok(()) => Ok(()),
        Err(error) => serde_json::to_vec(&error)
            .map_err(std::io::Error::other)
            .and_then(|json| write_frame(&mut stdout, FrameKind::Failed, &json)),
    };
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Limits and confines this process, and checks the address as the parent has: a mistake there must not lead here.
fn prepare(request: &Request) -> Result<RepoUrl, SourceError> {
    resource_limits::set_resource_limits(&request.limits)?;
    let repo =
        RepoUrl::parse(&request.repo, &request.rules).map_err(|error| SourceError::Address(error.to_string()))?;
    privileges::restrict_files(request, &repo)?;
    Ok(repo)
}

fn answer(request: &Request, repo: &RepoUrl, out: &mut impl Write) -> Result<(), SourceError> {
    options::harden(&request.limits)?;
    match &request.action {
        Action::Fetch { git_ref, credentials, known_hosts } => {
            let login = session::Login { credentials: credentials.as_ref(), known_hosts };
            let resolved = fetch::fetch(request, repo, git_ref, login, out)?;
            report(out, FrameKind::Report, &resolved)
        }
        Action::Identity { commit, selection } => {
            let opened = open(request, repo, commit)?;
            let reader = tree::CommitReader::commit(&opened, repo, commit, &request.limits)?;
            report(out, FrameKind::Report, &reader.identity(selection)?)
        }
        Action::Directory { commit, path, wanted } => {
            let opened = open(request, repo, commit)?;
            let reader = tree::CommitReader::commit(&opened, repo, commit, &request.limits)?;
            report(out, FrameKind::Report, &reader.directory(path, wanted)?)
        }
        Action::Context { commit, selection } => {
            let opened = open(request, repo, commit)?;
            let reader = tree::CommitReader::commit(&opened, repo, commit, &request.limits)?;
            context::send(&reader, selection, out)
        }
    }
}

/// The repository to read objects from: a local one in place, a remote one's mirror.
fn open(request: &Request, repo: &RepoUrl, commit: &CommitId) -> Result<Repository, SourceError> {
    match repo.location() {
        RepoLocation::Local { path } => local::open(path, &request.rules),
        RepoLocation::Http { .. } | RepoLocation::Ssh { .. } => mirror::open_to_read(&request.mirrors, repo, commit),
    }
}

/// Writes one frame of JSON.
fn report(out: &mut impl Write, kind: FrameKind, value: &impl serde::Serialize) -> Result<(), SourceError> {
    let json = serde_json::to_vec(value).map_err(|error| SourceError::Worker { why: error.to_string() })?;
    write_frame(out, kind, &json).map_err(|error| errors::pipe(&error))
}
