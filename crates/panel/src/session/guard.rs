//! The checks in front of every path of the panel, so that no handler can skip one: the host, where the request came from,
//! the session, and the CSRF token.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use controller::Control;
use maud::{DOCTYPE, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};
use web::{BaseUrl, ClientConnection, HttpError, RESPONSE_TIMEOUT, sha256};

use super::sign_in::{self, SIGN_IN, own_path};
use super::{Session, cookie, host, origin, signed_out};

/// Largest form. The largest field is a spec of up to 256 KiB, and encoding can triple it.
pub(crate) const MAX_FORM: usize = 1024 * 1024;
/// Time for a form to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for an answer. Later the server would answer by itself, without a page.
const ANSWER_TIMEOUT: Duration = RESPONSE_TIMEOUT.saturating_sub(Duration::from_secs(2));

/// Hands the request to its handler, with its [`Session`] if there is one, or refuses it.
pub(crate) async fn guard(State(control): State<Arc<dyn Control>>, request: Request, next: Next) -> Response {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let request = match admit(control.as_ref(), request).await {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let session = request.extensions().get::<Session>().cloned();
    let answer = timeout_at(deadline, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| no_answer().into_response());
    if let Some(session) = session {
        // For error pages.
        response.extensions_mut().insert(session);
    }
    response
}

/// The handler was running, unlike after [`HttpError::request_timeout`].
fn no_answer() -> HttpError {
    let seconds = ANSWER_TIMEOUT.as_secs();
    HttpError::gateway_timeout(format!(
        "There was no answer within {seconds} s, so this may or may not have started. Look at the app before you try again"
    ))
}

async fn admit(control: &dyn Control, mut request: Request) -> Result<Request, Box<Response>> {
    let base = request.extensions().get::<BaseUrl>().cloned().map(|it| it.0).unwrap_or_default();
    let bound = request.extensions().get::<ClientConnection>().map(|it| it.bound().ip());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if let Some(instead) = host::instead(&base, bound) {
        return Err(Box::new(match origin::is_safe(&method) {
            true => redirect(&format!("{instead}{}", path_and_query(&request)), StatusCode::TEMPORARY_REDIRECT),
            false => HttpError::forbidden(format!("The panel is at {instead}. Open it there")).into_response(),
        }));
    }
    if !origin::is_allowed(&method, request.headers(), &base) {
        let why = format!("This request does not come from a page of the panel at {base}. Open the panel there");
        return Err(Box::new(HttpError::forbidden(why).into_response()));
    }
    let session = find(control, request.headers(), &base);
    if let Some(session) = &session {
        request.extensions_mut().insert(session.clone());
    }
    match session {
        _ if is_open(&path) => with_body(request, sign_in::MAX_FORM).await.map_err(|it| Box::new(it.into_response())),
        Some(_) if origin::is_safe(&method) => Ok(request),
        Some(session) => sent_by(request, &session).await.map_err(|error| {
            let mut response = error.into_response();
            response.extensions_mut().insert(session);
            Box::new(response)
        }),
        None => Err(Box::new(to_sign_in(&request, &base))),
    }
}

/// Whether the path needs no session. What signs in needs no CSRF token either: the check of the origin is enough, since
/// there is no session to protect yet.
fn is_open(path: &str) -> bool {
    path == SIGN_IN || path.starts_with("/sign-in/") || path.starts_with("/assets/")
}

/// The last of the request's sessions that has not ended. Browsers send a cookie for fewer paths before that of the panel,
/// which is for all paths. So a cookie of another program on this host does not replace the session on some of the pages.
fn find(control: &dyn Control, headers: &HeaderMap, base: &str) -> Option<Session> {
    let secrets: Vec<_> = cookie::values(headers, base, control.installation_id()).collect();
    secrets.into_iter().rev().find_map(|secret| {
        let view = control.session_by_hash(&hex::encode(sha256(secret)))?;
        Some(Session::new(view, secret))
    })
}

/// The request, if a page of the session has sent it. Reads its body.
async fn sent_by(request: Request, session: &Session) -> Result<Request, HttpError> {
    with_csrf(with_body(request, MAX_FORM).await?, &session.csrf).await
}

/// The request with its whole body. If that does not arrive in time, no handler has begun.
async fn with_body(request: Request, limit: usize) -> Result<Request, HttpError> {
    let (parts, body) = request.into_parts();
    let read = timeout(BODY_TIMEOUT, to_bytes(body, limit)).await.map_err(|_| HttpError::request_timeout())?;
    let bytes = read.map_err(|_| HttpError::too_large(limit))?;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

#[derive(Deserialize)]
struct CsrfField {
    csrf: Option<String>,
}

/// The request, if its header `x-csrf-token` or its form's field `csrf` proves that it comes from a page of the session.
async fn with_csrf(request: Request, expected: &str) -> Result<Request, HttpError> {
    let refused =
        || HttpError::forbidden("This form was not sent by a page of your session. Reload the page and try again");
    if let Some(token) = request.headers().get("x-csrf-token") {
        let is_valid = token.to_str().is_ok_and(|token| cookie::is_csrf(token, expected));
        return is_valid.then_some(request).ok_or_else(refused);
    }
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, MAX_FORM).await.map_err(|_| HttpError::too_large(MAX_FORM))?;
    let copy = Request::from_parts(parts.clone(), Body::from(bytes.clone()));
    let Ok(Form(CsrfField { csrf })) = Form::from_request(copy, &()).await else { return Err(refused()) };
    let is_valid = csrf.is_some_and(|token| cookie::is_csrf(&token, expected));
    is_valid.then(|| Request::from_parts(parts, Body::from(bytes))).ok_or_else(refused)
}

/// The answer to a request without a session: a page leads to the sign-in and back, a script gets 401.
fn to_sign_in(request: &Request, base: &str) -> Response {
    let headers = request.headers();
    if !origin::navigates(headers) {
        return signed_out().into_response();
    }
    let is_safe = origin::is_safe(request.method());
    let back = match is_safe {
        true => Some(path_and_query(request)),
        // The page with the form.
        false => headers.get(header::REFERER).and_then(|it| it.to_str().ok()?.strip_prefix(base)),
    };
    let back = own_path(back.unwrap_or("/"));
    if is_safe && origin::is_foreign(headers) {
        return again(back);
    }
    match back {
        "/" => redirect(SIGN_IN, StatusCode::SEE_OTHER),
        back => {
            let next = utf8_percent_encode(back, NON_ALPHANUMERIC);
            redirect(&format!("{SIGN_IN}?next={next}"), StatusCode::SEE_OTHER)
        }
    }
}

/// A page that loads the path again. Browsers leave out the cookie when a person follows a link on another site, because it
/// is strict. They send it when a page of the panel leads there.
fn again(path: &str) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { title { "Boatyard" } meta http-equiv="refresh" content={ "0;url=" (path) }; }
            body { a href=(path) { "Continue" } }
        }
    };
    page.into_response()
}

fn path_and_query(request: &Request) -> &str {
    request.uri().path_and_query().map_or("/", |it| it.as_str())
}

pub(super) fn redirect(to: &str, status: StatusCode) -> Response {
    (status, [(header::LOCATION, to)]).into_response()
}

#[cfg(test)]
mod tests {
    use axum::middleware::{from_fn, from_fn_with_state};
    use controller_fake::{FakeControl, TOKEN};
    use tower::ServiceExt;

    use super::*;

    fn post(headers: &[(&str, &str)], body: &'static str) -> Request {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let request = Request::post("/apps/shop/restart");
        let all = headers.iter().chain([&form]);
        let request = all.fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::from(body)).expect("a request")
    }

    #[tokio::test]
    async fn a_change_needs_the_csrf_token_of_the_session() {
        for (headers, body) in
            [(&[][..], "csrf=right"), (&[], "a=1&csrf=right&b=2"), (&[("x-csrf-token", "right")], "anything")]
        {
            let request = with_csrf(post(headers, body), "right").await.expect("allowed");
            assert_eq!(to_bytes(request.into_body(), MAX_FORM).await.expect("the form"), body, "the handler reads it");
        }
        for (headers, body) in [
            (&[][..], ""),
            (&[], "csrf="),
            (&[], "csrf=wrong"),
            (&[], "csrf=righ"),
            (&[], "CSRF=right"),
            (&[], "csrf=wrong&csrf=right"),
            (&[], "csrf=right&csrf=right"),
            (&[("x-csrf-token", "")], "csrf=right"),
            (&[("x-csrf-token", "wrong")], "csrf=right"),
        ] {
            let refused = with_csrf(post(headers, body), "right").await.err();
            assert_eq!(refused.map(|it| it.status), Some(StatusCode::FORBIDDEN), "{headers:?} {body}");
        }
        let mut plain = post(&[], "csrf=right");
        plain.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
        assert!(with_csrf(plain, "right").await.is_err(), "a form of another kind");
        let mut query = post(&[], "");
        *query.uri_mut() = "/apps/shop/restart?csrf=right".parse().expect("a path");
        assert!(with_csrf(query, "right").await.is_err(), "in the address");
    }

    #[tokio::test]
    async fn the_session_of_this_panel_is_found_among_other_cookies() {
        let control = FakeControl::default();
        let session = async || control.create_session(&hex::encode(sha256(TOKEN)), None).await.expect("a session");
        let (one, two) = (session().await, session().await);
        let found = |cookies: &[(&str, &str)]| {
            let cookies: Vec<_> =
                cookies.iter().map(|(of, secret)| format!("boatyard_session_{of}={secret}")).collect();
            let value = header::HeaderValue::from_str(&cookies.join("; ")).expect("a header");
            let headers = HeaderMap::from_iter([(header::COOKIE, value)]);
            find(&control, &headers, "http://127.0.0.1:7080").map(|it| it.id)
        };
        let (here, other) = (control.installation_id(), "other");
        assert_eq!(found(&[(other, &one.secret)]), None, "the cookie of another panel on this host");
        for cookies in [
            &[(here, one.secret.as_str())][..],
            &[(here, &one.secret), (other, &two.secret)],
            &[(here, &one.secret), (here, "ended")],
            &[(here, "ended"), (here, &one.secret)],
            // A cookie for fewer paths comes first.
            &[(here, &two.secret), (here, &one.secret)],
        ] {
            assert_eq!(found(cookies).as_ref(), Some(&one.view.id), "{cookies:?}");
        }
    }

    /// The answer of a panel with a path that never answers.
    async fn answer(request: Request) -> (u16, String) {
        let control: Arc<dyn Control> = Arc::new(FakeControl::default());
        let answer = axum::Router::new()
            .route("/assets/slow", axum::routing::any(std::future::pending::<()>))
            .layer(from_fn_with_state(control, guard))
            .layer(from_fn(crate::error_page::error_pages))
            .oneshot(request)
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        let page = to_bytes(answer.into_body(), MAX_FORM).await.expect("a page");
        (status, String::from_utf8_lossy(&page).into_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_says_that_a_form_did_not_arrive_or_that_there_was_no_answer() {
        let base = "http://127.0.0.1:7080";
        let post = |body| {
            let request = Request::post("/assets/slow").header(header::ORIGIN, base).extension(BaseUrl(base.into()));
            request.body(body).expect("a request")
        };
        let never = Body::from_stream(futures::stream::pending::<Result<&'static [u8], std::io::Error>>());
        for (body, expected, says) in
            [(never, 408, "nothing was changed"), (Body::from("token=x"), 504, "this may or may not have started")]
        {
            let (status, page) = answer(post(body)).await;
            assert_eq!(status, expected, "{page}");
            assert!(page.contains("<!DOCTYPE html>") && page.contains(says), "{page}");
        }
    }

    #[test]
    fn only_the_sign_in_and_the_assets_are_open() {
        for open in ["/sign-in", "/sign-in/5e", "/assets/panel-1.css"] {
            assert!(is_open(open), "{open}");
        }
        for closed in ["/", "/sign-out", "/sign-inn", "/apps/sign-in", "/assets", "/tokens", "//sign-in"] {
            assert!(!is_open(closed), "{closed}");
        }
    }

    fn location(request: Request) -> (u16, String) {
        let answer = to_sign_in(&request, "http://127.0.0.1:7080");
        let location = answer.headers().get(header::LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
        (answer.status().as_u16(), location.to_owned())
    }

    #[test]
    fn a_page_without_a_session_leads_to_the_sign_in_and_back() {
        let get = |path: &str, mode: &str, site: &str| {
            let request = Request::get(path).header("sec-fetch-mode", mode).header("sec-fetch-site", site);
            location(request.body(Body::empty()).expect("a request"))
        };
        assert_eq!(get("/", "navigate", "none"), (303, "/sign-in".into()));
        let shop = "/sign-in?next=%2Fapps%2Fshop%3Faction%3Drestart".to_owned();
        assert_eq!(get("/apps/shop?action=restart", "navigate", "same-origin"), (303, shop.clone()));
        assert_eq!(get("//evil.example/", "navigate", "none"), (303, "/sign-in".into()));
        assert_eq!(get("/apps/shop", "navigate", "cross-site"), (200, String::new()), "the strict cookie was left out");
        assert_eq!(get("/apps/shop/events", "cors", "same-origin").0, 401);
        let mut form = post(&[("sec-fetch-mode", "navigate")], "");
        let referer = header::HeaderValue::from_static("http://127.0.0.1:7080/apps/shop?action=restart");
        form.headers_mut().insert(header::REFERER, referer);
        assert_eq!(location(form), (303, shop));
        assert_eq!(location(post(&[("sec-fetch-mode", "cors")], "")).0, 401);
    }
}
