//! The pages of an app: what runs now, and what happened to it.
//!
//! - `facts`: everything that the overview shows, read at one moment;
//! - `attention`, `deployments`, `traffic`, `components` with `usage`, `jobs`, `domains`, `databases`: one part of the overview each;
//! - `activity`: the page with all deployments.

mod activity;
mod attention;
mod components;
mod databases;
mod deployments;
mod domains;
mod facts;
mod jobs;
#[cfg(test)]
mod tests;
mod traffic;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use app_spec::AppSpec;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use controller::ControlError;
use maud::{Markup, html};
use web::{HttpError, Needs, PathParams, view};

use self::facts::{Facts, KnownRuns};
use crate::actions;
use crate::live::Fragments;
use crate::request::{PageRequest, PageResult};
use crate::routes::{PanelState, Route, route};
use crate::ui::page::{Place, Section};
use crate::ui::{card, link, status, time};

/// How often pictures move on if nothing else changes: as often as usage is measured.
const MEASURED_EVERY: Duration = Duration::from_secs(15);
/// Places for components on the page. A page that is open shows a component in a further place after it was loaded again.
const PLACES: usize = 16;

pub(crate) fn routes() -> Vec<Route> {
    let overview =
        vec![route("/apps/{app}", Needs::Read, get(page)), route("/apps/{app}/events", Needs::Read, get(events))];
    [overview, activity::routes(), jobs::routes(), databases::routes()].into_iter().flatten().collect()
}

async fn page(request: PageRequest, PathParams(app): PathParams<String>) -> PageResult {
    let app = request.access.app(&app).await?;
    let dialog = actions::dialog(&request, &app, None).await?;
    if let (true, Some(dialog)) = (request.dialog_only, &dialog) {
        return Ok(dialog.clone().into_response());
    }
    let facts = Facts::read(&request.access, &app.id, &KnownRuns::default()).await?;
    let content = html! { @if let Some(dialog) = dialog { (dialog) } (content(&fragments(&facts))) };
    let live = format!("/apps/{}/events", app.name);
    Ok(request.live_page(&app.name, Place::App(&app.name, Section::Overview), Some(&live), content))
}

async fn events(
    State(state): State<PanelState>,
    request: PageRequest,
    PathParams(app): PathParams<String>,
) -> PageResult {
    let app = request.access.app(&app).await?.id;
    let known = Arc::<KnownRuns>::default();
    Ok(state.live.events(&request, format!("/apps/{app}"), move |access| {
        let (app, known) = (app.clone(), known.clone());
        async move { Ok(fragments(&Facts::read(&access, &app, &known).await?)) }
    }))
}

fn fragments(facts: &Facts) -> Fragments {
    let mut fragments = Fragments::new(MEASURED_EVERY);
    fragments.add("heading", heading(facts));
    fragments.add("attention", attention::markup(facts));
    fragments.add("in-progress", deployments::in_progress(facts));
    fragments.add("serves", deployments::serves(facts));
    fragments.add("requests", traffic::markup(facts));
    let mut parts = components::cards(facts).into_iter();
    for place in 0..places(facts) {
        let id = place_id(place);
        let part = parts.next();
        fragments.add(id.clone(), html! { div id=(id) hidden[part.is_none()] { @if let Some(it) = part { (it) } } });
    }
    fragments.add("jobs", jobs::markup(facts));
    fragments.add("domains", domains::markup(facts));
    fragments
}

fn content(fragments: &Fragments) -> Markup {
    let places = (0..).map(place_id).take_while(|it| !fragments.get(it).0.is_empty());
    html! {
        (fragments.get("heading"))
        (fragments.get("attention"))
        (fragments.get("in-progress"))
        div class="columns even" { (fragments.get("serves")) (fragments.get("requests")) }
        @for id in places { (fragments.get(&id)) }
        (fragments.get("jobs"))
        (fragments.get("domains"))
    }
}

fn places(facts: &Facts) -> usize {
    PLACES.max(components::count(facts))
}

fn place_id(place: usize) -> String {
    format!("component-{place}")
}

fn heading(facts: &Facts) -> Markup {
    let app = view::app(&facts.app);
    let beside = html! {
        (status::app(&app))
        @if has_address(&facts.spec) { (link::external(&facts.app.live_url)) }
    };
    let menu = html! { @if facts.may_write { (actions::menu(&facts.app.name)) } };
    html! {
        div id="heading" {
            (time::announce(&format!("{}: {}", facts.app.name, app.status())))
            (card::heading(&facts.app.name, beside, menu))
        }
    }
}

/// Whether anything answers at the app's address.
pub(crate) fn has_address(spec: &AppSpec) -> bool {
    !(spec.services.is_empty() && spec.static_sites.is_empty())
}

/// An error while a page is read whose app was found before. "Not found" would list the names of other apps, which a token
/// for one app must not see.
fn deleted(error: ControlError) -> HttpError {
    match error {
        ControlError::NotFound(_) => HttpError::not_found("the app was deleted"),
        other => other.into(),
    }
}

/// Answers with a dialogue that is not one of [`actions`]: alone for the script, or on a page without anything else.
fn dialog_page(request: &PageRequest, app: &str, title: &str, dialog: Markup) -> Response {
    if request.dialog_only {
        return dialog.into_response();
    }
    let content = html! { (card::heading(app, html! {}, html! {})) (dialog) };
    request.page(title, Place::App(app, Section::Overview), content)
}
