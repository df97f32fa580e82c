//! The address of a repository, parsed by us and allowed by a list: https, ssh, http only where the operator says so,
//! and local directories only inside those the operator named.
//!
//! Everything else is refused before a process starts: other transports (`ext::` runs commands), options in disguise
//! (`--upload-pack=`), user parts and hosts that start with a dash, control characters, and logins inside an address,
//! which would end up in specs, logs and the panel.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::credentials::split_port;

const MAX_LEN: usize = 2048;

/// Which addresses are allowed beyond https and ssh.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UrlRules {
    /// Allow plain `http://`. Default: no, since anyone between could change the source.
    pub allow_http: bool,
    /// Directories in which local repositories may lie. Default: none.
    pub local_sources: Vec<PathBuf>,
}

/// An allowed address. Displays as it was written; it never holds a password or token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepoUrl {
    text: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Http { secure: bool, host: String, port: Option<u16> },
    Ssh { user: Option<String>, host: String, port: u16 },
    Local { path: PathBuf },
}

/// Why an address was refused. The messages do not repeat addresses that carry a login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepoUrlError {
    /// Longer than 2048 bytes, or nothing.
    #[error("a repository address must have 1 to {MAX_LEN} characters")]
    Length,
    /// A space, a control character, a quote, a query or the like.
    #[error("the repository address contains {0:?}, which no address needs")]
    Character(char),
    /// A leading dash in the address, its user, host or path.
    #[error("a repository address, its user, host and path must not start with a dash")]
    Dash,
    /// A transport that is not on the list.
    #[error("{scheme:?} repositories are not supported; use https:// or ssh://")]
    Scheme {
        /// The refused scheme.
        scheme: String,
    },
    /// Plain http without permission.
    #[error("http:// repositories are refused because anyone on the way could change them; use https://{host}/…")]
    PlainHttp {
        /// The host that was named.
        host: String,
    },
    /// A user or password inside the address.
    #[error("the address of the repository on {host} contains a login; remove it and give the token separately")]
    Login {
        /// The host that was named.
        host: String,
    },
    /// No host, or not a host name.
    #[error("{host:?} is not a host name")]
    Host {
        /// The refused host.
        host: String,
    },
    /// No path after the host, or one with `..`.
    #[error("the repository address on {host} needs a path such as /owner/name.git, without \"..\"")]
    Path {
        /// The host that was named.
        host: String,
    },
    /// A local path that is in none of the allowed directories.
    #[error(
        "{path} is not inside a directory for local sources; start Boatyard with --local-sources {suggestion} to allow it"
    )]
    OutsideLocalSources {
        /// The path after all links were resolved.
        path: String,
        /// The directory to allow.
        suggestion: String,
    },
    /// A local path that does not exist or cannot be read.
    #[error("{path} cannot be opened: {why}")]
    Unreadable {
        /// The path as written.
        path: String,
        /// The system's reason.
        why: String,
    },
    /// A relative path, or text that is no address at all.
    #[error(
        "{text:?} is not a repository address; use https://host/owner/name.git, git@host:owner/name.git or an absolute path"
    )]
    NotAnAddress {
        /// The refused text, shortened.
        text: String,
    },
}

impl RepoUrl {
    /// Parses an address and checks it against the rules. For a local path this looks at the file system: the path is
    /// resolved, links included, before it is compared with the allowed directories.
    pub fn parse(text: &str, rules: &UrlRules) -> Result<Self, RepoUrlError> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(RepoUrlError::Length);
        }
        if let Some(bad) = text.chars().find(|c| c.is_control()) {
            return Err(RepoUrlError::Character(bad));
        }
        if text.starts_with('-') {
            return Err(RepoUrlError::Dash);
        }
        if text.starts_with('/') {
            return local(text, rules);
        }
        match text.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "https" => http(text, rest, true),
                "http" if rules.allow_http => http(text, rest, false),
                "http" => Err(RepoUrlError::PlainHttp { host: host_to_show(rest) }),
                "ssh" => ssh(text, rest),
                "file" => local(rest, rules),
                _ => Err(RepoUrlError::Scheme { scheme: scheme.chars().take(20).collect() }),
            },
            None => scp_like(text),
        }
    }

    /// The address as it was written, or the resolved path of a local repository.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is a directory on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Local { .. })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn http(text: &str, rest: &str, secure: bool) -> Result<RepoUrl, RepoUrlError> {
    let (authority, path) = split_path(rest);
    if authority.contains('@') {
        return Err(RepoUrlError::Login { host: host_to_show(rest) });
    }
    let (host, port) = host_and_port(authority)?;
    check_path(path, &host)?;
    Ok(RepoUrl { text: text.to_owned(), place: Place::Http { secure, host, port } })
}

fn ssh(text: &str, rest: &str) -> Result<RepoUrl, RepoUrlError> {
    let (authority, path) = split_path(rest);
    let (user, authority) = user_and_rest(authority)?;
    let (host, port) = host_and_port(authority)?;
    check_path(path, &host)?;
    Ok(RepoUrl { text: text.to_owned(), place: Place::Ssh { user, host, port: port.unwrap_or(22) } })
}

/// `git@host:owner/name.git`: no scheme, a colon before the first slash.
fn scp_like(text: &str) -> Result<RepoUrl, RepoUrlError> {
    let not_an_address = || RepoUrlError::NotAnAddress { text: shown(text) };
    let (before, path) = text.split_once(':').ok_or_else(not_an_address)?;
    if before.contains('/') {
        return Err(not_an_address());
    }
    // `ext::sh -c …` and other remote helpers of git have this form.
    if path.starts_with(':') {
        return Err(RepoUrlError::Scheme { scheme: before.chars().take(20).collect() });
    }
    let (user, host) = user_and_rest(before)?;
    if user.is_none() {
        return Err(not_an_address());
    }
    let (host, _) = host_and_port(host)?;
    check_path(path, &host)?;
    Ok(RepoUrl { text: text.to_owned(), place: Place::Ssh { user, host, port: 22 } })
}

fn local(path: &str, rules: &UrlRules) -> Result<RepoUrl, RepoUrlError> {
    if !path.starts_with('/') {
        return Err(RepoUrlError::NotAnAddress { text: shown(path) });
    }
    let resolved = Path::new(path)
        .canonicalize()
        .map_err(|error| RepoUrlError::Unreadable { path: path.to_owned(), why: plain(&error) })?;
    let allowed = rules.local_sources.iter().filter_map(|dir| dir.canonicalize().ok());
    if !allowed.into_iter().any(|dir| resolved.starts_with(dir)) {
        let suggestion = resolved.parent().unwrap_or(&resolved).display().to_string();
        return Err(RepoUrlError::OutsideLocalSources { path: resolved.display().to_string(), suggestion });
    }
    let text = resolved.to_str().ok_or_else(|| RepoUrlError::NotAnAddress { text: shown(path) })?.to_owned();
    Ok(RepoUrl { text, place: Place::Local { path: resolved } })
}

fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn split_path(rest: &str) -> (&str, &str) {
    rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash))
}

/// The host for a message, without any login and without surprises.
fn host_to_show(rest: &str) -> String {
    let authority = split_path(rest).0;
    shown(authority.rsplit('@').next().unwrap_or_default())
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn user_and_rest(authority: &str) -> Result<(Option<String>, &str), RepoUrlError> {
    let Some((user, rest)) = authority.rsplit_once('@') else { return Ok((None, authority)) };
    if user.contains(':') {
        return Err(RepoUrlError::Login { host: shown(rest) });
    }
    if user.starts_with('-') {
        return Err(RepoUrlError::Dash);
    }
    let odd = user.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c)));
    match odd {
        Some(c) => Err(RepoUrlError::Character(c)),
        None if user.is_empty() => Err(RepoUrlError::Host { host: shown(authority) }),
        None => Ok((Some(user.to_owned()), rest)),
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), RepoUrlError> {
    let refuse = || RepoUrlError::Host { host: shown(authority) };
    let (host, port) = split_port(authority).ok_or_else(refuse)?;
    if host.starts_with('-') {
        return Err(RepoUrlError::Dash);
    }
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| !label.is_empty() && !label.starts_with('-'))
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_');
    if !is_ipv6 && !is_name {
        return Err(refuse());
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// A path holds only characters that mean the same to every server, and no way up.
fn check_path(path: &str, host: &str) -> Result<(), RepoUrlError> {
    let inner = path.trim_start_matches('/');
    if inner.trim_matches('/').is_empty() || inner.split('/').any(|part| part == "..") {
        return Err(RepoUrlError::Path { host: host.to_owned() });
    }
    if inner.starts_with('-') {
        return Err(RepoUrlError::Dash);
    }
    if let Some(odd) = path.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._~/+@%:,=".contains(*c))) {
        return Err(RepoUrlError::Character(odd));
    }
    if hides_a_character(path) {
        return Err(RepoUrlError::Character('%'));
    }
    Ok(())
}

/// Whether a percent sign is not followed by two digits, or stands for a control character, a slash or a dot.
fn hides_a_character(path: &str) -> bool {
    path.split('%').skip(1).any(|after| {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        code.is_none_or(|code| code < 0x20 || code == 0x7f || matches!(code, b'/' | b'.' | b'\\' | b'-'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<RepoUrl, RepoUrlError> {
        RepoUrl::parse(text, &UrlRules::default())
    }

    #[test]
    fn the_addresses_people_copy_from_their_git_host_are_accepted() {
        for url in [
            "https://github.com/owner/name.git",
            "https://github.com/owner/name",
            "HTTPS://git.example.com:8443/group/sub/name.git/",
            "https://[::1]:3000/owner/name",
            "https://dev.azure.com/org/my%20project/_git/name",
            "ssh://git@github.com/owner/name.git",
            "ssh://git@git.example.com:2222/owner/name.git",
            "git@github.com:owner/name.git",
            "git@gitlab.example.com:~user/name",
        ] {
            assert_eq!(parse(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn hostile_addresses_are_refused() {
        for url in [
            "",
            "--upload-pack=touch /tmp/x",
            "-u",
            "ext::sh -c touch% /tmp/x",
            "ext::sh",
            "fd::17/foo",
            "git://github.com/owner/name",
            "ftp://example.com/x",
            "http://example.com/owner/name",
            "file:///etc",
            "file://localhost/etc",
            "/etc",
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
            "ssh://git:secret@host/owner/name",
            "https://user@host/owner/name",
            "https://user:token@host/owner/name",
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
            "https://host/a?x=1",
            "https://host/a#x",
            "https://host/a b",
            "https://ho st/a",
            "https://host%00.evil/a",
            "https://.host/a",
            "https://host:99999/a",
            "https://[::1/a",
            "https://[nope]/a",
        ] {
            assert!(parse(url).is_err(), "{url:?}");
        }
        assert!(parse(&format!("https://host/{}", "a".repeat(3000))).is_err());
    }

    #[test]
    fn an_address_with_a_login_is_refused_without_showing_it() {
        for url in
            ["https://user:hunter2@example.com/a", "https://hunter2@example.com/a", "http://x:hunter2@example.com/a"]
        {
            let message = parse(url).unwrap_err().to_string();
            assert!(message.contains("example.com") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn plain_http_needs_a_setting() {
        let rules = UrlRules { allow_http: true, ..UrlRules::default() };
        assert!(RepoUrl::parse("http://localhost:3000/a/b", &rules).is_ok());
    }

    #[test]
    fn local_paths_are_allowed_only_inside_named_directories() {
        let home = tempfile::tempdir().unwrap();
        let allowed = home.path().join("allowed");
        let twin = home.path().join("allowed-too");
        std::fs::create_dir_all(allowed.join("repo")).unwrap();
        std::fs::create_dir_all(twin.join("repo")).unwrap();
        std::os::unix::fs::symlink(&twin, allowed.join("way-out")).unwrap();
        let rules = UrlRules { local_sources: vec![allowed.clone()], ..UrlRules::default() };
        let parse = |path: PathBuf| RepoUrl::parse(path.to_str().unwrap(), &rules);

        assert!(parse(allowed.join("repo")).unwrap().is_local());
        assert!(RepoUrl::parse(&format!("file://{}", allowed.join("repo").display()), &rules).is_ok());
        for outside in [twin.join("repo"), allowed.join("../allowed-too/repo"), allowed.join("way-out/repo")] {
            let error = parse(outside).unwrap_err();
            assert!(matches!(&error, RepoUrlError::OutsideLocalSources { .. }), "{error}");
            assert!(error.to_string().contains("--local-sources"), "{error}");
        }
        assert!(matches!(parse(allowed.join("missing")), Err(RepoUrlError::Unreadable { .. })));
    }
}
