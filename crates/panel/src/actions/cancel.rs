//! Canceling a deployment in progress.

use controller::view::DeploymentView;
use maud::{Markup, html};
use web::HttpError;
use web::view::deployment as view;

use super::{Dialogue, buttons, nothing_to_do};
use crate::ui::button::Look;

pub(super) async fn content(dialogue: &Dialogue<'_>) -> Result<Markup, HttpError> {
    let Some(found) = deployment(dialogue).await? else {
        return Ok(nothing_to_do(dialogue, "No deployment is in progress."));
    };
    let it = view(&found, &[]);
    if it.has_ended() {
        let text = format!("Deployment {} has ended, so there is nothing to cancel.", found.number);
        return Ok(nothing_to_do(dialogue, &text));
    }
    let page = super::live_page(&dialogue.app.name, &found);
    let dialogue = &Dialogue { page: &page, ..*dialogue };
    let content = html! {
        p { "Deployment " (found.number) " (" (it.cause_with_token()) ") is stopped: " (present::outcome::cancel_effect(&it)) "." }
        (buttons(dialogue, Look::Danger, "Cancel the deployment", false))
    };
    Ok(dialogue.form(false, content))
}

pub(super) async fn perform(dialogue: &Dialogue<'_>) -> Result<DeploymentView, HttpError> {
    let found = deployment(dialogue).await?.ok_or_else(|| HttpError::not_found("no deployment is in progress"))?;
    Ok(dialogue.request.access.control.cancel(&dialogue.app.id, &found.id).await?)
}

/// The deployment of the page, or on the app's page the one in progress.
async fn deployment(dialogue: &Dialogue<'_>) -> Result<Option<DeploymentView>, HttpError> {
    match dialogue.page.rsplit_once("/deployments/") {
        Some((_, number)) => dialogue.request.access.deployment(&dialogue.app.id, number).await.map(Some),
        None => Ok(dialogue.app.in_progress.clone().or_else(|| dialogue.app.pending.clone())),
    }
}
