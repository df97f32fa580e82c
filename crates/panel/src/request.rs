//! What a handler gets, and how it answers with a page.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use maud::Markup;
use tracing::error;
use web::{Access, HttpError};

use crate::session::{MAX_FORM, Session};
use crate::ui::dialog;
use crate::ui::page::{Page, Place};

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
    /// The path of the request.
    pub path: String,
    /// The query of the request.
    pub query: Fields,
}

/// The fields of a query or of a form. A name may occur several times, as check boxes do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of a field. `None` also for an empty one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|it| !it.is_empty())
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the field was sent, even if it is empty.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Errors: a value contains NUL. No page could show it again, because HTML cannot contain this character.
    fn checked(fields: Vec<(String, String)>) -> Result<Self, HttpError> {
        let has_nul = fields.iter().any(|(_, value)| value.contains('\0'));
        let refused = || HttpError::bad_request("A text contains the character NUL. Remove it, then try again");
        (!has_nul).then_some(Self(fields)).ok_or_else(refused)
    }

    /// The fields of a query.
    #[cfg(test)]
    pub fn of(query: &str) -> Self {
        let uri = format!("/?{query}").parse().expect("a query");
        Self(Query::try_from_uri(&uri).expect("fields").0)
    }
}

/// The fields of a form that was sent.
impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let Form(fields) =
            Form::from_request(request, state).await.map_err(|error| unreadable_form(error, MAX_FORM))?;
        Self::checked(fields)
    }
}

/// Why a form cannot be read. `limit`: its largest size in bytes.
pub(crate) fn unreadable_form(error: FormRejection, limit: usize) -> HttpError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => HttpError::too_large(limit),
        _ => HttpError::bad_request("The form is incomplete or not one of this panel. Reload the page and try again"),
    }
}

fn unreadable(why: &str) -> HttpError {
    HttpError::bad_request(format!("the address cannot be read: {why}"))
}

impl<S: Send + Sync> FromRequestParts<S> for PageRequest {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let session = parts.extensions.get::<Session>().cloned();
        let session =
            session.ok_or_else(|| HttpError::server_error("this page is not available", "no session".into()))?;
        let dialog_only = dialog::is_wanted_alone(&parts.headers);
        let Query(query) = Query::try_from_uri(&parts.uri).map_err(|error| unreadable(&error.body_text()))?;
        let (path, query) = (parts.uri.path().to_owned(), Fields::checked(query)?);
        Ok(Self { access: Access::from_request_parts(parts, state).await?, session, dialog_only, path, query })
    }
}

impl PageRequest {
    /// Completes when the session of this request ends. The streams and consoles that the request opened end then.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let (control, session) = (self.access.control.clone(), self.session.id.clone());
        async move { control.session_ended(&session).await }
    }

    /// Logs the cause of a refusal that the answer shows, and returns its status.
    pub fn refused(&self, refusal: &HttpError) -> StatusCode {
        if let Some(cause) = &refusal.cause {
            error!(path = self.path, cause, "{}", refusal.message);
        }
        refusal.status
    }

    /// Answers with a page. `content` begins with the page's `h1`.
    pub fn page(&self, title: &str, here: Place<'_>, content: Markup) -> Response {
        self.live_page(title, here, None, content)
    }

    /// Answers with a page that has live parts. `live`: the address of their server-sent events.
    pub fn live_page(&self, title: &str, here: Place<'_>, live: Option<&str>, content: Markup) -> Response {
        let problem = self.access.control.engine_problem();
        let (account, engine_problem, now) = (Some(self.session.account()), problem.as_deref(), Utc::now());
        Page { title, account, here, engine_problem, live, now }.markup(content).into_response()
    }
}
