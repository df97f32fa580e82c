//! Local repositories, read in place: nothing is copied, parent directories are not searched, and no part may be
//! outside the directories for local sources, through links or alternates.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository, RepositoryOpenFlags, StatusOptions};

use crate::error::SourceError;
use crate::protocol::sanitize;
use crate::repo_url::{UrlRules, io_reason, is_inside};

/// What git2 reads in a repository. Links in other places, such as hooks, lead to files that are not read.
const READ_PATHS: [&str; 8] = ["HEAD", "config", "packed-refs", "refs", "objects", "info", "shallow", "index"];

/// Opens the repository at `path`, which may be bare or a work tree's root.
pub(super) fn open(path: &Path, rules: &UrlRules) -> Result<Repository, SourceError> {
    // Checked first: if this process has no access, git2 cannot report the reason.
    if let Some(directory) = git_directory(path).filter(|it| !is_inside(it, &rules.local_sources)) {
        return Err(leads_outside(path, &directory));
    }
    if let Some(place) = find_denied(path, &rules.local_sources) {
        return Err(unreadable(path, &format!("permission denied for {}", place.display())));
    }
    let nowhere: [&Path; 0] = [];
    let repo = Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, nowhere)
        .map_err(|error| open_error(path, &error))?;
    match find_outside(&[repo.path(), repo.commondir()], &rules.local_sources) {
        Ok(None) => Ok(repo),
        Ok(Some(outside)) => Err(leads_outside(path, &outside)),
        Err(error) => Err(unreadable(path, &io_reason(&error))),
    }
}

/// Whether tracked files of the work tree differ from the last commit. Untracked files do not count.
pub(super) fn has_uncommitted_changes(repo: &Repository, path: &Path) -> bool {
    // The configuration may name another directory as the work tree.
    let is_work_tree = repo.workdir().and_then(|it| it.canonicalize().ok()).is_some_and(|workdir| workdir == path);
    let mut options = StatusOptions::new();
    options.include_untracked(false).include_ignored(false).exclude_submodules(true).update_index(false);
    is_work_tree && repo.statuses(Some(&mut options)).is_ok_and(|statuses| !statuses.is_empty())
}

/// The directory that `.git` refers to, as a link or as a file that contains the path.
fn git_directory(path: &Path) -> Option<PathBuf> {
    let place = path.join(".git");
    if !place.is_file() {
        return place.canonicalize().ok();
    }
    let text = fs::read_to_string(&place).ok()?;
    path.join(text.strip_prefix("gitdir:")?.trim()).canonicalize().ok()
}

fn leads_outside(path: &Path, outside: &Path) -> SourceError {
    SourceError::ObjectsOutside { path: path.display().to_string(), outside: outside.display().to_string() }
}

/// The first path outside the allowed directories that the repository is read from, if any.
fn find_outside(git_directories: &[&Path], allowed: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    let mut waiting: Vec<PathBuf> = git_directories.iter().map(|it| it.to_path_buf()).collect();
    let mut object_directories = Vec::new();
    for directory in git_directories {
        waiting.extend(READ_PATHS.iter().map(|name| directory.join(name)));
        object_directories.push(directory.join("objects"));
    }
    let mut seen = BTreeSet::new();
    loop {
        if let Some(found) = first_outside(&mut waiting, git_directories, allowed)? {
            return Ok(Some(found));
        }
        let Some(objects) = object_directories.pop() else { return Ok(None) };
        // Alternates may form a cycle.
        if objects.canonicalize().is_ok_and(|resolved| seen.insert(resolved)) {
            waiting = alternates(&objects)?;
            object_directories.extend(waiting.iter().cloned());
        }
    }
}

/// Follows every link below the waiting paths. The git directories themselves are checked but not searched.
fn first_outside(
    waiting: &mut Vec<PathBuf>,
    git_directories: &[&Path],
    allowed: &[PathBuf],
) -> io::Result<Option<PathBuf>> {
    let mut seen = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        let resolved = match path.canonicalize() {
            Ok(resolved) => resolved,
            // It does not exist, or is a broken link.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !is_inside(&resolved, allowed) {
            return Ok(Some(resolved));
        }
        if git_directories.contains(&&*path) || !resolved.is_dir() || !seen.insert(resolved.clone()) {
            continue;
        }
        for entry in fs::read_dir(&resolved)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_symlink() || kind.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(None)
}

/// The object directories that the alternates of `objects` name.
fn alternates(objects: &Path) -> io::Result<Vec<PathBuf>> {
    let text = match fs::read(objects.join("info/alternates")) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    // Joining an absolute path replaces the base.
    Ok(lines.map(|line| objects.join(line)).collect())
}

/// Converts the error of opening a repository.
fn open_error(path: &Path, error: &git2::Error) -> SourceError {
    let text = error.message().to_ascii_lowercase();
    let unsupported =
        |format: &str| SourceError::UnsupportedFormat { path: path.display().to_string(), format: format.to_owned() };
    match error.code() {
        _ if text.contains("refstorage") => unsupported("references are kept in the reftable format"),
        _ if text.contains("object format") || text.contains("objectformat") => unsupported("object ids are SHA-256"),
        ErrorCode::NotFound => SourceError::NotARepository { path: path.display().to_string() },
        _ => unreadable(path, error.message()),
    }
}

/// The first part of the repository that exists and may not be read. git2 reports some of them as missing. Paths that
/// lead out of the allowed directories are left to `find_outside`.
fn find_denied(path: &Path, allowed: &[PathBuf]) -> Option<PathBuf> {
    const PARTS: [&str; 4] = ["HEAD", "config", "refs", "objects"];
    let below = |directory: PathBuf| PARTS.map(|part| directory.join(part));
    let git_directory = path.join(".git");
    let places = [path.to_owned(), git_directory.clone()].into_iter();
    places.chain(below(path.to_owned())).chain(below(git_directory)).find(|place| is_denied(place, allowed))
}

fn is_denied(place: &Path, allowed: &[PathBuf]) -> bool {
    let opened = place.canonicalize().and_then(|resolved| match resolved.is_dir() {
        _ if !is_inside(&resolved, allowed) => Ok(()),
        true => fs::read_dir(resolved).map(drop),
        false => fs::File::open(resolved).map(drop),
    });
    opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn unreadable(path: &Path, why: &str) -> SourceError {
    SourceError::LocalUnreadable { path: path.display().to_string(), why: sanitize(why, 300) }
}
