//! The session's cookie, and the CSRF token that is derived from its value.

use axum::http::{HeaderMap, HeaderValue, header};
use controller::view::SESSION_LIFETIME;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The cookie's name at this address of the panel. The ingress keeps names with both prefixes from apps. With `__Host-` a
/// browser accepts the cookie only over https and from this host, so no other host can set it. A browser shares cookies
/// among all ports of a host, so the name contains the installation: signing in to another one does not replace the cookie.
fn name(base: &str, installation: &str) -> String {
    let host_only = if base.starts_with("https://") { "__Host-" } else { "" };
    format!("{host_only}boatyard_session_{installation}")
}

/// The values of the session's cookie, in the order of the request. There are several if another program of this host has
/// set such a cookie, too.
pub(super) fn values<'a>(
    headers: &'a HeaderMap,
    base: &str,
    installation: &str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let name = name(base, installation);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    cookies.flat_map(|it| it.split(';')).filter_map(move |cookie| {
        let (key, value) = cookie.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// The header that sets the cookie to this secret. No script can read it, and no other site can make a browser send it.
pub(super) fn set(secret: &str, base: &str, installation: &str) -> HeaderValue {
    header_value(secret, SESSION_LIFETIME.as_secs(), base, installation)
}

/// The header that deletes the cookie.
pub(super) fn delete(base: &str, installation: &str) -> HeaderValue {
    header_value("", 0, base, installation)
}

fn header_value(value: &str, seconds: u64, base: &str, installation: &str) -> HeaderValue {
    let (name, secure) = (name(base, installation), if base.starts_with("https://") { "; Secure" } else { "" });
    let text = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&text).expect("a secret is hexadecimal, and an installation has letters and digits")
}

/// The CSRF token of the session with this secret. It reveals nothing about the secret.
pub(super) fn csrf(secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(b"boatyard panel csrf");
    hex::encode(mac.finalize().into_bytes())
}

/// Whether the CSRF token is the expected one. Takes the same time for all wrong ones of its length.
pub(super) fn is_csrf(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: &str = "http://127.0.0.1:7080";
    const HTTPS: &str = "https://panel.example.com";

    #[test]
    fn the_cookie_is_strict_and_over_https_bound_to_its_host() {
        assert_eq!(set("5e", HTTP, "a"), "boatyard_session_a=5e; HttpOnly; SameSite=Strict; Path=/; Max-Age=604800");
        assert_eq!(
            set("5e", HTTPS, "a"),
            "__Host-boatyard_session_a=5e; HttpOnly; SameSite=Strict; Path=/; Max-Age=604800; Secure"
        );
        assert_eq!(delete(HTTP, "a"), "boatyard_session_a=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for (headers, base, expected) in [
            (&["boatyard_session_a=5e"][..], HTTP, &["5e"][..]),
            (&["a=1; boatyard_session_a=5e; b=2"], HTTP, &["5e"]),
            (&["a=1;boatyard_session_a=5e", "boatyard_session_a=6f"], HTTP, &["5e", "6f"]),
            (&["__Host-boatyard_session_a=5e; boatyard_session_a=6f"], HTTPS, &["5e"]),
            (&["__Host-boatyard_session_a=5e; xboatyard_session_a=6f; boatyard_session_a"], HTTP, &[]),
            (&["boatyard_session_b=5e; boatyard_session_a=6f; boatyard_session=7a"], HTTP, &["6f"]),
        ] {
            let mut map = HeaderMap::new();
            for cookie in headers {
                map.append(header::COOKIE, HeaderValue::from_static(cookie));
            }
            assert_eq!(values(&map, base, "a").collect::<Vec<_>>(), expected, "{headers:?}");
        }
    }

    #[test]
    fn each_session_has_another_csrf_token() {
        assert_eq!(csrf("a"), csrf("a"));
        assert!(csrf("a") != csrf("b") && csrf("a").len() == 64);
        assert!(is_csrf(&csrf("a"), &csrf("a")));
        assert!(!is_csrf("", &csrf("a")) && !is_csrf(&csrf("b"), &csrf("a")));
    }
}
