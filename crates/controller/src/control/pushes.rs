//! Checks the sources of an app because of a push or a poll, and deploys the app if they have something new. What counts as
//! new is decided in [`rollout::push`].
//!
//! [`Controller::request_check`] starts a task for the app, which runs one check for all requests that have arrived. A check
//! looks up the newest version of each source, compares it with earlier deployments, and starts a deployment or not.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app_spec::{AppSpec, Component, ImageSource, RepositoryKey};
use engine::{RegistryLogin, reference};
use futures::FutureExt;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use rollout::push::{Comparison, Finding, Obstacle, PreviousDeployment, compare, obstacle, to_deploy};
use rollout::queue::Request;
use source::{CommitId, RepoUrl};
use store::records::{Actor, App, Deployment};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::Controller;
use crate::app::DeployRequest;
use crate::build_hints::build_choice;
use crate::error::ControlError;
use crate::redact::Secrets;
use crate::registries;
use crate::supervise::{Backoff, lock};
use crate::view::{AuditDraft, Caller};

/// How many sources are looked up at once. Each look-up runs a git worker.
const AT_ONCE: usize = 16;
/// How many of them are at one host, so that a host which does not answer delays only its own look-ups.
const AT_ONCE_PER_HOST: usize = 2;
/// How often a source is looked up for one push. A host may report a push shortly before its servers have it.
const ATTEMPTS: u32 = 3;
/// How often, if it cannot be looked up: for about five minutes. Our choice.
const ATTEMPTS_AFTER_FAILURES: u32 = 8;
/// The first pause between two attempts. It doubles up to [`LONGEST_PAUSE`].
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(80);
/// Deadline for looking up one branch or tag.
const WITHIN: Duration = Duration::from_secs(120);
/// How many deployments are compared with the source: all that stay on record.
const COMPARED: u64 = 100;

/// The checks that run. One at a time for each app, and one more for all requests that arrive meanwhile.
#[derive(Default)]
pub(crate) struct SourceChecks {
    /// Apps that are checked now, with the requests for their next check.
    running: Mutex<BTreeMap<AppId, Vec<CheckRequest>>>,
    limits: LookupLimits,
}

/// Limits how many sources are looked up at once.
struct LookupLimits {
    all: Semaphore,
    by_host: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// Held while a source is looked up.
struct LookupPermit<'a> {
    _of_host: OwnedSemaphorePermit,
    _of_all: tokio::sync::SemaphorePermit<'a>,
}

/// A request to check the sources of an app.
pub(super) struct CheckRequest {
    pub trigger: Trigger,
    /// Gets the result.
    pub reply: Option<oneshot::Sender<CheckResult>>,
}

/// Why the sources of an app are checked.
#[derive(Clone)]
pub(super) enum Trigger {
    /// A delivery to a webhook.
    Push {
        webhook: String,
        delivery: String,
        /// `owner/repo@branch`.
        pushed: String,
        /// The commit that the delivery names for the branch of each component.
        commits: BTreeMap<ComponentName, String>,
    },
    /// The interval is over.
    Poll,
    /// `serve` started, and deliveries may have been lost before.
    Start,
}

/// The result of a check.
#[derive(Debug, Clone)]
pub(super) enum CheckResult {
    /// A deployment was started.
    Deployed { deployment: DeploymentId, number: u64, components: Vec<ComponentName> },
    /// Nothing is deployed. The sentence says why.
    NotDeployed { why: String },
    /// A source could not be looked up, or the deployment was not accepted. The sentence says why.
    Failed { why: String },
}

/// The newest versions of the sources of an app.
struct Sources {
    findings: Vec<(ComponentName, Finding)>,
    /// Commits and digests.
    heads: BTreeMap<ComponentName, String>,
    /// Why a tag could not be looked up. The other sources count all the same.
    failure: Option<String>,
}

impl Controller {
    /// Continues what a process that was killed had not finished, and looks once for pushes while no process ran: hosts do not
    /// repeat what they could not deliver.
    pub(crate) async fn resume_deliveries(&self) {
        let store = &self.0.shared.store;
        match store.open_deliveries().await {
            Ok(open) => open.into_iter().for_each(|it| self.check_apps_of(it)),
            Err(error) => warn!(%error, "deliveries of webhooks cannot be read; push again, or deploy by hand"),
        }
        if self.0.shared.config.webhooks.is_none() {
            return;
        }
        match store.app_ids().await {
            Ok(apps) => apps
                .iter()
                .for_each(|app| self.request_check(app, CheckRequest { trigger: Trigger::Start, reply: None })),
            Err(error) => warn!(%error, "apps cannot be read; what was pushed meanwhile is found by the next push"),
        }
    }

    /// Requests a check of the app's sources. Does not wait for it.
    pub(super) fn request_check(&self, app: &AppId, request: CheckRequest) {
        let mut running = lock(&self.0.source_checks.running);
        match running.get_mut(app) {
            Some(next) => next.push(request),
            None => {
                running.insert(app.clone(), Vec::new());
                tokio::spawn(self.clone().run_checks(app.clone(), request));
            }
        }
    }

    /// Checks the app until no further request has arrived.
    async fn run_checks(self, app: AppId, first: CheckRequest) {
        let stop = self.0.shared.stop.clone();
        let mut requests = vec![first];
        loop {
            let check = AssertUnwindSafe(self.check(&app, &requests)).catch_unwind();
            let result = tokio::select! {
                biased;
                // A delivery stays open, and the next process checks the app again.
                () = stop.cancelled() => return,
                result = check => result.unwrap_or_else(|_| {
                    error!(%app, "checking the sources of an app panicked");
                    CheckResult::Failed { why: "it could not be looked at; see the log of serve".into() }
                }),
            };
            for request in requests {
                self.record_result(&app, &request.trigger, &result).await;
                if let Some(reply) = request.reply {
                    let _ = reply.send(result.clone());
                }
            }
            let mut running = lock(&self.0.source_checks.running);
            requests = running.get_mut(&app).map(std::mem::take).unwrap_or_default();
            if requests.is_empty() {
                running.remove(&app);
                return;
            }
        }
    }

    /// Records the result in the delivery that caused the check.
    async fn record_result(&self, app: &AppId, trigger: &Trigger, result: &CheckResult) {
        let Trigger::Push { webhook, delivery, .. } = trigger else { return };
        let (app, result) = (app.clone(), result.clone());
        let recorded = self.0.shared.store.change_delivery(webhook, delivery, move |it| {
            for row in it.apps.iter_mut().filter(|it| it.id == app) {
                row.result = Some(result.to_string());
                row.deployment = result.deployment().cloned();
            }
        });
        if let Err(error) = recorded.await {
            warn!(%error, webhook, delivery, "the result of a delivery could not be recorded");
        }
    }

    /// Checks the app's sources, and deploys the app if they have something new. Checks again if a commit of a push has not
    /// come yet, or if a source cannot be looked up.
    async fn check(&self, app: &AppId, requests: &[CheckRequest]) -> CheckResult {
        let triggers = || requests.iter().map(|it| &it.trigger);
        let is_push = triggers().any(|it| matches!(it, Trigger::Push { .. }));
        let expected = expected_commits(triggers());
        // A push says nothing about registries, so a registry that does not answer must not hold it up.
        let asks_registries = triggers().any(|it| matches!(it, Trigger::Poll));
        let mut pauses = Backoff::new(AGAIN_AFTER, LONGEST_PAUSE);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let gives_up = !is_push || attempt >= ATTEMPTS_AFTER_FAILURES;
            match self.current_sources(app, asks_registries).await {
                Ok(None) => return CheckResult::NotDeployed { why: "the app does not exist any more".into() },
                Ok(Some((record, Ok(sources)))) => {
                    let waits_for_commit = attempt < ATTEMPTS && sources.lacks_a_commit_of(&expected);
                    let new = to_deploy(&sources.findings);
                    match &sources.failure {
                        _ if waits_for_commit => {}
                        _ if !new.is_empty() => return self.deploy_new(&record, &sources, new, requests).await,
                        None => return CheckResult::NotDeployed { why: why_nothing(&record.name, &sources) },
                        Some(why) if gives_up => return CheckResult::Failed { why: why.clone() },
                        Some(_) => {}
                    }
                }
                Ok(Some((_, Err(why)))) => return CheckResult::NotDeployed { why },
                Err(why) if gives_up => return CheckResult::Failed { why },
                Err(_) => {}
            }
            sleep(pauses.pause()).await;
        }
    }

    /// The app with the newest versions of its sources, or why they do not matter now; `None` if it does not exist any more.
    /// Errors: they could not be looked up.
    async fn current_sources(
        &self,
        app: &AppId,
        asks_registries: bool,
    ) -> Result<Option<(App, Result<Sources, String>)>, String> {
        let shared = &self.0.shared;
        let failed = |error: store::StoreError| error.to_string();
        let Some(state) = shared.store.app_state(app).await.map_err(failed)?.filter(|it| !it.app.deleting) else {
            return Ok(None);
        };
        let spec = self.read_spec(&state, &state.app.spec).map_err(|error| error.to_string())?;
        let (deployments, _) = shared.store.deployments(app, 0, COMPARED).await.map_err(failed)?;
        let number = |id: &DeploymentId| deployments.iter().find(|it| it.id == *id).map(|it| it.number);
        let pinned = state.app.pinned.as_ref().map(|id| number(id).unwrap_or_default());
        let previous: Vec<_> = deployments.iter().map(previous_deployment).collect();
        match obstacle(pinned, &previous) {
            Some(Obstacle::Pinned(number)) => {
                let why = rollout::app_rollback::pinned_message(&state.app.name, number);
                return Ok(Some((state.app, Err(why))));
            }
            Some(Obstacle::Waits(number)) => {
                let why = format!("deployment {number} waits already, and will take the newest sources");
                return Ok(Some((state.app, Err(why))));
            }
            None => {}
        }
        let secrets = Secrets::new(&crate::app::secret_values(&state));
        let redacted = |why: String| secrets.redactor().line(&why);
        let mut sources = self.look_up(&spec, &deployments, &previous, asks_registries).await.map_err(redacted)?;
        sources.failure = sources.failure.map(redacted);
        let nothing = || "no component has `deploy_on_push: true` in its source".to_owned();
        let is_empty = sources.heads.is_empty() && sources.failure.is_none();
        Ok(Some((state.app, if is_empty { Err(nothing()) } else { Ok(sources) })))
    }

    /// Looks up the newest version of each source that is deployed on push. Errors: one could not be looked up.
    async fn look_up(
        &self,
        spec: &AppSpec,
        deployments: &[Deployment],
        previous: &[PreviousDeployment],
        asks_registries: bool,
    ) -> Result<Sources, String> {
        let mut sources = Sources { findings: Vec::new(), heads: BTreeMap::new(), failure: None };
        let logins = match asks_registries {
            true => registries::logins(&self.0.shared.store).await.map_err(|error| error.to_string())?,
            false => BTreeMap::new(),
        };
        let mut looked_up: BTreeMap<(String, Option<String>), (RepoUrl, CommitId)> = BTreeMap::new();
        for component in spec.components().filter(|it| it.source().deploys_on_push()) {
            let name = ComponentName::from(component.name());
            if let Some(image) = component.source().image().filter(|_| asks_registries) {
                match self.newest_digest(image, &logins).await {
                    Ok(newest) => {
                        let finding = compare_digest(&name, &newest, deployments, previous);
                        sources.heads.insert(name.clone(), newest);
                        sources.findings.push((name, finding));
                    }
                    Err(why) => sources.failure = Some(format!("{name}: {why}")),
                }
                continue;
            }
            let Some((address, branch)) = component.source().repository() else { continue };
            let key = (address, branch.map(str::to_owned));
            let (repo, commit) = match looked_up.get(&key) {
                Some(found) => found.clone(),
                None => {
                    let found = self.newest_commit(&key.0, key.1.as_deref()).await?;
                    looked_up.insert(key, found.clone());
                    found
                }
            };
            let finding = match compare(&name, commit.as_str(), previous) {
                Comparison::Known { deployment, failed } => Finding::Known { deployment, failed },
                Comparison::New { compare_with } => {
                    self.compare_content(spec, component, &repo, &commit, compare_with).await
                }
            };
            sources.heads.insert(name.clone(), commit.as_str().to_owned());
            sources.findings.push((name, finding));
        }
        Ok(sources)
    }

    async fn newest_digest(
        &self,
        image: &ImageSource,
        logins: &BTreeMap<String, RegistryLogin>,
    ) -> Result<String, String> {
        let login = registries::login_for(image, logins)?;
        let reference = app_spec::image_reference(image);
        let _permit = self.0.source_checks.limits.acquire(reference::host(&reference)).await;
        let found = timeout(WITHIN, self.0.shared.engine.registry_digest(&reference, login.as_ref())).await;
        let found = found.map_err(|_| format!("the registry of {reference} did not answer within {WITHIN:?}"))?;
        found.map_err(|error| error.to_string())
    }

    async fn newest_commit(&self, address: &str, branch: Option<&str>) -> Result<(RepoUrl, CommitId), String> {
        let _permit = self.0.source_checks.limits.acquire(&host_of(address)).await;
        let found = timeout(WITHIN, self.head(address, branch)).await;
        let found = found.map_err(|_| format!("{address} did not answer within {} s", WITHIN.as_secs()))?;
        found.map(|(repo, newest)| (repo, newest.commit))
    }

    /// If the content cannot be compared, the newest version counts as new: the build then finds out whether it is.
    async fn compare_content(
        &self,
        spec: &AppSpec,
        component: Component<'_>,
        repo: &RepoUrl,
        newest: &CommitId,
        compare_with: Vec<(u64, String)>,
    ) -> Finding {
        // A commit that the mirror lacks is fetched.
        let _permit = self.0.source_checks.limits.acquire(&host_of(repo.as_str())).await;
        let Some(content) = self.content(spec, component, repo, newest).await else { return Finding::New };
        for (deployment, commit) in compare_with {
            let Ok(commit) = CommitId::parse(&commit) else { continue };
            if self.content(spec, component, repo, &commit).await.as_ref() == Some(&content) {
                return Finding::SameContent { deployment };
            }
        }
        Finding::New
    }

    /// Identifies what a build of the component reads at a commit.
    async fn content(&self, spec: &AppSpec, it: Component<'_>, repo: &RepoUrl, commit: &CommitId) -> Option<String> {
        let (selection, hints) = build_choice(spec, it).ok()??;
        self.0.shared.image_builder.content(repo, commit, &selection, &hints).await.ok()
    }

    async fn deploy_new(
        &self,
        app: &App,
        sources: &Sources,
        components: Vec<&ComponentName>,
        requests: &[CheckRequest],
    ) -> CheckResult {
        let components: Vec<ComponentName> = components.into_iter().cloned().collect();
        let head = |name: &ComponentName| sources.heads.get(name).cloned().unwrap_or_default();
        // The newest push of the branch that is deployed says why best.
        let is_of_head =
            |it: &&CheckRequest| it.trigger.commits().any(|(name, it)| sources.heads.get(name) == Some(it));
        let request = requests.iter().rev().find(is_of_head).or(requests.last());
        let commit = short(&components.first().map(head).unwrap_or_default());
        let (cause, actor) = match request.map(|it| &it.trigger) {
            Some(Trigger::Push { webhook, pushed, .. }) => {
                (format!("push to {pushed} ({commit})"), format!("webhook {webhook}"))
            }
            other => {
                let names: Vec<_> = components.iter().map(ComponentName::as_str).collect();
                let actor = if matches!(other, Some(Trigger::Start)) { "webhooks" } else { "poll" };
                (format!("new source of {} ({commit})", names.join(", ")), actor.to_owned())
            }
        };
        let actor = Actor { token: Some(actor.clone()), name: actor };
        let caller = Caller {
            token_hash: actor.name.clone(),
            idempotency_key: None,
            audit: Some(AuditDraft::new(actor.clone(), "deploy", None)),
            actor,
        };
        let found_versions = components.iter().map(|name| (name.clone(), head(name))).collect();
        let request = DeployRequest { found_versions, ..DeployRequest::new(Request::deploy(), cause, caller) };
        match self.request_deployment(&app.id, request).await {
            Ok(deployment) => {
                CheckResult::Deployed { deployment: deployment.id, number: deployment.number, components }
            }
            Err(error @ ControlError::Conflict(_)) => CheckResult::NotDeployed { why: error.to_string() },
            Err(error) => CheckResult::Failed { why: error.to_string() },
        }
    }
}

impl Default for LookupLimits {
    fn default() -> Self {
        Self { all: Semaphore::new(AT_ONCE), by_host: Mutex::default() }
    }
}

impl LookupLimits {
    /// Waits until another source at this host may be looked up.
    async fn acquire(&self, host: &str) -> LookupPermit<'_> {
        let of_host = {
            let mut by_host = lock(&self.by_host);
            by_host.retain(|_, it| Arc::strong_count(it) > 1);
            let new = || Arc::new(Semaphore::new(AT_ONCE_PER_HOST));
            by_host.entry(host.to_owned()).or_insert_with(new).clone()
        };
        let never_closed = "the semaphore is never closed";
        // The host first, so that look-ups which wait for their host do not use up the limit for all hosts.
        let of_host = of_host.acquire_owned().await.expect(never_closed);
        let of_all = self.all.acquire().await.expect(never_closed);
        LookupPermit { _of_host: of_host, _of_all: of_all }
    }
}

impl Trigger {
    /// The commits that a push names.
    fn commits(&self) -> impl Iterator<Item = (&ComponentName, &String)> {
        let commits = match self {
            Self::Push { commits, .. } => Some(commits),
            Self::Poll | Self::Start => None,
        };
        commits.into_iter().flatten()
    }
}

/// The commits that pushes name for each component.
fn expected_commits<'a>(triggers: impl Iterator<Item = &'a Trigger>) -> BTreeMap<&'a ComponentName, BTreeSet<&'a str>> {
    let mut expected: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (name, commit) in triggers.flat_map(Trigger::commits) {
        expected.entry(name).or_default().insert(commit.as_str());
    }
    expected
}

impl Sources {
    /// Whether the branch of a component has nothing new, although pushes name other commits for it.
    fn lacks_a_commit_of(&self, expected: &BTreeMap<&ComponentName, BTreeSet<&str>>) -> bool {
        self.findings.iter().any(|(name, finding)| {
            let has_come = |commits: &BTreeSet<&str>| self.heads.get(name).is_some_and(|it| commits.contains(&**it));
            *finding != Finding::New && expected.get(name).is_some_and(|commits| !has_come(commits))
        })
    }
}

/// A deployment as far as its sources are concerned.
fn previous_deployment(it: &Deployment) -> PreviousDeployment {
    let version = |image: &store::records::Image| image.commit.clone().or_else(|| digest_of(image.digest.as_deref()?));
    let of_images = it.images.iter().filter_map(|(name, image)| Some((name.clone(), version(image)?)));
    let mut versions: BTreeMap<_, _> = of_images.chain(it.commits.clone()).collect();
    if it.stage != rollout::deployment::Stage::Superseded {
        for (name, found) in &it.found_versions {
            versions.entry(name.clone()).or_insert_with(|| found.clone());
        }
    }
    PreviousDeployment {
        number: it.number,
        stage: it.stage,
        cancel_requested: it.cancel_requested,
        build: it.request.build,
        versions,
    }
}

/// A deployment that could not pull the digest runs an older image, and must not be repeated by every poll.
fn compare_digest(
    component: &ComponentName,
    newest: &str,
    deployments: &[Deployment],
    previous: &[PreviousDeployment],
) -> Finding {
    match compare(component, newest, previous) {
        Comparison::Known { deployment, failed } => Finding::Known { deployment, failed },
        Comparison::New { .. } => {
            let found = deployments.iter().filter_map(|it| Some((it.number, it.found_versions.get(component)?)));
            match found.max_by_key(|(number, _)| *number) {
                Some((deployment, version)) if version == newest => Finding::Known { deployment, failed: true },
                _ => Finding::New,
            }
        }
    }
}

/// The host of a repository's address; empty for a repository on this host.
fn host_of(address: &str) -> String {
    let key = RepositoryKey::of(address);
    key.and_then(|it| Some(it.as_str().split_once('/')?.0.to_owned())).unwrap_or_default()
}

impl CheckResult {
    fn deployment(&self) -> Option<&DeploymentId> {
        match self {
            Self::Deployed { deployment, .. } => Some(deployment),
            Self::NotDeployed { .. } | Self::Failed { .. } => None,
        }
    }
}

impl std::fmt::Display for CheckResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deployed { number, components, .. } => {
                let names: Vec<_> = components.iter().map(ComponentName::as_str).collect();
                write!(f, "deployment {number} was started, because {} has changed", names.join(", "))
            }
            Self::NotDeployed { why } => write!(f, "nothing was deployed: {why}"),
            Self::Failed { why } => write!(f, "failed: {why}"),
        }
    }
}

/// One part for each component that could have been deployed.
fn why_nothing(app: &str, sources: &Sources) -> String {
    let part = |(name, finding): &(ComponentName, Finding)| {
        let head = short(sources.heads.get(name).map_or("", String::as_str));
        match finding {
            Finding::Known { deployment, failed: false } => format!("{name} has {head} since deployment {deployment}"),
            Finding::Known { deployment, failed: true } => format!(
                "deployment {deployment} tried {head} of {name} and did not succeed; push again, or run: boatyard apps \
                 create-deployment {app}"
            ),
            Finding::SameContent { deployment } => {
                format!("what {name} is built from is the same at {head} as in deployment {deployment}")
            }
            Finding::New => format!("{name} is new"),
        }
    };
    sources.findings.iter().map(part).collect::<Vec<_>>().join("; ")
}

/// The beginning of a commit id or digest, as people read it.
fn short(version: &str) -> String {
    version.trim_start_matches("sha256:").chars().take(7).collect()
}

/// `sha256:…` of `NAME@sha256:…`.
fn digest_of(reference: &str) -> Option<String> {
    reference.split_once('@').map(|(_, digest)| digest.to_owned())
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn a_host_that_does_not_answer_holds_only_its_own_look_ups() {
        let limits = LookupLimits::default();
        let _hanging = (limits.acquire("hanging").await, limits.acquire("hanging").await);
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(limits.acquire("hanging"))).collect();
        for one in &mut waiting {
            assert!(poll!(one).is_pending());
        }
        let others: Vec<_> = (0..AT_ONCE - 2).map(|number| format!("host-{}", number / AT_ONCE_PER_HOST)).collect();
        let mut held = Vec::new();
        for host in &others {
            held.push(limits.acquire(host).await);
        }
        assert!(poll!(Box::pin(limits.acquire("another"))).is_pending(), "the limit for all hosts is reached");
        drop(held);
        limits.acquire("another").await;
    }

    #[test]
    fn the_host_of_a_repository_does_not_depend_on_the_form_of_its_address() {
        for (address, host) in [
            ("https://github.com/acme/shop.git", "github.com"),
            ("git@GitHub.com:acme/shop.git", "github.com"),
            ("ssh://git@git.example.com:2222/acme/shop", "git.example.com"),
            ("/srv/git/shop", ""),
            ("no address", ""),
        ] {
            assert_eq!(host_of(address), host, "{address}");
        }
    }
}
