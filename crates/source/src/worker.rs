//! The worker: handles one request and exits. All code that calls git is below this module.

mod addresses;
mod context;
mod errors;
mod fetch;
mod http;
mod local;
pub(crate) mod mirror;
mod options;
mod privileges;
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
use crate::repo_url::{RepoLocation, RepoUrl, UrlRules};

/// The hidden subcommand `source-worker`: reads one request from `stdin` and writes the answer to `stdout`. `is_wanted`:
/// whether a directory is read with the text of the file at a path.
///
/// It changes the whole process (resource limits, git options, a thread that kills it when `stdin` closes), so the
/// process must do nothing else. Exit code 0 if an answer was written, even if that is an error; 2 without a valid
/// request.
pub fn run_worker(stdin: impl Read + Send + 'static, mut stdout: impl Write, is_wanted: fn(&str) -> bool) -> ExitCode {
    let dropped = privileges::drop_privileges();
    let mut stdin = BufReader::new(stdin);
    let mut line = Vec::new();
    if (&mut stdin).take(MAX_REQUEST).read_until(b'\n', &mut line).is_err() {
        return ExitCode::from(2);
    }
    let request: Request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => {
            // The request is not printed: it may contain a token.
            eprintln!("this is an internal command of Boatyard; the request is not valid (column {})", error.column());
            return ExitCode::from(2);
        }
    };
    // Threads inherit the restrictions of the thread that starts them, so this comes first.
    let prepared = dropped.and_then(|()| prepare(&request));
    resource_limits::exit_with_parent(stdin, request.limits.total);
    let outcome = prepared.and_then(|repo| answer(&request, &repo, is_wanted, &mut stdout));
    let written = match outcome {
        Ok(()) => Ok(()),
        Err(error) => serde_json::to_vec(&error)
            .map_err(std::io::Error::other)
            .and_then(|json| write_frame(&mut stdout, FrameKind::Failed, &json)),
    };
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Restricts this process and checks the address again, so that a mistake in the parent has no effect here.
fn prepare(request: &Request) -> Result<RepoUrl, SourceError> {
    resource_limits::set_resource_limits(&request.limits)?;
    let repo = parse(&request.repo, &request.rules)?;
    privileges::restrict_files(request, &repo)?;
    Ok(repo)
}

fn parse(address: &str, rules: &UrlRules) -> Result<RepoUrl, SourceError> {
    RepoUrl::parse(address, rules).map_err(|error| SourceError::Address(error.to_string()))
}

fn answer(
    request: &Request,
    repo: &RepoUrl,
    is_wanted: fn(&str) -> bool,
    out: &mut impl Write,
) -> Result<(), SourceError> {
    let streams_context = matches!(request.action, Action::Context { .. });
    options::harden(&request.limits, !streams_context)?;
    match &request.action {
        Action::Fetch { git_ref, address, login } => {
            let address = address.as_deref().map(|it| parse(it, &request.rules)).transpose()?;
            let server = address.as_ref().unwrap_or(repo);
            let resolved = fetch::fetch(request, repo, git_ref, (server, login.as_ref()), out)?;
            report(out, FrameKind::Report, &resolved)
        }
        Action::HostKey => {
            let presented = fetch::host_key(request, repo, out)?;
            report(out, FrameKind::Report, &presented)
        }
        Action::Identity { commit, selection } => {
            let opened = open(request, repo, commit)?;
            let reader = tree::CommitReader::commit(&opened, repo, commit, &request.limits)?;
            report(out, FrameKind::Report, &reader.identity(selection)?)
        }
        Action::Directory { commit, path } => {
            let opened = open(request, repo, commit)?;
            let reader = tree::CommitReader::commit(&opened, repo, commit, &request.limits)?;
            report(out, FrameKind::Report, &reader.directory(path, is_wanted)?)
        }
        Action::Context { commit, selection } => {
            let opened = open(request, repo, commit)?;
            let reader = tree::CommitReader::commit(&opened, repo, commit, &request.limits)?;
            context::send(&reader, selection, out)
        }
    }
}

/// Opens the repository to read objects from: a local one in place, or the mirror of a remote one.
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
