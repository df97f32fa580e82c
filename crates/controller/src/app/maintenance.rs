//! What is left when nothing rolls: databases kept up, ended jobs collected, what nobody needs any more forgotten, and
//! the app itself taken down when it is deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::EngineError;
use rollout::ids::{DeploymentId, InstanceName, RevisionId};
use rollout::instance::InstancePhase;
use rollout::job::JobPhase;
use rollout::observed::ContainerSeen;
use rollout::target::StopTimes;
use store::StoreError;
use store::records::{App, AppState, Change, Database, Deployment, IDEMPOTENCY_LIFETIME, Instance, JobRun, Revision};
use tracing::{info, warn};

use super::AppTask;
use super::reports::ActionResult;
use crate::clock;
use crate::redact::Secrets;

impl AppTask {
    /// One piece of housekeeping. Returns whether there was one.
    pub(super) async fn run_maintenance(&mut self) -> Result<bool, StoreError> {
        if self.keep_databases().await? || self.collect_jobs() || self.remove_strangers() {
            return Ok(true);
        }
        if self.state.app.deleting {
            return self.take_down().await;
        }
        self.forget_revisions().await
    }

    /// Removes containers of this app that no record explains: left by an act that the engine finished late, or newer than
    /// the records and replaced meanwhile.
    fn remove_strangers(&mut self) -> bool {
        let view = self.engine_view.borrow().clone();
        if view.unreachable.is_some() {
            return false;
        }
        let app = self.state.app.id.as_str();
        let known = |name: &InstanceName| {
            self.instance(name).is_some()
                || self.busy.contains(name)
                || self.acted.contains_key(name)
                || self.state.job_runs.iter().any(|it| it.name == *name)
                || self.state.databases.iter().any(|it| it.container == *name)
        };
        let mut of_app = view.containers.values().filter(|it| it.identity.app == app);
        let is_removable = |it: &&engine::Container| !known(&InstanceName::new(it.name.clone())) && self.may_remove(it);
        let Some(stranger) = of_app.find(is_removable).map(|it| InstanceName::new(it.name.clone())) else {
            return false;
        };
        warn!(container = %stranger, "no record explains it; removing it");
        let engine = self.shared.engine.clone();
        let is_newer = self.is_newer(stranger.as_str());
        self.acted(&stranger, ContainerSeen::Missing);
        if is_newer {
            self.end_newer(stranger);
            return true;
        }
        self.begin(stranger.clone(), async move {
            // What a stop cannot do, the removal does.
            drop(engine.stop(stranger.as_str(), StopTimes::default().grace).await);
            let result = engine.remove(stranger.as_str()).await.map(drop);
            ActionResult::HouseCleared { about: stranger, result }
        });
        true
    }

    /// Revisions that nothing runs and no deployment that can come back names.
    async fn forget_revisions(&mut self) -> Result<bool, StoreError> {
        if self.state.deployments.iter().any(|it| !it.stage.is_ended()) {
            return Ok(false);
        }
        let active = self.active();
        let kept = self.state.targets_in_force().iter();
        let targets = active.iter().flat_map(|it| it.targets.iter().flatten()).chain(kept).map(|it| &it.revision);
        let jobs = active.iter().flat_map(|it| it.job_revisions.values());
        let runs = self.state.job_runs.iter().filter(|it| !it.collected).map(|it| &it.revision);
        let instances = self.state.instances.iter().map(|it| &it.revision);
        let needed: BTreeSet<&RevisionId> = targets.chain(jobs).chain(runs).chain(instances).collect();
        let forget: Vec<_> = self.state.revisions.iter().filter(|it| !needed.contains(&it.id)).collect();
        let forget: Vec<_> =
            forget.into_iter().map(|it| Change::ForgetRevision(it.app.clone(), it.id.clone())).collect();
        if forget.is_empty() {
            self.forget_old_deployments();
            return Ok(self.sweep());
        }
        self.commit(forget).await?;
        Ok(true)
    }

    /// Once after each deployment: what is too old is removed, of images and of history.
    fn sweep(&mut self) -> bool {
        let newest = self.state.deployments.iter().max_by_key(|it| it.number).map(|it| it.id.clone());
        if newest == self.swept_after {
            return false;
        }
        self.swept_after = newest;
        let (shared, app) = (self.shared.clone(), self.state.app.clone());
        let about = InstanceName::new(SWEEP);
        self.begin(about.clone(), async move {
            if let Err(error) = remove_old_images(&shared, &app).await {
                warn!(%error, "old images could not be removed; the next deployment tries again");
            }
            if let Err(error) = forget_history(&shared, &app).await {
                warn!(%error, "old deployments could not be forgotten; the next one tries again");
            }
            ActionResult::HouseCleared { about, result: Ok(()) }
        });
        true
    }

    pub(super) fn sweeps_images(&self) -> bool {
        self.busy.iter().any(|it| it.as_str() == SWEEP)
    }

    /// The task remembers what it works on; history is the store's.
    fn forget_old_deployments(&mut self) {
        let newest = self.state.deployments.iter().map(|it| it.number).max();
        let app = self.state.app.clone();
        self.state.deployments.retain(|it| !it.stage.is_ended() || Some(it.number) == newest || serves(&app, &it.id));
        let kept: BTreeSet<_> = self.state.deployments.iter().map(|it| it.id.clone()).collect();
        self.state.job_runs.retain(|it| !it.collected || kept.contains(&it.deployment));
    }

    /// Deletion, last part: instances are gone by the planner, jobs by collection; then databases, network, records.
    async fn take_down(&mut self) -> Result<bool, StoreError> {
        let open_jobs = self.state.job_runs.iter().any(|it| !it.collected);
        if !self.state.instances.is_empty() || open_jobs || !self.busy.is_empty() || self.routing {
            return Ok(false);
        }
        if let Some(database) = self.state.databases.first().cloned() {
            self.shared.keep_volume(&self.state.app, &database).await?;
            self.end_database(database);
            return Ok(true);
        }
        let (shared, app) = (self.shared.clone(), self.state.app.id.clone());
        let network = self.shared.names.network(&app);
        let about = InstanceName::new(network.clone());
        self.begin(about.clone(), async move {
            let result = clear(&shared, &app, &network).await;
            ActionResult::HouseCleared { about, result }
        });
        Ok(true)
    }

    pub(super) async fn house_cleared(
        &mut self,
        about: &InstanceName,
        result: Result<(), EngineError>,
    ) -> Result<(), StoreError> {
        match result {
            Err(error) => {
                warn!(%error, "could not be cleared away yet; trying again");
                let what = match self.state.app.deleting {
                    true => format!("the app cannot be deleted yet: {error}"),
                    false => format!("{about} is on no record and cannot be removed: {error}"),
                };
                let pause = self.trouble(about, what, super::STORE_PAUSE, LONGEST_PAUSE);
                self.pause(InstanceName::new("pause"), pause);
                Ok(())
            }
            // Only then the app's images are gone, too.
            Ok(()) if about.as_str() == self.shared.names.network(&self.state.app.id) => self.forget_if_gone().await,
            Ok(()) => Ok(()),
        }
    }

    /// The last line of a deleted app: its records go when the engine has nothing of it any more.
    async fn forget_if_gone(&mut self) -> Result<(), StoreError> {
        let app = &self.state.app;
        let nothing_left = self.state.instances.is_empty() && self.state.databases.is_empty() && self.busy.is_empty();
        if !app.deleting || !nothing_left {
            return Ok(());
        }
        let network = self.shared.names.network(&app.id);
        let here = self.shared.engine.networks().await.map(|all| all.iter().any(|it| it.name == network));
        if here.unwrap_or(true) {
            return Ok(());
        }
        let id = app.id.clone();
        self.shared.front.forget(id.as_str()).await;
        self.shared.logbook.forget(&id).await;
        info!("app deleted");
        self.commit(vec![Change::ForgetApp(id)]).await
    }

    /// Another network overlaps the one that was chosen; as long as nothing was made in it, the next one is, and whatever
    /// has an address moves along. Returns why not, where it cannot.
    pub(super) async fn move_network(&mut self, error: &EngineError) -> Result<Option<String>, StoreError> {
        let pool = self.shared.config.network_pool;
        let now = pool.network(self.state.app.network).subnet();
        if matches!(error, EngineError::SubnetTaken { subnet, .. } if *subnet != now) {
            // It has moved since that was asked for.
            return Ok(None);
        }
        let state = &self.state;
        let is_open = |it: &JobRun| !it.collected && it.phase != JobPhase::Intended;
        if state.instances.iter().any(|it| it.phase != InstancePhase::Intended)
            || state.databases.iter().any(|it| it.created)
            || state.job_runs.iter().any(is_open)
        {
            return Ok(Some(error.to_string()));
        }
        let shared = self.shared.clone();
        let _giving = shared.networks.lock().await;
        let taken = shared.store.networks().await?;
        let Some(number) = crate::network::free_number(pool, &taken, self.state.app.network + 1) else {
            return Ok(Some("every network of the pool is taken; start with another --network-pool".into()));
        };
        info!(%error, number, "network taken by somebody else; using another one");
        let network = pool.network(number);
        let state = &self.state;
        let mut changes = vec![Change::App(App { network: number, ..state.app.clone() })];
        let moved = |address| network.at_the_place_of(address);
        let instances = state.instances.iter().map(|it| Instance { address: moved(it.address), ..it.clone() });
        changes.extend(instances.map(Change::Instance));
        let databases = state.databases.iter().map(|it| Database { address: moved(it.address), ..it.clone() });
        changes.extend(databases.map(Change::Database));
        let runs = state.job_runs.iter().filter(|it| !it.collected);
        changes.extend(runs.map(|it| Change::JobRun(JobRun { address: moved(it.address), ..it.clone() })));
        self.commit(changes).await?;
        Ok(None)
    }

    /// What no log may show.
    pub(super) fn secrets(&self) -> Secrets {
        Secrets::new(&secret_values(&self.state))
    }
}

/// What serves comes from this deployment: it is the active one, or part of it serves on after an abandoned rollback.
fn serves(app: &App, deployment: &DeploymentId) -> bool {
    let kept = app.kept.iter().flat_map(|it| it.deployments.iter().chain(&it.rules));
    app.active.iter().chain(kept).any(|it| it == deployment)
}

/// Values that no log of an app may show.
pub(crate) fn secret_values(state: &AppState) -> Vec<String> {
    let secret = |it: &Revision| -> Vec<String> {
        it.env.iter().filter(|(key, _)| it.secret_keys.contains(key)).map(|(_, value)| value.clone()).collect()
    };
    let envs = state.revisions.iter().flat_map(secret);
    let passwords = state.databases.iter().map(|it| it.password.clone());
    envs.chain(passwords).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Between two tries to remove what is left of a deleted app.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the sweep of what is old is busy about: no image is had meanwhile, since it might be taken for one that nobody uses.
const SWEEP: &str = "history";

/// So many of the newest deployments keep their images: enough to go back to, few enough for a small disk.
const DEPLOYMENTS_WITH_IMAGES: u64 = 5;

async fn remove_old_images(shared: &super::Shared, app: &store::records::App) -> anyhow::Result<()> {
    if shared.older_database {
        // Images that no record names may be newer than the records.
        return Ok(());
    }
    let (newest, _) = shared.store.deployments(&app.id, 0, DEPLOYMENTS_WITH_IMAGES).await?;
    let mut serving = Vec::new();
    for id in app.active.iter().chain(app.kept.iter().flat_map(|it| &it.deployments)) {
        serving.extend(shared.store.deployment(id).await?);
    }
    let kept: BTreeSet<String> =
        newest.iter().chain(&serving).flat_map(|it| it.images.values()).map(|it| it.reference.clone()).collect();
    // Forgotten first: a deployment that begins meanwhile must not find what is about to go.
    let forgotten = shared.store.built_images(&app.id).await?.into_iter().filter(|it| !kept.contains(&it.reference));
    let forgotten: Vec<_> = forgotten.map(|it| Change::ForgetBuiltImage(it.identity)).collect();
    if !forgotten.is_empty() {
        shared.store.commit(forgotten).await?;
    }
    for (tag, image) in shared.engine.tags(&shared.names.repositories_of(&app.id)).await? {
        if !kept.contains(&tag) {
            info!(%tag, %image, "removing an image that no recent deployment used");
            // One that somebody's container uses stays, and keeps no other from going.
            report(&tag, shared.engine.remove_image(&tag).await);
        }
    }
    Ok(())
}

/// So many of the newest deployments stay on record, with their logs: 100, ours; more than anybody pages through. The one
/// that serves stays, too, and each as long as its request may be repeated.
const DEPLOYMENTS_ON_RECORD: u64 = 100;

/// Logs go first: what is cut short is found again by its row.
async fn forget_history(shared: &super::Shared, app: &App) -> Result<(), StoreError> {
    let (older, _) = shared.store.deployments(&app.id, DEPLOYMENTS_ON_RECORD, u64::MAX).await?;
    let now = clock::now();
    let is_needed = |it: &Deployment| {
        let is_young = now.since(it.created) < IDEMPOTENCY_LIFETIME;
        !it.stage.is_ended() || serves(app, &it.id) || is_young
    };
    for old in older.into_iter().filter(|it| !is_needed(it)) {
        // The container of a run is found by its row.
        if shared.store.job_runs(&old.id).await?.iter().all(|it| it.collected) {
            shared.logbook.forget_deployment(&app.id, &old.id).await;
            shared.store.commit(vec![Change::ForgetDeployment(old.id)]).await?;
        }
    }
    Ok(())
}

/// The app's network and images.
async fn clear(shared: &super::Shared, app: &rollout::ids::AppId, network: &str) -> Result<(), EngineError> {
    shared.engine.remove_network(network).await?;
    for (tag, _) in shared.engine.tags(&shared.names.repositories_of(app)).await? {
        // Another app may have been built into the same image; only the name goes, and the layers with the last name.
        report(&tag, shared.engine.remove_image(&tag).await);
    }
    Ok(())
}

fn report(tag: &str, removed: Result<engine::Changed, EngineError>) {
    if let Err(error) = removed {
        warn!(image = %tag, %error, "image could not be removed; `docker image prune` finds it");
    }
}
