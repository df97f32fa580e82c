//! Forms of paths, hosts and URLs.

use super::check;
use crate::diagnostic::Code;
use crate::suggest::shown;
use crate::value::rule::Complaint;

/// The target of a request. A space or a control character would end it or begin another line.
pub(crate) fn request_target(text: &str) -> Result<(), Complaint> {
    check_characters(text, |c| c.is_control() || c == ' ')
}

/// A path without control characters, because no request can contain one.
pub(crate) fn one_line(text: &str) -> Result<(), Complaint> {
    check_characters(text, char::is_control)
}

fn check_characters(text: &str, is_bad: fn(char) -> bool) -> Result<(), Complaint> {
    let Some(bad) = text.chars().find(|c| is_bad(*c)) else { return Ok(()) };
    let complaint = Complaint::new(Code::BadFormat, format!("the path of a request cannot contain {bad:?}"));
    Err(complaint.help("percent-encode it, as in `%20` for a space"))
}

/// A request path, which begins with `/`. Empty text stands for every path.
pub(crate) fn request_path(text: &str) -> Result<(), Complaint> {
    one_line(text)?;
    let is_path = text.is_empty() || text.starts_with('/');
    check(is_path, Code::BadFormat, text, "does not begin with `/`").map_err(|it| it.meant(as_path(text)))
}

/// `api` becomes `/api`, and `https://example.com/api` becomes `/api`.
fn as_path(text: &str) -> String {
    let Some((_, address)) = text.split_once("://") else { return format!("/{text}") };
    address.find('/').map_or("/", |path| &address[path..]).to_owned()
}

/// See [`domain`].
pub(crate) const DOMAIN: &str = "^[A-Za-z0-9.-]+\\.[A-Za-z0-9-]+\\.?$";

/// A host name: labels of letters, digits and inner hyphens; 4 to 253 characters, a final dot allowed.
pub(crate) fn domain(text: &str) -> Result<(), Complaint> {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let is_host = (4..=253).contains(&text.len()) && labels.contains('.') && labels.split('.').all(label);
    check(is_host, Code::BadFormat, text, "is not a host name").map_err(|complaint| match text.strip_prefix("*.") {
        Some(rest) => complaint.help(format!("write `domain: {}` and `wildcard: true`", shown(rest))),
        None if text.contains("://") => complaint.help("leave out the scheme and the path"),
        None => complaint,
    })
}

/// See [`https_url`].
pub(crate) const HTTPS_URL: &str = "^https://.";

/// A URL that begins with `https://`.
pub(crate) fn https_url(text: &str) -> Result<(), Complaint> {
    let is_https = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
    check(is_https, Code::BadFormat, text, "does not begin with `https://`")
}

/// See [`header_name`].
pub(crate) const HEADER_NAME: &str = "^[A-Za-z0-9-]+$";

/// Headers that frame a message, route it, or are set by the ingress.
const RESERVED_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
];

/// The name of a header that a proxy may add to a request.
pub(crate) fn header_name(text: &str) -> Result<(), Complaint> {
    let is_name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    check(is_name, Code::BadFormat, text, "is not the name of a header: letters, digits and hyphens")?;
    let name = text.to_ascii_lowercase();
    let is_reserved = RESERVED_HEADERS.contains(&name.as_str()) || name.starts_with("x-forwarded");
    check(!is_reserved, Code::BadFormat, text, "is a header that HTTP or the ingress uses itself")
}

/// The value of a header: printable ASCII, without spaces at its ends. No message repeats it, because it may be a secret.
pub(crate) fn header_value(text: &str) -> Result<(), Complaint> {
    let is_value = text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.trim() == text;
    let fault = "a header's value has only printable ASCII characters, and no space at its ends";
    if is_value { Ok(()) } else { Err(Complaint::new(Code::BadFormat, fault.to_owned())) }
}

/// The minimum TLS versions that a domain may require.
pub(crate) const TLS_VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// One of [`TLS_VERSIONS`].
pub(crate) fn tls_version(text: &str) -> Result<(), Complaint> {
    check(TLS_VERSIONS.contains(&text), Code::UnknownValue, text, "is not allowed here")
        .map_err(|complaint| complaint.help("allowed: 1.2 or 1.3"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::form::tests::refusal;

    #[test]
    fn a_path_begins_with_a_slash_and_an_address_is_converted_to_its_path() {
        assert!(request_path("/api").is_ok() && request_path("").is_ok());
        for (text, path) in [("api", "/api"), ("https://x/y", "/y"), ("https://u:p@x", "/")] {
            assert_eq!(
                refusal(request_path(text)),
                (Code::BadFormat, Some(format!("did you mean `{path}`?"))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_header_for_the_app_is_not_one_that_frames_or_routes_a_message() {
        for good in ["X-Origin-Secret", "x-token", "Authorization"] {
            assert!(header_name(good).is_ok(), "{good}");
        }
        for bad in ["", "X Y", "X:", "Host", "content-length", "X-Forwarded-For", "X_Token"] {
            assert!(header_name(bad).is_err(), "{bad}");
        }
        assert!(header_value("s3cr3t, and more").is_ok());
        for bad in ["s3cr3t\r\nb", " s3cr3t", "s3cr3tä"] {
            assert!(header_value(bad).is_err_and(|it| !it.message.contains("s3cr3t")), "{bad}");
        }
    }

    #[test]
    fn domains_are_host_names_without_scheme() {
        for good in ["example.com", "xn--bcher-kva.example", "a.b.c."] {
            assert!(domain(good).is_ok(), "{good}");
        }
        assert_eq!(refusal(domain("https://example.com")).1.as_deref(), Some("leave out the scheme and the path"));
        let wildcard = refusal(domain("*.example.com")).1;
        assert_eq!(wildcard.as_deref(), Some("write `domain: example.com` and `wildcard: true`"));
        for bad in ["localhost", "a..b", "-a.com", "a b.com"] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }
}
