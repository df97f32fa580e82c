//! The parent side: starts one worker per operation. Dropping the future or stream cancels it.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{self, Poll};

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::time::Instant;
use tracing::debug;

use crate::context_path::ContextPath;
use crate::credentials::{Fingerprint, Login, Logins};
use crate::egress::SpecialNetwork;
use crate::error::SourceError;
use crate::git_ref::{CommitId, GitRef};
use crate::identity::{Directory, Identity, Note, Resolved, Selection};
use crate::limits::Limits;
use crate::protocol::{Action, FetchProgress, FrameKind, Opened, Request};
use crate::repo_url::{HostNames, RepoUrl, RepoUrlError, SSH_USER, UrlRules};
use crate::worker::mirror;
use crate::worker_process::{WorkerProcess, decode};

/// How to start workers, where mirrors are kept, and what is allowed.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// The program to start: this binary.
    pub worker: PathBuf,
    /// Its arguments, which make it call [`crate::run_worker`].
    pub worker_args: Vec<String>,
    /// The directory of bare mirrors. The first fetch creates it with mode 0700.
    pub mirrors: PathBuf,
    /// Directories that local repositories may be in.
    pub local_sources: Vec<PathBuf>,
    /// Networks to fetch from although services there trust every client that can connect.
    pub allow_from: Vec<SpecialNetwork>,
    /// Whether plain `http://` is allowed.
    pub allow_http: bool,
    /// A PEM file with certificates of authorities to trust for https, besides the system's.
    pub authorities: Option<PathBuf>,
    /// Limits on each operation.
    pub limits: Limits,
}

/// Options of one fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// The logins for the repository's host.
    pub logins: Logins,
    /// Deadline of the fetch. [`Limits::total`] from now if that is sooner or no deadline is given.
    pub deadline: Option<Instant>,
}

/// The git sources of one installation. Cheap to clone, and usable from many tasks at once.
#[derive(Clone, Debug)]
pub struct Source {
    settings: SourceSettings,
}

/// An open build context. Dropping the stream kills its worker.
pub struct Context {
    /// The Dockerfile's name inside the tar.
    pub dockerfile: String,
    /// The tar. It is complete only if the stream ends without an error.
    pub stream: ContextStream,
}

/// The bytes of a tar; an error is always the last item.
pub struct ContextStream(Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>);

impl Stream for ContextStream {
    type Item = Result<Bytes, SourceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl Source {
    /// Uses these settings without starting or reading anything. Relative paths are resolved against the current
    /// directory now, because workers run in another one.
    pub fn new(mut settings: SourceSettings) -> Self {
        // A program without a slash is looked up in PATH and stays unchanged.
        let named = settings.worker.components().count() == 1;
        let paths = settings.local_sources.iter_mut().chain([&mut settings.mirrors]).chain(&mut settings.authorities);
        for path in paths.chain((!named).then_some(&mut settings.worker)) {
            // Fails only for an empty path, which causes an error where it is used.
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        Self { settings }
    }

    /// Parses an address by these settings' rules. Errors: [`RepoUrlError`].
    pub fn repo_url(&self, text: &str) -> Result<RepoUrl, RepoUrlError> {
        RepoUrl::parse(text, &self.rules())
    }

    /// Fetches `git_ref` into the mirror and returns its commit. A local repository is read in place. A commit that is
    /// in the mirror needs no network. A failed or cancelled fetch leaves earlier commits usable.
    ///
    /// A repository that is named by https is fetched by ssh if its server requires a login, and the only login is a key.
    pub async fn fetch(
        &self,
        repo: &RepoUrl,
        git_ref: &GitRef,
        options: FetchOptions,
        progress: impl Fn(FetchProgress),
    ) -> Result<Resolved, SourceError> {
        let Logins { token, ssh_key } = options.logins;
        let names = repo.host_names();
        let login = match names {
            Some(HostNames { https: None, ssh: host }) if ssh_key.is_none() => {
                return Err(SourceError::KeyNeeded { repo: repo.to_string(), host });
            }
            Some(HostNames { https: None, .. }) => ssh_key.clone().map(Login::SshKey),
            Some(HostNames { https: Some(_), .. }) => token.map(Login::Token),
            None => None,
        };
        let has_login = login.is_some();
        let action = |address, login| Action::Fetch { git_ref: git_ref.clone(), address, login };
        let fetched = self.fetch_with(repo, action(None, login), options.deadline, &progress).await;
        match (fetched, ssh_key, repo.ssh_address()) {
            (Err(SourceError::NotFoundOrLogin { .. }), Some(key), Some(address)) if !has_login => {
                let action = action(Some(address), Some(Login::SshKey(key)));
                self.fetch_with(repo, action, options.deadline, &progress).await
            }
            (fetched, _, _) => fetched,
        }
    }

    /// The key that an ssh server presents now. `host`: its name, with a port if it is not 22. Errors beside the general
    /// ones: `Address`, if this is not a host.
    pub async fn host_key(&self, host: &str) -> Result<Fingerprint, SourceError> {
        let server = self.repo_url(&format!("ssh://{SSH_USER}@{host}/{SSH_USER}"));
        let server = server.map_err(|error| SourceError::Address(error.to_string()))?;
        self.report(&server, Action::HostKey).await
    }

    async fn fetch_with(
        &self,
        repo: &RepoUrl,
        action: Action,
        deadline: Option<Instant>,
        progress: &impl Fn(FetchProgress),
    ) -> Result<Resolved, SourceError> {
        let mut worker = self.start(repo, action, deadline).await?;
        loop {
            match worker.next().await? {
                (FrameKind::Progress, payload) => progress(decode(&payload)?),
                (FrameKind::Report, payload) => return decode(&payload),
                (kind, _) => return Err(unexpected(kind)),
            }
        }
    }

    /// Everything that a build of a fetched commit depends on. Errors beside the general ones: `SourceDirMissing`,
    /// `DockerfileMissing`.
    pub async fn identity(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
    ) -> Result<Identity, SourceError> {
        let action = Action::Identity { commit: commit.clone(), selection: selection.clone() };
        self.report(repo, action).await
    }

    /// The files below a directory of a fetched commit, and the texts of those that the worker reads ([`crate::run_worker`]).
    /// Errors beside the general ones: `SourceDirMissing`.
    pub async fn directory(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        path: &ContextPath,
    ) -> Result<Directory, SourceError> {
        self.report(repo, Action::Directory { commit: commit.clone(), path: path.clone() }).await
    }

    /// The build context of a fetched commit as a tar. `on_note` is called for submodules and LFS pointers as they are
    /// sent.
    ///
    /// The tar depends only on commit and selection: entries in git's order, owner 0, modes 644 and 755, the commit's
    /// time.
    pub async fn context(
        &self,
        repo: &RepoUrl,
        commit: &CommitId,
        selection: &Selection,
        on_note: impl FnMut(Note) + Send + 'static,
    ) -> Result<Context, SourceError> {
        let action = Action::Context { commit: commit.clone(), selection: selection.clone() };
        let mut worker = self.start(repo, action, None).await?;
        let opened: Opened = match worker.next().await? {
            (FrameKind::Opened, payload) => decode(&payload)?,
            (kind, _) => return Err(unexpected(kind)),
        };
        let tar = stream::unfold(Some((worker, on_note, 0)), |state| async {
            let (mut worker, mut on_note, sent) = state?;
            match next_chunk(&mut worker, &mut on_note, sent).await {
                Ok(Some(chunk)) => {
                    let sent = sent + chunk.len() as u64;
                    Some((Ok(chunk), Some((worker, on_note, sent))))
                }
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Context { dockerfile: opened.dockerfile_in_context, stream: ContextStream(Box::pin(tar)) })
    }

    /// Removes the mirrors of all repositories but these, for example after apps were deleted. Returns how many. A
    /// mirror with a running fetch is removed the next time.
    pub async fn remove_mirrors_except(&self, keep: &[RepoUrl]) -> Result<u32, SourceError> {
        let (mirrors, keep) = (self.settings.mirrors.clone(), keep.to_vec());
        let removing = tokio::task::spawn_blocking(move || mirror::remove_except(&mirrors, &keep));
        removing.await.map_err(|error| SourceError::Worker { why: error.to_string() })?
    }

    async fn report<T: serde::de::DeserializeOwned>(&self, repo: &RepoUrl, action: Action) -> Result<T, SourceError> {
        let mut worker = self.start(repo, action, None).await?;
        match worker.next().await? {
            (FrameKind::Report, payload) => decode(&payload),
            (kind, _) => Err(unexpected(kind)),
        }
    }

    async fn start(
        &self,
        repo: &RepoUrl,
        action: Action,
        deadline: Option<Instant>,
    ) -> Result<WorkerProcess, SourceError> {
        // The address may have been parsed by older settings or another installation's rules.
        let repo = self.repo_url(repo.as_str()).map_err(|error| SourceError::Address(error.to_string()))?;
        let latest = Instant::now() + self.settings.limits.total;
        let request = Request {
            repo: repo.as_str().to_owned(),
            rules: self.rules(),
            mirrors: self.settings.mirrors.clone(),
            authorities: self.settings.authorities.clone(),
            limits: self.settings.limits.clone(),
            action,
        };
        debug!(%repo, "starting a source worker");
        WorkerProcess::start(&self.settings, &request, deadline.map_or(latest, |wanted| wanted.min(latest))).await
    }

    fn rules(&self) -> UrlRules {
        UrlRules {
            allow_http: self.settings.allow_http,
            local_sources: self.settings.local_sources.clone(),
            allow_from: self.settings.allow_from.clone(),
        }
    }
}

/// The next chunk of a tar of which `sent` bytes have arrived; `None` at its end.
async fn next_chunk(
    worker: &mut WorkerProcess,
    on_note: &mut impl FnMut(Note),
    sent: u64,
) -> Result<Option<Bytes>, SourceError> {
    loop {
        match worker.next().await? {
            (FrameKind::Tar, chunk) => return Ok(Some(chunk)),
            (FrameKind::Note, payload) => on_note(decode(&payload)?),
            (FrameKind::End, payload) if payload[..] == sent.to_be_bytes() => return Ok(None),
            (FrameKind::Progress, _) => {}
            (kind, _) => return Err(unexpected(kind)),
        }
    }
}

fn unexpected(kind: FrameKind) -> SourceError {
    SourceError::Worker { why: format!("it sent an unexpected {kind:?} frame") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_resolved_before_a_worker_starts() {
        let source = Source::new(SourceSettings {
            worker: "boatyard".into(),
            worker_args: Vec::new(),
            mirrors: "data/mirrors".into(),
            local_sources: vec![".".into()],
            allow_from: Vec::new(),
            allow_http: false,
            authorities: Some("ca.pem".into()),
            limits: Limits::default(),
        });
        assert!(source.settings.mirrors.is_absolute() && source.settings.local_sources[0].is_absolute());
        assert!(source.settings.authorities.is_some_and(|it| it.is_absolute()));
        assert_eq!(source.settings.worker, PathBuf::from("boatyard"));
    }
}
