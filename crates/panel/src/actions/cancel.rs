//! Canceling a deployment in progress.

use controller::view::DeploymentView;
use maud::{Markup, html};
use web::HttpError;
use web::view::deployment as view;

use super::{ActionForm, buttons, nothing_to_do};
use crate::ui::button::Look;

pub(super) fn content(form: &ActionForm<'_>) -> Markup {
    let Some(target) = target(form) else { return nothing_to_do(form, "No deployment is in progress.") };
    let it = view(target, &[]);
    if it.has_ended() {
        let text = format!("Deployment {} has ended, so there is nothing to cancel.", target.number);
        return nothing_to_do(form, &text);
    }
    let effect = present::outcome::cancel_effect(&it);
    let content = html! {
        p { "Cancels deployment " (target.number) " (" (it.cause_with_token()) "): " (effect) "." }
        (buttons(form, Look::Danger, "Cancel the deployment", false))
    };
    form.element(false, content)
}

pub(super) async fn perform(form: &ActionForm<'_>) -> Result<DeploymentView, HttpError> {
    let target = target(form).ok_or_else(|| HttpError::not_found("no deployment is in progress"))?;
    Ok(form.request.access.control.cancel(&form.app.id, &target.id).await?)
}

/// The deployment of the page, or on the app's page the one in progress.
pub(super) fn target<'a>(form: &ActionForm<'a>) -> Option<&'a DeploymentView> {
    form.deployment.or(form.app.in_progress.as_ref()).or(form.app.pending.as_ref())
}
