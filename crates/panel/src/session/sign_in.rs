//! The pages for signing in, by a token or by a link that works once, and for signing out.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use chrono::Utc;
use controller::view::CreatedSession;
use controller::{Control, ControlError};
use maud::{Markup, html};
use serde::Deserialize;
use web::{BaseUrl, Bearer, ClientConnection, Needs, PathParams};

use super::attempts::Attempts;
use super::guard::redirect;
use super::{Session, cookie};
use crate::request::{PageRequest, PageResult, unreadable_form};
use crate::routes::{PanelState, Route, route};
use crate::ui::form::{Field, Form as FormMarkup, Input};
use crate::ui::page::{Page, Place};
use crate::ui::{button, card, notice};

/// The path of the sign-in page.
pub(super) const SIGN_IN: &str = "/sign-in";
/// Largest form for signing in.
pub(super) const MAX_FORM: usize = 16 * 1024;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route("/sign-out", Needs::Own("sign out of panel"), post(sign_out)),
        route("/session", Needs::ReadLimited, get(csrf_token)),
    ]
}

/// The CSRF token of the session. The script asks before it sends a form: after a new sign-in in another tab, the one in the
/// page is out of date, and after the end of the session the page keeps what was typed.
async fn csrf_token(request: PageRequest) -> String {
    request.session.csrf
}

/// The pages that need no session.
pub(crate) fn router(control: Arc<dyn Control>) -> Router<PanelState> {
    let state = SignIn { bearer: Bearer::new(control.clone()), control, attempts: Arc::default() };
    Router::new()
        .route(SIGN_IN, get(form).post(with_token))
        .route("/sign-in/{code}", get(link).post(with_link))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(state)
}

#[derive(Clone)]
struct SignIn {
    control: Arc<dyn Control>,
    bearer: Bearer,
    attempts: Arc<Attempts>,
}

#[derive(Deserialize)]
struct Next {
    next: Option<String>,
}

#[derive(Deserialize)]
struct WithToken {
    token: String,
    next: Option<String>,
}

/// Shows the sign-in page, or leads on if the person is signed in.
async fn form(Visitor { session, .. }: Visitor, next: Result<Query<Next>, QueryRejection>) -> Response {
    let next = next.ok().and_then(|it| it.0.next).unwrap_or_default();
    match session {
        Some(_) => redirect(own_path(&next), StatusCode::SEE_OTHER),
        None => form_page(StatusCode::OK, &next, ""),
    }
}

async fn with_token(
    State(state): State<SignIn>,
    Visitor { client, base, session }: Visitor,
    given: Result<Form<WithToken>, FormRejection>,
) -> PageResult {
    let Form(WithToken { token, next }) = given.map_err(|error| unreadable_form(error, MAX_FORM))?;
    let next = next.unwrap_or_default();
    let source = client.as_ref().map(ClientConnection::peer);
    let address = source.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let Ok(found) = state.bearer.token(token.trim()) else {
        return Ok(state.wrong_token(address, &next));
    };
    let created = state.control.create_session(&found.token_hash, source).await?;
    Ok(state.signed_in(&created, Visitor { client, base, session }, &next).await)
}

/// Shows a button. The link is used up only when a person presses it: programs that preview links, and browsers that load
/// them in advance, send no form.
async fn link(PathParams(code): PathParams<String>) -> Response {
    let content = html! {
        p { "This link signs in once. It came from " code { "boatyard panel" } "." }
        (FormMarkup { action: &format!("{SIGN_IN}/{}", plain(&code)), csrf: "", preview: None }.markup(html! {
            (button::submit(button::Look::Primary, "Sign in"))
        }))
    };
    page(content).into_response()
}

async fn with_link(State(state): State<SignIn>, visitor: Visitor, PathParams(code): PathParams<String>) -> PageResult {
    let source = visitor.client.as_ref().map(ClientConnection::peer);
    let created = state.control.redeem_sign_in_link(&code, source).await?;
    Ok(state.signed_in(&created, visitor, "/").await)
}

impl SignIn {
    fn wrong_token(&self, address: IpAddr, next: &str) -> Response {
        if !self.attempts.is_allowed(address, Instant::now()) {
            let why = "There were too many wrong tokens from this address. Wait a minute, then try again.";
            return form_page(StatusCode::TOO_MANY_REQUESTS, next, why);
        }
        self.attempts.count(address, Instant::now());
        tracing::info!(%address, "a sign-in with a wrong token was refused");
        let why = "Boatyard does not accept this token. It may be mistyped, revoked or expired.";
        form_page(StatusCode::UNAUTHORIZED, next, why)
    }

    /// Sets the cookie and leads on. The session that the browser had before ends.
    async fn signed_in(&self, created: &CreatedSession, visitor: Visitor, next: &str) -> Response {
        if let Some(client) = &visitor.client {
            client.trust();
        }
        if let Some(before) = &visitor.session
            && let Err(error) = self.control.end_session(&before.id).await
        {
            tracing::warn!(%error, session = before.id, "the previous session of a browser did not end");
        }
        let mut response = redirect(own_path(next), StatusCode::SEE_OTHER);
        let cookie = cookie::set(&created.secret, &visitor.base, self.control.installation_id());
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        response
    }
}

async fn sign_out(request: PageRequest) -> PageResult {
    let control = &request.access.control;
    match control.end_session(&request.session.id).await {
        Ok(_) | Err(ControlError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let mut response = redirect(SIGN_IN, StatusCode::SEE_OTHER);
    let cookie = cookie::delete(&request.access.base, control.installation_id());
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Who signs in.
struct Visitor {
    client: Option<ClientConnection>,
    base: String,
    session: Option<Session>,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let extensions = &parts.extensions;
        let base = extensions.get::<BaseUrl>().cloned().map(|it| it.0).unwrap_or_default();
        Ok(Self { client: extensions.get().cloned(), base, session: extensions.get().cloned() })
    }
}

fn form_page(status: StatusCode, next: &str, error: &str) -> Response {
    let hint = "One from `boatyard tokens create`, or the content of the file admin-token in the data directory";
    let token =
        Field { name: "token", label: "Token", hint, error: "", value: "", input: Input::Secret, required: true };
    let content = html! {
        @if !error.is_empty() { (notice::error("You are not signed in", error)) }
        p { "On the host of " code { "boatyard serve" } ", " code { "boatyard panel" } " signs you in without a token." }
        (FormMarkup { action: SIGN_IN, csrf: "", preview: None }.markup(html! {
            input type="hidden" name="next" value=(own_path(next));
            (token.markup())
            (button::submit(button::Look::Primary, "Sign in"))
        }))
    };
    (status, page(content)).into_response()
}

fn page(content: Markup) -> Markup {
    let (account, here) = (None, Place::Elsewhere);
    Page { title: "Sign in", account, here, engine_problem: None, live: None, now: Utc::now() }
        .markup(card::alone("Sign in to Boatyard", content))
}

/// The code, if it can be one.
fn plain(code: &str) -> &str {
    if code.bytes().all(|it| it.is_ascii_alphanumeric()) { code } else { "" }
}

/// The path, if it leads to a page of the panel, and else `/`. Browsers take `//HOST` and `/\HOST` for another host, and
/// leave out control characters before they look.
pub(super) fn own_path(path: &str) -> &str {
    let is_own = path.starts_with('/') && !path.starts_with("//");
    let is_plain = path.bytes().all(|it| it.is_ascii_graphic() && it != b'\\');
    // A page leads to neither.
    let is_page = path != "/sign-out" && path != "/session";
    if is_own && is_plain && is_page { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_in_leads_only_to_pages_of_the_panel() {
        for own in ["/", "/apps/shop", "/apps/shop?action=restart&x=%2F#log", "/a//b", "/a:b"] {
            assert_eq!(own_path(own), own);
        }
        for other in [
            "",
            "apps",
            "/sign-out",
            "/session",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "https://evil.example",
            "https:/evil.example",
            "javascript:alert(1)",
            "@evil.example",
            "/ä",
        ] {
            assert_eq!(own_path(other), "/", "{other:?}");
        }
    }

    #[test]
    fn a_page_of_a_link_contains_only_codes() {
        assert_eq!(plain("5e6f"), "5e6f");
        assert_eq!((plain("../x"), plain("a b"), plain("a/b")), ("", "", ""));
    }
}
