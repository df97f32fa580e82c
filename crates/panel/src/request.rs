//! What a handler gets, and how it answers with a page.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use maud::Markup;
use web::access::token_ended;
use web::{Access, HttpError};

use crate::session::Session;
use crate::ui::dialog;
use crate::ui::page::{Account, Page, Place};

/// The result of a handler. An error becomes a page, too (see [`crate::error_page`]).
pub(crate) type PageResult = Result<Response, HttpError>;

/// A request of a person who is signed in. The gate has checked what the session's token may do.
pub(crate) struct PageRequest {
    /// Access to the controller.
    pub access: Access,
    /// The session, with its CSRF token for forms.
    pub session: Session,
    /// The script asks for a dialogue, and needs no page around it.
    pub dialog_only: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for PageRequest {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let session = parts.extensions.get::<Session>().cloned();
        let session =
            session.ok_or_else(|| HttpError::server_error("this page is not available", "no session".into()))?;
        let dialog_only = dialog::is_wanted_alone(&parts.headers);
        Ok(Self { access: Access::from_request_parts(parts, state).await?, session, dialog_only })
    }
}

impl PageRequest {
    /// Completes when the session of this request ends. What stays open after the answer ends then, too.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        token_ended(self.access.control.clone(), self.access.identity.token().map(|it| it.id.clone()))
    }

    /// Answers with a page. `content` begins with the page's `h1`.
    pub fn page(&self, title: &str, here: Place<'_>, content: Markup) -> Response {
        self.live_page(title, here, None, content)
    }

    /// Answers with a page that has live parts. `live`: the address of their server-sent events.
    pub fn live_page(&self, title: &str, here: Place<'_>, live: Option<&str>, content: Markup) -> Response {
        let limit = (!self.access.identity.may_write()).then_some("may read");
        let account = Account { name: &self.access.caller.actor.name, limit, csrf: &self.session.csrf };
        let (account, now) = (Some(account), Utc::now());
        Page { title, account, here, engine_problem: None, live, now }.markup(content).into_response()
    }
}
