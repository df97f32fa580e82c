//! Headers between client and instance: hop-by-hop headers are removed first, then headers that a client may not set,
//! then the ingress adds its own. In this order a `Connection` header cannot remove the headers that the ingress adds.

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};

use crate::error_response::ERROR_HEADER;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How the names of the cookies of panel sessions begin, over http and over https. The id of the installation follows. A
/// browser sends a cookie to every port of its host, so it may send these to apps, too.
const SESSION_COOKIES: [&[u8]; 2] = [b"boatyard_session_", b"__Host-boatyard_session_"];

/// The values of the `X-Forwarded-*` headers.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub address: HeaderValue,
    pub port: HeaderValue,
    pub scheme: HeaderValue,
    /// The host name that the client asked for, if a proxy names another one than `Host`.
    pub host: Option<HeaderValue>,
}

impl Origin {
    /// `scheme`: `http` or `https`.
    pub fn new(peer: IpAddr, port: u16, scheme: &'static str) -> Self {
        let scheme = HeaderValue::from_static(scheme);
        Origin { address: address(peer), port: HeaderValue::from(port), scheme, host: None }
    }

    pub fn set_address(&mut self, peer: IpAddr) {
        self.address = address(peer);
    }
}

fn address(peer: IpAddr) -> HeaderValue {
    HeaderValue::try_from(peer.to_canonical().to_string()).expect("digits, letters, dots and colons are header text")
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

/// Calls `emit` for each header that an upstream gets: those of the client that concern more than its connection, in their
/// order, and those of the ingress. The headers of the connection to the upstream are left to the caller. `origin`: where a
/// request from outside comes from. `None`: another component of the app calls, whose headers reach the upstream as it wrote
/// them.
pub(crate) fn for_upstream<'a>(
    headers: &'a HeaderMap,
    host: &'a HeaderValue,
    origin: Option<&'a Origin>,
    mut emit: impl FnMut(&HeaderName, &HeaderValue),
) {
    let named = NamedHeaders::of(headers);
    // With both framings hyper reads the chunked one (RFC 9112, 6.3). A contradicting length must not be forwarded.
    let has_length = !headers.contains_key(TRANSFER_ENCODING);
    let is_outside = origin.is_some();
    emit(&HOST, host);
    for (name, value) in headers {
        let is_kept = match *name {
            HOST => false,
            CONTENT_LENGTH => has_length,
            _ => !(is_hop_by_hop(name) || named.contains(name) || is_outside && is_claim(name)),
        };
        if !is_kept {
            continue;
        }
        match (is_outside && *name == COOKIE).then(|| without_session_cookies(value)).flatten() {
            None => emit(name, value),
            Some(kept) if kept.is_empty() => {}
            Some(kept) => emit(name, &kept),
        }
    }
    if let Some(origin) = origin {
        emit(&X_FORWARDED_FOR, &origin.address);
        emit(&X_FORWARDED_HOST, origin.host.as_ref().unwrap_or(host));
        emit(&X_FORWARDED_PORT, &origin.port);
        emit(&X_FORWARDED_PROTO, &origin.scheme);
    }
}

/// Whether the client accepts trailers. `TE` applies to one hop; the next hop supports them as well (RFC 9110, 10.1.4).
pub(crate) fn accepts_trailers(headers: &HeaderMap) -> bool {
    lists(headers, &TE, "trailers")
}

/// The length of a message's body, if a header states one. Errors: the header is no number, or there are several.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, NoLength> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(NoLength);
    }
    length(first.as_bytes()).map(Some).ok_or(NoLength)
}

/// The header of a length cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoLength;

/// The value of a `Content-Length` header. Unlike `str::parse`, this takes digits only.
pub(crate) fn length(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
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

/// Whether a client gets this header of an application. Headers that `Connection` names are another matter. `name`: in lower
/// case.
pub(crate) fn is_for_client(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"set-cookie" => !is_new_session_cookie(value),
        _ => !is_hop_by_hop_name(name) && name != ERROR_HEADER.as_str().as_bytes(),
    }
}

/// Tells the client that its connection is a WebSocket from now on.
pub(crate) fn announce_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
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

/// Whether this header belongs to the connection or frames the message.
pub(crate) fn is_of_connection(name: &HeaderName) -> bool {
    [CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE].contains(name)
}

/// Whether a header concerns one connection only. Those that `Connection` names do as well.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    is_hop_by_hop_name(name.as_str().as_bytes())
}

fn is_hop_by_hop_name(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection"
            | b"keep-alive"
            | b"proxy-connection"
            | b"proxy-authenticate"
            | b"proxy-authorization"
            | b"te"
            | b"transfer-encoding"
            | b"upgrade"
    )
}

/// The headers that `Connection` names, except for options that are no headers.
#[derive(Debug, Default)]
pub(crate) struct NamedHeaders(Vec<HeaderName>);

impl NamedHeaders {
    fn of(headers: &HeaderMap) -> Self {
        let mut named = Self::default();
        headers.get_all(CONNECTION).iter().for_each(|value| named.add(value));
        named
    }

    /// Adds the names in a `Connection` header.
    pub fn add(&mut self, value: &HeaderValue) {
        let is_option = |token: &&str| ["keep-alive", "close"].iter().any(|it| token.eq_ignore_ascii_case(it));
        let names = tokens(value).filter(|token| !is_option(token));
        let names = names.filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok());
        // `Connection` may not remove the headers that frame the message.
        self.0.extend(names.filter(|name| *name != CONTENT_LENGTH && *name != HOST));
    }

    fn contains(&self, name: &HeaderName) -> bool {
        self.0.contains(name)
    }

    pub fn names(&self) -> &[HeaderName] {
        &self.0
    }
}

/// A request's cookies without those of the panel's sessions; empty if none is left. `None`: the value has no such cookie.
fn without_session_cookies(value: &HeaderValue) -> Option<HeaderValue> {
    // Most requests end here, without an allocation.
    if !cookies(value.as_bytes()).any(is_session_cookie) {
        return None;
    }
    let kept: Vec<&[u8]> = cookies(value.as_bytes()).filter(|cookie| !is_session_cookie(cookie)).collect();
    // Parts of a value are values. If they were not, the application would get no cookie.
    Some(HeaderValue::from_bytes(kept.join(&b';').trim_ascii()).unwrap_or(HeaderValue::from_static("")))
}

/// Whether an application would set a cookie of the panel's sessions.
fn is_new_session_cookie(value: &[u8]) -> bool {
    // Browsers send the cookie `=NAME=VALUE`, which has no name, as `NAME=VALUE`.
    let first = cookies(value).next().unwrap_or_default().trim_ascii_start();
    is_session_cookie(first.strip_prefix(b"=").unwrap_or(first))
}

/// The parts between the semicolons of a cookie header.
fn cookies(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b';')
}

/// Whether a cookie, with or without its value, has the name of a session. Sessions of other installations count as well.
fn is_session_cookie(cookie: &[u8]) -> bool {
    SESSION_COOKIES.iter().any(|prefix| cookie.trim_ascii_start().starts_with(prefix))
}

fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers.get_all(name).iter().any(|value| has_token(value, wanted))
}

/// Whether a list value contains this token, in any case.
pub(crate) fn has_token(value: &HeaderValue, wanted: &str) -> bool {
    tokens(value).any(|token| token.eq_ignore_ascii_case(wanted))
}

/// The tokens of a list value.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(str::trim).filter(|token| !token.is_empty())
}

/// Whether only a proxy may set this name, or whether it imitates such a name. CGI-like applications read `X_Real_IP`
/// as `X-Real-IP`, because they treat every sign like a dash. Other names with such signs are forwarded.
fn is_claim(name: &HeaderName) -> bool {
    let text = name.as_str();
    if is_reserved(text) {
        return true;
    }
    let other_sign = |character: char| !character.is_ascii_alphanumeric() && character != '-';
    // Names are ASCII.
    if !text.bytes().any(|byte| other_sign(byte.into())) {
        return false;
    }
    let twin = text.replace(other_sign, "-");
    is_reserved(&twin) || twin == "content-length" || is_hop_by_hop_name(twin.as_bytes())
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
        let origin = Origin { address: fixed("192.0.2.9"), port: fixed("8080"), scheme: fixed("http"), host: None };
        let mut sent = HeaderMap::new();
        for_upstream(&headers, &fixed("shop"), Some(&origin), |name, value| {
            sent.append(name, value.clone());
        });
        sent
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
        for (given, expected) in table {
            let cookies: Vec<_> = given.iter().map(|value| ("Cookie", *value)).collect();
            let expected: Vec<_> = expected.iter().map(|it| it.as_bytes()).collect();
            assert_eq!(values(&sent(&cookies), COOKIE), expected, "{given:?}");
        }
    }

    #[test]
    fn other_cookies_keep_bytes_that_are_not_text() {
        let value = HeaderValue::from_bytes(b"a=\xff; boatyard_session_a=s; b=\xfe\t1").unwrap();
        assert_eq!(without_session_cookies(&value).unwrap().as_bytes(), b"a=\xff; b=\xfe\t1");
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
        let is_kept = |value: &&str| is_for_client(b"set-cookie", value.as_bytes());
        assert!(kept.iter().all(is_kept));
        assert!(!removed.iter().any(is_kept));
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
    fn a_length_is_one_number_of_digits() {
        let mut headers = HeaderMap::new();
        assert_eq!(content_length(&headers), Ok(None));
        for (value, expected) in
            [("0", Ok(Some(0))), ("007", Ok(Some(7))), ("18446744073709551615", Ok(Some(u64::MAX)))]
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(value));
            assert_eq!(content_length(&headers), expected, "{value}");
        }
        for value in ["", "+1", "-1", "1, 1", "0x1", "1 1", "18446744073709551616"] {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(value));
            assert_eq!(content_length(&headers), Err(NoLength), "{value}");
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("1"));
        headers.append(CONTENT_LENGTH, HeaderValue::from_static("1"));
        assert_eq!(content_length(&headers), Err(NoLength));
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
        let asks = |connection: &'static str, upgrade: &'static str| {
            let pairs = [(CONNECTION, connection), (UPGRADE, upgrade)];
            asks_for_websocket(&pairs.into_iter().map(|(name, it)| (name, HeaderValue::from_static(it))).collect())
        };
        assert!(asks("keep-alive, Upgrade", "WebSocket"));
        for (connection, upgrade) in [("upgrade", "h2c"), ("keep-alive", "websocket"), ("upgrade", "websocket, h2c")] {
            assert!(!asks(connection, upgrade), "{connection} {upgrade}");
        }
    }
}
