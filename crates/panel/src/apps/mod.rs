//! The list of apps.
//!
//! Each row is a live part of its own, because the numbers of requests change all the time. Rows have the places of a page,
//! so an app that is deleted or created moves those after it.

#[cfg(test)]
mod tests;

use std::time::Duration;

use app_spec::AppSpec;
use axum::extract::State;
use axum::routing::get;
use controller::view::{AppView, Page, PageQuery};
use maud::{Markup, html};
use present::text::{counted, grouped};
use web::{Access, HttpError, Identity, Needs, view};

use crate::app::has_address;
use crate::live::Fragments;
use crate::request::{Fields, PageRequest, PageResult};
use crate::routes::{PanelState, Route, route};
use crate::ui::button::{self, Look};
use crate::ui::page::Place;
use crate::ui::{card, link, status, time};

/// Apps on a page, so that a page stays small.
const PER_PAGE: u64 = 50;
/// How often the numbers of requests are read if nothing else changes.
const REQUESTS_EVERY: Duration = Duration::from_secs(5);

pub(crate) fn routes() -> Vec<Route> {
    vec![route("/", Needs::ReadLimited, get(page)), route("/events", Needs::ReadLimited, get(events))]
}

async fn page(request: PageRequest) -> PageResult {
    let number = page_number(&request.query);
    let fragments = read(&request.access, number).await?;
    let content = html! {
        (fragments.get("apps-heading"))
        (fragments.get("no-apps"))
        div class="card apps" role="table" aria-label="Apps" {
            (fragments.get("apps-columns"))
            @for place in 0..PER_PAGE { (fragments.get(&row_id(place))) }
        }
        (fragments.get("pages"))
    };
    Ok(request.live_page("Apps", Place::Apps, Some(&format!("/events?page={number}")), content))
}

async fn events(State(state): State<PanelState>, request: PageRequest) -> PageResult {
    let number = page_number(&request.query);
    let render = move |access: Access| async move { read(&access, number).await };
    Ok(state.live.events(&request, format!("/?page={number}"), render))
}

/// The page of a list that the query asks for.
pub(crate) fn page_number(query: &Fields) -> u64 {
    query.get("page").and_then(|it| it.parse().ok()).filter(|it| (1..=1_000_000).contains(it)).unwrap_or(1)
}

async fn read(access: &Access, page: u64) -> Result<Fragments, HttpError> {
    let apps = access.apps(PageQuery { page, per_page: PER_PAGE }).await?;
    let ids: Vec<_> = apps.items.iter().map(|it| it.id.clone()).collect();
    Ok(fragments(&apps, &access.control.recent_requests(&ids), page, may_create(&access.identity)))
}

fn may_create(identity: &Identity) -> bool {
    identity.may_write() && identity.only_app().is_none()
}

/// `requests`: those of each app lately.
fn fragments(apps: &Page<AppView>, requests: &[u64], page: u64, may_create: bool) -> Fragments {
    let mut fragments = Fragments::new(REQUESTS_EVERY);
    fragments.add("apps-heading", heading(apps.total, may_create));
    fragments.add("no-apps", html! { div id="no-apps" { @if apps.total == 0 { (none(may_create)) } } });
    fragments.add("apps-columns", columns(apps.items.is_empty()));
    let mut rows = apps.items.iter().zip(requests);
    for place in 0..PER_PAGE {
        let id = row_id(place);
        let row = match rows.next() {
            Some((app, requests)) => row(&id, app, *requests),
            None => html! { div id=(id) hidden {} },
        };
        fragments.add(id, row);
    }
    fragments.add("pages", link::pages("/", page, PER_PAGE, apps.total));
    fragments
}

fn row_id(place: u64) -> String {
    format!("app-{place}")
}

fn heading(total: u64, may_create: bool) -> Markup {
    let new = html! { @if may_create && total > 0 { (button::link(Look::Primary, "New app", "/new-app")) } };
    let count = html! { @if total > 0 { span { (counted(total, "app")) } } };
    html! { div id="apps-heading" { (card::heading("Apps", count, new)) } }
}

fn none(may_create: bool) -> Markup {
    let (text, action) = match may_create {
        true => (
            "Paste the address of a repository, or an app spec. Boatyard shows what it understood before it \
             builds anything.",
            button::link(Look::Primary, "Create the first app", "/new-app"),
        ),
        false => ("This token may not create apps.", html! {}),
    };
    card::empty("No apps yet", text, action)
}

fn columns(is_empty: bool) -> Markup {
    let names = ["App", "Status", "Address", "Last deployment", "Requests in 5 min"];
    html! {
        div id="apps-columns" role="row" hidden[is_empty] { @for name in names { span role="columnheader" { (name) } } }
    }
}

fn row(id: &str, app: &AppView, requests: u64) -> Markup {
    html! {
        div id=(id) role="row" {
            span role="rowheader" { a id={ (id) "-link" } href={ "/apps/" (app.name) } { (app.name) } }
            span role="cell" { (status::app(&view::app(app))) }
            span role="cell" { @if answers(app) { (link::external(&app.live_url)) } @else { small { "none" } } }
            span role="cell" { (last_deployment(app)) }
            span role="cell" class="number" data-label="Requests in 5 min" { (grouped(requests)) }
        }
    }
}

/// Whether anything answers at the app's address.
fn answers(app: &AppView) -> bool {
    AppSpec::from_stored(&app.spec).is_ok_and(|spec| has_address(&spec))
}

fn last_deployment(app: &AppView) -> Markup {
    let Some(it) = app.newest.as_ref().map(|it| view::deployment(it, &[])) else { return html! { small { "none" } } };
    let number = it.boatyard.number;
    html! {
        a href={ "/apps/" (app.name) "/deployments/" (number) } { "Deployment " (number) }
        @if matches!(it.phase.as_str(), "ERROR" | "CANCELED") { " " (status::phase(&it.phase)) }
        small { (it.cause_with_token()) @if let Some(at) = it.created_at { ", " (time::ago(at)) } }
    }
}
