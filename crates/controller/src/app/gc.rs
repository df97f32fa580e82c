//! Garbage collection: removes revisions, images and history that are no longer needed.

use std::collections::BTreeSet;

use engine::{EngineError, TaggedImage};
use rollout::ids::{DeploymentId, RevisionId};
use rollout::site_files::without_expired;
use store::StoreError;
use store::records::{App, Change, Deployment, IDEMPOTENCY_LIFETIME};
use tracing::{info, warn};

use super::Shared;
use super::actions::{ActionResult, Subject};
use super::context::Context;
use super::routing::Routing;
use super::site_files;
use crate::clock;

/// The newest deployment when GC last removed old images and history.
#[derive(Default)]
pub(super) struct Gc(Option<DeploymentId>);

impl Gc {
    /// Forgets revisions that nothing runs and that no deployment in force names. After each deployment, removes images
    /// and history that are too old. Returns whether there was something to do.
    pub async fn advance(&mut self, cx: &mut Context, routing: &Routing) -> Result<bool, StoreError> {
        if cx.records.deployments.iter().any(|it| !it.stage.is_ended()) {
            return Ok(false);
        }
        let earlier_files = without_expired(&cx.records.app.earlier_files, clock::now());
        if earlier_files != cx.records.app.earlier_files {
            // Their directories go once the ingress has a table without them.
            self.0 = None;
            let app = App { earlier_files, ..cx.records.app.clone() };
            return cx.commit(vec![Change::App(app)]).await.map(|()| true);
        }
        let forget = unneeded_revisions(cx);
        if forget.is_empty() {
            cx.records.drop_old_deployments();
            return Ok(self.remove_old(cx, routing));
        }
        cx.commit(forget).await?;
        Ok(true)
    }

    fn remove_old(&mut self, cx: &mut Context, routing: &Routing) -> bool {
        let newest = cx.records.deployments.iter().max_by_key(|it| it.number).map(|it| it.id.clone());
        // Until the ingress has the newest table, it may serve files that nothing else needs.
        let is_busy = cx.actions.is_running(&Subject::Gc) || cx.actions.is_running(&Subject::Routes);
        if newest == self.0 || is_busy {
            return false;
        }
        let needed_files = routing.file_directories().map(|served| site_files::needed(&cx.records, &served));
        self.0 = newest;
        let (shared, app) = (cx.shared.clone(), cx.records.app.clone());
        // Builds wait meanwhile, because a new image could look unused and be deleted.
        cx.actions.begin(Subject::Gc, async move {
            if let Err(error) = remove_old_images(&shared, &app).await {
                warn!(%error, "old images could not be removed; the next deployment tries again");
            }
            if let Some(needed) = needed_files.filter(|_| !shared.older_database) {
                remove_old_files(&shared, &app, needed).await;
            }
            if let Err(error) = forget_history(&shared, &app).await {
                warn!(%error, "old deployments could not be removed; the next deployment tries again");
            }
            ActionResult::GcEnded
        });
        true
    }
}

async fn remove_old_files(shared: &Shared, app: &App, needed: BTreeSet<String>) {
    let (sites, app) = (shared.sites.clone(), app.id.clone());
    let removed = tokio::task::spawn_blocking(move || site_files::remove_others(&sites, &app, &needed)).await;
    if let Err(error) = removed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        warn!(%error, "old files of static sites could not be removed; the next deployment tries again");
    }
}

fn unneeded_revisions(cx: &Context) -> Vec<Change> {
    let records = &cx.records;
    let active = records.active();
    let in_force = records.targets_in_force().iter();
    let targets = active.iter().flat_map(|it| it.targets.iter().flatten()).chain(in_force).map(|it| &it.revision);
    let jobs = active.iter().flat_map(|it| it.job_revisions.values());
    let runs = records.job_runs.iter().filter(|it| !it.collected).map(|it| &it.revision);
    let instances = records.instances.iter().map(|it| &it.revision);
    let needed: BTreeSet<&RevisionId> = targets.chain(jobs).chain(runs).chain(instances).collect();
    let unneeded = records.revisions.iter().filter(|it| !needed.contains(&it.id));
    unneeded.map(|it| Change::ForgetRevision(it.app.clone(), it.id.clone())).collect()
}

/// How many of the newest deployments keep their images, so that a repeated request finds what a failed one built.
const DEPLOYMENTS_WITH_IMAGES: usize = 5;

/// How many different versions that served keep their images: enough to roll back to, few enough for a small disk.
const VERSIONS_WITH_IMAGES: usize = 5;

async fn remove_old_images(shared: &Shared, app: &App) -> anyhow::Result<()> {
    if shared.older_database {
        // Images that no record names may be newer than the records.
        return Ok(());
    }
    let (newest, _) = shared.store.deployments(&app.id, 0, DEPLOYMENTS_ON_RECORD).await?;
    let mut needed = Vec::new();
    for id in app.needs() {
        needed.extend(shared.store.deployment(id).await?);
    }
    let recent = newest.iter().take(DEPLOYMENTS_WITH_IMAGES).chain(&needed).flat_map(references);
    let kept: BTreeSet<String> = recent.chain(versions_to_keep(&newest)).collect();
    // Forget them first, so that a deployment that begins meanwhile does not find an image that is about to be removed.
    let forgotten = shared.store.built_images(&app.id).await?.into_iter().filter(|it| !kept.contains(&it.reference));
    let forgotten: Vec<_> = forgotten.map(|it| Change::ForgetBuiltImage(it.identity)).collect();
    if !forgotten.is_empty() {
        shared.store.commit(forgotten).await?;
    }
    for TaggedImage { reference: tag, id, .. } in shared.engine.tags(&shared.names.repositories_of(&app.id)).await? {
        if !kept.contains(&tag) {
            info!(%tag, image = %id, "removing an image that no recent deployment used");
            // The engine keeps an image that a container uses. Continue with the others.
            report(&tag, shared.engine.remove_image(&tag).await);
        }
    }
    Ok(())
}

/// The images of the newest versions that served. Restarts and rollbacks copy a version, and do not count again.
fn versions_to_keep(newest_first: &[Deployment]) -> BTreeSet<String> {
    let mut versions: Vec<BTreeSet<String>> = Vec::new();
    for version in newest_first.iter().filter(|it| it.has_served()).map(|it| references(it).collect()) {
        if versions.len() < VERSIONS_WITH_IMAGES && !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions.into_iter().flatten().collect()
}

/// The tags of a deployment's images, and of those that the revert of its rollback brings back.
fn references(deployment: &Deployment) -> impl Iterator<Item = String> {
    let before = deployment.app_rollback.iter().flat_map(|it| &it.before).flat_map(|it| it.version.images.values());
    deployment.images.values().chain(before).map(|it| it.reference.clone())
}

/// How many of the newest deployments stay on record with their logs: 100, more than a person reads. The one that
/// serves also stays, and each stays as long as its request may be repeated.
const DEPLOYMENTS_ON_RECORD: u64 = 100;

/// Removes logs first: after an interruption, the row is still there and leads to what is left.
async fn forget_history(shared: &Shared, app: &App) -> Result<(), StoreError> {
    let (older, _) = shared.store.deployments(&app.id, DEPLOYMENTS_ON_RECORD, u64::MAX).await?;
    let now = clock::now();
    let is_needed = |it: &Deployment| {
        let is_young = now.since(it.created) < IDEMPOTENCY_LIFETIME;
        !it.stage.is_ended() || app.needs().any(|id| *id == it.id) || is_young
    };
    for old in older.into_iter().filter(|it| !is_needed(it)) {
        // Without its row, the container of a run could not be found.
        if shared.store.job_runs(&old.id).await?.iter().all(|it| it.collected) {
            shared.logbook.forget_deployment(&app.id, &old.id).await;
            shared.store.commit(vec![Change::ForgetDeployment(old.id)]).await?;
        }
    }
    Ok(())
}

/// Logs that an image could not be removed.
pub(super) fn report(tag: &str, removed: Result<engine::Changed, EngineError>) {
    if let Err(error) = removed {
        warn!(image = %tag, %error, "image could not be removed; `docker image prune` finds it");
    }
}
