//! Who may do what. A handler reaches the controller only through an [`Access`], and only the gate in front of the
//! handler makes one, after it has checked the token. So no handler can skip the check.
//!
//! A handler looks up apps with [`Access::app`], [`Access::find_app`] and [`Access::apps`], also those that a body or a
//! query names: these know which apps the token may use.

mod gate;
mod needs;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use controller::view::{AppView, Caller, DeploymentView, Page, PageQuery};
use rollout::ids::{AppId, DeploymentId};
use subtle::ConstantTimeEq;

pub use gate::{Authenticate, Gate};
pub use needs::{Identity, Needs};

use crate::digest::{decoded, sha256};
use crate::error::HttpError;
use crate::server::ClientConnection;
use controller::{Control, ControlError};

/// Access to the controller for a request that its token allows.
#[derive(Clone)]
pub struct Access {
    /// The controller.
    pub control: Arc<dyn Control>,
    /// Who makes the request.
    pub caller: Caller,
    /// The token of the request.
    pub identity: Identity,
    /// `http://HOST` or `https://HOST`, as the client sees the server, for links in the answer.
    pub base: String,
}

impl<S: Sync> FromRequestParts<S> for Access {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpError> {
        let missing = || HttpError::server_error("this path is not available", "the route has no gate".into());
        parts.extensions.remove::<Self>().ok_or_else(missing)
    }
}

/// A request with a valid token. What the token may do was not checked.
pub struct Authenticated {
    /// The token.
    pub identity: Identity,
    /// SHA-256 of the token, in hexadecimal.
    pub token_hash: String,
}

/// Finds the token of a request in its header `Authorization`, as clients of the API send it.
#[derive(Clone)]
pub struct Bearer {
    control: Arc<dyn Control>,
    admin_hash: [u8; 32],
}

impl Bearer {
    /// For the tokens that this controller accepts.
    pub fn new(control: Arc<dyn Control>) -> Self {
        Self { admin_hash: decoded(&control.token_hash()), control }
    }

    /// Finds a token. Errors: 401 if it is unknown, revoked or expired.
    pub fn token(&self, token: &str) -> Result<Authenticated, HttpError> {
        let hash = sha256(token);
        let token_hash = hex::encode(hash);
        if bool::from(hash.ct_eq(&self.admin_hash)) {
            return Ok(Authenticated { identity: Identity::Admin, token_hash });
        }
        match self.control.token_by_hash(&token_hash) {
            Some(token) if token.is_expired() => Err(HttpError::expired(&token.name)),
            Some(token) => Ok(Authenticated { identity: Identity::Token(token), token_hash }),
            None => Err(HttpError::unauthorized()),
        }
    }
}

impl Authenticate for Bearer {
    fn authenticate(&self, parts: &mut Parts) -> Result<Authenticated, HttpError> {
        self.token(bearer(&parts.headers).ok_or_else(HttpError::unauthorized)?)
    }
}

/// Protects the connection of this request from being closed in favor of new connections.
pub fn trust(parts: &Parts) {
    if let Some(client) = parts.extensions.get::<ClientConnection>() {
        client.trust();
    }
}

impl Access {
    /// An app by id or name. For a token that may use only one app, all other apps do not exist.
    pub async fn app(&self, id_or_name: &str) -> Result<AppView, HttpError> {
        let found = self.control.find_app(id_or_name).await.map_err(|error| self.app_error(id_or_name, error))?;
        if self.identity.only_app().is_some_and(|only| only.id != found.id) {
            return Err(self.unusable(id_or_name));
        }
        if let Some(audit) = &self.caller.audit {
            audit.set_app(&found.id, &found.name);
        }
        Ok(found)
    }

    /// The app with this id or name, if the token may use it.
    pub async fn find_app(&self, id_or_name: &str) -> Result<Option<AppView>, HttpError> {
        match self.app(id_or_name).await {
            Ok(view) => Ok(Some(view)),
            Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The apps that the token may use.
    pub async fn apps(&self, page: PageQuery) -> Result<Page<AppView>, HttpError> {
        let Some(only) = self.identity.only_app() else { return Ok(self.control.apps(page).await?) };
        let found = self.find_app(only.id.as_str()).await?;
        Ok(Page::of(found.into_iter().collect(), page))
    }

    /// An error of the controller about this app. "Not found" lists the names of other apps, which a token for one app
    /// must not see.
    pub fn app_error(&self, id_or_name: &str, error: ControlError) -> HttpError {
        match error {
            ControlError::NotFound(_) if self.identity.only_app().is_some() => self.unusable(id_or_name),
            other => other.into(),
        }
    }

    /// The same answer whether the app exists or not.
    fn unusable(&self, id_or_name: &str) -> HttpError {
        let only = self.identity.only_app().map(|it| format!("{} (id {})", it.name, it.id)).unwrap_or_default();
        let token = &self.caller.actor.name;
        HttpError::not_found(format!("token {token:?} finds no app {id_or_name:?}, because it may only use app {only}"))
    }

    /// Keeps the request out of the audit trail. Call this only for a request that changes nothing, such as a preview.
    pub fn dismiss_audit(&self) {
        if let Some(audit) = &self.caller.audit {
            audit.dismiss();
        }
    }

    /// A deployment of an app by id or number.
    pub async fn deployment(&self, app: &AppId, id_or_number: &str) -> Result<DeploymentView, HttpError> {
        let found = match id_or_number.parse::<u64>() {
            Ok(number) => self.deployment_by_number(app, number).await?,
            Err(_) => self.control.deployment(app, &DeploymentId::new(id_or_number)).await?,
        };
        if let Some(audit) = &self.caller.audit {
            audit.set_deployment(&found.id);
        }
        Ok(found)
    }

    /// Pages are newest first, so the search ends at the first smaller number.
    async fn deployment_by_number(&self, app: &AppId, number: u64) -> Result<DeploymentView, HttpError> {
        for page in 1.. {
            let items = self.control.deployments(app, PageQuery { page, per_page: 200 }).await?.items;
            let is_past = items.iter().any(|it| it.number < number);
            let is_last = items.is_empty();
            if let Some(found) = items.into_iter().find(|it| it.number == number) {
                return Ok(found);
            }
            if is_past || is_last {
                break;
            }
        }
        Err(HttpError::not_found(format!(
            "this app has no deployment {number}. See: boatyard apps list-deployments {app}"
        )))
    }
}

/// Parameters of the path.
pub struct PathParams<T>(pub T);

impl<T: serde::de::DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let Path(names) =
            Path::<T>::from_request_parts(parts, state).await.map_err(|error| unreadable_path(&error.body_text()))?;
        Ok(Self(names))
    }
}

fn unreadable_path(why: &str) -> HttpError {
    HttpError::bad_request(format!("the path cannot be read: {why}"))
}

/// Completes when the created token with this id is revoked or expires; never for the admin token (`None`). Log
/// streams and consoles, which outlive the request that opened them, end then.
pub async fn token_ended(control: Arc<dyn Control>, token: Option<String>) {
    match token {
        Some(id) => control.token_ended(&id).await,
        None => std::future::pending().await,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, HttpError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(HttpError::bad_request("the header Idempotency-Key must have 1 to 255 printable ASCII characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_token_is_read_from_exactly_one_header() {
        assert_eq!(bearer(&with(&["Bearer tok"])), Some("tok"));
        assert_eq!(bearer(&with(&["bearer tok"])), Some("tok"));
        for none in [&[][..], &["Bearer "], &["tok"], &["Basic tok"], &["Bearer tok", "Bearer tok"]] {
            assert_eq!(bearer(&with(none)), None, "{none:?}");
        }
    }
}
