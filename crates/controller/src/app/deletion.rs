//! Deletes an app. The planner ends its instances and `jobs` its job runs. Then this module stops its
//! databases, whose volumes stay, and removes its network, its images and finally its records.

use std::time::Duration;

use engine::{EngineError, TaggedImage};
use rollout::ids::AppId;
use store::StoreError;
use store::records::Change;
use tracing::{info, warn};

use super::actions::{ActionResult, Subject};
use super::context::Context;
use super::{STORE_PAUSE, Shared, databases, gc, site_files};

/// The longest pause between two attempts to remove what is left of a deleted app.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Begins the next part of the removal. Returns whether there was one.
pub(super) async fn advance(cx: &mut Context) -> Result<bool, StoreError> {
    let has_open_jobs = cx.records.job_runs.iter().any(|it| !it.collected);
    if !cx.records.instances.is_empty() || has_open_jobs || !cx.actions.is_idle() {
        return Ok(false);
    }
    if let Some(database) = cx.records.databases.first().cloned() {
        cx.shared.keep_volume(&cx.records.app, &database).await?;
        databases::stop(cx, database);
        return Ok(true);
    }
    let (shared, app) = (cx.shared.clone(), cx.records.app.id.clone());
    cx.actions.begin(Subject::Deletion, async move {
        let result = remove_network_and_images(&shared, &app).await;
        ActionResult::AppRemoved { result }
    });
    Ok(true)
}

/// Removes the records of a deleted app once the engine has nothing left of it.
pub(super) async fn removed(cx: &mut Context, result: Result<(), EngineError>) -> Result<(), StoreError> {
    if let Err(error) = result {
        warn!(%error, "the app cannot be deleted yet; trying again");
        let what = format!("the app cannot be deleted yet: {error}");
        let pause = cx.actions.failed(&Subject::Deletion, what, STORE_PAUSE, LONGEST_PAUSE);
        cx.actions.pause(Subject::Deletion, pause);
        return Ok(());
    }
    let records = &cx.records;
    let nothing_left = records.instances.is_empty() && records.databases.is_empty() && cx.actions.is_idle();
    if !records.app.deleting || !nothing_left {
        return Ok(());
    }
    let id = records.app.id.clone();
    let network = cx.shared.names.network(&id);
    let is_there = cx.shared.engine.networks().await.map(|all| all.iter().any(|it| it.name == network));
    if is_there.unwrap_or(true) {
        return Ok(());
    }
    cx.shared.ingress.forget(id.as_str()).await;
    site_files::remove_all(&cx.shared, &id).await;
    cx.shared.logbook.forget(&id).await;
    info!("app deleted");
    cx.commit(vec![Change::ForgetApp(id)]).await
}

async fn remove_network_and_images(shared: &Shared, app: &AppId) -> Result<(), EngineError> {
    shared.engine.remove_network(&shared.names.network(app)).await?;
    for TaggedImage { reference: tag, .. } in shared.engine.tags(&shared.names.repositories_of(app)).await? {
        // Another app may use the same image. This removes only the tag; the engine removes the layers with the last
        // tag.
        gc::report(&tag, shared.engine.remove_image(&tag).await);
    }
    Ok(())
}
