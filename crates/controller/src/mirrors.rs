//! Removing mirrors of repositories that no app uses any more, so that they do not fill the disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use app_spec::AppSpec;
use serde_json::Value;
use source::RepoUrl;
use store::StoreError;
use tracing::{info, warn};

use crate::app::Shared;

/// How often unused mirrors are removed. A mirror holds only what was fetched, so once an hour is enough.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// How many recent deployments of an app keep their repositories, because a user may deploy one of them again.
const DEPLOYMENTS: u64 = 5;

/// Regularly removes mirrors that no app's spec and no recent deployment names, until the controller stops.
pub(crate) async fn tidy(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = forget_unused(&shared).await {
            warn!(%error, "unused mirrors could not be determined; trying again in an hour");
        }
    }
}

/// Removes unused mirrors once. If a record cannot be read it removes nothing, because that record may name a
/// repository. Removing a mirror too early only costs another fetch, and a mirror with a running fetch stays.
pub(crate) async fn forget_unused(shared: &Shared) -> Result<(), StoreError> {
    let apps = shared.store.apps().await?;
    let mut needed = BTreeSet::new();
    for app in &apps {
        needed.extend(repositories(&app.spec));
        let (recent, _) = shared.store.deployments(&app.id, 0, DEPLOYMENTS).await?;
        let active = match &app.active {
            Some(active) => shared.store.deployment(active).await?,
            None => None,
        };
        needed.extend(recent.iter().chain(&active).flat_map(|it| repositories(&it.spec)));
    }
    if !shared.store.damaged().is_empty() || shared.store.lost_commits().is_some() {
        return Ok(());
    }
    // An address that is no longer allowed needs no mirror, because nothing may fetch from it.
    let keep: Vec<RepoUrl> = needed.iter().filter_map(|it| shared.image_builder.repo_url(it).ok()).collect();
    match shared.image_builder.remove_mirrors_except(&keep).await {
        Ok(0) => {}
        Ok(removed) => info!(removed, "removed mirrors of repositories that no app uses any more"),
        Err(error) => warn!(%error, "an unused mirror could not be removed"),
    }
    Ok(())
}

/// The repositories that a stored spec names.
fn repositories(stored: &Value) -> Vec<String> {
    let Ok(spec) = AppSpec::from_stored(stored) else { return Vec::new() };
    spec.components().filter_map(|it| it.source().repository().map(|(address, _)| address)).collect()
}
