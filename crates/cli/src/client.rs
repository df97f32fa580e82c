//! A client for the API. Each request has a deadline. A request that changes something is never sent twice.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, BodyStream, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

/// The server answers within 30 s, even if only with an error.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(40);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit of a response. A page of 200 apps with their deployments is large, but smaller than this.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// Why a request failed.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("cannot reach the API at {url}. Is `boatyard serve` running?")]
    Unreachable {
        url: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the API at {url} did not answer in time, and the request may still take effect. See: boatyard apps list")]
    Timeout { url: String },
    /// The API answered with an error. Its message says what to do.
    #[error("{message}")]
    ErrorResponse { status: StatusCode, message: String },
    #[error("the server at {url} does not seem to be the Boatyard API: {what}. Check --api-url")]
    UnexpectedResponse { url: String, what: String },
}

impl ClientError {
    /// Whether a retry may help, for example because the server is restarting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::ErrorResponse { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::UnexpectedResponse { .. } => false,
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::ErrorResponse { status: StatusCode::NOT_FOUND, .. })
    }

    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::ErrorResponse { status: StatusCode::CONFLICT, .. })
    }
}

/// A client for one server.
pub struct Client {
    base: String,
    token: String,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// Errors: the address is not `http://HOST[:PORT]`, or the token has characters that a header cannot have.
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a valid address. Use http://HOST:PORT"))?;
        match (uri.scheme_str(), uri.authority(), uri.path()) {
            (Some("http"), Some(_), "" | "/") if uri.query().is_none() => {}
            (Some("https"), ..) => bail!("{url}: this version supports only http for the API"),
            _ => bail!("{url:?} is not a valid address of the API. Use http://HOST:PORT"),
        }
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("the token is empty or contains blanks. Use the exact content of the file admin-token");
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base: url.trim_end_matches('/').to_owned(), token: token.to_owned(), http })
    }

    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.request(Method::GET, path, None, RESPONSE_TIMEOUT).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.request(Method::POST, path, Some(body), RESPONSE_TIMEOUT).await
    }

    /// Like [`Client::post`], with another deadline, for `down`, which waits for open requests.
    pub async fn post_within(&self, path: &str, body: &Value, within: Duration) -> Result<Value, ClientError> {
        self.request(Method::POST, path, Some(body), within).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.request(Method::PUT, path, Some(body), RESPONSE_TIMEOUT).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.request(Method::DELETE, path, None, RESPONSE_TIMEOUT).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Result<Value, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.map(Value::to_string).unwrap_or_default()))
            .map_err(|error| self.unexpected(&error.to_string()))?;
        let answered = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
            let bytes = body.map_err(|cause| ClientError::Unreachable { url: self.base.clone(), cause })?.to_bytes();
            self.read(status, &bytes)
        };
        timeout(within, answered).await.unwrap_or_else(|_| Err(ClientError::Timeout { url: self.base.clone() }))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, ClientError> {
        let sent = self.http.request(request).await;
        sent.map_err(|error| ClientError::Unreachable { url: self.base.clone(), cause: root_cause(error).into() })
    }

    /// A success may have no body.
    fn read(&self, status: StatusCode, bytes: &[u8]) -> Result<Value, ClientError> {
        if status.is_success() && bytes.is_empty() {
            return Ok(Value::Null);
        }
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|_| self.unexpected(&format!("status {status} and a body that is not JSON")))?;
        if status.is_success() {
            return Ok(json);
        }
        match json.get("message").and_then(Value::as_str) {
            Some(message) => Err(ClientError::ErrorResponse { status, message: message.to_owned() }),
            None => Err(self.unexpected(&format!("status {status} without a message"))),
        }
    }

    fn unexpected(&self, what: &str) -> ClientError {
        ClientError::UnexpectedResponse { url: self.base.clone(), what: what.to_owned() }
    }

    /// Opens a log stream at an address from the API. The address contains a ticket, so the token is not sent.
    pub async fn stream(
        &self,
        url: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Unpin + use<>, ClientError> {
        let request = Request::get(url).body(Full::default()).map_err(|error| self.unexpected(&error.to_string()))?;
        let response = timeout(RESPONSE_TIMEOUT, self.send(request)).await;
        let response = response.unwrap_or_else(|_| Err(ClientError::Timeout { url: self.base.clone() }))?;
        let status = response.status();
        if !status.is_success() {
            let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
            let bytes = body.map_err(|cause| ClientError::Unreachable { url: self.base.clone(), cause })?.to_bytes();
            return Err(self
                .read(status, &bytes)
                .err()
                .unwrap_or_else(|| self.unexpected("an error without a message")));
        }
        let base = self.base.clone();
        let broken = move |_| ClientError::UnexpectedResponse {
            url: base.clone(),
            what: "the log stream ended too early".into(),
        };
        Ok(BodyStream::new(response.into_body())
            .filter_map(|frame| std::future::ready(frame.map(|frame| frame.into_data().ok()).transpose()))
            .map(move |data| data.map_err(&broken)))
    }
}

/// The last cause: "connection refused" rather than "client error (Connect)".
fn root_cause(error: hyper_util::client::legacy::Error) -> String {
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// Escapes a name or id for use as one segment of a path. Escaping dots prevents `..`.
pub fn path_segment(text: &str) -> String {
    const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_only_http_and_a_host() {
        assert!(Client::new("http://127.0.0.1:7080", "tok").is_ok());
        assert!(Client::new("http://localhost:7080/", "tok").is_ok());
        for wrong in ["127.0.0.1:7080", "https://h", "http://h/v2", "ftp://h", "", "http://h?x=1"] {
            assert!(Client::new(wrong, "tok").is_err(), "{wrong}");
        }
        assert!(Client::new("http://h", "").is_err());
        assert!(Client::new("http://h", "to\nk").is_err());
    }

    #[test]
    fn a_name_cannot_change_the_path() {
        assert_eq!(path_segment("shop-1"), "shop-1");
        assert_eq!(path_segment("../a?b"), "%2E%2E%2Fa%3Fb");
        assert_eq!(path_segment(".."), "%2E%2E");
    }

    #[tokio::test]
    async fn the_error_names_an_unreachable_server() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let error = Client::new(&url, "tok").expect("a client").get("/v2/apps").await.expect_err("no server");
        assert!(error.is_transient());
        assert!(error.to_string().contains(&url) && error.to_string().contains("boatyard serve"), "{error}");
    }
}
