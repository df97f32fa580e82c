//! Which instances belong to a deployment.

use std::collections::BTreeMap;

use rollout::ids::DeploymentId;
use rollout::target::Target;
use store::records::{AppState, Deployment, Instance};
use store::{Store, StoreError};

/// Numbers of the deployments that created an app's instances. Deployments without a record are missing.
#[derive(Default)]
pub(crate) struct DeploymentNumbers(BTreeMap<DeploymentId, u64>);

impl DeploymentNumbers {
    pub async fn read(store: &Store, state: &AppState) -> Result<Self, StoreError> {
        let mut numbers = BTreeMap::new();
        for id in state.instances.iter().map(|it| &it.deployment) {
            if !numbers.contains_key(id)
                && let Some(found) = store.deployment(id).await?
            {
                numbers.insert(id.clone(), found.number);
            }
        }
        Ok(Self(numbers))
    }

    /// Whether the instance belongs to the deployment, which may have kept it from an earlier one.
    pub fn is_of(&self, state: &AppState, deployment: &Deployment, instance: &Instance) -> bool {
        let is_active = state.app.active.as_ref() == Some(&deployment.id);
        // After a rollback the instances of the active deployment were created by the later one that failed.
        let is_later = self.0.get(&instance.deployment).is_some_and(|number| *number > deployment.number);
        let targets: &[Target] = match is_active {
            true => state.targets_in_force(),
            false => deployment.targets.as_deref().unwrap_or_default(),
        };
        let fits =
            |it: &Target| it.component == instance.component && it.created(&instance.revision, instance.generation);
        (is_active || !is_later) && targets.iter().any(fits)
    }
}
