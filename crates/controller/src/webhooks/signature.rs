//! Whether a delivery comes from somebody who knows the webhook's secret. Nothing of the body is parsed before.

use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Headers with an HMAC-SHA256 of the body in hexadecimal, and what is before the digits. Bitbucket uses the header that
/// carries a SHA-1 on GitHub, so without this beginning a value is not one of these.
const SIGNATURES: [(&str, &str); 4] = [
    ("x-hub-signature-256", "sha256="),
    ("x-hub-signature", "sha256="),
    ("x-gitea-signature", ""),
    ("x-forgejo-signature", ""),
];

/// GitLab sends the secret itself.
const TOKEN: &str = "x-gitlab-token";

/// Whether one of the headers proves that the sender knows the secret. Takes the same time for every wrong value of the
/// same length.
pub(super) fn is_valid(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let mut expected = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("an HMAC takes a key of any length");
    expected.update(body);
    let is_signed = |(name, before): &(&str, &str)| {
        let given = headers.get(*name).and_then(|it| it.to_str().ok()?.strip_prefix(before));
        let given = given.and_then(|it| hex::decode(it).ok());
        given.is_some_and(|given| expected.clone().verify_slice(&given).is_ok())
    };
    SIGNATURES.iter().any(is_signed) || headers.get(TOKEN).is_some_and(|it| is_equal(it.as_bytes(), secret.as_bytes()))
}

/// Compares hashes, so that the time does not depend on the length of the secret either.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    Sha256::digest(one).ct_eq(&Sha256::digest(other)).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    // GitHub's documented example for checking an implementation.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const DIGITS: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn check(name: &'static str, value: &str, body: &[u8]) -> bool {
        let headers =
            [(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())].into_iter().collect::<HeaderMap>();
        is_valid(SECRET, &headers, body)
    }

    #[test]
    fn the_signatures_of_all_hosts_are_accepted() {
        let signed = format!("sha256={DIGITS}");
        for (name, value) in [
            ("x-hub-signature-256", &*signed),
            ("x-hub-signature", &signed),
            ("x-gitea-signature", DIGITS),
            ("x-forgejo-signature", DIGITS),
            ("x-gitlab-token", SECRET),
        ] {
            assert!(check(name, value, BODY), "{name}");
        }
    }

    #[test]
    fn other_values_are_refused() {
        let signed = format!("sha256={DIGITS}");
        let wrong_digit = signed.replace("757", "657");
        let cut = &signed[..signed.len() - 2];
        for (name, value) in [
            ("x-hub-signature-256", &*wrong_digit),
            ("x-hub-signature-256", cut),
            ("x-hub-signature-256", DIGITS),
            ("x-hub-signature-256", "sha256="),
            ("x-hub-signature-256", "sha256=é"),
            ("x-hub-signature-256", SECRET),
            ("x-hub-signature", &signed.replace("sha256", "sha1")),
            ("x-gitea-signature", &signed),
            ("x-gitea-signature", ""),
            ("x-gitlab-token", ""),
            ("x-gitlab-token", DIGITS),
            ("x-gitlab-token", &SECRET[1..]),
            ("x-signature", &signed),
        ] {
            assert!(!check(name, value, BODY), "{name}: {value}");
        }
        assert!(!check("x-hub-signature-256", &signed, b"Hello, World?"), "of another body");
        assert!(!is_valid(SECRET, &HeaderMap::new(), BODY), "no signature");
    }
}
