//! How the spec of a deployment differs from the one that served before.

use rollout::ids::{AppId, DeploymentId};
use serde_json::Value;

use super::{Control, Controller};
use crate::error::ControlError;
use crate::specs::Specs;

impl Controller {
    pub(super) async fn spec_changes_of(&self, app: &AppId, id: &DeploymentId) -> Result<Vec<String>, ControlError> {
        let after = self.deployment(app, id).await?;
        let Some(previous) = &after.previous else { return Ok(Vec::new()) };
        let Some(before) = self.0.shared.store.deployment(previous).await? else { return Ok(Vec::new()) };
        let specs = Specs::of(app, &self.0.shared.sealer);
        let read = |number: u64, stored: &Value| {
            let unreadable = format!("the spec of deployment {number} cannot be read by this version");
            specs.open(stored).ok_or(ControlError::Conflict(unreadable))
        };
        let (before, after) = (read(before.number, &before.spec)?, read(after.number, &after.spec)?);
        Ok(app_spec::changes(&before, &after).iter().map(ToString::to_string).collect())
    }
}
