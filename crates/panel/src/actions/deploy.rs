//! Deploying the newest commits: only what changed, or everything built again.

use controller::view::{DeployOptions, DeploymentView};
use maud::{Markup, html};
use web::HttpError;

use super::restart::restart_or_deploy;
use super::sources::sources_later;
use super::{Action, Dialogue, buttons, sources};
use crate::ui::button::Look;
use crate::ui::form::Check;

pub(super) async fn content(dialogue: &Dialogue<'_>) -> Result<Markup, HttpError> {
    let control = &dialogue.request.access.control;
    let is_rebuild = dialogue.action == Action::Rebuild;
    let sources = match dialogue.fields.has("sources") {
        true => sources(&control.source_heads(&dialogue.app.id).await?),
        false => sources_later(&format!("{}&sources=yes", dialogue.action.on(dialogue.page))),
    };
    let clear_cache = Check {
        name: "clear-cache",
        value: "yes",
        label: "Clear the build cache",
        note: "Every build step runs again, and base images are pulled again. This takes longer.",
        checked: dialogue.fields.has("clear-cache"),
        ..Check::default()
    };
    // The preview fetches nothing.
    let title = if is_rebuild { "Plan" } else { "Plan if nothing new was pushed" };
    let content = html! {
        p {
            @if is_rebuild { "Builds every component with a repository again from its newest commit, and replaces all instances." }
            @else { "Fetches the newest commits, builds what changed since, and replaces only that." }
        }
        @if is_rebuild { (clear_cache.markup()) }
        (sources)
        (dialogue.plan(title, html! {}, control.preview_deploy(&dialogue.app.id, options(dialogue)).await))
        (buttons(dialogue, Look::Primary, if is_rebuild { "Force Rebuild and Deploy" } else { "Deploy" }, is_rebuild))
    };
    Ok(html! { @if is_rebuild { (restart_or_deploy(dialogue)) } (dialogue.form(is_rebuild, content)) })
}

pub(super) async fn perform(dialogue: &Dialogue<'_>) -> Result<DeploymentView, HttpError> {
    let control = &dialogue.request.access.control;
    Ok(control.deploy(&dialogue.app.id, options(dialogue), &dialogue.caller()).await?)
}

fn options(dialogue: &Dialogue<'_>) -> DeployOptions {
    let force_build = dialogue.action == Action::Rebuild;
    DeployOptions { force_build, clear_cache: force_build && dialogue.fields.has("clear-cache") }
}
