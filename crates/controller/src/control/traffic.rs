//! Traffic of apps through the ingress over the last hour.

use rollout::ids::AppId;

use super::Controller;
use crate::clock;
use crate::error::ControlError;
use crate::traffic::Sample;
use crate::view::TrafficSample;

impl Controller {
    pub(super) async fn traffic_history_of(&self, app: &AppId) -> Result<Vec<TrafficSample>, ControlError> {
        self.record(app).await?;
        let view = |Sample { end, over, requests, failed, app_errors }| TrafficSample {
            at: clock::time_of(end),
            over,
            requests,
            failed,
            app_errors,
        };
        Ok(self.0.shared.traffic.of(app).into_iter().map(view).collect())
    }
}
