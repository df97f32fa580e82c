//! Rolling an app back to a deployment that served, and keeping or undoing such a rollback.

use controller::view::{AppView, DeploymentView, PageQuery, RollbackOptions};
use maud::{Markup, html};
use rollout::ids::DeploymentId;
use web::HttpError;
use web::view::deployment as view;

use super::{Action, ActionForm, buttons, nothing_to_do};
use crate::ui::Tone;
use crate::ui::button::{self, Look};
use crate::ui::form::{Check, Field, Input};
use crate::ui::notice::{self, Notice};

/// How many of the newest deployments are offered. A link such as `?action=rollback&to=3` offers an older one.
const OFFERED: u64 = 50;

/// The notice on the pages of an app that is pinned to a rollback, with the two ways on. `None`: it is not pinned.
pub(crate) fn pinned(app: &AppView, page: &str) -> Option<Markup> {
    let pinned = app.pinned.as_ref()?;
    let title = format!("Pinned to deployment {} ({})", pinned.number, pinned.cause);
    let text = "New deployments are refused until you keep this rollback or undo it. Restarts are not.";
    let next = html! {
        (button::open(Look::Plain, "Keep it", &Action::Commit.on(page), "keep-rollback"))
        (button::open(Look::Plain, "Undo it", &Action::Revert.on(page), "undo-rollback"))
    };
    Some(Notice { tone: Tone::Warning, title: &title, text, log_tail: &[] }.markup(next))
}

pub(super) async fn content(form: &ActionForm<'_>) -> Result<Markup, HttpError> {
    let access = &form.request.access;
    let query = PageQuery { page: 1, per_page: OFFERED };
    let mut offered = access.control.deployments(&form.app.id, query).await?.items;
    offered.retain(|it| view(it, &[]).has_served() && !serves(form.app, it));
    let asked = match form.fields.get("to") {
        Some(to) => Some(access.deployment(&form.app.id, to).await?),
        None => None,
    };
    if let Some(asked) = &asked
        && !offered.iter().any(|it| it.id == asked.id)
    {
        offered.push(asked.clone());
    }
    let Some(target) = asked.as_ref().or(offered.first()) else {
        let why = "None of the newest deployments has served before, so there is nothing to return to.";
        return Ok(nothing_to_do(form, why));
    };
    let choices: Vec<_> = offered.iter().map(|it| (it.number.to_string(), label(it))).collect();
    let choices: Vec<_> = choices.iter().map(|(number, label)| (number.as_str(), label.as_str())).collect();
    let number = target.number.to_string();
    let field =
        Field { name: "to", label: "Return to", value: &number, input: Input::Choice(&choices), ..Field::default() };
    let pin = Check {
        name: "pin",
        value: "yes",
        label: "Pin the app to it",
        note: "New deployments are refused until you keep the rollback or undo it.",
        checked: !form.fields.has("chosen") || form.fields.has("pin"),
        ..Check::default()
    };
    let content = html! {
        p { "Returns to the spec, the variables and the images of an earlier deployment. Jobs do not run, and databases stay as \
             they are." }
        (field.markup())
        (pin.markup())
        (checked_plan(form, &target.id).await?)
        (buttons(form, Look::Primary, "Roll back", true))
    };
    Ok(form.element(true, content))
}

/// The plan, with what to know before.
async fn checked_plan(form: &ActionForm<'_>, to: &DeploymentId) -> Result<Markup, HttpError> {
    let (control, app) = (&form.request.access.control, &form.app.id);
    // If the check has an error, the preview has the same one, and shows it.
    let warnings = control.validate_rollback(app, to).await?.warnings;
    let warnings = html! { @for it in &warnings { (notice::warning("Before you roll back", &it.message)) } };
    Ok(form.plan("Plan", warnings, control.preview_rollback(app, to).await))
}

fn serves(app: &AppView, deployment: &DeploymentView) -> bool {
    app.active.as_ref().is_some_and(|it| it.id == deployment.id)
}

fn label(it: &DeploymentView) -> String {
    let at = web::view::time(it.created).map(|it| it.format(", %Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
    format!("{}: {}{at}", it.number, view(it, &[]).cause_with_token())
}

pub(super) async fn perform(form: &ActionForm<'_>) -> Result<DeploymentView, HttpError> {
    let access = &form.request.access;
    let Some(to) = form.fields.get("to") else {
        return Err(HttpError::bad_request("no deployment is chosen. Choose one to return to"));
    };
    let to = access.deployment(&form.app.id, to).await?.id;
    let options = RollbackOptions { skip_pin: !form.fields.has("pin") };
    Ok(access.control.roll_back(&form.app.id, &to, options, &form.caller()).await?)
}

pub(super) fn commit_content(form: &ActionForm<'_>) -> Markup {
    if form.app.pinned.is_none() {
        return nothing_to_do(form, NOT_PINNED);
    }
    let content = html! {
        p { "The app stays as it is now, and takes new deployments again. No instance is replaced." }
        (buttons(form, Look::Primary, "Keep the rollback", false))
    };
    form.element(false, content)
}

pub(super) async fn revert_content(form: &ActionForm<'_>) -> Markup {
    if form.app.pinned.is_none() {
        return nothing_to_do(form, NOT_PINNED);
    }
    let preview = form.request.access.control.preview_revert(&form.app.id).await;
    let content = html! {
        p { "Deploys the newest spec from before the rollback, with the images that served then. If the rollback is still in \
             progress, it is canceled. The app takes new deployments again." }
        (form.plan("Plan", html! {}, preview))
        (buttons(form, Look::Primary, "Undo the rollback", false))
    };
    form.element(false, content)
}

const NOT_PINNED: &str = "The app is not pinned to a rollback.";
