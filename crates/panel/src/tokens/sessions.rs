//! Who is signed in to the panel.

use axum::response::{IntoResponse, Redirect};
use controller::view::SessionView;
use maud::{Markup, html};
use web::PathParams;

use super::{PATH, ago, date};
use crate::request::{PageRequest, PageResult};
use crate::ui::button::{Look, submit};
use crate::ui::form::Form;
use crate::ui::table::{columns, table};

/// The sessions, each with a button that ends it, except the one of this page: signing out ends that.
pub(super) fn list(request: &PageRequest, sessions: &[SessionView]) -> Markup {
    let row = |it: &SessionView| {
        let action = format!("/sessions/{}/end", it.id);
        let form = Form { action: &action, csrf: &request.session.csrf, preview: None };
        vec![
            html! { (it.token.as_ref().map_or("admin", |it| it.name.as_str())) },
            html! { @if let Some(address) = it.source { (address) } },
            ago(it.created),
            ago(it.used),
            date(it.expires),
            html! { @if it.id == request.session.id { small { "This session" } } @else { (form.markup(submit(Look::Plain, "Sign out"))) } },
        ]
    };
    table(
        "Sessions",
        &columns(["Token", "Address", "Signed in", "Last used", "Ends", "Actions"]),
        &sessions.iter().map(row).collect::<Vec<_>>(),
    )
}

pub(super) async fn end(request: PageRequest, PathParams(session): PathParams<String>) -> PageResult {
    request.access.control.end_session(&session).await?;
    Ok(Redirect::to(PATH).into_response())
}
