//! Forms of paths, hosts and URLs.

use super::unsubstituted;
use crate::diagnostic::Code;
use crate::suggest::shown;
use crate::value::rule::Complaint;

/// The target of a request. A space or a control character would end it or begin another line.
pub(crate) fn request_target(text: &str) -> Result<(), Complaint> {
    match text.chars().find(|c| c.is_control() || *c == ' ') {
        None => Ok(()),
        Some(bad) => {
            let message = format!("{bad:?} cannot stand in the path of a request");
            Err(Complaint::new(Code::BadFormat, message).help("write it as %20, %0A and so on if it is meant"))
        }
    }
}

/// A path without control characters, because no request can contain one.
pub(crate) fn one_line(text: &str) -> Result<(), Complaint> {
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(bad) => Err(Complaint::new(Code::BadFormat, format!("{bad:?} cannot stand in the path of a request"))),
    }
}

/// A request path, which begins with `/`. Empty text stands for every path.
pub(crate) fn request_path(text: &str) -> Result<(), Complaint> {
    one_line(text)?;
    if text.is_empty() || text.starts_with('/') {
        return Ok(());
    }
    unsubstituted(text)?;
    let complaint = Complaint::new(Code::BadFormat, format!("the path `{}` does not begin with `/`", shown(text)));
    Err(complaint.meant(as_path(text)))
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
    if (4..=253).contains(&text.len()) && labels.contains('.') && labels.split('.').all(label) {
        return Ok(());
    }
    unsubstituted(text)?;
    let complaint = Complaint::new(Code::BadFormat, format!("`{}` is not a host name", shown(text)));
    Err(match text.strip_prefix("*.") {
        Some(rest) => complaint.help(format!("write `domain: {}` and `wildcard: true`", shown(rest))),
        None if text.contains("://") => complaint.help("leave the scheme and the path out"),
        None => complaint,
    })
}

/// See [`https_url`].
pub(crate) const HTTPS_URL: &str = "^https://.";

/// A URL that begins with `https://`.
pub(crate) fn https_url(text: &str) -> Result<(), Complaint> {
    if text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()) {
        return Ok(());
    }
    unsubstituted(text)?;
    Err(Complaint::new(Code::BadFormat, format!("`{}` does not begin with `https://`", shown(text))))
}

/// The minimum TLS versions that a domain may require.
pub(crate) const TLS_VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// One of [`TLS_VERSIONS`].
pub(crate) fn tls_version(text: &str) -> Result<(), Complaint> {
    if TLS_VERSIONS.contains(&text) {
        return Ok(());
    }
    unsubstituted(text)?;
    let complaint = Complaint::new(Code::UnknownValue, format!("`{}` is not allowed here", shown(text)));
    Err(complaint.help("allowed: 1.2 or 1.3"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(outcome: Result<(), Complaint>) -> (Code, Option<String>) {
        outcome.err().map(|c| (c.code, c.help)).expect("refused")
    }

    #[test]
    fn a_path_begins_with_a_slash_and_an_address_is_converted_to_its_path() {
        assert!(request_path("/api").is_ok() && request_path("").is_ok());
        for (text, path) in [("api", "/api"), ("https://x/y", "/y"), ("https://u:p@x", "/")] {
            assert_eq!(says(request_path(text)), (Code::BadFormat, Some(format!("did you mean `{path}`?"))), "{text}");
        }
    }

    #[test]
    fn domains_are_host_names_without_scheme() {
        for good in ["example.com", "xn--bcher-kva.example", "a.b.c."] {
            assert!(domain(good).is_ok(), "{good}");
        }
        assert_eq!(says(domain("https://example.com")).1.as_deref(), Some("leave the scheme and the path out"));
        let wildcard = says(domain("*.example.com")).1;
        assert_eq!(wildcard.as_deref(), Some("write `domain: example.com` and `wildcard: true`"));
        for bad in ["localhost", "a..b", "-a.com", "a b.com"] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }
}
