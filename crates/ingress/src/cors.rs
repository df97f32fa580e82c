//! CORS: which pages of other origins may read the answers of a rule.
//!
//! As on App Platform, the ingress answers preflight requests of allowed origins itself, and adds the headers to the other
//! answers. Requests of other origins are forwarded without any CORS header: browsers then keep the answers from the page.

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Response};

use crate::body::ResponseBody;
use crate::protocol::{CorsPolicy, OriginMatch};

/// The most memory that one regular expression may take.
const PATTERN_BYTES: usize = 256 * 1024;
/// A longer origin matches no regular expression.
const LONGEST_ORIGIN: usize = 512;

/// A policy in the form in which it is used for each request.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<Origins>,
    /// Headers of the answer to a preflight request.
    preflight: Vec<(HeaderName, HeaderValue)>,
    /// Headers of every other answer.
    simple: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug)]
enum Origins {
    Any,
    Exact(String),
    Prefix(String),
    Pattern(regex::Regex),
}

/// What a request says about the page that sends it.
#[derive(Debug, Clone)]
pub(crate) struct CorsRequest {
    origin: HeaderValue,
    pub is_preflight: bool,
}

impl CorsRequest {
    /// `None`: the request says nothing about a page of another origin.
    pub fn of(method: &Method, headers: &HeaderMap) -> Option<Self> {
        let origin = headers.get(ORIGIN)?.clone();
        let is_preflight = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Some(CorsRequest { origin, is_preflight })
    }
}

impl Cors {
    /// Errors: a sentence that says which part cannot be used.
    pub fn compile(policy: &CorsPolicy) -> Result<Self, String> {
        let origins = policy.allow_origins.iter().map(Origins::compile).collect::<Result<_, _>>()?;
        let mut simple = Vec::new();
        if policy.allow_credentials {
            simple.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        let mut preflight = simple.clone();
        for (name, values) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &policy.allow_methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &policy.allow_headers),
        ] {
            preflight.extend(list(name, values)?);
        }
        if let Some(seconds) = policy.max_age_seconds {
            preflight.push((ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds)));
        }
        simple.extend(list(ACCESS_CONTROL_EXPOSE_HEADERS, &policy.expose_headers)?);
        Ok(Cors { origins, preflight, simple })
    }

    pub fn allows(&self, request: &CorsRequest) -> bool {
        let Ok(origin) = request.origin.to_str() else { return false };
        self.origins.iter().any(|allowed| allowed.matches(origin))
    }

    /// The answer to a preflight request of an allowed origin.
    pub fn preflight_response(&self, request: &CorsRequest) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::generated(Bytes::new()));
        self.add(&self.preflight, request, response.headers_mut());
        response
    }

    /// Replaces the application's CORS headers in an answer.
    pub fn apply(&self, request: Option<&CorsRequest>, headers: &mut HeaderMap) {
        match request.filter(|request| self.allows(request)) {
            Some(request) => self.add(&self.simple, request, headers),
            // A cache must not give this answer to an origin that is allowed.
            None => vary(headers),
        }
    }

    fn add(&self, fixed: &[(HeaderName, HeaderValue)], request: &CorsRequest, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, request.origin.clone());
        for (name, value) in fixed {
            headers.insert(name.clone(), value.clone());
        }
        vary(headers);
    }
}

impl Origins {
    fn compile(given: &OriginMatch) -> Result<Self, String> {
        Ok(match given {
            OriginMatch::Exact(text) if text == "*" => Origins::Any,
            OriginMatch::Exact(text) => Origins::Exact(text.clone()),
            OriginMatch::Prefix(text) => Origins::Prefix(text.clone()),
            OriginMatch::Regex(text) => {
                let whole = format!("^(?:{text})$");
                let pattern = regex::RegexBuilder::new(&whole).size_limit(PATTERN_BYTES).build();
                Origins::Pattern(pattern.map_err(|_| format!("{text:?} is not a regular expression that can be used"))?)
            }
        })
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Origins::Any => true,
            // Browsers send scheme and host in lower case.
            Origins::Exact(text) => origin.eq_ignore_ascii_case(text),
            Origins::Prefix(text) => origin.starts_with(text.as_str()),
            Origins::Pattern(pattern) => origin.len() <= LONGEST_ORIGIN && pattern.is_match(origin),
        }
    }
}

fn list(name: HeaderName, values: &[String]) -> Result<Option<(HeaderName, HeaderValue)>, String> {
    if values.is_empty() {
        return Ok(None);
    }
    let joined = values.join(", ");
    match HeaderValue::try_from(&joined) {
        Ok(value) => Ok(Some((name, value))),
        Err(_) => Err(format!("{joined:?} cannot be the value of {name}")),
    }
}

/// Says that the answer depends on the request's origin.
fn vary(headers: &mut HeaderMap) {
    let names_origin = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| {
            text.split(',').any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("origin"))
        })
    };
    if !headers.get_all(VARY).iter().any(names_origin) {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn policy(origins: &[OriginMatch]) -> CorsPolicy {
        CorsPolicy {
            allow_origins: origins.to_vec(),
            allow_methods: vec!["GET".to_owned(), "PUT".to_owned()],
            allow_headers: vec!["x-token".to_owned()],
            expose_headers: vec!["x-total".to_owned()],
            max_age_seconds: Some(5400),
            allow_credentials: true,
        }
    }

    fn from(origin: &str) -> CorsRequest {
        CorsRequest { origin: HeaderValue::try_from(origin).unwrap(), is_preflight: false }
    }

    #[test]
    fn origins_match_in_full_by_prefix_or_by_a_regular_expression_for_the_whole_origin() {
        let exact = |text: &str| OriginMatch::Exact(text.to_owned());
        let prefix = |text: &str| OriginMatch::Prefix(text.to_owned());
        let regex = |text: &str| OriginMatch::Regex(text.to_owned());
        let table: &[(OriginMatch, &[&str], &[&str])] = &[
            (
                exact("https://a.example"),
                &["https://a.example", "HTTPS://A.example"],
                &["http://a.example", "https://a.example.evil", "null"],
            ),
            (exact("*"), &["https://a.example", "null"], &[]),
            (prefix("https://a."), &["https://a.example", "https://a.b"], &["https://b.a.", "http://a.example"]),
            (
                regex(r"https://[a-z]+\.example"),
                &["https://a.example", "https://bb.example"],
                &["https://a.example.evil", "x https://a.example", "https://a.example\t", "https://axexample"],
            ),
            (regex("a|b"), &["a", "b"], &["ab", "xb", "ax"]),
        ];
        for (allowed, yes, no) in table {
            let cors = Cors::compile(&policy(std::slice::from_ref(allowed))).unwrap();
            for origin in *yes {
                assert!(cors.allows(&from(origin)), "{allowed:?} {origin}");
            }
            for origin in *no {
                assert!(!cors.allows(&from(origin)), "{allowed:?} {origin}");
            }
        }
        assert!(!Cors::compile(&policy(&[])).unwrap().allows(&from("https://a.example")));
    }

    #[test]
    fn expressions_that_take_exponential_time_or_much_memory_are_refused() {
        for text in [r"(a)\1", "(?=a)", "a{1000}{1000}", "("] {
            let refused = Cors::compile(&policy(&[OriginMatch::Regex(text.to_owned())])).unwrap_err();
            assert!(refused.contains("regular expression"), "{refused}");
        }
        let slow = Cors::compile(&policy(&[OriginMatch::Regex("(a+)+b".to_owned())])).unwrap();
        assert!(!slow.allows(&from(&"a".repeat(500))));
    }

    #[test]
    fn a_policy_whose_values_are_no_header_is_refused() {
        let bad = CorsPolicy { allow_methods: vec!["GET\r\nX: y".to_owned()], ..CorsPolicy::default() };
        assert!(Cors::compile(&bad).unwrap_err().contains("access-control-allow-methods"));
    }

    #[test]
    fn the_policy_replaces_the_applications_headers_for_allowed_origins_only() {
        let cors = Cors::compile(&policy(&[OriginMatch::Exact("https://a.example".to_owned())])).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(VARY, HeaderValue::from_static("accept, Origin"));
        cors.apply(Some(&from("https://a.example")), &mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "x-total");
        assert!(!headers.contains_key(ACCESS_CONTROL_MAX_AGE));
        assert_eq!(headers.get_all(VARY).iter().count(), 1);

        for other in [None, Some(from("https://b.example"))] {
            let mut headers = HeaderMap::new();
            cors.apply(other.as_ref(), &mut headers);
            assert_eq!((headers.len(), &headers[VARY]), (1, &HeaderValue::from_static("origin")));
        }
    }
}
