//! What a caller gets instead of an answer: App Platform's error body. The cause goes to our log, with the request's id.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use controller::ControlError;
use tracing::error;

/// An answer that is not 200.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub status: StatusCode,
    /// The short code of the body.
    pub id: &'static str,
    /// For the caller: the thing, and the next move.
    pub message: String,
    /// For our log only.
    pub cause: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self { status, id, message: message.into(), cause: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// One body for every way of not being let in.
    pub fn unauthorized() -> Self {
        let message = "unable to authenticate you: send the token from the data directory's admin-token file as \
                       \"Authorization: Bearer TOKEN\"";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub fn request_timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the body did not arrive in time; nothing was changed",
        )
    }

    pub fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes; nothing was changed");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    pub fn too_many(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
    }

    /// 501 is the one 5xx that no client repeats.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", message)
    }

    pub fn server_error(message: impl Into<String>, cause: String) -> Self {
        Self { cause: Some(cause), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message) }
    }

    /// The answer itself; `request_id` is in the body too, so that a screenshot is enough to find the log line.
    pub fn answer(&self, request_id: &str) -> Response {
        if let Some(cause) = &self.cause {
            error!(request_id, cause, "{}", self.message);
        }
        let body = serde_json::json!({ "id": self.id, "message": self.message, "request_id": request_id });
        let mut response = (self.status, axum::Json(body)).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            // Clients obey this without an upper bound, so it is small.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// Leaves itself for the outermost layer, which alone knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotFound(message) => Self::not_found(message),
            ControlError::Invalid(message) | ControlError::InvalidSpec(message) => Self::bad_request(message),
            ControlError::Conflict(message) => Self::new(StatusCode::CONFLICT, "conflict", message),
            ControlError::DiskFull(message) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "insufficient_storage", message)
            }
            ControlError::Unavailable(message) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message)
            }
            ControlError::Internal { message, cause } => Self::server_error(message, format!("{cause:#}")),
        }
    }
}
