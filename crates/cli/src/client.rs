//! A client for the API. Each request has a deadline. A request that changes something is never sent twice.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, BodyStream, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::discover::{Origin, Server};
use crate::tls;

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
    /// The API does not know the token, or the token has expired. The message of the API says what to do.
    #[error("the API at {url} refuses the token, which comes from {origin}: {message}")]
    TokenRefused { url: String, origin: Origin, message: String },
    /// TLS with the server failed.
    #[error("{0}")]
    Tls(String),
    #[error("the server at {url} does not seem to be the Boatyard API: {what}. Check the address")]
    UnexpectedResponse { url: String, what: String },
}

impl ClientError {
    /// Whether a retry may help, for example because the server is restarting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::ErrorResponse { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::TokenRefused { .. } | Self::Tls(_) | Self::UnexpectedResponse { .. } => false,
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
    /// The address with its context, for errors.
    shown: String,
    token: String,
    token_origin: Origin,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The authorities that the client trusts. `None` for http.
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    /// Errors: the address is not `http://HOST[:PORT]` or `https://HOST[:PORT]`, the token has characters that a header
    /// cannot have, or no certificate authority is known for https.
    pub fn new(server: &Server) -> anyhow::Result<Self> {
        let Server { url, context, token, token_origin, certificate_authority } = server;
        const FORM: &str = "Use http://HOST:PORT or https://HOST:PORT";
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a valid address. {FORM}"))?;
        let is_https = match (uri.scheme_str(), uri.authority(), uri.path()) {
            // A user name or a password has no meaning here, and lists show the address.
            (_, Some(authority), _) if authority.as_str().contains('@') => {
                bail!("the address of the API contains a user name or a password. {FORM}")
            }
            (Some(scheme @ ("http" | "https")), Some(_), "" | "/") if uri.query().is_none() => scheme == "https",
            _ => bail!("{url:?} is not a valid address of the API. {FORM}"),
        };
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!(
                "the token from {token_origin} is empty or contains blanks. The token is one word, such as the content of \
                 the file admin-token"
            );
        }
        let tls = match is_https {
            true => tls::client_config(certificate_authority.as_deref())?,
            false => tls::no_authorities()?,
        };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls.as_ref().clone()).https_or_http().enable_http1();
        let http = HttpClient::builder(TokioExecutor::new()).build(builder.wrap_connector(connector));
        let base = url.trim_end_matches('/').to_owned();
        let of_context = context.as_ref().map(|name| format!(", which is in context {name}")).unwrap_or_default();
        let shown = format!("{base}{of_context}");
        let tls = is_https.then_some(tls);
        Ok(Self { base, shown, token: token.clone(), token_origin: token_origin.clone(), http, tls })
    }

    /// The TLS configuration for other connections to the server. `None` for http.
    pub fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
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
            let bytes = body.map_err(|cause| ClientError::Unreachable { url: self.shown.clone(), cause })?.to_bytes();
            self.read(status, &bytes).map_err(|error| self.with_token_origin(error))
        };
        timeout(within, answered).await.unwrap_or_else(|_| Err(ClientError::Timeout { url: self.shown.clone() }))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, ClientError> {
        let sent = self.http.request(request).await;
        sent.map_err(|error| match tls::refusal(&self.base, &error) {
            Some(why) => ClientError::Tls(why),
            None => ClientError::Unreachable { url: self.shown.clone(), cause: root_cause(error).into() },
        })
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

    /// Adds to an error about the token where the token comes from.
    fn with_token_origin(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::ErrorResponse { status: StatusCode::UNAUTHORIZED, mut message } => {
                let origin = self.token_origin.clone();
                if let Origin::Context { name, .. } = &origin {
                    message.push_str(&format!(". To save another token: boatyard auth init --context {name}"));
                }
                ClientError::TokenRefused { url: self.base.clone(), origin, message }
            }
            other => other,
        }
    }

    fn unexpected(&self, what: &str) -> ClientError {
        ClientError::UnexpectedResponse { url: self.shown.clone(), what: what.to_owned() }
    }

    /// Opens a log stream at an address from the API. The address contains a ticket, so the token is not sent.
    pub async fn stream(
        &self,
        url: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Unpin + use<>, ClientError> {
        let request = Request::get(url).body(Full::default()).map_err(|error| self.unexpected(&error.to_string()))?;
        let response = timeout(RESPONSE_TIMEOUT, self.send(request)).await;
        let response = response.unwrap_or_else(|_| Err(ClientError::Timeout { url: self.shown.clone() }))?;
        let status = response.status();
        if !status.is_success() {
            let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
            let bytes = body.map_err(|cause| ClientError::Unreachable { url: self.shown.clone(), cause })?.to_bytes();
            return Err(self
                .read(status, &bytes)
                .err()
                .unwrap_or_else(|| self.unexpected("an error without a message")));
        }
        let shown = self.shown.clone();
        let broken = move |_| ClientError::UnexpectedResponse {
            url: shown.clone(),
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

    fn client(url: &str, token: &str) -> anyhow::Result<Client> {
        let (url, token) = (url.to_owned(), token.to_owned());
        Client::new(&Server {
            url,
            context: Some("far".into()),
            token,
            token_origin: Origin::Variable,
            certificate_authority: None,
        })
    }

    #[test]
    fn an_address_has_only_a_scheme_and_a_host() {
        assert!(client("http://127.0.0.1:7080", "tok").is_ok());
        assert!(client("http://localhost:7080/", "tok").is_ok());
        for wrong in ["127.0.0.1:7080", "http://h/v2", "ftp://h", "", "http://h?x=1", "http://user:pw@h"] {
            assert!(client(wrong, "tok").is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_error_about_a_wrong_token_names_its_origin_and_not_the_token() {
        for wrong in ["", "to\nk", "a b"] {
            let error = client("http://h", wrong).map(|_| ()).expect_err("refused").to_string();
            assert!(error.contains("BOATYARD_TOKEN") && !error.contains("a b"), "{error}");
        }
        let client = client("http://h", "tok").expect("a client");
        let refused = client.read(StatusCode::UNAUTHORIZED, b"{\"message\": \"it has expired\"}").expect_err("401");
        assert_eq!(
            client.with_token_origin(refused).to_string(),
            "the API at http://h refuses the token, which comes from the variable BOATYARD_TOKEN: it has expired"
        );
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
        let error = client(&url, "tok").expect("a client").get("/v2/apps").await.expect_err("no server");
        assert!(error.is_transient());
        for words in [&url, "context far", "boatyard serve"] {
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
    }
}
