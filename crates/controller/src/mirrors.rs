//! Mirrors of repositories that no app needs any more are removed, so that they do not fill the disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use app_spec::AppSpec;
use serde_json::Value;
use source::RepoUrl;
use store::StoreError;
use tracing::{info, warn};

use crate::app::Shared;

/// How often mirrors that nothing needs are looked for. A mirror is only as large as what was fetched.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Recent deployments of an app whose repositories are kept: one of them may be asked for again.
const DEPLOYMENTS: u64 = 5;

/// Removes mirrors that no app's spec and no recent deployment names, now and then until the controller stops.
pub(crate) async fn tidy(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = forget_unused(&shared).await {
            warn!(%error, "mirrors that nothing needs could not be looked for; trying again in an hour");
        }
    }
}

/// Removes them once. While a record cannot be read nothing is removed, since that record may name a repository. A mirror
/// that is removed too early costs another fetch, and one that is being fetched into stays.
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
    // An address that may not be used any more has no mirror that anything could read.
    let keep: Vec<RepoUrl> = needed.iter().filter_map(|it| shared.image_builder.repo_url(it).ok()).collect();
    match shared.image_builder.forget_all_but(&keep).await {
        Ok(0) => {}
        Ok(removed) => info!(removed, "removed mirrors of repositories that no app uses any more"),
        Err(error) => warn!(%error, "a mirror that nothing needs could not be removed"),
    }
    Ok(())
}

/// The repositories that a stored spec names.
fn repositories(stored: &Value) -> Vec<String> {
    let Ok(spec) = AppSpec::from_stored(stored) else { return Vec::new() };
    spec.components().filter_map(|it| it.source().repository().map(|(address, _)| address)).collect()
}
