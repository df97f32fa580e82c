//! Which pages a request may come from. A page on another port of the same host is another origin, but browsers send it the
//! same cookies and call it the same site, so neither `SameSite` nor a comparison of hosts is enough.

use axum::http::{HeaderMap, Method, header};

/// Whether the method changes nothing.
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a browser loads a page, rather than a script or an element of a page loading something.
pub(super) fn navigates(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    match text(SEC_FETCH_MODE) {
        // Browsers leave it out at addresses that are neither https nor of this host.
        "" => text(header::ACCEPT).contains("text/html") && !headers.contains_key("x-part"),
        mode => mode == "navigate",
    }
}

/// Whether the request came from a page of another origin, as the browser says. A typed address comes from no page.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_some_and(|site| site != "same-origin" && site != "none")
}

/// Whether a request with this method may have come from a page of the panel at `base`, or for one that changes nothing,
/// from a link elsewhere.
pub(super) fn is_allowed(method: &Method, headers: &HeaderMap, base: &str) -> bool {
    if is_safe(method) {
        return !is_foreign(headers) || navigates(headers);
    }
    is_own_origin(headers, base) && headers.get(SEC_FETCH_SITE).is_none_or(|site| site == "same-origin")
}

/// Whether the request came from a page of the panel at `base`, as its one `Origin` says. Browsers send it with a WebSocket, too.
pub(crate) fn is_own_origin(headers: &HeaderMap, base: &str) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.next().is_some_and(|it| it == base) && origins.next().is_none()
}

const SEC_FETCH_MODE: header::HeaderName = header::HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: header::HeaderName = header::HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const BASE: &str = "http://127.0.0.1:7080";

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_change_needs_the_origin_of_the_panel_with_its_scheme_and_port() {
        let own = ("origin", BASE);
        for allowed in [&[own][..], &[own, ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")]] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                assert!(is_allowed(&method, &headers(allowed), BASE), "{allowed:?}");
            }
        }
        for forged in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://127.0.0.1")],
            &[("origin", "http://127.0.0.1:8080")],
            &[("origin", "http://127.0.0.1:70800")],
            &[("origin", "https://127.0.0.1:7080")],
            &[("origin", "http://localhost:7080")],
            &[("origin", "http://shop.localhost:7080")],
            &[("origin", "http://127.0.0.1:7080.example.com")],
            &[("origin", "http://user@127.0.0.1:7080")],
            &[("origin", "http://127.0.0.1:7080/")],
            &[("origin", "http://127.0.0.1:7080, http://evil.example")],
            &[own, ("origin", "http://evil.example")],
            &[own, own],
            &[own, ("sec-fetch-site", "same-site")],
            &[own, ("sec-fetch-site", "cross-site")],
            &[own, ("sec-fetch-site", "none")],
            &[("referer", "http://127.0.0.1:7080/apps")],
        ] {
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
                assert!(!is_allowed(&method, &headers(forged), BASE), "{method} {forged:?}");
            }
        }
    }

    #[test]
    fn other_pages_may_link_to_the_panel_and_load_nothing_from_it() {
        for (given, expected) in [
            (&[][..], true),
            (&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")], true),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], true),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false),
            (&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")], false),
            (&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "websocket")], false),
            (&[("sec-fetch-site", "cross-site")], false),
        ] {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(is_allowed(&method, &headers(given), BASE), expected, "{given:?}");
            }
        }
    }

    #[test]
    fn a_page_is_told_from_what_a_script_loads() {
        assert!(navigates(&headers(&[("sec-fetch-mode", "navigate")])));
        assert!(navigates(&headers(&[("accept", "text/html,application/xhtml+xml")])));
        assert!(!navigates(&headers(&[("sec-fetch-mode", "cors"), ("accept", "text/html")])));
        assert!(!navigates(&headers(&[("accept", "text/html"), ("x-part", "dialog")])));
        assert!(!navigates(&headers(&[("accept", "text/event-stream")])) && !navigates(&headers(&[])));
    }
}
