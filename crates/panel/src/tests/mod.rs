//! The panel's router with a fake controller, and a person who is signed in.

mod scopes;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use axum::response::Response;
use controller::{Control, ControlError};
use controller_fake::{FakeControl, TOKEN};
use futures::StreamExt;
use tower::ServiceExt;
use web::{BaseUrl, Stop, sha256};

use crate::router;

const BASE: &str = "http://127.0.0.1:7080";

/// Markup, and an attempt to leave an attribute.
pub(crate) const HOSTILE: &str = "<img src=x onerror=alert(1)>\" onload=\"alert(2)";

#[track_caller]
pub(crate) fn assert_has(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text:?} is missing in {page}");
    }
}

#[track_caller]
pub(crate) fn assert_lacks(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(!page.contains(text), "{text:?} is in {page}");
    }
}

/// A browser on the panel of a fake controller.
pub(crate) struct Panel {
    pub control: Arc<FakeControl>,
    router: Router,
    cookie: String,
    csrf: String,
}

/// The answer to a request.
pub(crate) struct Answer {
    pub status: u16,
    /// Where it leads, or empty.
    pub location: String,
    pub body: String,
}

impl Panel {
    /// Signed in with the admin token.
    pub async fn new(control: FakeControl) -> Self {
        Self::with_token(control, TOKEN).await
    }

    /// Signed in with a token of [`controller_fake::samples`].
    pub async fn with_token(control: FakeControl, token: &str) -> Self {
        let session = control.create_session(&hex::encode(sha256(token)), None).await.expect("a session");
        let control = Arc::new(control);
        let router = router(control.clone(), Stop::default());
        let cookie = format!("boatyard_session_installation={}", session.secret);
        let mut panel = Self { control, router, cookie, csrf: String::new() };
        let page = panel.get("/").await.body;
        panel.csrf =
            page.split("name=\"csrf\" value=\"").nth(1).and_then(|it| it.split('"').next()).expect("a form").into();
        panel.control.calls.lock().expect("no panic").clear();
        panel
    }

    /// The next operation fails with this conflict.
    pub fn refuse(&self, message: &str) {
        *self.control.failure.lock().expect("no panic") = Some(ControlError::Conflict(message.into()));
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), String::new()).await
    }

    /// Asks for a dialogue as the script does.
    pub async fn get_by_script(&self, path: &str) -> Answer {
        self.send(Request::get(path).header("x-part", "dialog"), String::new()).await
    }

    /// Sends a form.
    pub async fn post(&self, path: &str, fields: &str) -> Answer {
        self.send(Request::post(path), format!("csrf={}&{fields}", self.csrf)).await
    }

    /// Sends the form of a dialogue as the script does.
    pub async fn post_by_script(&self, path: &str, fields: &str) -> Answer {
        self.send(Request::post(path).header("x-part", "dialog"), format!("csrf={}&{fields}", self.csrf)).await
    }

    /// Loads a page without the session's cookie.
    pub async fn get_signed_out(&self, path: &str) -> Answer {
        self.send_as("", Request::get(path), String::new()).await
    }

    /// Sends a form as a page of another session would.
    pub async fn post_without_csrf(&self, path: &str) -> Answer {
        self.send(Request::post(path), "csrf=wrong".into()).await
    }

    async fn send(&self, request: axum::http::request::Builder, body: String) -> Answer {
        self.send_as(&self.cookie, request, body).await
    }

    /// Opens a stream, which stays open as long as the answer.
    pub async fn open(&self, path: &str) -> Response {
        self.response(&self.cookie, Request::get(path), String::new()).await
    }

    async fn response(&self, cookie: &str, request: axum::http::request::Builder, body: String) -> Response {
        let request = request
            .header(header::COOKIE, cookie)
            .header(header::ORIGIN, BASE)
            .header(header::ACCEPT, "text/html")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .extension(BaseUrl(BASE.into()));
        let request = request.body(Body::from(body)).expect("a request");
        self.router.clone().oneshot(request).await.expect("an answer")
    }

    async fn send_as(&self, cookie: &str, request: axum::http::request::Builder, body: String) -> Answer {
        let answer = self.response(cookie, request, body).await;
        let status = answer.status().as_u16();
        let location = answer.headers().get(header::LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let location = location.to_owned();
        let is_stream = answer.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "text/event-stream");
        let body = match is_stream {
            // A live page sends events until its session ends.
            true => answer.into_body().into_data_stream().next().await.expect("an event").expect("a body"),
            false => to_bytes(answer.into_body(), usize::MAX).await.expect("a body"),
        };
        Answer { status, location, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// The calls of the controller that change something.
    pub fn changes(&self) -> Vec<String> {
        let looks = ["preview_", "validate_", "propose", "source_heads", "find", "logs"];
        self.control.calls().into_iter().filter(|it| !looks.iter().any(|look| it.starts_with(look))).collect()
    }
}
