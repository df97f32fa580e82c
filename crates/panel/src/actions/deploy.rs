//! Deploying the newest commits: only what changed, or everything built again.

use controller::view::{DeployOptions, DeploymentView};
use maud::{Markup, html};
use web::HttpError;

use super::restart::restart_or_deploy;
use super::sources::sources_later;
use super::{Action, ActionForm, buttons};
use crate::ui::button::Look;
use crate::ui::form::Check;

pub(super) async fn content(form: &ActionForm<'_>) -> Markup {
    let control = &form.request.access.control;
    let is_rebuild = form.action == Action::Rebuild;
    let clear_cache = Check {
        name: "clear-cache",
        value: "yes",
        label: "Clear the build cache",
        note: "Every build step runs again, and base images are pulled again. This takes longer.",
        checked: form.fields.has("clear-cache"),
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
        (sources_later(&form.app.name))
        (form.plan(title, html! {}, control.preview_deploy(&form.app.id, options(form)).await))
        (buttons(form, Look::Primary, if is_rebuild { "Force Rebuild and Deploy" } else { "Deploy" }, is_rebuild))
    };
    html! { @if is_rebuild { (restart_or_deploy(form)) } (form.element(is_rebuild, content)) }
}

pub(super) async fn perform(form: &ActionForm<'_>) -> Result<DeploymentView, HttpError> {
    let control = &form.request.access.control;
    Ok(control.deploy(&form.app.id, options(form), &form.caller()).await?)
}

fn options(form: &ActionForm<'_>) -> DeployOptions {
    let force_build = form.action == Action::Rebuild;
    DeployOptions { force_build, clear_cache: force_build && form.fields.has("clear-cache") }
}
