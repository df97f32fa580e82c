//! Redirects: the address that a request is sent to.

use hyper::header::HeaderValue;
use hyper::{StatusCode, Uri};

use crate::protocol::Redirect;

/// The address of the same resource by HTTPS. `None`: it cannot be written as a header.
pub(crate) fn to_https(host: &str, port: u16, uri: &Uri) -> Option<HeaderValue> {
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    HeaderValue::try_from(format!("https://{host}{port}{path}")).ok()
}

/// A redirect that was checked.
#[derive(Debug)]
pub(crate) struct CompiledRedirect {
    pub status: StatusCode,
    redirect: Redirect,
}

impl CompiledRedirect {
    /// Errors: a sentence that says which part cannot be used.
    pub fn compile(redirect: &Redirect) -> Result<Self, String> {
        let status = StatusCode::from_u16(redirect.status).ok().filter(StatusCode::is_redirection);
        let status = status.ok_or_else(|| format!("{} is not a status code for redirects", redirect.status))?;
        let path = redirect.path.as_deref().unwrap_or("/");
        let is_path = path.starts_with('/') && !path.chars().any(|it| it.is_control() || it == ' ');
        if !is_path {
            return Err(format!("{path:?} is not a path"));
        }
        Ok(CompiledRedirect { status, redirect: redirect.clone() })
    }

    /// The `Location` for a request to this host. `None`: the address cannot be written as a header.
    pub fn location(&self, host: &str, uri: &Uri) -> Option<HeaderValue> {
        let Redirect { scheme, host: other, port, path, .. } = &self.redirect;
        let host = other.as_deref().unwrap_or(host);
        let is_default = matches!((scheme.as_str(), port), (_, None) | ("http", Some(80)) | ("https", Some(443)));
        let port = port.filter(|_| !is_default).map(|port| format!(":{port}")).unwrap_or_default();
        let path = path.as_deref().unwrap_or(uri.path());
        let query = uri.query().filter(|_| !path.contains('?')).map(|query| format!("?{query}")).unwrap_or_default();
        HeaderValue::try_from(format!("{scheme}://{host}{port}{path}{query}")).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_redirect_replaces_the_parts_that_it_names() {
        let same = Redirect { scheme: "https".to_owned(), host: None, port: None, path: None, status: 302 };
        let host = |host: &str| Redirect { host: Some(host.to_owned()), ..same.clone() };
        let path = |path: &str| Redirect { path: Some(path.to_owned()), ..same.clone() };
        let port = |scheme: &str, port| Redirect { scheme: scheme.to_owned(), port: Some(port), ..same.clone() };
        let table = [
            (same.clone(), "/a/b?c=d", "https://shop.example/a/b?c=d"),
            (same.clone(), "//evil.example/%0d", "https://shop.example//evil.example/%0d"),
            (host("www.example"), "/a?b", "https://www.example/a?b"),
            (path("/new"), "/a/b?c=d", "https://shop.example/new?c=d"),
            (path("/new?x=1"), "/a?c=d", "https://shop.example/new?x=1"),
            (path("/new?"), "/a?c=d", "https://shop.example/new?"),
            (port("http", 8080), "/", "http://shop.example:8080/"),
            (port("https", 443), "/", "https://shop.example/"),
            (port("http", 80), "/", "http://shop.example/"),
            (port("http", 443), "/", "http://shop.example:443/"),
        ];
        for (redirect, asked, wanted) in table {
            let compiled = CompiledRedirect::compile(&redirect).unwrap();
            assert_eq!(compiled.location("shop.example", &asked.parse().unwrap()).unwrap(), wanted);
        }
    }

    #[test]
    fn https_has_the_same_host_path_and_query() {
        let location = |port, uri: &str| to_https("shop.example", port, &uri.parse().unwrap()).unwrap();
        assert_eq!(location(443, "/a?b=c"), "https://shop.example/a?b=c");
        assert_eq!(location(8443, "http://shop.example/a"), "https://shop.example:8443/a");
    }

    #[test]
    fn a_redirect_without_a_usable_path_or_status_is_refused() {
        let usable = Redirect { scheme: "https".to_owned(), host: None, port: None, path: None, status: 301 };
        assert!(CompiledRedirect::compile(&usable).is_ok());
        for path in ["new", "/a\r\nX: y", "/a b", ""] {
            let bad = Redirect { path: Some(path.to_owned()), ..usable.clone() };
            assert!(CompiledRedirect::compile(&bad).unwrap_err().contains("path"), "{path:?}");
        }
        for status in [0, 200, 404] {
            let bad = Redirect { status, ..usable.clone() };
            assert!(CompiledRedirect::compile(&bad).unwrap_err().contains("status"), "{status}");
        }
    }
}
