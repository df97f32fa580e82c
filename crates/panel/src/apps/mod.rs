//! The list of apps.

use axum::routing::get;
use controller::view::PageQuery;
use maud::html;
use web::Needs;

use crate::request::{PageRequest, PageResult};
use crate::routes::{Route, route};
use crate::ui::card;
use crate::ui::page::Place;

pub(crate) fn routes() -> Vec<Route> {
    vec![route("/", Needs::ReadLimited, get(list))]
}

async fn list(request: PageRequest) -> PageResult {
    let apps = request.access.apps(PageQuery { page: 1, per_page: 200 }).await?;
    let content = html! {
        (card::heading("Apps", html! {}, html! {}))
        ul { @for app in &apps.items { li { a href={ "/apps/" (app.name) } { (app.name) } } } }
    };
    Ok(request.page("Apps", Place::Apps, content))
}
