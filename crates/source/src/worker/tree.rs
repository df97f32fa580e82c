//! Reads one commit's tree: the build context, its Dockerfile and ignore file, the files below a directory.
//!
//! Paths are followed through tree objects part by part. A link on the way is not followed but reported.

use std::collections::VecDeque;

use git2::{Commit, ObjectType, Oid, Repository, Tree};

use super::errors::damaged;
use super::resolve::{find_commit, tree_id};
use crate::context_path::ContextPath;
use crate::directory::{DirectoryReader, IGNORE_FILE};
use crate::dockerignore::Dockerignore;
use crate::error::SourceError;
use crate::git_ref::CommitId;
use crate::identity::{Directory, DockerfileChoice, Identity, Note, RESERVED_DOCKERFILE, Selection};
use crate::limits::Limits;
use crate::protocol::sanitize;
use crate::repo_url::{RepoLocation, RepoUrl};

pub(super) const FILE: i32 = 0o100_644;
pub(super) const EXECUTABLE: i32 = 0o100_755;
pub(super) const LINK: i32 = 0o120_000;
pub(super) const DIRECTORY: i32 = 0o040_000;
pub(super) const SUBMODULE: i32 = 0o160_000;

/// Names suggested in an error, and tree entries searched for them.
const MAX_SUGGESTIONS: usize = 8;
const MAX_SEARCHED: usize = 50_000;

/// One commit of one repository.
pub(super) struct CommitReader<'r> {
    pub(super) opened: &'r Repository,
    pub(super) repo: &'r RepoUrl,
    pub(super) commit: Commit<'r>,
    pub(super) limits: &'r Limits,
}

/// The entry at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: Oid,
    pub(super) mode: i32,
}

/// A Dockerfile, its path, and its name in the context.
pub(super) struct Dockerfile {
    pub(super) blob: Oid,
    pub(super) text: String,
    pub(super) in_context: String,
    /// Whether it must be added to the tar under [`RESERVED_DOCKERFILE`].
    pub(super) added: bool,
    note: Option<Note>,
    /// Its path in the repository; `None` for a generated one.
    path: Option<ContextPath>,
}

impl<'r> CommitReader<'r> {
    /// Errors: `CommitMissing` in a local repository, `NotFetched` if the mirror does not have the commit.
    pub(super) fn commit(
        opened: &'r Repository,
        repo: &'r RepoUrl,
        commit: &CommitId,
        limits: &'r Limits,
    ) -> Result<Self, SourceError> {
        let commit = find_commit(opened, repo, commit).map_err(|error| match (error, repo.location()) {
            (SourceError::CommitMissing { commit, repo }, RepoLocation::Http { .. } | RepoLocation::Ssh { .. }) => {
                SourceError::NotFetched { commit, repo }
            }
            (error, _) => error,
        })?;
        Ok(Self { opened, repo, commit, limits })
    }

    pub(super) fn identity(&self, selection: &Selection) -> Result<Identity, SourceError> {
        let context = self.directory_tree(&selection.source_dir)?;
        let dockerfile = self.dockerfile(selection)?;
        let ignore = self.ignore_file(selection, &dockerfile)?;
        Ok(Identity {
            context_tree: tree_id(context.id())?,
            dockerfile_blob: tree_id(dockerfile.blob)?,
            dockerfile_text: dockerfile.text,
            dockerfile_in_context: dockerfile.in_context,
            ignore_blob: ignore.map(|(_, blob)| tree_id(blob)).transpose()?,
            notes: dockerfile.note.into_iter().collect(),
        })
    }

    pub(super) fn directory(&self, path: &ContextPath, is_wanted: fn(&str) -> bool) -> Result<Directory, SourceError> {
        let root = self.directory_tree(path)?;
        let mut reader = DirectoryReader::new(is_wanted, self.ignore_text(&root)?.as_deref());
        let mut waiting = VecDeque::from([(String::new(), root.id())]);
        while let Some((prefix, id)) = waiting.pop_front() {
            let tree = self.opened.find_tree(id).map_err(|error| damaged(&error, self.repo))?;
            for entry in &tree {
                if !reader.count() {
                    return Ok(reader.finish());
                }
                let Ok(name) = entry.name() else { continue };
                let path = format!("{prefix}{name}");
                match entry.filemode_raw() {
                    DIRECTORY if reader.enters(&path) => waiting.push_back((format!("{path}/"), entry.id())),
                    LINK => drop(reader.add(&path)),
                    mode if is_file(mode) && reader.add(&path) => self.add_text(&mut reader, &path, entry.id())?,
                    _ => {}
                }
            }
        }
        Ok(reader.finish())
    }

    fn add_text(&self, reader: &mut DirectoryReader, path: &str, blob: Oid) -> Result<(), SourceError> {
        if !reader.wants(path, 0) {
            return Ok(());
        }
        let odb = self.opened.odb().map_err(|error| damaged(&error, self.repo))?;
        let (size, _) = odb.read_header(blob).map_err(|error| damaged(&error, self.repo))?;
        if reader.wants(path, size as u64) {
            reader.add_text(path, odb.read(blob).map_err(|error| damaged(&error, self.repo))?.data());
        }
        Ok(())
    }

    /// The file with the patterns of files that a build leaves out. `None`: there is none, or it is too long for a build.
    fn ignore_text(&self, directory: &Tree<'_>) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(entry) = directory.get_name(IGNORE_FILE).filter(|it| is_file(it.filemode_raw())) else {
            return Ok(None);
        };
        let odb = self.opened.odb().map_err(|error| damaged(&error, self.repo))?;
        let (size, _) = odb.read_header(entry.id()).map_err(|error| damaged(&error, self.repo))?;
        if size as u64 > self.limits.text_bytes {
            return Ok(None);
        }
        let content = odb.read(entry.id()).map_err(|error| damaged(&error, self.repo))?;
        Ok(Some(content.data().to_owned()))
    }

    /// The tree of a directory, or an error that says what is there instead.
    pub(super) fn directory_tree(&self, path: &ContextPath) -> Result<Tree<'r>, SourceError> {
        let root = self.commit.tree().map_err(|error| damaged(&error, self.repo))?;
        let (dir, commit) = (path.clone(), self.short());
        match self.entry(&root, path)? {
            Some(Entry { id, mode: DIRECTORY }) => {
                self.opened.find_tree(id).map_err(|error| damaged(&error, self.repo))
            }
            Some(Entry { mode, .. }) => {
                Err(SourceError::SourceDirNotADirectory { dir, commit, what: describe_mode(mode).to_owned() })
            }
            None => Err(SourceError::SourceDirMissing { dir, commit, near: directories(&root) }),
        }
    }

    pub(super) fn dockerfile(&self, selection: &Selection) -> Result<Dockerfile, SourceError> {
        let root = self.commit.tree().map_err(|error| damaged(&error, self.repo))?;
        let here = &selection.source_dir;
        let wanted = match &selection.dockerfile {
            DockerfileChoice::Written(text) => return self.written(text),
            DockerfileChoice::Default => here.join(&self.parse("Dockerfile")?),
            DockerfileChoice::Path(path) => path.clone(),
        };
        let look = |path: ContextPath| {
            let entry = self.entry(&root, &path)?.filter(|entry| entry.mode != DIRECTORY);
            Ok::<_, SourceError>(entry.map(|entry| (path, entry)))
        };
        let mut found = look(wanted.clone())?;
        let mut note = None;
        if let (None, DockerfileChoice::Path(given)) = (&found, &selection.dockerfile) {
            found = look(here.join(given))?;
            note = found
                .as_ref()
                .map(|(found, _)| Note::DockerfileInSourceDir { given: given.clone(), found: found.clone() });
        }
        let Some((path, entry)) = found else {
            let near = self.dockerfiles(&root);
            return Err(SourceError::DockerfileMissing { path: wanted, commit: self.short(), near });
        };
        if !is_file(entry.mode) {
            return Err(SourceError::DockerfileNotAFile {
                path,
                commit: self.short(),
                what: describe_mode(entry.mode).to_owned(),
            });
        }
        let text = self.text(entry.id, &path)?;
        let inside = path.below(here);
        let added = inside.is_none();
        let in_context = inside.map_or_else(|| RESERVED_DOCKERFILE.to_owned(), |path| path.as_str().to_owned());
        Ok(Dockerfile { blob: entry.id, text, in_context, added, note, path: Some(path) })
    }

    fn written(&self, text: &str) -> Result<Dockerfile, SourceError> {
        let blob = Oid::hash_object(ObjectType::Blob, text.as_bytes()).map_err(|error| damaged(&error, self.repo))?;
        let in_context = RESERVED_DOCKERFILE.to_owned();
        Ok(Dockerfile { blob, text: text.to_owned(), in_context, added: true, note: None, path: None })
    }

    /// The ignore patterns. `<Dockerfile>.dockerignore` beside the Dockerfile takes precedence over `.dockerignore` in
    /// the context, as in BuildKit.
    pub(super) fn ignore(&self, selection: &Selection, dockerfile: &Dockerfile) -> Result<Dockerignore, SourceError> {
        let Some((path, blob)) = self.ignore_file(selection, dockerfile)? else { return Ok(Dockerignore::default()) };
        let text = self.text(blob, &path)?;
        Dockerignore::parse(&text).map_err(|error| SourceError::Dockerignore {
            path: path.to_string(),
            commit: self.short(),
            why: error.to_string(),
        })
    }

    fn ignore_file(
        &self,
        selection: &Selection,
        dockerfile: &Dockerfile,
    ) -> Result<Option<(ContextPath, Oid)>, SourceError> {
        let root = self.commit.tree().map_err(|error| damaged(&error, self.repo))?;
        let beside =
            dockerfile.path.as_ref().map(|path| self.parse(&format!("{}.dockerignore", path.as_str()))).transpose()?;
        let usual = selection.source_dir.join(&self.parse(".dockerignore")?);
        for path in beside.into_iter().chain([usual]) {
            if let Some(entry) = self.entry(&root, &path)?.filter(|entry| is_file(entry.mode)) {
                return Ok(Some((path, entry.id)));
            }
        }
        Ok(None)
    }

    /// The entry at `path` below `root`; `None` if a part is missing. For a path through a link, the entry of the link.
    fn entry(&self, root: &Tree<'r>, path: &ContextPath) -> Result<Option<Entry>, SourceError> {
        let mut at = Entry { id: root.id(), mode: DIRECTORY };
        for part in path.as_str().split('/').filter(|part| !part.is_empty()) {
            if at.mode != DIRECTORY {
                return Ok((at.mode == LINK || at.mode == SUBMODULE).then_some(at));
            }
            let tree = self.opened.find_tree(at.id).map_err(|error| damaged(&error, self.repo))?;
            let Some(next) = tree.get_name(part) else { return Ok(None) };
            at = Entry { id: next.id(), mode: next.filemode_raw() };
        }
        Ok(Some(at))
    }

    /// A blob as text. Errors: `TooLarge`, `NotText`.
    fn text(&self, blob: Oid, path: &ContextPath) -> Result<String, SourceError> {
        let odb = self.opened.odb().map_err(|error| damaged(&error, self.repo))?;
        let (size, _) = odb.read_header(blob).map_err(|error| damaged(&error, self.repo))?;
        if size as u64 > self.limits.text_bytes {
            return Err(SourceError::TooLarge {
                what: path.to_string(),
                limit: format!("{} bytes", self.limits.text_bytes),
            });
        }
        let object = odb.read(blob).map_err(|error| damaged(&error, self.repo))?;
        let text = String::from_utf8(object.data().to_vec());
        text.map_err(|_| SourceError::NotText { path: path.to_string(), commit: self.short() })
    }

    /// The paths of Dockerfiles, nearest to the root first.
    fn dockerfiles(&self, root: &Tree<'_>) -> Vec<String> {
        let mut found = Vec::new();
        let mut level = vec![(String::new(), root.id())];
        let mut looked_at = 0;
        while !level.is_empty() && found.len() < MAX_SUGGESTIONS {
            let mut next = Vec::new();
            for (prefix, id) in level {
                let Ok(tree) = self.opened.find_tree(id) else { continue };
                for entry in &tree {
                    looked_at += 1;
                    let Ok(name) = entry.name() else { continue };
                    let path = format!("{prefix}{name}");
                    match entry.filemode_raw() {
                        DIRECTORY => next.push((format!("{path}/"), entry.id())),
                        mode if is_file(mode) && is_dockerfile(name) => found.push(sanitize(&path, 200)),
                        _ => {}
                    }
                }
                if looked_at > MAX_SEARCHED || found.len() >= MAX_SUGGESTIONS {
                    found.truncate(MAX_SUGGESTIONS);
                    return found;
                }
            }
            level = next;
        }
        found
    }

    pub(super) fn short(&self) -> String {
        self.commit.id().to_string()[..7].to_owned()
    }

    fn parse(&self, name: &str) -> Result<ContextPath, SourceError> {
        ContextPath::parse(name).map_err(|error| SourceError::Worker { why: error.to_string() })
    }
}

pub(super) fn is_file(mode: i32) -> bool {
    // Very old versions of git wrote group-writable files.
    matches!(mode, FILE | EXECUTABLE | 0o100_664)
}

fn describe_mode(mode: i32) -> &'static str {
    match mode {
        DIRECTORY => "a directory",
        LINK => "a symbolic link, which is not followed",
        SUBMODULE => "a submodule, which is not fetched",
        _ => "a file",
    }
}

fn is_dockerfile(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !lower.ends_with(".dockerignore")
        && (lower == "dockerfile"
            || lower == "containerfile"
            || lower.starts_with("dockerfile.")
            || lower.ends_with(".dockerfile"))
}

/// The directories at the root, for an error.
fn directories(root: &Tree<'_>) -> Vec<String> {
    root.iter()
        .filter(|entry| entry.filemode_raw() == DIRECTORY)
        .filter_map(|entry| entry.name().ok().map(|name| sanitize(name, 100)))
        .take(MAX_SUGGESTIONS)
        .collect()
}
