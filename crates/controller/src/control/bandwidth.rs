//! Bytes sent for apps on one day.

use rollout::ids::AppId;
use rollout::time::Timestamp;

use super::Controller;
use crate::bandwidth::{day, read};
use crate::clock;
use crate::error::ControlError;

impl Controller {
    pub(super) async fn bandwidth_of(&self, app: &AppId, at: Timestamp) -> Result<u64, ControlError> {
        self.record(app).await?;
        if day(at) == day(clock::now()) {
            read(&self.0.shared).await;
        }
        Ok(self.0.shared.store.sent_bytes(app, day(at)).await?)
    }
}
