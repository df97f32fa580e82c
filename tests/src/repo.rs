//! A git repository to deploy from, which a test creates and changes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use git2::{Index, IndexAddOption, IndexEntry, IndexTime, Oid, Repository, Signature};

/// A repository with a branch `main`.
pub struct Repo {
    path: PathBuf,
    repository: Repository,
}

impl Repo {
    /// An empty repository at `path`.
    pub fn init(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let mut options = git2::RepositoryInitOptions::new();
        options.initial_head("main");
        let repository = Repository::init_opts(&path, &options)?;
        Ok(Self { path, repository })
    }

    /// Writes a file, with its folders.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, text)?)
    }

    /// Copies a folder's files in.
    pub fn copy_from(&self, folder: &Path) -> Result<()> {
        copy(folder, &self.path)
    }

    /// Commits all files. Returns the commit's id.
    pub fn commit(&self, message: &str) -> Result<String> {
        let mut index = self.repository.index()?;
        index.add_all(["."], IndexAddOption::DEFAULT, None)?;
        index.update_all(["."], None)?;
        index.write()?;
        self.commit_index(index, message)
    }

    /// Commits a submodule at `path`, whose own repository does not exist. [`Repo::commit`] removes it again.
    pub fn commit_submodule(&self, path: &str) -> Result<String> {
        let mut index = self.repository.index()?;
        let mut entry = empty_entry();
        entry.mode = 0o160_000;
        entry.id = self.repository.head()?.peel_to_commit()?.id();
        entry.path = path.into();
        index.add(&entry)?;
        self.commit_index(index, "a submodule")
    }

    fn commit_index(&self, mut index: Index, message: &str) -> Result<String> {
        let tree = self.repository.find_tree(index.write_tree()?)?;
        let author = Signature::now("Boatyard tests", "tests@boatyard.invalid")?;
        let parent = self.repository.head().ok().and_then(|head| head.peel_to_commit().ok());
        let parents: Vec<_> = parent.iter().collect();
        let id = self.repository.commit(Some("HEAD"), &author, &author, message, &tree, &parents)?;
        Ok(id.to_string())
    }

    /// The URL of the repository, for `repo_clone_url`.
    pub fn url(&self) -> String {
        self.path.display().to_string()
    }

    /// Removes the repository from the disk.
    pub fn remove(self) -> Result<()> {
        Ok(std::fs::remove_dir_all(&self.path)?)
    }
}

fn empty_entry() -> IndexEntry {
    IndexEntry {
        ctime: IndexTime::new(0, 0),
        mtime: IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode: 0,
        uid: 0,
        gid: 0,
        file_size: 0,
        id: Oid::ZERO_SHA1,
        flags: 0,
        flags_extended: 0,
        path: Vec::new(),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
