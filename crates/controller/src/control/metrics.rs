//! What metrics report, read once for each request of Prometheus.

use rollout::ids::AppId;

use super::Controller;
use crate::error::ControlError;
use crate::metrics::Counts;
use crate::view::MetricsView;

impl Controller {
    pub(super) async fn read_metrics(&self) -> Result<MetricsView, ControlError> {
        let shared = &self.0.shared;
        let names = shared.store.apps().await?.into_iter().map(|app| (app.id, app.name)).collect();
        let Counts { deployments, restarts } = shared.events.read();
        let status = shared.ingress.status().await;
        let has_counts = status.as_ref().is_some_and(|it| it.features > 0);
        Ok(MetricsView {
            names,
            deployments: deployments.into_iter().map(|((app, result), count)| (app, result, count)).collect(),
            restarts: restarts.into_iter().map(|((app, component), count)| (app, component, count)).collect(),
            ingress: status.filter(|_| has_counts).map(|it| {
                let id = |app: String| AppId::from(app.as_str());
                crate::view::IngressMetrics {
                    components: it.components.into_iter().map(|(app, components)| (id(app), components)).collect(),
                    sent_bytes: it.sent_bytes.into_iter().map(|(app, bytes)| (id(app), bytes)).collect(),
                    refusals: it.refusals,
                    log_lines_dropped: it.log_lines_dropped,
                }
            }),
        })
    }
}
