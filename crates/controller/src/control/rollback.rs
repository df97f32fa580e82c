//! Rollbacks of an app to an earlier deployment, their commit and their revert.

use rollout::app_rollback::RollbackCheck;
use rollout::ids::{AppId, DeploymentId};

use super::Controller;
use crate::app::{AppCommand, RollbackRequest, Waits, check_rollback};
use crate::error::ControlError;
use crate::specs::Specs;
use crate::view::{Caller, DeploymentView, RollbackOptions};

impl Controller {
    pub(super) async fn start_rollback(
        &self,
        app: &AppId,
        to: &DeploymentId,
        options: RollbackOptions,
        caller: &Caller,
    ) -> Result<DeploymentView, ControlError> {
        let (to, caller) = (to.clone(), caller.clone());
        let request = Box::new(RollbackRequest { to, skip_pin: options.skip_pin, caller });
        let accepted = self.send_command(app, |reply| AppCommand::RollBack { request, reply }).await?;
        Ok(DeploymentView::new(accepted, &Waits::default()))
    }

    pub(super) async fn check_rollback(&self, app: &AppId, to: &DeploymentId) -> Result<RollbackCheck, ControlError> {
        let state = self.state(app).await?;
        let target = self.0.shared.store.deployment(to).await?.filter(|it| it.app == *app);
        Ok(check_rollback(&state, &Specs::of(app, &self.0.shared.sealer), to, target.as_ref()))
    }

    pub(super) async fn commit_pinned(&self, app: &AppId) -> Result<(), ControlError> {
        self.send_command(app, |reply| AppCommand::CommitRollback { reply }).await
    }

    pub(super) async fn revert_pinned(&self, app: &AppId, caller: &Caller) -> Result<DeploymentView, ControlError> {
        let caller = caller.clone();
        let accepted = self.send_command(app, |reply| AppCommand::RevertRollback { caller, reply }).await?;
        Ok(DeploymentView::new(accepted, &Waits::default()))
    }
}
