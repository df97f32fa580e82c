//! Bytes sent for apps on one day.

use rollout::ids::AppId;
use rollout::time::Timestamp;

use super::Controller;
use crate::bandwidth::{day, read};
use crate::clock;
use crate::error::ControlError;

impl Controller {
    pub(super) async fn bandwidth_of(&self, apps: &[AppId], at: Timestamp) -> Result<Vec<u64>, ControlError> {
        if day(at) == day(clock::now()) {
            read(&self.0.shared).await;
        }
        let mut sent = Vec::new();
        for app in apps {
            self.record(app).await?;
            sent.push(self.0.shared.store.sent_bytes(app, day(at)).await?);
        }
        Ok(sent)
    }
}
