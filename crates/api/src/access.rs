//! The one door. A handler reaches the controller through an [`Access`], and there is no other way to get one than a
//! request with our token, so a route without a check cannot be written.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use controller::view::{AppView, Caller, DeploymentView, PageQuery};
use rollout::ids::{AppId, DeploymentId};

use crate::control::Control;
use crate::error::ApiError;
use crate::server::Client;
use crate::state::{ApiState, hex, sha256};

/// The right to ask the controller, and what is known of who asks.
pub(crate) struct Access {
    pub control: Arc<dyn Control>,
    pub caller: Caller,
    /// `http://HOST`, as the client called us, for addresses in answers.
    pub base: String,
    pub state: ApiState,
}

impl FromRequestParts<ApiState> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        let hash = sha256(token);
        if !equal(&hash, &state.token_hash) {
            return Err(ApiError::unauthorized());
        }
        trust(parts);
        Ok(Self {
            control: state.control.clone(),
            caller: Caller { token_hash: hex(&hash), idempotency_key: idempotency_key(&parts.headers)? },
            base: base(&parts.headers),
            state: state.clone(),
        })
    }
}

/// The connection of this request is not closed for those of strangers.
pub(crate) fn trust(parts: &Parts) {
    if let Some(client) = parts.extensions.get::<Client>() {
        client.trust();
    }
}

impl Access {
    /// By id or by name.
    pub async fn app(&self, id_or_name: &str) -> Result<AppView, ApiError> {
        Ok(self.control.find_app(id_or_name).await?)
    }

    /// By id, or by number within its app.
    pub async fn deployment(&self, app: &AppId, id_or_number: &str) -> Result<DeploymentView, ApiError> {
        match id_or_number.parse::<u64>() {
            Ok(number) => self.numbered(app, number).await,
            Err(_) => Ok(self.control.deployment(app, &DeploymentId::new(id_or_number)).await?),
        }
    }

    /// Newest first, so the one with that number is found as soon as smaller ones come.
    async fn numbered(&self, app: &AppId, number: u64) -> Result<DeploymentView, ApiError> {
        for page in 1.. {
            let items = self.control.deployments(app, PageQuery { page, per_page: 200 }).await?.items;
            let passed = items.iter().any(|it| it.deployment.number < number);
            let last = items.is_empty();
            if let Some(found) = items.into_iter().find(|it| it.deployment.number == number) {
                return Ok(found);
            }
            if passed || last {
                break;
            }
        }
        Err(ApiError::not_found(format!(
            "no deployment {number} of this app. See: boatyard apps list-deployments {app}"
        )))
    }
}

/// Names in a path, after the door: who has no token learns nothing about paths either.
pub(crate) struct Named<T>(pub T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<ApiState> for Named<T> {
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

/// Looks at every byte, however early they differ.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0u8, |differs, (x, y)| differs | (x ^ y))) == 0
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::bad_request("the header Idempotency-Key must be 1 to 255 plain characters")),
    }
}

/// The outermost layer has checked that it is a name of ours.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
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
    fn a_token_is_read_from_one_header_only() {
        assert_eq!(bearer(&with(&["Bearer tok"])), Some("tok"));
        assert_eq!(bearer(&with(&["bearer tok"])), Some("tok"));
        for none in [&[][..], &["Bearer "], &["tok"], &["Basic tok"], &["Bearer tok", "Bearer tok"]] {
            assert_eq!(bearer(&with(none)), None, "{none:?}");
        }
    }

    #[test]
    fn hashes_are_equal_only_as_a_whole() {
        let mut other = sha256("a");
        other[31] ^= 1;
        assert!(equal(&sha256("a"), &sha256("a")));
        assert!(!equal(&sha256("a"), &other));
    }
}
