//! Checks the token. A handler reaches the controller only through an [`Access`], and only a request with the token yields
//! one, so no handler can skip the check.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use controller::view::{AppView, Caller, DeploymentView, PageQuery};
use rollout::ids::{AppId, DeploymentId};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::server::{BaseUrl, ClientConnection};
use crate::state::{ApiState, sha256};
use controller::Control;

/// Access to the controller for an authenticated request.
pub(crate) struct Access {
    pub control: Arc<dyn Control>,
    pub caller: Caller,
    /// `http://HOST` or `https://HOST`, as the client sees the server, for links in the answer.
    pub base: String,
    pub state: ApiState,
}

impl FromRequestParts<ApiState> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        let hash = sha256(token);
        if !bool::from(hash.ct_eq(&state.token_hash)) {
            return Err(ApiError::unauthorized());
        }
        trust(parts);
        Ok(Self {
            control: state.control.clone(),
            caller: Caller { token_hash: hex::encode(hash), idempotency_key: idempotency_key(&parts.headers)? },
            base: parts.extensions.get::<BaseUrl>().cloned().map(|it| it.0).unwrap_or_default(),
            state: state.clone(),
        })
    }
}

/// Protects the connection of this request from being closed in favor of new connections.
pub(crate) fn trust(parts: &Parts) {
    if let Some(client) = parts.extensions.get::<ClientConnection>() {
        client.trust();
    }
}

impl Access {
    /// An app by id or name.
    pub async fn app(&self, id_or_name: &str) -> Result<AppView, ApiError> {
        Ok(self.control.find_app(id_or_name).await?)
    }

    /// A deployment of an app by id or number.
    pub async fn deployment(&self, app: &AppId, id_or_number: &str) -> Result<DeploymentView, ApiError> {
        match id_or_number.parse::<u64>() {
            Ok(number) => self.deployment_by_number(app, number).await,
            Err(_) => Ok(self.control.deployment(app, &DeploymentId::new(id_or_number)).await?),
        }
    }

    /// Pages are newest first, so the search ends at the first smaller number.
    async fn deployment_by_number(&self, app: &AppId, number: u64) -> Result<DeploymentView, ApiError> {
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
        Err(ApiError::not_found(format!(
            "this app has no deployment {number}. See: boatyard apps list-deployments {app}"
        )))
    }
}

/// Parameters of the path. Handlers take them after [`Access`], so a request without the token learns nothing about paths.
pub(crate) struct PathParams<T>(pub T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<ApiState> for PathParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let Path(names) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::bad_request(format!("the path cannot be read: {}", error.body_text())))?;
        Ok(Self(names))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::bad_request("the header Idempotency-Key must have 1 to 255 printable ASCII characters")),
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
