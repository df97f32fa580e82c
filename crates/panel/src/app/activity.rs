//! The deployments of an app: why each was started and by whom, how it ended, and how it changed the spec.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use controller::view::{DeploymentView, Page, PageQuery};
use maud::{Markup, html};
use present::text::{counted, duration, grouped};
use present::{Deployment, Traffic};
use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use tokio::sync::Mutex;
use web::{Access, HttpError, Needs, PathParams, view};

use super::{MEASURED_EVERY, deleted};
use crate::apps::page_number;
use crate::live::Fragments;
use crate::request::{PageRequest, PageResult};
use crate::routes::{PanelState, Route, route};
use crate::ui::page::{Place, Section};
use crate::ui::table::{Column, Kind, table};
use crate::ui::{card, link, status, time};

const PER_PAGE: u64 = 20;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route("/apps/{app}/activity", Needs::Read, get(page)),
        route("/apps/{app}/activity/events", Needs::Read, get(events)),
    ]
}

async fn page(request: PageRequest, PathParams(app): PathParams<String>) -> PageResult {
    let app = request.access.app(&app).await?;
    let number = page_number(&request.query);
    let fragments = read(&request.access, &app.id, number, &KnownChanges::default()).await?;
    let content = html! {
        (card::heading("Activity", html! {}, html! {}))
        (fragments.get("activity"))
        (fragments.get("pages"))
    };
    let (title, live) =
        (format!("Activity of {}", app.name), format!("/apps/{}/activity/events?page={number}", app.name));
    Ok(request.live_page(&title, Place::App(&app.name, Section::Activity), Some(&live), content))
}

async fn events(
    State(state): State<PanelState>,
    request: PageRequest,
    PathParams(app): PathParams<String>,
) -> PageResult {
    let (app, number) = (request.access.app(&app).await?.id, page_number(&request.query));
    let known = Arc::<KnownChanges>::default();
    Ok(state.live.events(&request, format!("/apps/{app}/activity?page={number}"), move |access| {
        let (app, known) = (app.clone(), known.clone());
        async move { read(&access, &app, number, &known).await }
    }))
}

async fn read(access: &Access, app: &AppId, page: u64, known: &KnownChanges) -> Result<Fragments, HttpError> {
    let control = &access.control;
    let name = control.find_app(app.as_str()).await.map_err(deleted)?.name;
    let query = PageQuery { page, per_page: PER_PAGE };
    let deployments = control.deployments(app, query).await.map_err(deleted)?;
    let mut known = known.lock().await;
    let mut changes = Vec::new();
    for it in &deployments.items {
        let found = match known.get(&it.id) {
            Some(known) => Ok(known.clone()),
            None if has_the_spec_from_before(it, &deployments.items) => Ok(Vec::new()),
            None => control.spec_changes(app, &it.id).await.map_err(|error| error.to_string()),
        };
        // A deployment that has not started takes the spec of a newer request.
        if let (Ok(found), false) = (&found, it.stage == Stage::Pending) {
            known.insert(it.id.clone(), found.clone());
        }
        changes.push(found);
    }
    Ok(fragments(&name, &deployments, &changes, page))
}

/// The changes of the spec by deployment, which a live page reads once.
type KnownChanges = Mutex<BTreeMap<DeploymentId, Vec<String>>>;

/// Whether the two specs are known to be equal, so that they need no comparison. Secrets that did not change have the same
/// encrypted text.
fn has_the_spec_from_before(it: &DeploymentView, known: &[DeploymentView]) -> bool {
    let previous = it.previous.as_ref();
    previous.is_none_or(|previous| known.iter().any(|other| other.id == *previous && other.spec == it.spec))
}

/// How a deployment changed the spec, or why that is not known.
pub(super) type Changes = Result<Vec<String>, String>;

pub(super) fn fragments(app: &str, deployments: &Page<DeploymentView>, changes: &[Changes], page: u64) -> Fragments {
    let mut fragments = Fragments::new(MEASURED_EVERY);
    let columns = [
        Column("Deployment", Kind::Text),
        Column("State", Kind::Text),
        Column("Why", Kind::Text),
        Column("When", Kind::Text),
        Column("Took", Kind::Number),
        Column("Requests", Kind::Text),
        Column("Logs", Kind::Actions),
    ];
    let rows = deployments.items.iter().zip(changes);
    let rows: Vec<_> = rows.map(|(it, changes)| row(app, &view::deployment(it, &[]), changes)).collect();
    let table = table("Deployments, newest first", &columns, &rows);
    fragments.add("activity", html! { div id="activity" class="card" { (table) } });
    fragments.add("pages", link::pages(&format!("/apps/{app}/activity"), page, PER_PAGE, deployments.total));
    fragments
}

fn row(app: &str, it: &Deployment, changes: &Changes) -> Vec<Markup> {
    let number = it.boatyard.number;
    let address = format!("/apps/{app}/deployments/{number}");
    let built = it.boatyard.images.values().any(|it| it.built);
    let logs = format!("/apps/{app}/logs?type={}&deployment={number}", if built { "build" } else { "deploy" });
    vec![
        html! { a id={ "to-" (number) } href=(address) { "Deployment " (number) } },
        status::phase(&it.phase),
        html! {
            (it.cause_with_token())
            @if let Some(failure) = &it.boatyard.failure { p class="failure" { (failure.message) } }
            (changes_of(number, changes))
        },
        html! { @if let Some(at) = it.created_at { (time::ago(at)) } },
        html! { @match (it.took(), it.created_at) {
            (Some(took), _) => (duration(took)),
            (None, Some(created)) => (time::since(created)),
            (None, None) => {},
        } },
        html! { @if let Some(served) = &it.boatyard.record.served { (requests(served)) } },
        html! { a id={ "logs-" (number) } href=(logs) { "Logs" } },
    ]
}

fn requests(it: &Traffic) -> Markup {
    let at_least = if it.at_least { "at least " } else { "" };
    html! { (at_least) (grouped(it.requests)) " served, " (grouped(it.failed)) " failed" }
}

fn changes_of(number: u64, changes: &Changes) -> Markup {
    html! {
        @match changes {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => details class="changes" id={ "changes-" (number) } {
                summary { (counted(changes.len() as u64, "change")) " of the spec" }
                ul { @for it in changes { li { code { (it) } } } }
            },
            Err(why) => p class="hint" { "The changes of the spec are not known: " (why) },
        }
    }
}
