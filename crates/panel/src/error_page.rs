//! Error answers as pages: what happened, and what to do next.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use maud::{Markup, html};
use tracing::error;
use web::{HttpError, RequestId};

use crate::session::Session;
use crate::ui::page::{Page, Place};
use crate::ui::{button, card, dialog, notice};

/// Renders the error that a handler answered with: as a page, or as a dialogue for the script.
pub(crate) async fn error_pages(request: Request, next: Next) -> Response {
    let dialog_only = dialog::is_wanted_alone(request.headers());
    let path = request.uri().path().to_owned();
    let id = request.extensions().get::<RequestId>().map(|it| it.0.clone()).unwrap_or_default();
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<HttpError>() else { return response };
    if let Some(cause) = &problem.cause {
        error!(request_id = id, path, cause, "{}", problem.message);
    }
    let text = html! {
        (notice::error(title(&problem), &problem.message))
        // With it, a picture of the page is enough to find the line in the log.
        @if problem.cause.is_some() { p { small { "Request " (id) } } }
    };
    let body = match dialog_only {
        true => dialog::Dialog { title: title(&problem), page: &path }.markup(text),
        false => page(response.extensions().get::<Session>(), title(&problem), text),
    };
    (problem.status, body).into_response()
}

fn page(session: Option<&Session>, title: &str, text: Markup) -> Markup {
    let here = session.map_or(Place::Elsewhere, |_| Place::Apps);
    let content = html! {
        (card::heading(title, html! {}, html! {}))
        (text)
        p { (button::link(button::Look::Plain, "All apps", "/")) }
    };
    let account = session.map(Session::account);
    Page { title, account, here, engine_problem: None, live: None, now: Utc::now() }.markup(content)
}

fn title(problem: &HttpError) -> &'static str {
    match problem.status.as_u16() {
        401 => "Sign in first",
        403 => "Not allowed",
        404 => "Not found",
        409 => "Not now",
        400..=499 => "This request cannot be carried out",
        503 => "Not available",
        504 => "No answer in time",
        507 => "The disk is full",
        _ => "Something went wrong",
    }
}
