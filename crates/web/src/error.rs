//! Error responses in App Platform's format. The cause is logged with the id of the request and is not sent.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use controller::ControlError;
use tracing::error;

/// A response with a status other than 200.
#[derive(Debug, Clone)]
pub struct HttpError {
    /// The status.
    pub status: StatusCode,
    /// The `id` field of the body: a short code.
    pub id: &'static str,
    /// For the caller: what failed, and what to do.
    pub message: String,
    /// For the log only.
    pub cause: Option<String>,
}

impl HttpError {
    fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self { status, id, message: message.into(), cause: None }
    }

    /// 400: the request is malformed or names something that cannot be.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// The same response for every token that is missing, unknown or revoked.
    pub fn unauthorized() -> Self {
        let message = "unable to authenticate you. Send a token as \"Authorization: Bearer TOKEN\": one that `boatyard tokens \
                       create` has created, or the one from the file admin-token in the data directory";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// Only a client that has the token gets this response.
    pub fn expired(name: &str) -> Self {
        let message = format!(
            "token {name:?} has expired. Revoke it and create another one, with the admin token: boatyard tokens revoke \
             {name}; boatyard tokens create {name}"
        );
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403: the token may not do this, or the Host header is wrong.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 404: there is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 405: the path exists and has no such method.
    pub fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// 408: the body did not arrive in time.
    pub fn request_timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the body did not arrive in time; nothing was changed",
        )
    }

    /// 413: the body has more than `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes; nothing was changed");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    /// 429: a limit is reached.
    pub fn too_many(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
    }

    /// Unlike after any other error, the request may still take effect.
    pub fn gateway_timeout(message: impl Into<String>) -> Self {
        let cause = "the handler did not finish in time".to_owned();
        Self { cause: Some(cause), ..Self::new(StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", message) }
    }

    /// 501 is the only 5xx status after which no client retries.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", message)
    }

    /// 500: the cause goes to the log only.
    pub fn server_error(message: impl Into<String>, cause: String) -> Self {
        Self { cause: Some(cause), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message) }
    }

    /// Renders the response for a person whose browser shows it.
    pub fn render_as_text(&self, request_id: &str) -> Response {
        self.log_cause(request_id);
        (self.status, format!("{}\n\nRequest {request_id}\n", self.message)).into_response()
    }

    /// Renders the response. `request_id` is also in the body, so that a screenshot is enough to find the log line.
    pub fn render(&self, request_id: &str) -> Response {
        self.log_cause(request_id);
        let body = serde_json::json!({ "id": self.id, "message": self.message, "request_id": request_id });
        let mut response = (self.status, axum::Json(body)).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            // Clients wait this long without an upper limit, so it is small.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }

    /// Logs the cause, which no answer contains.
    pub fn log_cause(&self, request_id: &str) {
        if let Some(cause) = &self.cause {
            error!(request_id, cause, "{}", self.message);
        }
    }
}

impl IntoResponse for HttpError {
    /// Stores the error for the middleware, which adds the id of the request.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ControlError> for HttpError {
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
