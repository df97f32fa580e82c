//! Headers between client and instance: hop-by-hop headers are removed first, then headers that a client may not set,
//! then the ingress adds its own. In this order a `Connection` header cannot remove the headers that the ingress adds.

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE,
};

use crate::error_response::ERROR_HEADER;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Hop-by-hop headers other than `Connection` and the headers it names.
const HOP_BY_HOP: [HeaderName; 7] =
    [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE];

/// How the names of the cookies of panel sessions begin, over http and over https. The id of the installation follows. A
/// browser sends a cookie to every port of its host, so it may send these to apps, too.
const SESSION_COOKIES: [&[u8]; 2] = [b"boatyard_session_", b"__Host-boatyard_session_"];

/// The values of the `X-Forwarded-*` headers.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub address: HeaderValue,
    pub port: HeaderValue,
    pub scheme: HeaderValue,
}

impl Origin {
    /// `scheme`: `http` or `https`.
    pub fn new(peer: IpAddr, port: u16, scheme: &'static str) -> Self {
        let text = |text: String| HeaderValue::try_from(text).expect("digits, dots and colons are header text");
        Origin {
            address: text(peer.to_canonical().to_string()),
            port: text(port.to_string()),
            scheme: HeaderValue::from_static(scheme),
        }
    }
}

/// Brings the headers of an HTTP/2 request into the form of HTTP/1.1, before [`for_upstream`].
pub(crate) fn from_http2(headers: &mut HeaderMap, has_body: bool) {
    // Clients may split cookies into several fields (RFC 9113, 8.2.3).
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
    // A body without a length is chunked in HTTP/1.1. Without either header it would be dropped.
    if has_body && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Prepares a client's headers for an upstream. `origin`: where a request from outside comes from. `None`: another component
/// of the app calls, whose headers reach the upstream as it wrote them. `upgrade`: forward the WebSocket handshake.
pub(crate) fn for_upstream(headers: &mut HeaderMap, host: HeaderValue, origin: Option<&Origin>, upgrade: bool) {
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    let trailers = lists(headers, &TE, "trailers");
    strip_hop_by_hop(headers);
    headers.insert(HOST, host.clone());
    if let Some(origin) = origin {
        strip_claims(headers);
        strip_session_cookies(headers);
        headers.insert(X_FORWARDED_FOR, origin.address.clone());
        headers.insert(X_FORWARDED_HOST, host);
        headers.insert(X_FORWARDED_PORT, origin.port.clone());
        headers.insert(X_FORWARDED_PROTO, origin.scheme.clone());
    }
    if chunked {
        // Set explicitly, because hyper would otherwise drop the body of a chunked GET.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    } else if trailers {
        // `TE` applies to one hop; the next hop supports trailers as well (RFC 9110, 10.1.4).
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Removes headers or trailers that a client may not set.
pub(crate) fn strip_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Whether the client waits for `100 Continue` before it sends the body.
pub(crate) fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether the sender closes the connection after this message.
pub(crate) fn says_close(headers: &HeaderMap) -> bool {
    lists(headers, &CONNECTION, "close")
}

/// Prepares an application's headers for a client.
pub(crate) fn for_client(headers: &mut HeaderMap, upgraded: bool) {
    strip_hop_by_hop(headers);
    headers.remove(ERROR_HEADER);
    strip_new_session_cookies(headers);
    if upgraded {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

/// Prepares an application's trailers for a client.
pub(crate) fn trailers_for_client(trailers: &mut HeaderMap) {
    trailers.remove(ERROR_HEADER);
}

/// Whether the client requests an upgrade to WebSocket. Other protocols are not upgraded and their `Upgrade` is
/// ignored, as HTTP allows: a forwarded upgrade (h2c, for example) would carry requests past all rules.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let named = lists(headers, &CONNECTION, "upgrade");
    let mut protocols = headers.get_all(UPGRADE).iter();
    let websocket = protocols.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    named && websocket && protocols.next().is_none()
}

/// Whether the transfer coding is anything but a single `chunked`. Other codings are an attack or not supported.
pub(crate) fn has_odd_transfer_encoding(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(first) = values.next() else { return false };
    !first.as_bytes().eq_ignore_ascii_case(b"chunked") || values.next().is_some()
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // With both framings hyper reads the chunked one (RFC 9112, 6.3). A contradicting length must not be forwarded.
        headers.remove(CONTENT_LENGTH);
    }
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(tokens)
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            // `Connection` may not remove the headers that frame the message.
            .filter(|name| *name != CONTENT_LENGTH && *name != HOST)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes the cookies of the panel's sessions from a request. Other cookies stay as they are.
fn strip_session_cookies(headers: &mut HeaderMap) {
    let is_session = |cookie: &&[u8]| is_session_cookie(cookie);
    // Most requests end here, without an allocation.
    if !headers.get_all(COOKIE).iter().flat_map(cookies).any(|cookie| is_session(&cookie)) {
        return;
    }
    let without_session = |value: &HeaderValue| {
        let kept: Vec<&[u8]> = cookies(value).filter(|cookie| !is_session(cookie)).collect();
        HeaderValue::from_bytes(kept.join(&b';').trim_ascii()).ok().filter(|value| !value.is_empty())
    };
    let kept: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(without_session).collect();
    headers.remove(COOKIE);
    for value in kept {
        headers.append(COOKIE, value);
    }
}

/// Removes headers by which an app would set a cookie of the panel's sessions. Other cookies stay as they are.
fn strip_new_session_cookies(headers: &mut HeaderMap) {
    let is_session = |value: &HeaderValue| {
        // Browsers send the cookie `=NAME=VALUE`, which has no name, as `NAME=VALUE`.
        let first = cookies(value).next().unwrap_or_default().trim_ascii_start();
        is_session_cookie(first.strip_prefix(b"=").unwrap_or(first))
    };
    if !headers.get_all(SET_COOKIE).iter().any(is_session) {
        return;
    }
    let kept: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().filter(|it| !is_session(it)).cloned().collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// The parts between the semicolons of a cookie header.
fn cookies(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b';')
}

/// Whether a cookie, with or without its value, has the name of a session. Sessions of other installations count as well.
fn is_session_cookie(cookie: &[u8]) -> bool {
    SESSION_COOKIES.iter().any(|prefix| cookie.trim_ascii_start().starts_with(prefix))
}

fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers.get_all(name).iter().any(|value| tokens(value).any(|token| token == wanted))
}

/// The tokens of a list value, in lower case.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = String> + '_ {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(|token| token.trim().to_ascii_lowercase()).filter(|token| !token.is_empty())
}

/// Whether only a proxy may set this name, or whether it imitates such a name. CGI-like applications read `X_Real_IP`
/// as `X-Real-IP`, because they treat every sign like a dash. Other names with such signs are forwarded.
fn is_claim(name: &HeaderName) -> bool {
    let text = name.as_str();
    if is_reserved(text) {
        return true;
    }
    let other_sign = |character: char| !character.is_ascii_alphanumeric() && character != '-';
    if !text.contains(other_sign) {
        return false;
    }
    let twin = text.replace(other_sign, "-");
    is_reserved(&twin) || HOP_BY_HOP.iter().chain([&CONTENT_LENGTH]).any(|name| name.as_str() == twin)
}

fn is_reserved(name: &str) -> bool {
    // `Proxy` becomes the environment variable `HTTP_PROXY` in a CGI program (https://httpoxy.org).
    name.starts_with("x-forwarded") || matches!(name, "forwarded" | "x-real-ip" | "proxy")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sent(given: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let fixed = HeaderValue::from_static;
        let origin = Origin { address: fixed("192.0.2.9"), port: fixed("8080"), scheme: fixed("http") };
        let upgrade = asks_for_websocket(&headers);
        for_upstream(&mut headers, fixed("shop"), Some(&origin), upgrade);
        headers
    }

    #[test]
    fn forwarding_headers_of_a_client_are_replaced_or_removed() {
        let spoofed = [
            ("X-Forwarded-For", "10.0.0.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Prefix", "/admin"),
            ("X-Forwarded-User", "root"),
            ("Forwarded", "for=10.0.0.1"),
            ("X-Real-Ip", "10.0.0.1"),
            ("X_Forwarded_For", "10.0.0.1"),
            ("X_Forwarded-Host", "evil"),
            ("X.Forwarded.Host", "evil"),
            ("Proxy", "http://10.0.0.1"),
            ("Transfer_Encoding", "chunked"),
        ];
        let headers = sent(&spoofed);
        assert_eq!(headers["x-forwarded-for"], "192.0.2.9");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "shop");
        assert_eq!(headers["x-forwarded-port"], "8080");
        assert_eq!(headers.len(), 5, "{headers:?}");
    }

    #[test]
    fn names_with_underscores_pass_unless_they_imitate_what_a_proxy_sets() {
        let headers = sent(&[("api_key", "a"), ("X_Api_Key", "b"), ("Remote_User", "c"), ("X_Real_IP", "d")]);
        for (name, value) in [("api_key", "a"), ("x_api_key", "b"), ("remote_user", "c")] {
            assert_eq!(headers[name], value);
        }
        assert!(!headers.contains_key("x_real_ip"));
    }

    fn values(headers: &HeaderMap, name: HeaderName) -> Vec<&[u8]> {
        headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }

    #[test]
    fn apps_do_not_see_the_sessions_of_the_panel() {
        let table: &[(&[&str], &[&str])] = &[
            (&["a=1; b=2"], &["a=1; b=2"]),
            (&["boatyard_session_a=s"], &[]),
            (&["__Host-boatyard_session_a=s"], &[]),
            (&["boatyard_session_a=s; a=1"], &["a=1"]),
            (&["a=1; boatyard_session_a=s"], &["a=1"]),
            (&["a=1; boatyard_session_a=s; b=2"], &["a=1; b=2"]),
            (&["a=1;boatyard_session_a=s;  b=2;"], &["a=1;  b=2;"]),
            (&["boatyard_session_a=s; boatyard_session_b=t; __Host-boatyard_session_c=u"], &[]),
            (&[" \tboatyard_session_a = s ;a=1"], &["a=1"]),
            (&["boatyard_session_a"], &[]),
            (&["boatyard_session_a=s=t; a=x=y"], &["a=x=y"]),
            (&["a=1", "boatyard_session_a=s", "b=2; boatyard_session_a=s"], &["a=1", "b=2"]),
            // Cookies of apps whose names or values only resemble it. Names of cookies are case-sensitive.
            (&["boatyard_session2=s; xboatyard_session_a=s"], &["boatyard_session2=s; xboatyard_session_a=s"]),
            (&["Boatyard_Session=s; a=boatyard_session_a"], &["Boatyard_Session=s; a=boatyard_session_a"]),
            (&["a=\"q u\"; =b;; c"], &["a=\"q u\"; =b;; c"]),
        ];
        let upgrade = [("Connection", "upgrade"), ("Upgrade", "websocket")];
        for (given, expected) in table {
            let cookies: Vec<_> = given.iter().map(|value| ("Cookie", *value)).collect();
            for more in [&[][..], &upgrade] {
                let headers = sent(&[&cookies, more].concat());
                let expected: Vec<_> = expected.iter().map(|it| it.as_bytes()).collect();
                assert_eq!(values(&headers, COOKIE), expected, "{given:?}");
            }
        }
    }

    #[test]
    fn other_cookies_keep_bytes_that_are_not_text() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(b"a=\xff; boatyard_session_a=s; b=\xfe\t1").unwrap());
        strip_session_cookies(&mut headers);
        assert_eq!(values(&headers, COOKIE), [b"a=\xff; b=\xfe\t1"]);
    }

    #[test]
    fn apps_do_not_set_the_sessions_of_the_panel() {
        let kept = ["a=1; Path=/", "boatyard_session2=s", "a=boatyard_session_a=s", "b=2; boatyard_session_a=s", ""];
        let removed = [
            "boatyard_session_a=s",
            "boatyard_session_a=; Max-Age=0",
            " boatyard_session_a = s; HttpOnly",
            "__Host-boatyard_session_a=s; Secure; Path=/",
            "=boatyard_session_a=s",
            "boatyard_session_a",
        ];
        for upgraded in [false, true] {
            let mut headers = HeaderMap::new();
            for value in kept.iter().chain(&removed) {
                headers.append(SET_COOKIE, HeaderValue::from_static(value));
            }
            for_client(&mut headers, upgraded);
            assert_eq!(values(&headers, SET_COOKIE), kept.map(str::as_bytes));
        }
    }

    #[test]
    fn headers_of_http2_become_those_of_http1() {
        let mut headers = HeaderMap::new();
        for value in ["a=1", "b=2; c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        from_http2(&mut headers, true);
        assert_eq!(headers[COOKIE], "a=1; b=2; c=3");
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
        assert_eq!(headers[TRANSFER_ENCODING], "chunked");

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        from_http2(&mut headers, true);
        assert_eq!(headers.len(), 1);
        from_http2(&mut headers, false);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn te_trailers_is_forwarded() {
        let headers = sent(&[("TE", "gzip, trailers"), ("Connection", "TE")]);
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["connection"], "te");
    }

    #[test]
    fn connection_removes_the_headers_it_names_except_those_of_the_ingress_and_the_framing() {
        let headers = sent(&[
            ("Connection", "X-Forwarded-For, X-Mine, Host"),
            ("Connection", "content-length"),
            ("X-Mine", "1"),
            ("X-Other", "2"),
            ("Keep-Alive", "timeout=5"),
            ("Te", "gzip"),
            ("Proxy-Authorization", "Basic x"),
            ("Content-Length", "3"),
        ]);
        assert_eq!(headers["x-forwarded-for"], "192.0.2.9");
        assert_eq!(headers["host"], "shop");
        assert_eq!(headers["content-length"], "3");
        assert_eq!(headers["x-other"], "2");
        for gone in ["connection", "x-mine", "keep-alive", "te", "proxy-authorization"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn only_a_websocket_handshake_stays_an_upgrade() {
        assert!(sent(&[("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")]).contains_key("upgrade"));
        for (connection, upgrade) in [("upgrade", "h2c"), ("keep-alive", "websocket"), ("upgrade", "websocket, h2c")] {
            let headers = sent(&[("Connection", connection), ("Upgrade", upgrade)]);
            assert!(!headers.contains_key("upgrade"), "{connection} {upgrade}");
            assert!(!headers.contains_key("connection"), "{connection} {upgrade}");
        }
    }
}
