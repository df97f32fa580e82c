//! Normalizes host names: lower case, without port and one trailing dot. Refuses text that is not a host name.

use std::borrow::Cow;

/// The normalized name, or `None` if the text is not a valid `Host` value.
pub(crate) fn normal(text: &str) -> Option<Cow<'_, str>> {
    let name = without_port(text)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 || !name.bytes().all(is_host_byte) {
        return None;
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(Cow::Owned(name.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(name))
}

/// The entry that stands for all names of this name's level: `*.example.com` for `shop.example.com`. `None` for a name
/// directly below the root.
pub(crate) fn wildcard_for(name: &str) -> Option<String> {
    let (_, parent) = name.split_once('.')?;
    (!parent.is_empty()).then(|| format!("*.{parent}"))
}

/// The normal form of an entry in a table: a host name, or `*.` before one.
pub(crate) fn normal_entry(text: &str) -> Option<Cow<'_, str>> {
    match text.strip_prefix("*.") {
        None => normal(text),
        Some(parent) => normal(parent).map(|parent| Cow::Owned(format!("*.{parent}"))),
    }
}

/// Whether two authorities are equal: same name and same port (80 if none is given).
pub(crate) fn same(one: &str, other: &str) -> bool {
    let port = |text: &str| match text.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => port.to_owned(),
        _ => "80".to_owned(),
    };
    match (normal(one), normal(other)) {
        (Some(a), Some(b)) => a == b && port(one) == port(other),
        _ => false,
    }
}

/// The port in the text, if it has one.
pub(crate) fn port(text: &str) -> Option<u16> {
    let name = without_port(text)?;
    text[name.len()..].strip_prefix(':')?.parse().ok()
}

fn without_port(text: &str) -> Option<&str> {
    if text.starts_with('[') {
        let end = text.find(']')?;
        let rest = &text[end + 1..];
        return (rest.is_empty() || is_port(rest)).then_some(&text[..=end]);
    }
    match text.find(':') {
        None => Some(text),
        Some(colon) => is_port(&text[colon..]).then_some(&text[..colon]),
    }
}

/// `:8080`. The grammar allows an empty port (`shop:`).
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|digits| digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_one_trailing_dot_and_the_port_do_not_matter() {
        for text in
            ["shop.example", "SHOP.Example", "shop.example.", "shop.example:8080", "Shop.example.:80", "shop.example:"]
        {
            assert_eq!(normal(text).as_deref(), Some("shop.example"), "{text}");
        }
        assert_eq!(normal("shop.example..").as_deref(), Some("shop.example."));
        assert_eq!(normal("[::1]:8080").as_deref(), Some("[::1]"));
        assert_eq!(normal("127.0.0.1:80").as_deref(), Some("127.0.0.1"));
    }

    #[test]
    fn text_that_is_not_a_host_name_is_refused() {
        let long = "a".repeat(254);
        for text in [
            "",
            ".",
            ":80",
            "a b",
            "a,b",
            "user@shop",
            "shop:80:80",
            "shop:http",
            "shop/x",
            "[::1",
            "[::1]x",
            "ä",
            long.as_str(),
        ] {
            assert_eq!(normal(text), None, "{text}");
        }
    }

    #[test]
    fn the_port_is_what_follows_the_name() {
        for (text, expected) in
            [("shop:8080", Some(8080)), ("[::1]:80", Some(80)), ("shop", None), ("[::1]", None), ("shop:", None)]
        {
            assert_eq!(port(text), expected, "{text}");
        }
    }

    #[test]
    fn authorities_with_different_spellings_are_equal_unless_the_ports_differ() {
        assert!(same("Shop:80", "shop"));
        assert!(same("shop.:8080", "shop:8080"));
        assert!(!same("shop:8080", "shop"));
        assert!(!same("shop", "shop2"));
    }
}
