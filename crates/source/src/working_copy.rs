//! A working copy as a repository with one commit, so that what is not committed yet is built like everything else.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Index, IndexAddOption, Oid, Repository, RepositoryInitOptions, Signature};

use crate::git_ref::TreeId;

/// The branch that has the files of the working copy.
pub const WORKING_COPY_BRANCH: &str = "working-copy";

/// A directory that a person works in, and a repository that receives its files.
///
/// It runs in this process, so it is only for directories that the caller chose.
pub struct WorkingCopy {
    root: PathBuf,
    /// The repository that the directory belongs to, if any.
    own: Option<Repository>,
    snapshots: Repository,
    /// Held while the repository for the files is in use.
    _lock: File,
}

/// Why a working copy cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum WorkingCopyError {
    /// Another process records the same working copy.
    #[error("another process already uses {path}")]
    InUse {
        /// The repository for the files.
        path: String,
    },
    /// A file or directory cannot be read or written.
    #[error("cannot read or write {path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Git refused.
    #[error("cannot record the files in {path}: {}", source.message())]
    Git {
        /// The directory.
        path: String,
        /// The reason.
        source: git2::Error,
    },
}

impl WorkingCopy {
    /// Opens the working copy around `directory`: the root of its repository, or `directory` itself if it belongs to none.
    /// `snapshots` is the repository for the files. It is made if there is none, or if the old one has grown large.
    /// `left_out`: files that are not recorded.
    pub fn open(directory: &Path, snapshots: &Path, left_out: &[PathBuf]) -> Result<Self, WorkingCopyError> {
        let directory = directory.canonicalize().map_err(io_error(directory))?;
        let own = Repository::discover(&directory).ok();
        let root = own.as_ref().and_then(|it| it.workdir()?.canonicalize().ok()).unwrap_or(directory);
        let lock = locked(snapshots)?;
        // It has the files of every earlier snapshot.
        if size_of(&snapshots.join("objects")) > MAX_SIZE {
            fs::remove_dir_all(snapshots).map_err(io_error(snapshots))?;
        }
        let snapshots = repository(snapshots, &root, own.as_ref(), left_out).map_err(git_error(&root))?;
        Ok(Self { root, own, snapshots, _lock: lock })
    }

    /// The directory with all files of the working copy.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The addresses that the repository of the working copy fetches from and pushes to.
    pub fn remotes(&self) -> Vec<String> {
        let Some(own) = &self.own else { return Vec::new() };
        let names = own
            .remotes()
            .into_iter()
            .flat_map(|names| names.iter().flatten().flatten().map(str::to_owned).collect::<Vec<_>>());
        names.filter_map(|name| own.find_remote(&name).ok()?.url().ok().map(str::to_owned)).collect()
    }

    /// Records the files as they are now as the only commit of [`WORKING_COPY_BRANCH`]: tracked ones, and untracked ones
    /// that git does not ignore, except files with the name `.env`. Equal files give an equal tree. Files that did not change since the last call
    /// are not read again.
    pub fn record(&self) -> Result<TreeId, WorkingCopyError> {
        self.recorded().map_err(git_error(&self.root))
    }

    /// The directories whose files are missing from snapshots, because this process cannot list them, with the system's
    /// reason. Their paths are relative to the root. Git reports no error for them.
    pub fn unreadable_directories(&self) -> Vec<(PathBuf, io::Error)> {
        let mut unreadable = Vec::new();
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            match fs::read_dir(self.root.join(&directory)) {
                Ok(entries) => {
                    let inner = entries.flatten().filter(|it| it.file_type().is_ok_and(|it| it.is_dir()));
                    let inner = inner.map(|it| directory.join(it.file_name()));
                    directories.extend(inner.filter(|it| !self.is_left_out(it)));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => unreadable.push((directory, error)),
            }
        }
        unreadable.sort_by(|(one, _), (other, _)| one.cmp(other));
        unreadable
    }

    /// Whether snapshots leave out a directory on purpose: it is ignored, or has a repository of its own.
    fn is_left_out(&self, directory: &Path) -> bool {
        directory.ends_with(".git")
            || self.root.join(directory).join(".git").exists()
            || self.snapshots.is_path_ignored(directory).unwrap_or(false)
    }

    fn recorded(&self) -> Result<TreeId, git2::Error> {
        let mut index = self.snapshots.index()?;
        // A directory with a repository of its own ends with a slash. The source worker reports what a submodule lacks.
        let skips_repositories =
            &mut |path: &Path, _: &[u8]| i32::from(path.as_os_str().as_encoded_bytes().ends_with(b"/"));
        index.add_all(["*"], IndexAddOption::DEFAULT, Some(skips_repositories))?;
        index.update_all(["*"], None)?;
        self.remove_ignored(&mut index)?;
        self.add_ignored_but_tracked(&mut index)?;
        index.write()?;
        let tree = index.write_tree()?;
        if self.newest()? != Some(tree) {
            let author = Signature::now("boatyard dev", "boatyard@localhost")?;
            let commit =
                self.snapshots.commit(None, &author, &author, MESSAGE, &self.snapshots.find_tree(tree)?, &[])?;
            self.snapshots.reference(&format!("refs/heads/{WORKING_COPY_BRANCH}"), commit, true, MESSAGE)?;
        }
        TreeId::parse(&tree.to_string()).map_err(|error| git2::Error::from_str(&error.to_string()))
    }

    /// A rule may be newer than the last snapshot, which has the files that it ignores.
    fn remove_ignored(&self, index: &mut Index) -> Result<(), git2::Error> {
        let paths: Vec<_> = index.iter().filter_map(|it| String::from_utf8(it.path).ok()).collect();
        for path in paths {
            if self.snapshots.is_path_ignored(&path)? {
                index.remove_path(Path::new(&path))?;
            }
        }
        Ok(())
    }

    /// Git keeps tracking a file that a rule ignores.
    fn add_ignored_but_tracked(&self, index: &mut Index) -> Result<(), git2::Error> {
        let Some(own) = &self.own else { return Ok(()) };
        for entry in own.index()?.iter() {
            let Ok(path) = std::str::from_utf8(&entry.path) else { continue };
            if index.get_path(Path::new(path), 0).is_none()
                && self.root.join(path).symlink_metadata().is_ok_and(|it| !it.is_dir())
            {
                index.add_path(Path::new(path))?;
            }
        }
        Ok(())
    }

    /// The tree of the last snapshot.
    fn newest(&self) -> Result<Option<Oid>, git2::Error> {
        match self.snapshots.find_reference(&format!("refs/heads/{WORKING_COPY_BRANCH}")) {
            Ok(branch) => branch.peel_to_tree().map(|it| Some(it.id())),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The size in bytes from which a repository for files is made anew. Our choice: many snapshots of most projects.
const MAX_SIZE: u64 = 2 * 1024 * 1024 * 1024;
const MESSAGE: &str = "Files of the working copy";

fn locked(snapshots: &Path) -> Result<File, WorkingCopyError> {
    if let Some(parent) = snapshots.parent() {
        fs::create_dir_all(parent).map_err(io_error(parent))?;
    }
    let path = snapshots.with_extension("lock");
    let file = File::create(&path).map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WorkingCopyError::InUse { path: snapshots.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
    }
}

/// The size of all files below a directory in bytes. What cannot be read does not count.
fn size_of(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|it| Some((it.path(), it.metadata().ok()?)))
        .fold(0, |sum, (path, found)| sum + if found.is_dir() { size_of(&path) } else { found.len() })
}

fn repository(
    path: &Path,
    root: &Path,
    own: Option<&Repository>,
    left_out: &[PathBuf],
) -> Result<Repository, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head(WORKING_COPY_BRANCH);
    let repository = Repository::init_opts(path, &options)?;
    // Objects are read once, by the fetch that follows.
    repository.config()?.set_i32("core.looseCompression", 0)?;
    repository.set_workdir(root, false)?;
    // Secrets for development. A build must not copy them into an image.
    repository.add_ignore_rule(".env\n.env.local\n.env.*.local\n")?;
    let left_out = left_out.iter().filter_map(|it| it.canonicalize().ok());
    for file in left_out.filter_map(|it| Some(it.strip_prefix(root).ok()?.to_str()?.to_owned())) {
        repository.add_ignore_rule(&format!("/{file}\n"))?;
    }
    let Some(own) = own else { return Ok(repository) };
    let configured = own.config().and_then(|it| it.get_path("core.excludesFile")).ok();
    for file in [Some(own.commondir().join("info/exclude")), configured].into_iter().flatten() {
        if let Ok(rules) = fs::read_to_string(file) {
            repository.add_ignore_rule(&rules)?;
        }
    }
    Ok(repository)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> WorkingCopyError {
    move |source| WorkingCopyError::Io { path: path.display().to_string(), source }
}

fn git_error(path: &Path) -> impl FnOnce(git2::Error) -> WorkingCopyError {
    move |source| WorkingCopyError::Git { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder {
        _folder: tempfile::TempDir,
        root: PathBuf,
        snapshots: PathBuf,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (root, snapshots) = (folder.path().join("shop"), folder.path().join("copies/shop.git"));
            fs::create_dir(&root).unwrap();
            Self { _folder: folder, root, snapshots }
        }

        fn write(&self, path: &str, text: &str) {
            let place = self.root.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        }

        fn open(&self) -> WorkingCopy {
            WorkingCopy::open(&self.root, &self.snapshots, &[]).unwrap()
        }
    }

    /// The paths of the newest snapshot.
    fn paths(copy: &WorkingCopy) -> Vec<String> {
        let repository = Repository::open_bare(copy.snapshots.path()).unwrap();
        let branch = repository.find_reference(&format!("refs/heads/{WORKING_COPY_BRANCH}")).unwrap();
        let mut paths = Vec::new();
        let walk = |directory: &str, entry: &git2::TreeEntry<'_>| {
            if entry.kind() != Some(git2::ObjectType::Tree) {
                paths.push(format!("{directory}{}", entry.name().unwrap()));
            }
            git2::TreeWalkResult::Ok
        };
        branch.peel_to_tree().unwrap().walk(git2::TreeWalkMode::PreOrder, walk).unwrap();
        paths
    }

    #[test]
    fn a_snapshot_has_what_git_tracks_or_would_add() {
        let folder = Folder::new();
        let own = Repository::init(&folder.root).unwrap();
        for path in [
            ".env",
            "app/.env",
            "app/.env.local",
            "conf/dev.env",
            "app/.env.example",
            "kept.log",
            "other.log",
            "node_modules/a/b.js",
            "private/key",
            "src/a.js",
        ] {
            folder.write(path, "1");
        }
        folder.write(".gitignore", "*.log\nnode_modules/\n");
        fs::write(own.path().join("info/exclude"), "private/\n").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.root.join("link")).unwrap();
        let mut index = own.index().unwrap();
        index.add_all(["kept.log"], IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        let copy = WorkingCopy::open(&folder.root.join("src"), &folder.snapshots, &[folder.root.join("conf/dev.env")])
            .unwrap();
        copy.record().unwrap();
        assert_eq!(paths(&copy), [".gitignore", "app/.env.example", "kept.log", "link", "src/a.js"]);
        assert_eq!(copy.root(), folder.root.canonicalize().unwrap());
    }

    #[test]
    fn equal_files_give_an_equal_tree_and_removed_ones_are_gone() {
        let folder = Folder::new();
        folder.write("a", "1");
        folder.write("b/c", "1");
        let copy = folder.open();
        let first = copy.record().unwrap();
        assert_eq!(copy.record().unwrap(), first);
        folder.write("a", "22");
        let second = copy.record().unwrap();
        assert_ne!(second, first);
        fs::remove_dir_all(folder.root.join("b")).unwrap();
        copy.record().unwrap();
        assert_eq!(paths(&copy), ["a"]);
        folder.write("b/c", "1");
        assert_eq!(copy.record().unwrap(), second);
    }

    #[test]
    fn a_file_that_is_ignored_later_is_gone_also_for_the_next_process() {
        let folder = Folder::new();
        for path in ["a", "b", "app/secret"] {
            folder.write(path, "1");
        }
        let copy = folder.open();
        copy.record().unwrap();
        folder.write(".gitignore", "secret\n");
        copy.record().unwrap();
        assert_eq!(paths(&copy), [".gitignore", "a", "b"]);
        drop(copy);
        folder.write(".gitignore", "b\n");
        let copy = folder.open();
        copy.record().unwrap();
        assert_eq!(paths(&copy), [".gitignore", "a", "app/secret"]);
    }

    #[test]
    fn repositories_inside_the_directory_are_left_out() {
        let folder = Folder::new();
        folder.write("a", "1");
        Repository::init(folder.root.join("empty")).unwrap();
        let inner = Repository::init(folder.root.join("inner")).unwrap();
        folder.write("inner/b", "1");
        let (tree, who) = (inner.index().unwrap().write_tree().unwrap(), Signature::now("a", "a@b").unwrap());
        inner.commit(Some("HEAD"), &who, &who, "one", &inner.find_tree(tree).unwrap(), &[]).unwrap();
        let copy = folder.open();
        copy.record().unwrap();
        assert_eq!(paths(&copy), ["a"]);
    }

    #[test]
    fn directories_that_cannot_be_listed_are_named_unless_they_are_left_out() {
        let folder = Folder::new();
        let own = Repository::init(&folder.root).unwrap();
        for directory in ["data/secret", "ignored/secret", "inner", ".git/secret"] {
            folder.write(&format!("{directory}/a"), "1");
        }
        Repository::init(folder.root.join("inner")).unwrap();
        folder.write(".gitignore", "ignored/\n");
        let closed = ["data/secret", "ignored/secret", "inner", ".git/secret"].map(|it| folder.root.join(it));
        let set_mode = |mode: u32| {
            closed.iter().for_each(|it| fs::set_permissions(it, fs::Permissions::from_mode(mode)).unwrap());
        };
        set_mode(0o000);
        drop(own);
        let found = std::thread::scope(|scope| {
            let unreadable = || {
                // Root may list everything. This applies to one thread.
                confine::confine(rustix::thread::CapabilitySet::empty(), &[]).unwrap();
                let copy = folder.open();
                copy.record().unwrap();
                (copy.unreadable_directories(), paths(&copy))
            };
            scope.spawn(unreadable).join().unwrap()
        });
        set_mode(0o700);
        let (unreadable, recorded) = found;
        let named: Vec<_> = unreadable.iter().map(|(path, error)| (path.to_str().unwrap(), error.kind())).collect();
        // That the last one is a repository cannot be seen.
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(named, [("data/secret", denied), ("inner", denied)]);
        assert_eq!(recorded, [".gitignore"]);
    }

    #[test]
    fn remotes_are_listed_and_a_second_process_is_refused() {
        let folder = Folder::new();
        let own = Repository::init(&folder.root).unwrap();
        own.remote("origin", "git@github.com:acme/shop.git").unwrap();
        let copy = folder.open();
        assert_eq!(copy.remotes(), ["git@github.com:acme/shop.git"]);
        let error = WorkingCopy::open(&folder.root, &folder.snapshots, &[]).map(drop).unwrap_err();
        assert!(matches!(error, WorkingCopyError::InUse { .. }), "{error}");
        drop(copy);
        folder.open().record().unwrap();
    }
}
