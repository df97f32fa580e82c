//! Creating an app: paste the address of a repository or a spec, see what was understood, deploy.

mod repository;
#[cfg(test)]
mod tests;
mod understood;

use app_spec::{AppSpec, Diagnostic, Diagnostics, Parsed};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use web::{HttpError, Needs, sha256};

use self::repository::Refusal;

use crate::actions::{caller, key_after, key_field, live_page};
use crate::request::{Fields, PageRequest, PageResult};
use crate::routes::{Route, route};
use crate::ui::button::{Look, submit_as};
use crate::ui::editor::{Problem, editor};
use crate::ui::form::Form;
use crate::ui::page::Place;
use crate::ui::{card, notice};

/// Not below `/apps`, where it would hide the app with the name `new`.
pub(crate) const PATH: &str = "/new-app";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(PATH, Needs::ReadLimited, get(empty)),
        // Checking a spec changes nothing, but fetches repositories, so it needs the same as creating the app.
        route(PATH, Needs::Write("create"), post(submit)),
    ]
}

async fn empty(request: PageRequest) -> PageResult {
    Needs::Write("create").check(&request.access.identity, false).map_err(HttpError::forbidden)?;
    Ok(start(&request, &request.query, None))
}

/// The first page: a form for a repository, and one for a spec.
fn start(request: &PageRequest, fields: &Fields, refusal: Option<&Refusal>) -> Response {
    let csrf = &request.session.csrf;
    let repository = Form { action: PATH, csrf, preview: None }.markup(html! {
        (repository::fields(fields, refusal))
        (submit_as(Look::Primary, "Look at the repository", "step", "repository"))
    });
    let spec = Form { action: PATH, csrf, preview: None }.markup(html! {
        (editor("spec", "App spec, in YAML or JSON", "", &[]))
        (submit_as(Look::Plain, "Check the spec", "step", "check"))
    });
    let content = html! {
        (card::heading("New app", html! {}, html! {}))
        (card::card("from-repository", "From a repository", html! {}, repository))
        (card::card("from-spec", "From an app spec", html! {}, spec))
    };
    request.page("New app", Place::Apps, content)
}

async fn submit(request: PageRequest, fields: Fields) -> PageResult {
    let text = match fields.get("spec") {
        // Browsers end lines with CR and LF.
        Some(spec) => spec.replace("\r\n", "\n"),
        None => match repository::spec(&fields) {
            Ok(spec) => spec,
            Err(refusal) => {
                request.access.dismiss_audit();
                return Ok((StatusCode::BAD_REQUEST, start(&request, &fields, Some(&refusal))).into_response());
            }
        },
    };
    let wants_to_deploy = fields.get("step") == Some("deploy");
    // Nothing is deployed that was not shown as it was understood.
    let is_checked = fields.get("checked") == Some(&checksum(&text));
    let deploys = wants_to_deploy && is_checked;
    if !deploys {
        request.access.dismiss_audit();
    }
    // Another text is another request.
    let page =
        NewApp { request: &request, fields: &fields, text: &text, key: fields.get("key").filter(|_| is_checked) };
    let parsed = match AppSpec::from_yaml(&text) {
        Ok(parsed) => parsed,
        Err(problems) => return Ok((StatusCode::BAD_REQUEST, page.unreadable(&problems)).into_response()),
    };
    if !deploys {
        let changed = "The spec was changed after it was checked. This is what it means now";
        let changed = wants_to_deploy.then(|| HttpError::bad_request(changed));
        return Ok(page.understood(&parsed, changed.as_ref()).await);
    }
    match create(&request, &fields, understood::with_values(parsed.spec.clone(), &fields)).await {
        Ok(address) => Ok(Redirect::to(&address).into_response()),
        Err(refusal) => {
            let page = NewApp { key: key_after(&refusal, page.key), ..page };
            Ok((request.refused(&refusal), page.understood(&parsed, Some(&refusal)).await).into_response())
        }
    }
}

/// Creates the app, and returns the address of its first deployment.
async fn create(request: &PageRequest, fields: &Fields, spec: AppSpec) -> Result<String, HttpError> {
    if let Some(audit) = &request.access.caller.audit {
        audit.set_app_name(&spec.name);
    }
    let app = request.access.control.create_app(spec, &caller(request, fields.get("key"))).await?;
    let first = app.newest.as_ref().map(|it| live_page(&app.name, it));
    Ok(first.unwrap_or_else(|| format!("/apps/{}", app.name)))
}

/// Identifies the text that was checked.
fn checksum(text: &str) -> String {
    hex::encode(sha256(text))
}

/// The second page: what was understood of a spec.
struct NewApp<'a> {
    request: &'a PageRequest,
    fields: &'a Fields,
    text: &'a str,
    /// The key that the form was sent with, if the next sending is the same request.
    key: Option<&'a str>,
}

impl NewApp<'_> {
    fn unreadable(&self, problems: &Diagnostics) -> Response {
        let first = problems.first_error().map(ToString::to_string).unwrap_or_default();
        self.page(
            "New app",
            html! {
                (notice::error("The spec cannot be used as it is", &first))
                (self.form(html! {}, problems.as_slice(), false))
            },
        )
    }

    async fn understood(&self, parsed: &Parsed, refusal: Option<&HttpError>) -> Response {
        let remarks = parsed.remarks();
        let control = &self.request.access.control;
        let (heads, preview) =
            tokio::join!(control.source_heads_of(&parsed.spec), control.propose(None, parsed.spec.clone()));
        let can_deploy = preview.is_ok() && !remarks.has_errors();
        let content = html! {
            @if let Some(it) = refusal { (notice::error("The app was not created", &it.message)) }
            (understood::notices(&parsed.spec, &heads))
            (self.form(understood::cards(&parsed.spec, &heads, self.fields, preview), remarks.as_slice(), can_deploy))
        };
        self.page(&format!("New app {}", parsed.spec.name), content)
    }

    /// The form with the spec, so that it can be corrected here.
    fn form(&self, cards: Markup, problems: &[Diagnostic], can_deploy: bool) -> Markup {
        let problems: Vec<_> = problems.iter().map(problem).collect();
        Form { action: PATH, csrf: &self.request.session.csrf, preview: None }.markup(html! {
            (key_field(self.key))
            input type="hidden" name="checked" value=(checksum(self.text));
            (cards)
            @if can_deploy { div class="row" { (submit_as(Look::Primary, "Deploy", "step", "deploy")) } }
            (card::card("spec-card", "App spec", html! {}, html! {
                (editor("spec", "You can change it here", self.text, &problems))
                div class="row" { button class="button" name="step" value="check" formnovalidate { "Check again" } }
            }))
        })
    }

    fn page(&self, title: &str, content: Markup) -> Response {
        let content = html! { (card::heading(title, html! {}, html! {})) (content) };
        self.request.page(title, Place::Apps, content)
    }
}

/// A problem in a spec, for the editor.
pub(crate) fn problem(it: &Diagnostic) -> Problem<'_> {
    Problem {
        line: it.line().map_or(1, |it| it as usize),
        column: it.column().map_or(1, |it| it as usize),
        error: it.is_error(),
        message: &it.message,
        help: it.help.as_deref().unwrap_or_default(),
    }
}
