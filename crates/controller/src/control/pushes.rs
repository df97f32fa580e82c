//! Looks at the sources of an app because of a push or a poll, and deploys the app if they have something new. What counts as
//! new is decided in [`rollout::push`].

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use app_spec::{AppSpec, Component, ImageSource};
use engine::RegistryLogin;
use futures::FutureExt;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use rollout::push::{Comparison, Finding, Obstacle, Past, compare, obstacle, to_deploy};
use rollout::queue::Request;
use source::{CommitId, RepoUrl};
use store::records::{Actor, App, Deployment};
use tokio::sync::{Semaphore, oneshot};
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

/// How many apps are looked at in parallel. Each look runs git workers.
const AT_ONCE: usize = 4;
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

/// Apps that are looked at. One look at a time for each app, and one more for all reasons that arrive meanwhile.
pub(crate) struct Pushes {
    looking: Mutex<BTreeMap<AppId, Vec<Reason>>>,
    /// The version for which a deployment was started, also if the deployment failed before it had fetched the source.
    tried: Mutex<BTreeMap<(AppId, ComponentName), (u64, String)>>,
    at_once: Semaphore,
}

impl Default for Pushes {
    fn default() -> Self {
        Self { looking: Mutex::default(), tried: Mutex::default(), at_once: Semaphore::new(AT_ONCE) }
    }
}

/// A reason to look at an app.
pub(super) struct Reason {
    pub cause: Cause,
    /// Gets the result.
    pub reply: Option<oneshot::Sender<Looked>>,
}

#[derive(Clone)]
pub(super) enum Cause {
    /// A delivery to a webhook.
    Push {
        webhook: String,
        delivery: String,
        /// `owner/repo@branch`.
        pushed: String,
        /// The commit that the delivery names.
        commit: String,
    },
    /// The interval is over.
    Poll,
    /// `serve` started, and deliveries may have been lost before.
    Start,
}

/// What a look at an app found.
#[derive(Debug, Clone)]
pub(super) enum Looked {
    /// A deployment was started.
    Deployed { deployment: DeploymentId, number: u64, components: Vec<ComponentName> },
    /// Nothing is deployed. The sentence says why.
    Nothing { why: String },
    /// A source could not be looked up, or the deployment was not accepted. The sentence says why.
    Failed { why: String },
}

/// What the sources of an app have.
struct Sources {
    findings: Vec<(ComponentName, Finding)>,
    /// The newest versions.
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
            Ok(open) => open.into_iter().for_each(|it| self.look_because_of(it)),
            Err(error) => warn!(%error, "deliveries of webhooks cannot be read; push again, or deploy by hand"),
        }
        if self.0.shared.config.webhooks.is_none() {
            return;
        }
        match store.app_ids().await {
            Ok(apps) => apps.iter().for_each(|app| self.look_later(app, Reason { cause: Cause::Start, reply: None })),
            Err(error) => warn!(%error, "apps cannot be read; what was pushed meanwhile is found by the next push"),
        }
    }

    /// Looks at the app soon. Does not wait for it.
    pub(super) fn look_later(&self, app: &AppId, reason: Reason) {
        let mut looking = lock(&self.0.pushes.looking);
        match looking.get_mut(app) {
            Some(waiting) => waiting.push(reason),
            None => {
                looking.insert(app.clone(), Vec::new());
                tokio::spawn(self.clone().look_until_done(app.clone(), reason));
            }
        }
    }

    async fn look_until_done(self, app: AppId, first: Reason) {
        let stop = self.0.shared.stop.clone();
        let mut reasons = vec![first];
        loop {
            let look = AssertUnwindSafe(self.look(&app, &reasons)).catch_unwind();
            let looked = tokio::select! {
                biased;
                // A delivery stays open, and the next process looks again.
                () = stop.cancelled() => return,
                looked = look => looked.unwrap_or_else(|_| {
                    error!(%app, "looking at the sources of an app panicked");
                    Looked::Failed { why: "it could not be looked at; see the log of serve".into() }
                }),
            };
            for reason in reasons {
                self.note_result(&app, &reason.cause, &looked).await;
                if let Some(reply) = reason.reply {
                    let _ = reply.send(looked.clone());
                }
            }
            let mut looking = lock(&self.0.pushes.looking);
            reasons = looking.get_mut(&app).map(std::mem::take).unwrap_or_default();
            if reasons.is_empty() {
                looking.remove(&app);
                return;
            }
        }
    }

    async fn note_result(&self, app: &AppId, cause: &Cause, looked: &Looked) {
        let Cause::Push { webhook, delivery, .. } = cause else { return };
        let (app, looked) = (app.clone(), looked.clone());
        let noted = self.0.shared.store.change_delivery(webhook, delivery, move |it| {
            for row in it.apps.iter_mut().filter(|it| it.id == app) {
                row.result = Some(looked.to_string());
                row.deployment = looked.deployment().cloned();
            }
        });
        if let Err(error) = noted.await {
            warn!(%error, webhook, delivery, "the result of a delivery could not be recorded");
        }
    }

    /// Looks at the app, and deploys it if its sources have something new. Looks again if the commit of a push has not come
    /// yet, or if a source cannot be looked up.
    async fn look(&self, app: &AppId, reasons: &[Reason]) -> Looked {
        let expected: Vec<&str> = reasons.iter().filter_map(|it| it.cause.commit()).collect();
        // A push says nothing about registries, so a registry that does not answer must not hold it up.
        let asks_registries = reasons.iter().any(|it| matches!(it.cause, Cause::Poll));
        let mut pauses = Backoff::new(AGAIN_AFTER, LONGEST_PAUSE);
        let mut attempt = 0;
        loop {
            attempt += 1;
            // Never closed.
            let permit = self.0.pushes.at_once.acquire().await;
            let found = self.sources_of(app, asks_registries).await;
            let is_last = |attempts| expected.is_empty() || attempt >= attempts;
            match found {
                Ok(None) => return Looked::Nothing { why: "the app does not exist any more".into() },
                Ok(Some((record, Ok(sources)))) => {
                    let has_come = expected.iter().any(|commit| sources.heads.values().any(|head| head == commit));
                    let new = to_deploy(&sources.findings);
                    if !new.is_empty() {
                        return self.deploy_new(&record, &sources, new, reasons).await;
                    }
                    match sources.failure {
                        Some(why) if is_last(ATTEMPTS_AFTER_FAILURES) => return Looked::Failed { why },
                        None if has_come || is_last(ATTEMPTS) => {
                            return Looked::Nothing { why: why_nothing(&record.name, &sources) };
                        }
                        _ => {}
                    }
                }
                Ok(Some((_, Err(why)))) => return Looked::Nothing { why },
                Err(why) if is_last(ATTEMPTS_AFTER_FAILURES) => return Looked::Failed { why },
                Err(_) => {}
            }
            drop(permit);
            sleep(pauses.pause()).await;
        }
    }

    /// The app with what its sources have, or why they do not matter now; `None` if it does not exist any more. Errors: they
    /// could not be looked up.
    async fn sources_of(
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
        let past: Vec<_> = deployments.iter().map(|it| self.past(it)).collect();
        match obstacle(pinned, &past) {
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
        let mut sources = self.look_up(app, &spec, &past, asks_registries).await.map_err(redacted)?;
        sources.failure = sources.failure.map(redacted);
        let nothing = || "no component has `deploy_on_push: true` in its source".to_owned();
        let is_empty = sources.heads.is_empty() && sources.failure.is_none();
        Ok(Some((state.app, if is_empty { Err(nothing()) } else { Ok(sources) })))
    }

    fn past(&self, deployment: &Deployment) -> Past {
        let version =
            |image: &store::records::Image| image.commit.clone().or_else(|| digest_of(image.digest.as_deref()?));
        let of_images = deployment.images.iter().filter_map(|(name, image)| Some((name.clone(), version(image)?)));
        let mut versions: BTreeMap<_, _> = of_images.chain(deployment.commits.clone()).collect();
        if deployment.stage != rollout::deployment::Stage::Superseded {
            for ((app, name), (number, version)) in &*lock(&self.0.pushes.tried) {
                if *app == deployment.app && *number == deployment.number {
                    versions.entry(name.clone()).or_insert_with(|| version.clone());
                }
            }
        }
        Past {
            number: deployment.number,
            stage: deployment.stage,
            cancel_requested: deployment.cancel_requested,
            build: deployment.request.build,
            versions,
        }
    }

    /// Looks up the newest version of each source that is deployed on push. Errors: one could not be looked up.
    async fn look_up(
        &self,
        app: &AppId,
        spec: &AppSpec,
        past: &[Past],
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
                        let finding = self.compare_digest(app, &name, &newest, past);
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
            let finding = match compare(&name, commit.as_str(), past) {
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
        let found = timeout(WITHIN, self.0.shared.engine.registry_digest(&reference, login.as_ref())).await;
        let found = found.map_err(|_| format!("the registry of {reference} did not answer within {WITHIN:?}"))?;
        found.map_err(|error| error.to_string())
    }

    /// A deployment that could not pull the digest runs an older image, and must not be repeated by every poll.
    fn compare_digest(&self, app: &AppId, component: &ComponentName, newest: &str, past: &[Past]) -> Finding {
        match compare(component, newest, past) {
            Comparison::Known { deployment, failed } => Finding::Known { deployment, failed },
            Comparison::New { .. } => match lock(&self.0.pushes.tried).get(&(app.clone(), component.clone())) {
                Some((deployment, tried)) if tried == newest => {
                    Finding::Known { deployment: *deployment, failed: true }
                }
                _ => Finding::New,
            },
        }
    }

    async fn newest_commit(&self, address: &str, branch: Option<&str>) -> Result<(RepoUrl, CommitId), String> {
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
        reasons: &[Reason],
    ) -> Looked {
        let components: Vec<ComponentName> = components.into_iter().cloned().collect();
        let head = |name: &ComponentName| sources.heads.get(name).cloned().unwrap_or_default();
        // The newest push of the branch that is deployed says why best.
        let is_of_head =
            |it: &&Reason| it.cause.commit().is_some_and(|it| sources.heads.values().any(|head| head == it));
        let reason = reasons.iter().rev().find(is_of_head).or(reasons.last());
        let commit = short(&components.first().map(head).unwrap_or_default());
        let (cause, actor) = match reason.map(|it| &it.cause) {
            Some(Cause::Push { webhook, pushed, .. }) => {
                (format!("push to {pushed} ({commit})"), format!("webhook {webhook}"))
            }
            other => {
                let names: Vec<_> = components.iter().map(ComponentName::as_str).collect();
                let actor = if matches!(other, Some(Cause::Start)) { "webhooks" } else { "poll" };
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
        let request = DeployRequest { request: Request::deploy(), spec: None, cause, caller };
        match self.request_deployment(&app.id, request).await {
            Ok(deployment) => {
                let mut tried = lock(&self.0.pushes.tried);
                for name in &components {
                    tried.insert((app.id.clone(), name.clone()), (deployment.number, head(name)));
                }
                Looked::Deployed { deployment: deployment.id, number: deployment.number, components }
            }
            Err(error @ ControlError::Conflict(_)) => Looked::Nothing { why: error.to_string() },
            Err(error) => Looked::Failed { why: error.to_string() },
        }
    }
}

impl Cause {
    fn commit(&self) -> Option<&str> {
        match self {
            Self::Push { commit, .. } => Some(commit),
            Self::Poll | Self::Start => None,
        }
    }
}

impl Looked {
    fn deployment(&self) -> Option<&DeploymentId> {
        match self {
            Self::Deployed { deployment, .. } => Some(deployment),
            Self::Nothing { .. } | Self::Failed { .. } => None,
        }
    }
}

impl std::fmt::Display for Looked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deployed { number, components, .. } => {
                let names: Vec<_> = components.iter().map(ComponentName::as_str).collect();
                write!(f, "deployment {number} was started, because {} has changed", names.join(", "))
            }
            Self::Nothing { why } => write!(f, "nothing was deployed: {why}"),
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
