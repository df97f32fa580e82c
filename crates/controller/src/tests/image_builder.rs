//! A repository in memory: branches whose heads move, commits that vanish, and builds that can be held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use builder::{BuildError, BuildPlan, Built, Hints, ImageLookup, LogSink, Recipe};
use detect::{Bases, Project, Request};
use engine_fake::{Behaviour, FakeEngine};
use source::{
    CommitId, DockerfileChoice, Fingerprint, GitRef, RepoUrl, RepoUrlError, Resolved, Selection, SourceError, TreeId,
    UrlRules,
};
use tokio::sync::watch;

use crate::image_builder::ImageBuilder;

/// Clones share one repository, which survives a controller.
#[derive(Clone)]
pub struct MemoryImageBuilder {
    engine: FakeEngine,
    head: Arc<Mutex<String>>,
    /// The heads of branches that differ from `head`.
    branches: Arc<Mutex<BTreeMap<String, String>>>,
    vanished: Arc<Mutex<BTreeSet<String>>>,
    /// The repositories that the last call of `remove_mirrors_except` kept.
    kept: Arc<Mutex<Option<BTreeSet<String>>>>,
    /// The cache scope of each build.
    cache_scopes: Arc<Mutex<Vec<String>>>,
    /// While true, builds start but do not end.
    held: watch::Sender<bool>,
    /// Whether look-ups of a head get no answer.
    unreachable: Arc<AtomicBool>,
    looked_up: Arc<AtomicUsize>,
    /// How many look-ups of a head fail from now on.
    failing: Arc<AtomicUsize>,
}

impl MemoryImageBuilder {
    pub fn new(engine: FakeEngine) -> Self {
        let held = watch::Sender::new(false);
        let (unreachable, looked_up) = Default::default();
        Self {
            engine,
            head: Arc::default(),
            branches: Arc::default(),
            vanished: Arc::default(),
            kept: Arc::default(),
            cache_scopes: Arc::default(),
            held,
            unreachable,
            looked_up,
            failing: Arc::default(),
        }
    }

    /// Moves the branch to this commit.
    pub fn push(&self, commit: &str) {
        commit.clone_into(&mut self.head.lock().unwrap());
    }

    /// Moves only this branch to a commit.
    pub fn push_branch(&self, branch: &str, commit: &str) {
        self.branches.lock().unwrap().insert(branch.to_owned(), commit.to_owned());
    }

    /// Removes a commit.
    pub fn vanish(&self, commit: &str) {
        self.vanished.lock().unwrap().insert(commit.to_owned());
    }

    /// The repositories that the last call of `remove_mirrors_except` kept.
    pub fn kept(&self) -> Option<BTreeSet<String>> {
        self.kept.lock().unwrap().clone()
    }

    /// The cache scope of each build so far.
    pub fn cache_scopes(&self) -> Vec<String> {
        self.cache_scopes.lock().unwrap().clone()
    }

    /// From now on no server answers a look-up of a head.
    pub fn become_unreachable(&self) {
        self.unreachable.store(true, Ordering::Relaxed);
    }

    /// The next look-ups of a head fail.
    pub fn fail_heads(&self, count: usize) {
        self.failing.store(count, Ordering::Relaxed);
    }

    /// Servers answer again.
    pub fn become_reachable(&self) {
        self.unreachable.store(false, Ordering::Relaxed);
    }

    /// How often a head was looked up.
    pub fn looked_up(&self) -> usize {
        self.looked_up.load(Ordering::Relaxed)
    }

    fn head_of(&self, reference: &GitRef) -> CommitId {
        let branches = self.branches.lock().unwrap();
        let of_branch = branches.iter().find(|(name, _)| GitRef::branch(name).is_ok_and(|it| it == *reference));
        let head = of_branch.map_or_else(|| self.head.lock().unwrap().clone(), |(_, head)| head.clone());
        CommitId::parse(&head).unwrap()
    }

    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }
}

#[async_trait]
impl ImageBuilder for MemoryImageBuilder {
    fn repo_url(&self, text: &str) -> Result<RepoUrl, RepoUrlError> {
        RepoUrl::parse(text, &UrlRules::default())
    }

    async fn remove_mirrors_except(&self, keep: &[RepoUrl]) -> Result<u32, SourceError> {
        *self.kept.lock().unwrap() = Some(keep.iter().map(ToString::to_string).collect());
        Ok(0)
    }

    /// Every server has the same key, except one that does not answer.
    async fn host_key(&self, host: &str) -> Result<Fingerprint, SourceError> {
        match host {
            "silent.example.com" => {
                Err(SourceError::Unreachable { repo: host.into(), why: "it does not answer".into() })
            }
            _ => Ok(Fingerprint::of_hash(&[7; 32])),
        }
    }

    /// The host hanging.example.com never answers.
    async fn head(&self, repo: &RepoUrl, reference: &GitRef) -> Result<Resolved, SourceError> {
        if self.unreachable.load(Ordering::Relaxed) || repo.as_str().contains("hanging.example.com") {
            return std::future::pending().await;
        }
        self.looked_up.fetch_add(1, Ordering::Relaxed);
        let one_less = |left: usize| left.checked_sub(1);
        if self.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return Err(SourceError::Worker { why: "the server refuses connections".into() });
        }
        Ok(Resolved {
            commit: self.head_of(reference),
            tree: TreeId::parse(&"0".repeat(40)).unwrap(),
            branch: Some("main".into()),
            summary: "Say hello".into(),
            author_time: 1_700_000_000,
            received: true,
            uncommitted: false,
        })
    }

    /// The repository has one Dockerfile and, for a component with a slug, static files.
    async fn plan(
        &self,
        _: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        hints: &Hints,
    ) -> Result<BuildPlan, BuildError> {
        match &selection.dockerfile {
            DockerfileChoice::Path(path) if path.as_str() == "missing" => {
                let (path, commit) = (path.clone(), commit.short().to_owned());
                Err(SourceError::DockerfileMissing { path, commit, near: vec!["Dockerfile".into()] }.into())
            }
            DockerfileChoice::Default if hints.slug.is_some() => Ok(BuildPlan::Detected(static_files(hints))),
            _ => Ok(BuildPlan::Dockerfile { path: "Dockerfile".into(), undetected: None }),
        }
    }

    /// The directory `same` has the same content at every commit.
    async fn content(
        &self,
        _: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        _: &Hints,
    ) -> Result<String, BuildError> {
        Ok(match selection.source_dir.as_str() {
            "same" => "same".to_owned(),
            _ => commit.to_string(),
        })
    }

    async fn resolve(&self, recipe: &Recipe, _log: &LogSink) -> Result<CommitId, BuildError> {
        tokio::task::yield_now().await;
        Ok(self.head_of(&recipe.git_ref))
    }

    fn queue_position(&self, _: &str) -> Option<usize> {
        None
    }

    async fn ensure_image(
        &self,
        recipe: &Recipe,
        commit: &CommitId,
        _known: ImageLookup,
        _log: LogSink,
    ) -> Result<Built, BuildError> {
        // Cannot fail: the sender lives in `self`.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        if self.vanished.lock().unwrap().contains(commit.as_str()) {
            return Err(SourceError::CommitMissing { commit: commit.clone(), repo: recipe.repo.to_string() }.into());
        }
        self.cache_scopes.lock().unwrap().push(recipe.hints.cache_scope.clone());
        let reference = format!("{}:{commit}", recipe.repository);
        let behaviour = Behaviour { ready_after: Duration::from_millis(300), ..Behaviour::default() };
        let image = self.engine.add_image(&reference, behaviour);
        let identity = commit.to_string();
        Ok(Built { image, reference, identity, commit: commit.to_string(), built: true })
    }
}

fn static_files(hints: &Hints) -> detect::Detected {
    let bases = Bases::default();
    let request = Request { slug: hints.slug.as_deref(), ..Request::new(&hints.component, hints.kind, &bases) };
    detect::detect(&Project::new(["index.html".to_owned()], Default::default()), &request).unwrap()
}
