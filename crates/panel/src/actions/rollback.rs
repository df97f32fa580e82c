//! Rolling an app back to a deployment that served, and keeping or undoing such a rollback.

use controller::view::{AppView, DeploymentView, PageQuery, RollbackOptions};
use maud::{Markup, html};
use rollout::ids::DeploymentId;
use web::HttpError;
use web::view::deployment as view;

use super::{Action, Dialogue, buttons, nothing_to_do};
use crate::ui::Tone;
use crate::ui::button::{self, Look};
use crate::ui::form::{Check, Field, Input};
use crate::ui::notice::Notice;

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

pub(super) async fn content(dialogue: &Dialogue<'_>) -> Result<Markup, HttpError> {
    let access = &dialogue.request.access;
    let query = PageQuery { page: 1, per_page: OFFERED };
    let mut offered = access.control.deployments(&dialogue.app.id, query).await?.items;
    offered.retain(|it| view(it, &[]).has_served() && !serves(dialogue.app, it));
    let asked = match dialogue.fields.get("to") {
        Some(to) => Some(access.deployment(&dialogue.app.id, to).await?),
        None => None,
    };
    if let Some(asked) = &asked
        && !offered.iter().any(|it| it.id == asked.id)
    {
        offered.push(asked.clone());
    }
    let Some(target) = asked.as_ref().or(offered.first()) else {
        let why = "No earlier deployment has served, so there is nothing to return to.";
        return Ok(nothing_to_do(dialogue, why));
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
        checked: !dialogue.fields.has("chosen") || dialogue.fields.has("pin"),
        ..Check::default()
    };
    let content = html! {
        p { "Returns to the spec, the variables and the images of an earlier deployment. Jobs do not run, and databases stay as \
             they are." }
        (field.markup())
        (pin.markup())
        (checked_plan(dialogue, &target.id).await?)
        (buttons(dialogue, Look::Primary, "Roll back", true))
    };
    Ok(dialogue.form(true, content))
}

/// The plan, with what to know before.
async fn checked_plan(dialogue: &Dialogue<'_>, to: &DeploymentId) -> Result<Markup, HttpError> {
    let (control, app) = (&dialogue.request.access.control, &dialogue.app.id);
    // A refusal is also the error of the preview.
    let warnings = control.validate_rollback(app, to).await?.warnings;
    let warning = |text: &str| {
        Notice { tone: Tone::Warning, title: "Before you roll back", text, log_tail: &[] }.markup(html! {})
    };
    let warnings = html! { @for it in &warnings { (warning(&it.message)) } };
    Ok(dialogue.plan("Plan", warnings, control.preview_rollback(app, to).await))
}

fn serves(app: &AppView, deployment: &DeploymentView) -> bool {
    app.active.as_ref().is_some_and(|it| it.id == deployment.id)
}

fn label(it: &DeploymentView) -> String {
    let at = web::view::time(it.created).map(|it| it.format(", %Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
    format!("{}: {}{at}", it.number, view(it, &[]).cause_with_token())
}

pub(super) async fn perform(dialogue: &Dialogue<'_>) -> Result<DeploymentView, HttpError> {
    let access = &dialogue.request.access;
    let Some(to) = dialogue.fields.get("to") else {
        return Err(HttpError::bad_request("no deployment is chosen. Choose one to return to"));
    };
    let to = access.deployment(&dialogue.app.id, to).await?.id;
    let options = RollbackOptions { skip_pin: !dialogue.fields.has("pin") };
    Ok(access.control.roll_back(&dialogue.app.id, &to, options, &dialogue.caller()).await?)
}

pub(super) fn commit_content(dialogue: &Dialogue<'_>) -> Markup {
    dialogue.form(
        false,
        html! {
            p { "The app stays as it is now, and takes new deployments again. No instance is replaced." }
            (buttons(dialogue, Look::Primary, "Keep the rollback", false))
        },
    )
}

pub(super) fn revert_content(dialogue: &Dialogue<'_>) -> Markup {
    dialogue.form(
        false,
        html! {
            p { "Deploys the newest spec from before the rollback, with the images that served then. If the rollback is still in \
                 progress, it is canceled. The app takes new deployments again." }
            (buttons(dialogue, Look::Primary, "Undo the rollback", false))
        },
    )
}
