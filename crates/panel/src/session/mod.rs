//! Who makes a request: signing in and out, the session's cookie, and what protects it from other web pages.
//!
//! In reading order:
//! - `guard`: the checks in front of every path; `origin`: which pages a request may come from; `host`: the host under which
//!   the panel is used;
//! - `cookie`: the cookie and the CSRF token;
//! - `sign_in`: the pages for signing in and out; `attempts`: limits wrong tokens.

mod attempts;
mod cookie;
mod guard;
mod host;
mod origin;
mod sign_in;

use axum::http::StatusCode;
use axum::http::request::Parts;
use controller::view::{SessionView, TokenScope};
use web::{Authenticate, Authenticated, HttpError, Identity};

use crate::ui::page::Account;

pub(crate) use guard::{MAX_FORM, guard};
pub(crate) use origin::is_own_origin;
pub(crate) use sign_in::{router, routes};

/// The session of a request. An extension of every request of a person who is signed in.
#[derive(Clone)]
pub(crate) struct Session {
    /// Its id. What outlives a request, such as a stream of events, ends with `Control::session_ended`.
    pub id: String,
    /// Proves that a form came from a page of this session.
    pub csrf: String,
    view: SessionView,
}

impl Session {
    /// `secret`: the value of the cookie.
    fn new(view: SessionView, secret: &str) -> Self {
        Self { id: view.id.clone(), csrf: cookie::csrf(secret), view }
    }

    /// What limits count by. The sessions of a created token count together, so that it leaves some to others.
    pub fn quota(&self) -> &str {
        self.view.token.as_ref().map_or(self.id.as_str(), |it| it.id.as_str())
    }

    /// Who is signed in, for the layout of a page.
    pub fn account(&self) -> Account<'_> {
        let token = self.view.token.as_ref();
        let limit = token.filter(|it| it.scope == TokenScope::Read).map(|_| "may read");
        Account { name: token.map_or("admin", |it| it.name.as_str()), limit, csrf: &self.csrf }
    }
}

/// Takes the session that [`guard`] has found.
#[derive(Clone)]
pub(crate) struct SessionCookie;

impl Authenticate for SessionCookie {
    fn authenticate(&self, parts: &mut Parts) -> Result<Authenticated, HttpError> {
        let SessionView { token, token_hash, .. } =
            parts.extensions.get::<Session>().ok_or_else(signed_out)?.view.clone();
        Ok(Authenticated { identity: token.map_or(Identity::Admin, Identity::Token), token_hash })
    }
}

fn signed_out() -> HttpError {
    let message = "You are not signed in, or your session has ended. Sign in, then try again.".into();
    HttpError { status: StatusCode::UNAUTHORIZED, id: "unauthorized", message, cause: None }
}
