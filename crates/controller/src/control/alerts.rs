//! Alerts and their destinations. They are stored for App Platform's clients; nothing sends them.

use app_spec::{Alert, AppSpec};
use rollout::ids::AppId;
use store::records::{AlertDestinations, Change, SlackWebhook};

use super::Controller;
use crate::derived_id::derived_id;
use crate::error::ControlError;
use crate::view::AlertView;

impl Controller {
    pub(super) async fn alerts_of(&self, app: &AppId) -> Result<Vec<AlertView>, ControlError> {
        let record = self.record(app).await?;
        let stored = self.0.shared.store.alert_destinations(app).await?;
        let alerts = AppSpec::from_stored(&record.spec).map(|spec| spec.alerts()).unwrap_or_default();
        Ok(alerts.into_iter().map(|alert| view(app, alert, &stored)).collect())
    }

    pub(super) async fn set_destinations(
        &self,
        app: &AppId,
        alert: &str,
        emails: Vec<String>,
        slack_webhooks: Vec<SlackWebhook>,
    ) -> Result<AlertView, ControlError> {
        self.in_charge()?;
        let alerts = self.alerts_of(app).await?;
        let Some(found) = alerts.iter().find(|it| it.id == alert).cloned() else {
            return Err(ControlError::NotFound(format!("app {app} has no alert {alert}")));
        };
        let stored = self.0.shared.store.alert_destinations(app).await?;
        // The spec may have lost alerts since their destinations were stored.
        let obsolete = stored.into_iter().filter(|it| alerts.iter().all(|known| known.id != it.alert));
        let mut changes: Vec<_> = obsolete.map(|it| Change::ForgetAlertDestinations(it.app, it.alert)).collect();
        changes.push(match emails.is_empty() && slack_webhooks.is_empty() {
            true => Change::ForgetAlertDestinations(app.clone(), alert.to_owned()),
            false => Change::AlertDestinations(AlertDestinations {
                app: app.clone(),
                alert: alert.to_owned(),
                emails: emails.clone(),
                slack_webhooks: slack_webhooks.clone(),
            }),
        });
        self.0.shared.store.commit(changes).await?;
        Ok(AlertView { emails, slack_webhooks, ..found })
    }
}

/// The id of an alert is the same as long as its component has the same rule at the same occurrence.
fn view(app: &AppId, alert: Alert, stored: &[AlertDestinations]) -> AlertView {
    let Alert { component, rule, occurrence, spec } = alert;
    let occurrence = occurrence.to_string();
    let id = derived_id(&["alert", app.as_str(), component.as_deref().unwrap_or_default(), &rule, &occurrence]);
    let destinations = stored.iter().find(|it| it.alert == id);
    AlertView {
        emails: destinations.map(|it| it.emails.clone()).unwrap_or_default(),
        slack_webhooks: destinations.map(|it| it.slack_webhooks.clone()).unwrap_or_default(),
        id,
        component,
        spec,
    }
}
