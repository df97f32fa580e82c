//! Signing in, and who makes a request.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::http::request::Parts;
use controller::Control;
use web::{Authenticate, Authenticated, Bearer, HttpError};

use crate::routes::PanelState;

/// The session of a request. An extension of every request that a gate let through.
#[derive(Clone)]
pub(crate) struct Session {
    /// Proves that a form came from a page of this session.
    pub csrf: String,
}

/// Finds the session of a request by its cookie.
#[derive(Clone)]
pub(crate) struct SessionCookie(Bearer);

impl SessionCookie {
    pub fn new(control: Arc<dyn Control>) -> Self {
        Self(Bearer::new(control))
    }
}

// TEMPORARY, until SESSIONS has landed: the cookie contains the token itself.
impl Authenticate for SessionCookie {
    fn authenticate(&self, parts: &mut Parts) -> Result<Authenticated, HttpError> {
        let cookies = parts.headers.get(header::COOKIE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let token = cookies.split("; ").find_map(|it| it.strip_prefix("boatyard_session="));
        parts.extensions.insert(Session { csrf: "csrf".into() });
        self.0.token(token.unwrap_or_default())
    }
}

/// The pages for signing in and out.
pub(crate) fn router() -> Router<PanelState> {
    Router::new()
}
