//! The live page of a deployment: what happens to each instance, the steps, the requests meanwhile, the log, and how it
//! ended.
//!
//! - `facts`: everything that the page shows, read at one moment;
//! - `heading`, `outcome`, `lanes`, `traffic`, `progress`, `images`, `log`: one part of the page each.

mod facts;
mod heading;
mod images;
mod lanes;
mod log;
mod outcome;
mod progress;
mod traffic;

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use maud::{Markup, html};
use web::{Needs, PathParams};

use self::facts::Facts;
use crate::actions;
use crate::live::Fragments;
use crate::request::{PageRequest, PageResult};
use crate::routes::{PanelState, Route, route};
use crate::ui::page::{Place, Section};

/// While a deployment is in progress, the picture of its requests moves on.
const IN_PROGRESS: Duration = Duration::from_secs(1);
/// Afterwards only records change, which causes a rendering of its own.
const ENDED: Duration = Duration::from_secs(15);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route("/apps/{app}/deployments/{deployment}", Needs::Read, get(page)),
        route("/apps/{app}/deployments/{deployment}/events", Needs::Read, get(events)),
    ]
}

async fn page(request: PageRequest, PathParams((app, deployment)): PathParams<(String, String)>) -> PageResult {
    let app = request.access.app(&app).await?;
    let deployment = request.access.deployment(&app.id, &deployment).await?;
    let number = deployment.number;
    let dialog = actions::dialog(&request, &app, Some(&deployment)).await?;
    if let (true, Some(dialog)) = (request.dialog_only, &dialog) {
        return Ok(dialog.clone().into_response());
    }
    let facts = Facts::read(&request.access, &app.id, &deployment.id).await?;
    // An id is found faster than a number, and browsers connect often.
    let live = format!("/apps/{}/deployments/{}/events", app.name, deployment.id);
    let title = format!("Deployment {number} of {}", app.name);
    let content = html! { @if let Some(dialog) = dialog { (dialog) } (content(&fragments(&facts))) };
    Ok(request.live_page(&title, Place::App(&app.name, Section::Activity), Some(&live), content))
}

async fn events(
    State(state): State<PanelState>,
    request: PageRequest,
    PathParams((app, deployment)): PathParams<(String, String)>,
) -> PageResult {
    let app = request.access.app(&app).await?.id;
    let deployment = request.access.deployment(&app, &deployment).await?.id;
    let page = format!("/apps/{app}/deployments/{deployment}");
    Ok(state.live.events(&request, page, move |access| {
        let (app, deployment) = (app.clone(), deployment.clone());
        async move { Ok(fragments(&Facts::read(&access, &app, &deployment).await?)) }
    }))
}

fn fragments(facts: &Facts) -> Fragments {
    let mut fragments = Fragments::new(if facts.it.has_ended() { ENDED } else { IN_PROGRESS });
    fragments.add("deployment", heading::markup(facts));
    fragments.add("outcome", outcome::markup(facts));
    fragments.add("instances", lanes::markup(facts));
    fragments.add("requests", traffic::markup(facts));
    fragments.add("progress", progress::markup(facts));
    fragments.add("images", images::markup(facts));
    fragments.add("log-card", log::markup(facts));
    fragments
}

fn content(fragments: &Fragments) -> Markup {
    html! {
        (fragments.get("deployment"))
        (fragments.get("outcome"))
        div class="columns wide-left" {
            div class="stack" { (fragments.get("instances")) (fragments.get("requests")) (fragments.get("log-card")) }
            div class="stack" { (fragments.get("progress")) (fragments.get("images")) }
        }
    }
}
