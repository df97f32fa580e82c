//! One bare mirror per remote repository, named by the hash of its address, with a lock file beside it.
//!
//! A worker may be killed at any time. A mirror is valid only once its marker is written; a directory without one is
//! removed and created again. Lock files and partial packs of a killed worker are removed while holding the lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use git2::Repository;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use super::errors::{damaged, disk, git_disk};
use crate::error::SourceError;
use crate::git_ref::CommitId;
use crate::repo_url::RepoUrl;

/// Written last; its presence means that the mirror is complete.
const MARKER: &str = "boatyard-mirror";

/// The lock of one mirror. It is released with this value or with the process.
pub(super) struct LockedMirror {
    path: PathBuf,
    _lock: File,
}

/// Waits for the lock of `repo`'s mirror, calling `waiting` about once a second. The parent's deadline ends the wait.
pub(super) fn lock(
    mirrors: &Path,
    repo: &RepoUrl,
    mut waiting: impl FnMut() -> Result<(), SourceError>,
) -> Result<LockedMirror, SourceError> {
    let doing = || format!("use the directory for mirrors, {}", mirrors.display());
    create_directory(mirrors)?;
    let path = path_of(mirrors, repo);
    let lock = lock_file(&path).map_err(|error| disk(doing(), &error))?;
    let mut last_report = None;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(LockedMirror { path, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(disk(doing(), &error.into())),
        }
        if last_report.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(1)) {
            waiting()?;
            last_report = Some(Instant::now());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Creates the directory of mirrors.
pub(super) fn create_directory(mirrors: &Path) -> Result<(), SourceError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(mirrors);
    made.map_err(|error| disk(format!("use the directory for mirrors, {}", mirrors.display()), &error))
}

impl LockedMirror {
    /// Opens the mirror. Creates it first if it does not exist or is incomplete.
    pub(super) fn open_or_create(&self) -> Result<Repository, SourceError> {
        if self.path.join(MARKER).is_file() {
            remove_leftovers(&self.path);
            if let Ok(repo) = Repository::open_bare(&self.path) {
                return Ok(repo);
            }
        }
        self.recreate()
    }

    /// Replaces the mirror by an empty one.
    pub(super) fn recreate(&self) -> Result<Repository, SourceError> {
        let doing = || format!("create the mirror {}", self.path.display());
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(doing(), &error)),
            _ => {}
        }
        let repo = Repository::init_bare(&self.path).map_err(|error| git_disk(doing(), &error))?;
        fs::write(self.path.join(MARKER), "1\n").map_err(|error| disk(doing(), &error))?;
        Ok(repo)
    }

    /// Marks the mirror as incomplete: the next fetch creates it again.
    pub(super) fn invalidate(&self) {
        let _ = fs::remove_file(self.path.join(MARKER));
    }
}

/// Opens a mirror for reading. Needs no lock, because a fetch only adds objects.
pub(super) fn open_to_read(mirrors: &Path, repo: &RepoUrl, commit: &CommitId) -> Result<Repository, SourceError> {
    let path = path_of(mirrors, repo);
    if !path.join(MARKER).is_file() {
        return Err(SourceError::NotFetched { commit: commit.clone(), repo: repo.to_string() });
    }
    Repository::open_bare(&path).map_err(|error| damaged(&error, repo))
}

/// Removes the mirrors of all repositories but these, and returns how many. A mirror with a running fetch is kept. Lock
/// files are kept too: if one were removed while another worker opens it, two workers would each hold a lock.
pub(crate) fn remove_except(mirrors: &Path, keep: &[RepoUrl]) -> Result<u32, SourceError> {
    let doing = || format!("remove mirrors from {}", mirrors.display());
    let keep: Vec<PathBuf> = keep.iter().map(|repo| path_of(mirrors, repo)).collect();
    let entries = match fs::read_dir(mirrors) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(|error| disk(doing(), &error))?,
    };
    let mut removed = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|kind| kind != "git") || keep.contains(&path) {
            continue;
        }
        let lock = lock_file(&path).map_err(|error| disk(doing(), &error))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            fs::remove_dir_all(&path).map_err(|error| disk(doing(), &error))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn lock_file(mirror: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(mirror.with_extension("lock"))
}

fn path_of(mirrors: &Path, repo: &RepoUrl) -> PathBuf {
    let hash = Sha256::digest(repo.as_str().as_bytes());
    mirrors.join(hex::encode(&hash[..16])).with_extension("git")
}

/// Removes what a killed worker leaves: lock files, which would block every later fetch, and partial packs. The caller
/// holds the lock, so none of these is in use.
fn remove_leftovers(mirror: &Path) {
    for directory in ["", "refs/boatyard/fetched", "objects/pack"] {
        let Ok(entries) = fs::read_dir(mirror.join(directory)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_partial_pack = directory == "objects/pack" && name.starts_with("pack_");
            if (is_partial_pack || name.ends_with(".lock")) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::UrlRules;

    fn repo(url: &str) -> RepoUrl {
        RepoUrl::parse(url, &UrlRules::default()).unwrap()
    }

    #[test]
    fn a_mirror_without_its_marker_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let url = repo("https://example.com/a");
        let locked = lock(dir.path(), &url, || Ok(())).unwrap();
        locked.open_or_create().unwrap();
        fs::write(locked.path.join("leftover"), "").unwrap();
        locked.open_or_create().unwrap();
        assert!(locked.path.join("leftover").exists(), "a complete mirror is kept");

        locked.invalidate();
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        assert!(matches!(open_to_read(dir.path(), &url, &commit), Err(SourceError::NotFetched { .. })));
        locked.open_or_create().unwrap();
        assert!(!locked.path.join("leftover").exists(), "an incomplete mirror is not");
        assert!(open_to_read(dir.path(), &url, &commit).is_ok());
    }

    #[test]
    fn leftovers_of_a_killed_fetch_do_not_block_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let locked = lock(dir.path(), &repo("https://example.com/a"), || Ok(())).unwrap();
        locked.open_or_create().unwrap();
        let leftovers = ["FETCH_HEAD.lock", "shallow.lock", "objects/pack/pack_abc123"];
        for name in leftovers {
            fs::write(locked.path.join(name), "").unwrap();
        }
        fs::write(locked.path.join("objects/pack/pack-1.idx"), "").unwrap();
        locked.open_or_create().unwrap();
        assert!(leftovers.iter().all(|name| !locked.path.join(name).exists()));
        assert!(locked.path.join("objects/pack/pack-1.idx").exists());
    }

    #[test]
    fn a_mirror_has_one_writer_and_two_repositories_have_two_mirrors() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path(), &repo("https://example.com/a"), || Ok(())).unwrap();
        lock(dir.path(), &repo("https://example.com/b"), || panic!("this lock is free")).unwrap();
        let stop = || Err(SourceError::Worker { why: "held".into() });
        assert!(lock(dir.path(), &repo("https://example.com/a"), stop).is_err());
        drop(first);
        lock(dir.path(), &repo("https://example.com/a"), stop).unwrap();
    }

    #[test]
    fn unused_mirrors_are_removed_unless_a_fetch_is_running() {
        let dir = tempfile::tempdir().unwrap();
        let make = |url: &str| {
            let locked = lock(dir.path(), &repo(url), || Ok(())).unwrap();
            locked.open_or_create().unwrap();
            locked
        };
        let kept = make("https://example.com/kept").path.clone();
        let gone = make("https://example.com/gone").path.clone();
        let busy = make("https://example.com/busy");
        assert_eq!(remove_except(dir.path(), &[repo("https://example.com/kept")]).unwrap(), 1);
        assert!(kept.exists() && busy.path.exists() && !gone.exists());
        assert_eq!(remove_except(&dir.path().join("missing"), &[]).unwrap(), 0);
    }
}
