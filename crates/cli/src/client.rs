//! Asking the API. One request, one answer, each with a deadline; nothing that changes something is sent twice.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, BodyStream, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

/// The server answers within 30 s, or says that it cannot.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A page of 200 apps with their deployments is large; more than this is not ours.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Why there is no answer, or not the wanted one.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("the API at {url} does not answer; is `boatyard serve` running?")]
    Unreachable {
        url: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the API at {url} did not answer in time; what it accepted goes on. See: boatyard apps list")]
    Late { url: String },
    /// An error of the API: its message says what to do.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
    #[error("what answers at {url} is not the API: {what}")]
    Strange { url: String, what: String },
}

impl ClientError {
    /// Whether asking again later may help: the server is being restarted, or in trouble.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Late { .. } => true,
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Strange { .. } => false,
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }

    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::CONFLICT, .. })
    }
}

/// The API of one server.
pub struct Client {
    base: String,
    token: String,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// Errors: an address that is not `http://HOST[:PORT]`, a token that cannot be sent.
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no address"))?;
        match (uri.scheme_str(), uri.authority(), uri.path()) {
            (Some("http"), Some(_), "" | "/") if uri.query().is_none() => {}
            (Some("https"), ..) => bail!("{url}: this version speaks plain http to the API only"),
            _ => bail!("{url:?} is no address of an API; give it as http://HOST:PORT"),
        }
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("the token is empty or holds blanks; take the text of the admin-token file as it is");
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        connector.set_nodelay(true);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base: url.trim_end_matches('/').to_owned(), token: token.to_owned(), http })
    }

    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.ask(Method::GET, path, None, ANSWER_WITHIN).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.ask(Method::POST, path, Some(body), ANSWER_WITHIN).await
    }

    /// For the one question whose answer takes as long as open requests do.
    pub async fn post_within(&self, path: &str, body: &Value, within: Duration) -> Result<Value, ClientError> {
        self.ask(Method::POST, path, Some(body), within).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.ask(Method::PUT, path, Some(body), ANSWER_WITHIN).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.ask(Method::DELETE, path, None, ANSWER_WITHIN).await
    }

    async fn ask(
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
            .map_err(|error| self.strange(&error.to_string()))?;
        let answered = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            let bytes = body.map_err(|cause| ClientError::Unreachable { url: self.base.clone(), cause })?.to_bytes();
            self.read(status, &bytes)
        };
        timeout(within, answered).await.unwrap_or_else(|_| Err(ClientError::Late { url: self.base.clone() }))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, ClientError> {
        let sent = self.http.request(request).await;
        sent.map_err(|error| ClientError::Unreachable { url: self.base.clone(), cause: innermost(error).into() })
    }

    fn read(&self, status: StatusCode, bytes: &[u8]) -> Result<Value, ClientError> {
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|_| self.strange(&format!("status {status} and a body that is not JSON")))?;
        if status.is_success() {
            return Ok(json);
        }
        match json.get("message").and_then(Value::as_str) {
            Some(message) => Err(ClientError::Refused { status, message: message.to_owned() }),
            None => Err(self.strange(&format!("status {status} without a message"))),
        }
    }

    fn strange(&self, what: &str) -> ClientError {
        ClientError::Strange { url: self.base.clone(), what: what.to_owned() }
    }

    /// The bytes behind an address that the API handed out. The address carries its own secret; our token is not sent.
    pub async fn stream(
        &self,
        url: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Unpin + use<>, ClientError> {
        let request = Request::get(url).body(Full::default()).map_err(|error| self.strange(&error.to_string()))?;
        let begun = timeout(ANSWER_WITHIN, self.send(request)).await;
        let response = begun.unwrap_or_else(|_| Err(ClientError::Late { url: self.base.clone() }))?;
        let status = response.status();
        if !status.is_success() {
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            let bytes = body.map_err(|cause| ClientError::Unreachable { url: self.base.clone(), cause })?.to_bytes();
            return Err(self.read(status, &bytes).err().unwrap_or_else(|| self.strange("an error without a message")));
        }
        let base = self.base.clone();
        let broken =
            move |_| ClientError::Strange { url: base.clone(), what: "the log broke off before its end".into() };
        Ok(BodyStream::new(response.into_body())
            .filter_map(|frame| std::future::ready(frame.map(|frame| frame.into_data().ok()).transpose()))
            .map(move |data| data.map_err(&broken)))
    }
}

/// "connection refused" rather than "client error (Connect)".
fn innermost(error: hyper_util::client::legacy::Error) -> String {
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// A name or id as one part of a path.
pub fn part(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escaped =
        text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    let escaped: String = escaped.collect();
    // Dots alone would be a step in the path.
    if escaped.chars().all(|c| c == '.') { escaped.replace('.', "%2E") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_with_a_host_and_nothing_else() {
        assert!(Client::new("http://127.0.0.1:7080", "tok").is_ok());
        assert!(Client::new("http://localhost:7080/", "tok").is_ok());
        for wrong in ["127.0.0.1:7080", "https://h", "http://h/v2", "ftp://h", "", "http://h?x=1"] {
            assert!(Client::new(wrong, "tok").is_err(), "{wrong}");
        }
        assert!(Client::new("http://h", "").is_err());
        assert!(Client::new("http://h", "to\nk").is_err());
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_a_path() {
        assert_eq!(part("shop-1"), "shop-1");
        assert_eq!(part("../a?b"), "..%2Fa%3Fb");
        assert_eq!(part(".."), "%2E%2E");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let error = Client::new(&url, "tok").expect("a client").get("/v2/apps").await.expect_err("nobody listens");
        assert!(error.is_transient());
        assert!(error.to_string().contains(&url) && error.to_string().contains("boatyard serve"), "{error}");
    }
}
