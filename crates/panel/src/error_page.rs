//! Error answers as pages: what happened, and what to do next.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use maud::html;
use tracing::error;
use web::HttpError;

use crate::ui::page::{Page, Place};
use crate::ui::{button, card, dialog, notice};

/// Renders the error that a handler answered with: as a page, or as a dialogue for the script.
pub(crate) async fn error_pages(request: Request, next: Next) -> Response {
    let dialog_only = dialog::is_wanted_alone(request.headers());
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<HttpError>() else { return response };
    if let Some(cause) = &problem.cause {
        error!(path, cause, "{}", problem.message);
    }
    let text = notice::error(title(&problem), &problem.message);
    let body = match dialog_only {
        true => dialog::Dialog { title: title(&problem), page: &path }.markup(text),
        false => page(html! {
            (card::heading(title(&problem), html! {}, html! {}))
            (text)
            p { (button::link(button::Look::Plain, "All apps", "/")) }
        }),
    };
    (problem.status, body).into_response()
}

fn page(content: maud::Markup) -> maud::Markup {
    let (account, here) = (None, Place::Elsewhere);
    Page { title: "Error", account, here, engine_problem: None, live: None, now: Utc::now() }.markup(content)
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
