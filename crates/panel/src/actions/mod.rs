//! The dialogues that change an app: restart, deploy, roll back, cancel, delete.
//!
//! A dialogue has two addresses. A page shows it at `?action=restart`, with the plan for the choice in the rest of the query.
//! Its form goes to a path of its own. The answer is a redirect, usually to the live page of the new deployment, or the
//! same dialogue with the reason of the refusal and the values that were sent.
//!
//! - [`Action`]: all of them; [`ActionForm`]: what one of them needs to be shown or carried out;
//! - `restart`, `deploy`, `rollback`, `cancel`, `delete`: each dialogue and what its form does;
//! - `plan`: what a request would do; `sources`: which commits it would build, under an address of their own.

mod cancel;
mod delete;
mod deploy;
mod plan;
mod restart;
mod rollback;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use app_spec::AppSpec;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use controller::ControlError;
use controller::view::{AppView, Caller, DeploymentView, Preview};
use maud::{Markup, html};
use uuid::Uuid;
use web::{HttpError, Needs, PathParams};

pub(crate) use plan::plan;
pub(crate) use rollback::pinned;
pub(crate) use sources::sources;

use crate::request::{Fields, PageRequest, PageResult};
use crate::routes::{Route, route};
use crate::ui::button::{self, Entry, Look};
use crate::ui::dialog::Dialog;
use crate::ui::form::Form;
use crate::ui::page::{Place, Section};
use crate::ui::{card, notice};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        action_route("/apps/{app}/restart", Needs::Write("restart"), Action::Restart),
        action_route("/apps/{app}/rebuild", Needs::Write("deploy"), Action::Rebuild),
        action_route("/apps/{app}/deploy", Needs::Write("deploy"), Action::Deploy),
        action_route("/apps/{app}/rollback", Needs::Write("rollback"), Action::Rollback),
        action_route("/apps/{app}/commit", Needs::Write("commit rollback"), Action::Commit),
        action_route("/apps/{app}/revert", Needs::Write("revert rollback"), Action::Revert),
        action_route("/apps/{app}/delete", Needs::Write("delete"), Action::Delete),
        action_route("/apps/{app}/deployments/{deployment}/cancel", Needs::Write("cancel deployment"), Action::Cancel),
        // A person who may only read has no use for it, and it makes a git host work.
        route(sources::PATH, Needs::Write("look up sources"), get(sources::page)),
    ]
}

fn action_route(path: &'static str, needs: Needs, action: Action) -> Route {
    let handler = move |request: PageRequest,
                        PathParams(path): PathParams<BTreeMap<String, String>>,
                        fields: Fields| { submit(action, request, path, fields) };
    route(path, needs, post(handler))
}

/// The Actions menu of an app.
pub(crate) fn menu(app: &str) -> Markup {
    let entries = [
        ("Restart", Action::Restart),
        ("Force Rebuild and Deploy", Action::Rebuild),
        ("Deploy newest commit", Action::Deploy),
        ("Roll back", Action::Rollback),
        ("Delete", Action::Delete),
    ];
    let links = entries.map(|(_, action)| action.on(&format!("/apps/{app}")));
    let entries = entries.iter().zip(&links).map(|((label, action), href)| Entry {
        label,
        href,
        dialog: true,
        marked: *action == Action::Delete,
    });
    button::menu("actions", "Actions", &entries.collect::<Vec<_>>())
}

/// The dialogue that the query of a page asks for by `action`. `deployment`: the one that the page shows. Errors: there is no
/// such action; the token may not do it.
pub(crate) async fn dialog(
    request: &PageRequest,
    app: &AppView,
    deployment: Option<&DeploymentView>,
) -> Result<Option<Markup>, HttpError> {
    let Some(word) = request.query.get("action") else { return Ok(None) };
    let Some(action) = Action::ALL.into_iter().find(|it| it.word() == word) else {
        return Err(HttpError::not_found(format!(
            "there is no action {word:?}. The menu Actions of the app has them all"
        )));
    };
    Needs::Write(action.word()).check(&request.access.identity, true).map_err(HttpError::forbidden)?;
    let (page, fields) = (request.path.as_str(), &request.query);
    let form = ActionForm { action, request, app, deployment, page, fields, key: None, refusal: None };
    form.markup().await.map(Some)
}

/// Carries out the action of a form.
async fn submit(action: Action, request: PageRequest, path: BTreeMap<String, String>, fields: Fields) -> PageResult {
    let app = &request.access.app(path.get("app").map_or("", String::as_str)).await?;
    let deployment = match path.get("deployment") {
        Some(number) => Some(request.access.deployment(&app.id, number).await?),
        None => None,
    };
    let page = deployment.as_ref().map_or_else(|| format!("/apps/{}", app.name), |it| live_page(&app.name, it));
    let (deployment, page, key) = (deployment.as_ref(), page.as_str(), fields.get("key"));
    let (request, fields) = (&request, &fields);
    let form = ActionForm { action, request, app, deployment, page, fields, key, refusal: None };
    if fields.has("show-plan") {
        request.access.dismiss_audit();
        return Ok(form.alone(form.markup().await?));
    }
    let refusal = match form.perform().await {
        Ok(address) => return Ok(Redirect::to(&address).into_response()),
        Err(refusal) => refusal,
    };
    let again = ActionForm { refusal: Some(&refusal), key: key_after(&refusal, key), ..form };
    // If even the dialogue cannot be shown, because the app is gone by now, the refusal becomes a page.
    let Ok(markup) = again.markup().await else { return Err(refusal) };
    Ok((request.refused(&refusal), again.alone(markup)).into_response())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Restart,
    Rebuild,
    Deploy,
    Rollback,
    /// Keep the rollback that the app is pinned to.
    Commit,
    /// Undo the rollback that the app is pinned to.
    Revert,
    Cancel,
    Delete,
}

impl Action {
    const ALL: [Self; 8] = {
        use Action::*;
        [Restart, Rebuild, Deploy, Rollback, Commit, Revert, Cancel, Delete]
    };

    /// The word in addresses, and the title of the dialogue.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Restart => ("restart", "Restart or Deploy"),
            Self::Rebuild => ("rebuild", "Restart or Deploy"),
            Self::Deploy => ("deploy", "Deploy newest commit"),
            Self::Rollback => ("rollback", "Roll back"),
            Self::Commit => ("commit", "Keep the rollback"),
            Self::Revert => ("revert", "Undo the rollback"),
            Self::Cancel => ("cancel", "Cancel the deployment"),
            Self::Delete => ("delete", "Delete the app"),
        }
    }

    fn word(self) -> &'static str {
        self.words().0
    }

    fn title(self) -> &'static str {
        self.words().1
    }

    /// The address of its dialogue above a page.
    fn on(self, page: &str) -> String {
        format!("{page}?action={}", self.word())
    }
}

/// A dialogue for one app: what it is about, and what was chosen in it.
#[derive(Clone, Copy)]
struct ActionForm<'a> {
    action: Action,
    request: &'a PageRequest,
    app: &'a AppView,
    /// The deployment that the page below it shows.
    deployment: Option<&'a DeploymentView>,
    /// Address of the page below it: that of the app, or of a deployment.
    page: &'a str,
    /// The query of its address, or its form.
    fields: &'a Fields,
    /// The key of a form that was sent.
    key: Option<&'a str>,
    /// Why the action was refused.
    refusal: Option<&'a HttpError>,
}

impl ActionForm<'_> {
    async fn markup(&self) -> Result<Markup, HttpError> {
        let content = match self.action {
            Action::Restart => restart::content(self).await,
            Action::Rebuild | Action::Deploy => deploy::content(self).await,
            Action::Rollback => rollback::content(self).await?,
            Action::Commit => rollback::commit_content(self),
            Action::Revert => rollback::revert_content(self).await,
            Action::Cancel => cancel::content(self),
            Action::Delete => delete::content(self),
        };
        let refusal = self.refusal.map(|it| notice::error("Nothing was changed", &it.message));
        Ok(Dialog { title: self.action.title(), page: self.page }
            .markup(html! { @if let Some(it) = refusal { (it) } (content) }))
    }

    /// Carries the action out, and returns the address of the page that shows the result.
    async fn perform(&self) -> Result<String, HttpError> {
        let deployment = match self.action {
            Action::Restart => restart::perform(self).await?,
            Action::Rebuild | Action::Deploy => deploy::perform(self).await?,
            Action::Rollback => rollback::perform(self).await?,
            Action::Commit => {
                self.request.access.control.commit_rollback(&self.app.id).await?;
                return Ok(format!("/apps/{}", self.app.name));
            }
            Action::Revert => self.request.access.control.revert_rollback(&self.app.id, &self.caller()).await?,
            Action::Cancel => cancel::perform(self).await?,
            Action::Delete => {
                delete::perform(self).await?;
                return Ok("/".into());
            }
        };
        Ok(live_page(&self.app.name, &deployment))
    }

    /// The answer to a form: the dialogue alone for the script, otherwise a page with nothing else.
    fn alone(&self, form: Markup) -> axum::response::Response {
        if self.request.dialog_only {
            return form.into_response();
        }
        let content = html! { (card::heading(&self.app.name, html! {}, html! {})) (form) };
        self.request.page(self.action.title(), Place::App(&self.app.name, Section::Overview), content)
    }

    /// The form of the dialogue. `shows_plan`: the plan follows the choice.
    fn element(&self, shows_plan: bool, content: Markup) -> Markup {
        let (app, word) = (&self.app.name, self.action.word());
        let action = match cancel::target(self).filter(|_| self.action == Action::Cancel) {
            Some(deployment) => format!("{}/cancel", live_page(app, deployment)),
            None => format!("/apps/{app}/{word}"),
        };
        let preview = shows_plan.then_some((self.page, "plan"));
        Form { action: &action, csrf: &self.request.session.csrf, preview }.markup(html! {
            input type="hidden" name="action" value=(word);
            // Tells an empty choice from a dialogue that was just opened.
            input type="hidden" name="chosen" value="yes";
            (key_field(self.key))
            (content)
        })
    }

    /// What the action would do. A refusal that the dialogue shows already is not repeated.
    fn plan(&self, title: &str, notices: Markup, preview: Result<Preview, ControlError>) -> Markup {
        let is_shown = |error: &ControlError| self.refusal.is_some_and(|it| it.message == error.to_string());
        match preview {
            Err(error) if is_shown(&error) => html! { div id="plan" {} },
            preview => plan(title, notices, preview),
        }
    }

    /// The caller, with the key of the form, so that a second click does not start a second deployment.
    fn caller(&self) -> Caller {
        caller(self.request, self.key)
    }

    /// The spec of the deployment that serves, or else the newest one. `None`: this version cannot read it.
    fn spec(&self) -> Option<AppSpec> {
        let stored = self.app.active.as_ref().map_or(&self.app.spec, |it| &it.spec);
        AppSpec::from_stored(stored).ok()
    }
}

/// The hidden key of a form: new for each form, and kept when the form is shown again after it was sent.
pub(crate) fn key_field(sent: Option<&str>) -> Markup {
    let key = sent.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    html! { input type="hidden" name="key" value=(key); }
}

/// The key of a form that is shown again after a refusal: a new one, so that no earlier request decides what the next sending
/// means. If the refused request may still take effect, the same key keeps that from happening twice.
pub(crate) fn key_after<'a>(refusal: &HttpError, sent: Option<&'a str>) -> Option<&'a str> {
    sent.filter(|_| refusal.status.is_server_error())
}

/// Who sends a form. Its key makes a second sending of the same form the same request.
pub(crate) fn caller(request: &PageRequest, key: Option<&str>) -> Caller {
    let key = key.filter(|it| it.len() <= 64).map(str::to_owned);
    Caller { idempotency_key: key, ..request.access.caller.clone() }
}

/// The live page of a deployment.
pub(crate) fn live_page(app: &str, deployment: &DeploymentView) -> String {
    format!("/apps/{app}/deployments/{}", deployment.number)
}

/// The buttons of a dialogue, with "Show plan" for browsers without JavaScript.
fn buttons(form: &ActionForm<'_>, look: Look, label: &str, shows_plan: bool) -> Markup {
    let leave = if form.action == Action::Cancel { "Let it go on" } else { "Cancel" };
    html! {
        footer class="buttons" {
            (button::submit(look, label))
            @if shows_plan { button class="button without-script" name="show-plan" value="yes" { "Show plan" } }
            a class="button" href=(form.page) data-close { (leave) }
        }
    }
}

/// A dialogue that has nothing to offer.
fn nothing_to_do(form: &ActionForm<'_>, why: &str) -> Markup {
    html! {
        p { (why) }
        footer class="buttons" { a class="button" href=(form.page) data-close { "Close" } }
    }
}
