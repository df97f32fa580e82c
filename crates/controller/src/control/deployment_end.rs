//! Waits for the end of a deployment, for clients that ask for it.

use rollout::ids::{AppId, DeploymentId};

use super::{Control, Controller};
use crate::error::ControlError;
use crate::view::DeploymentView;

impl Controller {
    /// Looks again only after a deployment of any app has ended, so many callers may wait at the same time.
    pub(super) async fn wait_for_end(&self, app: &AppId, id: &DeploymentId) -> Result<DeploymentView, ControlError> {
        let mut ends = self.0.shared.deployment_ends.subscribe();
        loop {
            let view = self.deployment(app, id).await?;
            if view.stage.is_ended() || ends.changed().await.is_err() {
                return Ok(view);
            }
        }
    }
}
