//! Parses repository addresses. Looks at the text alone and refuses forms that Boatyard never supports.
//!
//! No error repeats a part of the address: any part of a malformed address may be a token.

use std::net::Ipv6Addr;

/// The longest accepted address, in bytes.
const MAX_LEN: usize = 2048;

/// The address of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepoAddress {
    /// `https://host/path` or `http://host/path`.
    Http {
        /// Whether it is `https`.
        secure: bool,
        /// In lower case; an IPv6 address keeps its brackets.
        host: String,
        /// `None` means the default port of the scheme.
        port: Option<u16>,
    },
    /// `ssh://user@host/path` or `user@host:path`.
    Ssh {
        /// The user, if one is named.
        user: Option<String>,
        /// In lower case; an IPv6 address keeps its brackets.
        host: String,
        /// 22 unless the address gives another port.
        port: u16,
    },
    /// `/path` or `file:///path`: a directory on the host where Boatyard runs.
    Local {
        /// The absolute path, as written.
        path: String,
    },
}

/// Why a text is refused as the address of a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is empty or longer than 2048 bytes.
    #[error("a repository address must have 1 to {MAX_LEN} characters")]
    Length,
    /// A character that no address needs, such as a space, a control character or a quote.
    #[error("the repository address contains {0:?}, which is not allowed in addresses")]
    Character(char),
    /// The address, user, host or path starts with a dash, so a program could take it for an option.
    #[error("a repository address, its user, host and path must not start with a dash")]
    Dash,
    /// A transport that is not supported. The text before `://` may be a secret, so the message does not repeat it.
    #[error("the scheme of the repository address is not supported; use https:// or an absolute path")]
    Scheme,
    /// The address contains a user, password or token before the host.
    #[error("the repository address contains a login")]
    Login,
    /// The address has a query or a fragment.
    #[error("the repository address ends with a query or a fragment, which may contain a token and is not needed")]
    Query,
    /// The host is missing or not a host name, or the port is not a number from 1 to 65535.
    #[error("the host of the repository address is not a host name with an optional port")]
    Host,
    /// The path after the host is missing or contains `..`.
    #[error("the repository address needs a path such as /owner/name.git after its host, without \"..\"")]
    Path,
    /// A relative path, or text that is not an address.
    #[error("this is not a repository address; use https://host/owner/name.git or an absolute path")]
    NotAnAddress,
}

impl AddressError {
    /// Advice for the user, if the message does not already contain it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Login | Self::Query => Some(
                "remove it, and revoke the token if others may have seen it; to deploy from a private repository, give \
                 Boatyard the login for its host: boatyard sources add HOST --token-file FILE",
            ),
            _ => None,
        }
    }
}

impl RepoAddress {
    /// Parses an address. Errors: [`AddressError`], which never repeats the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(AddressError::Length);
        }
        if let Some(bad) = text.chars().find(|c| c.is_control()) {
            return Err(AddressError::Character(bad));
        }
        if text.starts_with('-') {
            return Err(AddressError::Dash);
        }
        if text.starts_with('/') {
            return Ok(Self::Local { path: text.to_owned() });
        }
        let Some((scheme, rest)) = text.split_once("://") else { return scp_like(text) };
        match scheme.to_ascii_lowercase().as_str() {
            "https" => http(rest, true),
            "http" => http(rest, false),
            "ssh" => {
                let (authority, path) = split_path(rest)?;
                ssh(authority, path)
            }
            "file" if rest.starts_with('/') => Ok(Self::Local { path: rest.to_owned() }),
            "file" => Err(AddressError::NotAnAddress),
            _ => Err(AddressError::Scheme),
        }
    }
}

fn http(rest: &str, secure: bool) -> Result<RepoAddress, AddressError> {
    let (authority, path) = split_path(rest)?;
    if authority.contains('@') {
        return Err(AddressError::Login);
    }
    let (host, port) = host_and_port(authority)?;
    check_path(path)?;
    Ok(RepoAddress::Http { secure, host, port })
}

fn ssh(authority: &str, path: &str) -> Result<RepoAddress, AddressError> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(check_user(user)?), host),
        None => (None, authority),
    };
    let (host, port) = host_and_port(host)?;
    check_path(path)?;
    Ok(RepoAddress::Ssh { user, host, port: port.unwrap_or(22) })
}

/// Parses `git@host:owner/name.git`: no scheme, and a colon before the first slash.
fn scp_like(text: &str) -> Result<RepoAddress, AddressError> {
    let (authority, path) = text.split_once(':').ok_or(AddressError::NotAnAddress)?;
    if authority.contains('/') {
        return Err(AddressError::NotAnAddress);
    }
    // Remote helpers of git, such as `ext::sh -c …`, have this form.
    if path.starts_with(':') {
        return Err(AddressError::Scheme);
    }
    // `user:password@host/…` and `https:/user:password@host/…` reach this point.
    if !authority.contains('@') {
        return Err(if path.contains('@') { AddressError::Login } else { AddressError::NotAnAddress });
    }
    if path.contains(['?', '#']) {
        return Err(AddressError::Query);
    }
    ssh(authority, path)
}

/// Splits the text after `://` into authority and path.
fn split_path(rest: &str) -> Result<(&str, &str), AddressError> {
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    // A password may contain a slash. Then text that looks like the path still comes before the host.
    if !authority.contains('@') && split_port(authority).is_none() && path.contains('@') {
        return Err(AddressError::Login);
    }
    if path.contains(['?', '#']) {
        return Err(AddressError::Query);
    }
    Ok((authority, path))
}

/// Splits `host:port`. The host may be an IPv6 address in brackets. Returns `None` if the port is not valid.
pub fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after_bracket..].find(':') else { return Some((authority, None)) };
    let (host, port) = authority.split_at(after_bracket + colon);
    let port: u16 = port[1..].parse().ok().filter(|port| *port != 0)?;
    Some((host, Some(port)))
}

/// Characters that no user name needs may be part of a password.
fn check_user(user: &str) -> Result<String, AddressError> {
    match user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        true if user.starts_with('-') => Err(AddressError::Dash),
        true if !user.is_empty() => Ok(user.to_owned()),
        _ => Err(AddressError::Login),
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), AddressError> {
    let (host, port) = split_port(authority).ok_or(AddressError::Host)?;
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_ipv6 = in_brackets.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
    let is_name = host.len() <= 253
        && host.split('.').all(|label| !label.is_empty() && !label.starts_with('-'))
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if !is_ipv6 && !is_name {
        return Err(AddressError::Host);
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// Accepts only characters that mean the same to every server, and refuses `..`.
fn check_path(path: &str) -> Result<(), AddressError> {
    let inner = path.trim_start_matches('/');
    if inner.trim_matches('/').is_empty() || inner.split('/').any(|part| part == "..") {
        return Err(AddressError::Path);
    }
    if inner.starts_with('-') {
        return Err(AddressError::Dash);
    }
    // Either two addresses in one, or a login in the wrong place.
    if path.split_once(':').is_some_and(|(_, rest)| rest.contains('@')) {
        return Err(AddressError::Login);
    }
    if let Some(bad) = path.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._~/+@%:,=".contains(*c))) {
        return Err(AddressError::Character(bad));
    }
    if encodes_a_delimiter(path) {
        return Err(AddressError::Character('%'));
    }
    Ok(())
}

/// Whether a percent sign is not followed by two hexadecimal digits, or encodes a control character, a slash or a dot.
fn encodes_a_delimiter(path: &str) -> bool {
    path.split('%').skip(1).any(|after| {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        code.is_none_or(|code| code < 0x20 || code == 0x7f || matches!(code, b'/' | b'.' | b'\\' | b'-'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn https(host: &str, port: Option<u16>) -> RepoAddress {
        RepoAddress::Http { secure: true, host: host.to_owned(), port }
    }

    fn ssh(user: Option<&str>, host: &str, port: u16) -> RepoAddress {
        RepoAddress::Ssh { user: user.map(str::to_owned), host: host.to_owned(), port }
    }

    #[test]
    fn common_forms_of_addresses_are_parsed() {
        let http = RepoAddress::Http { secure: false, host: "git.example.com".to_owned(), port: Some(3000) };
        let local = |path: &str| RepoAddress::Local { path: path.to_owned() };
        for (text, expected) in [
            ("https://GitHub.com/owner/name.git", https("github.com", None)),
            ("https://[::1]:8443/a", https("[::1]", Some(8443))),
            ("http://git.example.com:3000/owner/name", http),
            ("git@github.com:owner/name.git", ssh(Some("git"), "github.com", 22)),
            ("ssh://git@git.example.com:2222/owner/name.git", ssh(Some("git"), "git.example.com", 2222)),
            ("ssh://host/~user/name", ssh(None, "host", 22)),
            ("/srv/repositories/shop", local("/srv/repositories/shop")),
            ("file:///srv/repositories/shop", local("/srv/repositories/shop")),
        ] {
            assert_eq!(RepoAddress::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_login_or_a_token_is_refused_anywhere_and_not_repeated() {
        for text in [
            "https://user:hunter2@example.com/a",
            "https://hunter2@example.com/a",
            "http://x:hunter2@example.com/a",
            "https://user:hunt/er2hunter2@example.com/a",
            "https://user:hunt?hunter2@example.com/a",
            "https://example.com/user:hunter2@example.com/a",
            "https://example.com/a.git?token=hunter2",
            "https://example.com/a.git?private_token=hunter2#x",
            "https://example.com/a.git#hunter2",
            "ssh://git:hunter2@example.com/a.git",
            "git:hunter2@example.com:a.git",
            "git@example.com:a.git?token=hunter2",
            "user:hunter2@example.com/a.git",
            "https:/user:hunter2@example.com/a.git",
            "https:user:hunter2@example.com/a.git",
        ] {
            let error = RepoAddress::parse(text).unwrap_err();
            assert!(matches!(error, AddressError::Login | AddressError::Query), "{text}: {error:?}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(error.help().is_some_and(|help| help.contains("boatyard sources add")), "{text}");
        }
    }

    #[test]
    fn no_error_repeats_any_part_of_the_address() {
        for text in [
            "https//user.hunter2/a.git",
            "hunter2://example.com/a",
            "hunter2::sh",
            "https://user:hunter2/example.com/a.git",
            "https://hunter2",
            "https://hunter2/..",
            "hunter2",
            "hunter2:a",
            "file://hunter2/a",
            "https://hunter2-/a b",
        ] {
            let error = RepoAddress::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error:?}");
        }
    }

    #[test]
    fn hostile_addresses_are_refused() {
        for text in [
            "",
            "--upload-pack=touch /tmp/x",
            "-u",
            "ext::sh -c touch% /tmp/x",
            "ext::sh",
            "fd::17/foo",
            "git://github.com/owner/name",
            "ftp://example.com/x",
            "file://localhost/etc",
            "../repo",
            "repo",
            "C:\\repo",
            "ssh://-oProxyCommand=touch/x",
            "ssh://-oProxyCommand=x@host/owner/name",
            "ssh://git@-oProxyCommand=x/owner/name",
            "ssh://git@host:-1/owner/name",
            "ssh://git@host:22x/owner/name",
            "ssh://git@host:0/owner/name",
            "ssh://git@host/-oProxyCommand=x",
            "git@host:-oProxyCommand=x",
            "-oProxyCommand=x@host:owner/name",
            "git@-host:owner/name",
            "ssh://git@host/owner/'; touch x; '",
            "https://host\n.evil.org/owner/name",
            "https://host/owner/name\0",
            "https:///owner/name",
            "https://host",
            "https://host/",
            "https://host/..",
            "https://host/a/../b",
            "https://host/a%0ab",
            "https://host/a%2fb",
            "https://host/%2e%2e/b",
            "https://host/a%",
            "https://host/a b",
            "https://ho st/a",
            "https://host%00.evil/a",
            "https://.host/a",
            "https://host:99999/a",
            "https://[::1/a",
            "https://[nope]/a",
        ] {
            assert!(RepoAddress::parse(text).is_err(), "{text:?}");
        }
        assert!(RepoAddress::parse(&format!("https://host/{}", "a".repeat(3000))).is_err());
    }
}
