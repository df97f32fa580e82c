//! Settings of an app: its spec as text, and the same spec as a list of variables.
//!
//! In reading order:
//! - `spec`: the editor;
//! - `variables`: the page with the variables, and the dialogues that change one; `variable`: what such a form does to the
//!   spec;
//! - `change`: what both need to replace the spec: its plan, whether somebody else changed it meanwhile, and saving it.

mod change;
mod spec;
#[cfg(test)]
mod tests;
mod variable;
mod variables;

use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use web::Needs;

use crate::request::PageRequest;
use crate::routes::{Route, route};
use crate::ui::button::{self, Entry, Look};
use crate::ui::card;
use crate::ui::page::{Place, Section};

const SPEC: &str = "/apps/{app}/settings";
const VARIABLES: &str = "/apps/{app}/settings/variables";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route(SPEC, Needs::Read, get(spec::show)),
        route(SPEC, Needs::Write("update"), post(spec::submit)),
        route(VARIABLES, Needs::Read, get(variables::show)),
        route(VARIABLES, Needs::Write("update"), post(variables::submit)),
    ]
}

/// A page of the settings. `dialog` stands before its content, or is empty.
fn page(request: &PageRequest, app: &str, dialog: Markup, content: Markup) -> Response {
    let tabs =
        [("App spec", format!("/apps/{app}/settings")), ("Variables", format!("/apps/{app}/settings/variables"))];
    let entries =
        tabs.each_ref().map(|(label, href)| Entry { label, href, dialog: false, marked: *href == request.path });
    let delete = format!("/apps/{app}?action=delete");
    let content = html! {
        (dialog)
        (card::heading("Settings", html! {}, html! {
            @if request.access.identity.may_write() { (button::open(Look::Danger, "Delete the app", &delete, "delete")) }
        }))
        (button::tabs("Settings", &entries))
        (content)
    };
    request.page(&format!("Settings of {app}"), Place::App(app, Section::Settings), content)
}
