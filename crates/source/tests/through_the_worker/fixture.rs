//! Repositories for tests, and a [`Source`] whose worker is this program.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use futures::StreamExt;
use git2::{ObjectType, Oid, Repository, Signature, Time};
use source::{CommitId, Limits, Note, RepoUrl, Selection, Source, SourceError, SourceSettings, SpecialNetwork};

pub const FILE: i32 = 0o100_644;
pub const EXECUTABLE: i32 = 0o100_755;
pub const LINK: i32 = 0o120_000;
pub const DIRECTORY: i32 = 0o040_000;
pub const SUBMODULE: i32 = 0o160_000;
/// 2020-09-13 12:26:40 UTC.
pub const WHEN: i64 = 1_600_000_000;

/// A temporary directory with `repo` (bare), allowed as a local source, and a directory for mirrors.
pub struct Fixture {
    pub dir: tempfile::TempDir,
    pub repo: Repository,
    pub settings: SourceSettings,
}

impl Fixture {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sources = dir.path().join("sources");
        let repo = Repository::init_bare(sources.join("repo")).unwrap();
        repo.set_head("refs/heads/main").unwrap();
        let settings = SourceSettings {
            worker: std::env::current_exe().unwrap(),
            worker_args: vec!["source-worker".into()],
            mirrors: dir.path().join("mirrors"),
            local_sources: vec![sources],
            allow_from: vec![SpecialNetwork::Loopback],
            allow_http: true,
            authorities: None,
            limits: Limits::default(),
        };
        Self { dir, repo, settings }
    }

    pub fn with_files(files: &[(&str, &str)]) -> Self {
        let fixture = Self::new();
        fixture.commit(&files.iter().map(|(path, text)| (*path, FILE, *text)).collect::<Vec<_>>());
        fixture
    }

    pub fn source(&self) -> Source {
        Source::new(self.settings.clone())
    }

    pub fn url(&self) -> RepoUrl {
        self.source().repo_url(self.path().to_str().unwrap()).unwrap()
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("sources/repo")
    }

    /// A commit with exactly these entries on branch `main`.
    pub fn commit(&self, entries: &[(&str, i32, &str)]) -> CommitId {
        self.commit_on("main", entries)
    }

    pub fn commit_on(&self, branch: &str, entries: &[(&str, i32, &str)]) -> CommitId {
        let tree = self.tree(entries);
        self.commit_tree(branch, tree, &format!("Say hello on {branch}\n\nAt length."))
    }

    pub fn commit_tree(&self, branch: &str, tree: Oid, message: &str) -> CommitId {
        let person = Signature::new("A", "a@example.com", &Time::new(WHEN, 120)).unwrap();
        let tree = self.repo.find_tree(tree).unwrap();
        let name = format!("refs/heads/{branch}");
        let parent = self.repo.find_reference(&name).ok().map(|parent| parent.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        let id = self.repo.commit(Some(&name), &person, &person, message, &tree, &parents).unwrap();
        CommitId::parse(&id.to_string()).unwrap()
    }

    fn tree(&self, entries: &[(&str, i32, &str)]) -> Oid {
        let mut here = self.repo.treebuilder(None).unwrap();
        let mut below: BTreeMap<&str, Vec<(&str, i32, &str)>> = BTreeMap::new();
        for (path, mode, text) in entries {
            match path.split_once('/') {
                Some((directory, rest)) => below.entry(directory).or_default().push((rest, *mode, text)),
                None => {
                    let id = match *mode {
                        SUBMODULE => Oid::from_str(&"5".repeat(40)).unwrap(),
                        _ => self.repo.blob(text.as_bytes()).unwrap(),
                    };
                    here.insert(path, id, *mode).unwrap();
                }
            }
        }
        for (directory, entries) in below {
            here.insert(directory, self.tree(&entries), DIRECTORY).unwrap();
        }
        here.write().unwrap()
    }

    /// A tree that git does not write: entries byte for byte.
    pub fn raw_tree(&self, entries: &[(&str, i32, Oid)]) -> Oid {
        let mut raw = Vec::new();
        for (name, mode, id) in entries {
            raw.extend_from_slice(format!("{mode:o} {name}\0").as_bytes());
            raw.extend_from_slice(id.as_bytes());
        }
        self.repo.odb().unwrap().write(ObjectType::Tree, &raw).unwrap()
    }

    /// A commit of such a tree, bypassing git2's checks.
    pub fn raw_commit(&self, tree: Oid) -> CommitId {
        let person = format!("A <a@example.com> {WHEN} +0000");
        let text = format!("tree {tree}\nauthor {person}\ncommitter {person}\n\nhostile\n");
        let id = self.repo.odb().unwrap().write(ObjectType::Commit, text.as_bytes()).unwrap();
        CommitId::parse(&id.to_string()).unwrap()
    }

    pub fn head(&self) -> CommitId {
        let head = self.repo.head().unwrap().peel_to_commit().unwrap();
        CommitId::parse(&head.id().to_string()).unwrap()
    }

    /// The whole context of `main`.
    pub fn context(&self, source_dir: &str, dockerfile: Option<&str>) -> Result<Received, SourceError> {
        self.context_of(&self.head(), &Selection::parse(Some(source_dir), dockerfile).unwrap())
    }

    pub fn context_of(&self, commit: &CommitId, selection: &Selection) -> Result<Received, SourceError> {
        crate::wait(async {
            let (tell, notes) = std::sync::mpsc::channel();
            let tell = move |note| tell.send(note).unwrap();
            let mut context = self.source().context(&self.url(), commit, selection, tell).await?;
            let mut tar = Vec::new();
            while let Some(chunk) = context.stream.next().await {
                tar.extend_from_slice(&chunk?);
            }
            Ok(Received { dockerfile: context.dockerfile, tar, notes: notes.iter().collect() })
        })
    }
}

/// A context that was received completely.
#[derive(Debug)]
pub struct Received {
    pub dockerfile: String,
    pub tar: Vec<u8>,
    pub notes: Vec<Note>,
}

/// The fields of a tar entry that these tests check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    pub owner: (u64, u64),
    pub mtime: u64,
    pub kind: tar::EntryType,
    pub link: Option<String>,
    pub text: String,
}

impl Received {
    pub fn entries(&self) -> BTreeMap<String, Entry> {
        let mut archive = tar::Archive::new(&self.tar[..]);
        let mut entries = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let header = entry.header();
            let seen = Entry {
                mode: header.mode().unwrap(),
                owner: (header.uid().unwrap(), header.gid().unwrap()),
                mtime: header.mtime().unwrap(),
                kind: header.entry_type(),
                link: entry.link_name().unwrap().map(|link| link.to_str().unwrap().to_owned()),
                text,
            };
            assert!(entries.insert(path.clone(), seen).is_none(), "{path} comes twice");
        }
        entries
    }

    pub fn names(&self) -> Vec<String> {
        self.entries().into_keys().collect()
    }
}
