//! Responses that the ingress generates: a message for people and a code for programs.

use bytes::Bytes;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::body::ResponseBody;

/// Carries [`ProxyError::code`] in every response of the ingress. It is removed from responses of applications.
pub(crate) const ERROR_HEADER: HeaderName = HeaderName::from_static("x-boatyard-error");

/// Why a client gets a response of the ingress instead of the application's.
#[derive(Debug)]
pub(crate) enum ProxyError {
    /// The rule redirects the client.
    Redirected {
        status: StatusCode,
        location: HeaderValue,
    },
    /// The ingress answers a preflight request of CORS.
    Preflight(Box<Response<ResponseBody>>),
    /// The app is in maintenance.
    Maintenance,
    /// The request is invalid; the text says why.
    BadRequest(&'static str),
    MethodNotAllowed,
    /// The request's body ended early or was malformed.
    BrokenUpload,
    NoSuchHost,
    /// The TLS connection is for a host name of another app.
    Misdirected,
    NoSuchPath,
    /// A component calls a port on which no service of its app listens.
    NoService {
        port: u16,
    },
    /// A component calls a port on which several services of its app listen, with a host that names none of them.
    AmbiguousService {
        port: u16,
        /// Their names, for people.
        services: String,
    },
    /// The static site has no such file.
    NoSuchFile {
        component: String,
    },
    /// The files of the static site cannot be read.
    FilesUnreadable {
        component: String,
    },
    NoInstance {
        component: String,
    },
    ConnectFailed {
        component: String,
        cause: String,
    },
    ConnectTimedOut {
        component: String,
    },
    /// The instance closed the connection without a response.
    NoAnswer {
        component: String,
        sent: SentAmount,
    },
    /// The response was not valid HTTP.
    BadAnswer {
        component: String,
    },
    AnswerTimedOut {
        component: String,
    },
    /// The instance does not speak HTTP/2, although the spec says so.
    NotHttp2 {
        component: String,
    },
    /// Too many requests are open on HTTP/2 connections.
    TooManyRequests,
    /// The process of this installation that answers under this host name does not run or does not answer.
    NotRunning,
}

/// How much of a request was sent to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentAmount {
    Nothing,
    Part,
    All,
}

impl ProxyError {
    pub fn status(&self) -> StatusCode {
        match self {
            ProxyError::Redirected { status, .. } => *status,
            ProxyError::Preflight(response) => response.status(),
            ProxyError::Maintenance => StatusCode::SERVICE_UNAVAILABLE,
            ProxyError::BadRequest(_) | ProxyError::BrokenUpload => StatusCode::BAD_REQUEST,
            ProxyError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ProxyError::NoSuchHost
            | ProxyError::NoSuchPath
            | ProxyError::NoService { .. }
            | ProxyError::NoSuchFile { .. } => StatusCode::NOT_FOUND,
            ProxyError::Misdirected | ProxyError::AmbiguousService { .. } => StatusCode::MISDIRECTED_REQUEST,
            ProxyError::NoInstance { .. }
            | ProxyError::NotRunning
            | ProxyError::TooManyRequests
            | ProxyError::FilesUnreadable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ProxyError::ConnectFailed { .. }
            | ProxyError::NoAnswer { .. }
            | ProxyError::BadAnswer { .. }
            | ProxyError::NotHttp2 { .. } => StatusCode::BAD_GATEWAY,
            ProxyError::ConnectTimedOut { .. } | ProxyError::AnswerTimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub fn code(&self) -> &'static str {
        match self {
            ProxyError::Redirected { .. } => "redirected",
            ProxyError::Preflight(_) => "preflight",
            ProxyError::Maintenance => "maintenance",
            ProxyError::BadRequest(_) => "bad-request",
            ProxyError::MethodNotAllowed => "method-not-allowed",
            ProxyError::BrokenUpload => "broken-upload",
            ProxyError::NoSuchHost => "no-such-host",
            ProxyError::Misdirected => "misdirected",
            ProxyError::NoSuchPath => "no-such-path",
            ProxyError::NoService { .. } => "no-service",
            ProxyError::AmbiguousService { .. } => "ambiguous-service",
            ProxyError::NoSuchFile { .. } => "no-such-file",
            ProxyError::FilesUnreadable { .. } => "files-unreadable",
            ProxyError::NoInstance { .. } => "no-instance",
            ProxyError::ConnectFailed { .. } => "connect-failed",
            ProxyError::ConnectTimedOut { .. } => "connect-timed-out",
            ProxyError::NoAnswer { .. } => "no-answer",
            ProxyError::BadAnswer { .. } => "bad-answer",
            ProxyError::AnswerTimedOut { .. } => "answer-timed-out",
            ProxyError::NotHttp2 { .. } => "not-http2",
            ProxyError::TooManyRequests => "too-many-requests",
            ProxyError::NotRunning => "not-running",
        }
    }

    /// The code, unless the answer is what the app's rules say.
    pub fn error_code(&self) -> Option<&'static str> {
        let is_by_rule = matches!(self, ProxyError::Redirected { .. } | ProxyError::Preflight(_));
        (!is_by_rule).then(|| self.code())
    }

    fn message(&self) -> String {
        match self {
            ProxyError::Redirected { location, .. } => {
                format!("The address is {}.", String::from_utf8_lossy(location.as_bytes()))
            }
            ProxyError::Preflight(_) => String::new(),
            ProxyError::Maintenance => "This app is in maintenance. Try again later.".to_owned(),
            ProxyError::BadRequest(what) => (*what).to_owned(),
            ProxyError::MethodNotAllowed => "This method is not supported.".to_owned(),
            ProxyError::BrokenUpload => "The body of the request ended early or was malformed.".to_owned(),
            ProxyError::NoSuchHost => "No app uses this host name.".to_owned(),
            ProxyError::Misdirected => {
                "This connection was opened for the host name of another app. Open a new one.".to_owned()
            }
            ProxyError::NoSuchPath => "No route of this app matches this path.".to_owned(),
            ProxyError::NoService { port } => format!("No service of this app listens on port {port}."),
            ProxyError::AmbiguousService { port, services } => format!(
                "Several services of this app listen on port {port}. Send the name of one as the host: {services}."
            ),
            ProxyError::NoSuchFile { component } => format!("The static site {component} has no such file."),
            ProxyError::FilesUnreadable { component } => {
                format!("The files of the static site {component} cannot be read on this host.")
            }
            ProxyError::NoInstance { component } => {
                format!("Component {component} has no ready instance. Try again in a moment.")
            }
            ProxyError::ConnectFailed { component, cause } => {
                format!("Component {component} did not accept a connection ({cause}). Nothing was sent to it.")
            }
            ProxyError::ConnectTimedOut { component } => {
                format!("Component {component} did not accept a connection in time. Nothing was sent to it.")
            }
            ProxyError::NoAnswer { component, sent: SentAmount::Nothing } => {
                format!("Component {component} closed the connection before anything was sent to it.")
            }
            ProxyError::NoAnswer { component, sent: SentAmount::Part } => format!(
                "Component {component} closed the connection before the whole request was sent to it, and no answer \
                 arrived. If it sent one, closing with a part of the request unread destroyed it."
            ),
            ProxyError::NoAnswer { component, sent: SentAmount::All } => {
                format!("Component {component} closed the connection without an answer. It may have seen the request.")
            }
            ProxyError::BadAnswer { component } => {
                format!("Component {component} gave an answer that is no valid HTTP. It may have seen the request.")
            }
            ProxyError::AnswerTimedOut { component } => {
                format!("Component {component} did not answer in time. It may have seen the request.")
            }
            ProxyError::NotHttp2 { component } => {
                format!("Component {component} does not speak HTTP/2 without TLS, as its protocol HTTP2 demands.")
            }
            ProxyError::TooManyRequests => {
                "Too many requests are open on this host. Send the request again in a moment.".to_owned()
            }
            ProxyError::NotRunning => {
                "The server for this host name is not running. Send the request again in a moment.".to_owned()
            }
        }
    }

    /// Whether the instance ended the connection in place of an answer.
    pub fn is_no_answer(&self) -> bool {
        matches!(self, ProxyError::NoAnswer { .. })
    }

    /// Whether the application could not be reached.
    fn is_unreachable(&self) -> bool {
        self.status().is_server_error()
    }

    /// HTML for browsers, JSON for programs that accept it, else text. `accept`: the value of the request's `Accept` header.
    /// `error_page`: the page that browsers show if the application cannot be reached. `id`: that of the request.
    pub fn response(
        self,
        accept: Option<&HeaderValue>,
        error_page: Option<&str>,
        id: &HeaderValue,
    ) -> Response<ResponseBody> {
        if let ProxyError::Preflight(response) = self {
            return *response;
        }
        let status = self.status();
        let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let (message, id) = (self.message(), String::from_utf8_lossy(id.as_bytes()));
        let (kind, text) = match error_page.filter(|_| self.is_unreachable()) {
            Some(url) if accept.contains("text/html") => ("text/html; charset=utf-8", frame(status, url)),
            _ if accept.contains("text/html") => ("text/html; charset=utf-8", page(status, &message, self.code(), &id)),
            _ if accepts_json(accept) => ("application/json", document(status, &message, self.code(), &id)),
            _ => ("text/plain; charset=utf-8", format!("{status}: {message}\nRequest ID: {id}\n")),
        };
        let mut response = Response::new(ResponseBody::generated(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR_HEADER, HeaderValue::from_static(self.code()));
        if status == StatusCode::BAD_REQUEST || status == StatusCode::METHOD_NOT_ALLOWED {
            // The sender may interpret the following bytes differently than the ingress does.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        match self {
            ProxyError::Redirected { location, .. } => {
                headers.insert(LOCATION, location);
                headers.remove(CACHE_CONTROL);
            }
            ProxyError::Maintenance => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// The `Accept` header, which tells a browser from a program.
pub(crate) fn accepted(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ACCEPT).cloned()
}

/// Whether the `Accept` header names JSON, also in forms such as `application/problem+json`.
fn accepts_json(accept: &str) -> bool {
    accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim()).any(|range| {
        range.eq_ignore_ascii_case("application/json")
            || (range.starts_with("application/") && range.to_ascii_lowercase().ends_with("+json"))
    })
}

fn document(status: StatusCode, message: &str, code: &str, id: &str) -> String {
    let document = json!({ "status": status.as_u16(), "error": code, "message": message, "request_id": id });
    format!("{document}\n")
}

fn page(status: StatusCode, message: &str, code: &str, id: &str) -> String {
    let (message, id) = (escape(message), escape(id));
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{status}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;\
         padding:0 1em;color-scheme:light dark}}small{{opacity:.6}}</style><h1>{status}</h1><p>{message}</p>\
         <small>{code}<br>Request ID: {id}</small></html>\n"
    )
}

/// A page that shows the page of another address in full.
fn frame(status: StatusCode, url: &str) -> String {
    let url = escape(url);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{status}</title><style>body{{margin:0}}iframe{{border:0;display:block;width:100%;height:100vh}}</style>\
         <iframe src=\"{url}\" title=\"{status}\"></iframe></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_apps_own_page_if_the_app_cannot_be_reached() {
        let text = |response: Response<ResponseBody>| match response.into_body() {
            ResponseBody::Generated(Some(text)) => String::from_utf8_lossy(&text).into_owned(),
            _ => panic!("no text"),
        };
        let id = HeaderValue::from_static("id-1");
        let none = || ProxyError::NoInstance { component: "web".to_owned() };
        let html = HeaderValue::from_static("text/html,*/*");
        let own = Some("https://status.example/?a=1&b=\"");
        assert!(
            text(none().response(Some(&html), own, &id)).contains("src=\"https://status.example/?a=1&amp;b=&quot;\"")
        );
        assert!(text(none().response(None, own, &id)).starts_with("503 Service Unavailable: Component web"));
        assert!(text(ProxyError::NoSuchPath.response(Some(&html), own, &id)).contains("No route"));
    }

    #[test]
    fn a_page_names_the_component_and_escapes_it() {
        let refusal = ProxyError::NoInstance { component: "<web>".to_owned() };
        assert_eq!(refusal.status(), 503);
        let text = page(refusal.status(), &refusal.message(), refusal.code(), "id-1");
        assert!(text.contains("&lt;web&gt;") && text.contains("Request ID: id-1"), "{text}");
    }

    #[test]
    fn a_program_that_accepts_json_gets_json_and_a_browser_a_page() {
        let id = HeaderValue::from_static("id-1");
        for (accept, kind) in [
            ("application/json", "application/json"),
            ("text/plain, Application/JSON;q=0.9", "application/json"),
            ("application/vnd.api+json", "application/json"),
            ("text/html,application/json", "text/html; charset=utf-8"),
            ("application/jsonp", "text/plain; charset=utf-8"),
            ("*/*", "text/plain; charset=utf-8"),
        ] {
            let accept = HeaderValue::from_static(accept);
            assert_eq!(ProxyError::NoSuchHost.response(Some(&accept), None, &id).headers()[CONTENT_TYPE], kind);
        }
        let text = document(StatusCode::NOT_FOUND, "No app uses this \"host\" name.", "no-such-host", "id-1");
        let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!((value["status"].as_u64(), value["request_id"].as_str()), (Some(404), Some("id-1")));
    }
}
