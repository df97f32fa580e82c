//! What opens a private repository, and the ssh host keys we trust. Bound to one exact place, and never printed.

use std::fmt;

use app_spec::split_port;
use serde::{Deserialize, Serialize};

use crate::repo_url::{RepoLocation, RepoUrl};

/// A text that never shows in `Debug`, logs or errors.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A login for one repository's host. It is offered to the scheme, host and port of that repository, once, and to nothing
/// else: not after a redirect, and not a second time when it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// For http(s): a user name (GitHub wants any, GitLab `oauth2`) and a token or password.
    Token {
        /// The user name to send with the token.
        user: String,
        /// The token.
        token: Secret,
    },
    /// For ssh: a private key in OpenSSH or PEM format, without a passphrase.
    SshKey {
        /// The private key's text.
        private_key: Secret,
    },
}

/// An ssh host key we trust, as `ssh-keygen -lf` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHost {
    /// Host name as in the repository's address.
    pub host: String,
    /// Port; 22 where the address names none.
    pub port: u16,
    /// `SHA256:` and the unpadded base64 of the key's hash.
    pub fingerprint: String,
}

/// Scheme, host and port of an http(s) address, with the scheme's own port filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) secure: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Endpoint {
    /// The endpoint of a repository's address; none for ssh and local ones.
    pub(crate) fn of_repo(repo: &RepoUrl) -> Option<Self> {
        match repo.location() {
            RepoLocation::Http { secure, host, port } => {
                Some(Self { secure: *secure, host: host.clone(), port: port.unwrap_or(if *secure { 443 } else { 80 }) })
            }
            RepoLocation::Ssh { .. } | RepoLocation::Local { .. } => None,
        }
    }

    /// The endpoint of any address a server led us to. None for what does not parse.
    pub(crate) fn of_text(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let authority = authority.rsplit('@').next()?;
        let (host, port) = split_port(authority)?;
        Some(Self { secure, host: host.to_ascii_lowercase(), port: port.unwrap_or(if secure { 443 } else { 80 }) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::UrlRules;

    #[test]
    fn a_token_belongs_to_one_scheme_host_and_port() {
        let repo = RepoUrl::parse("https://git.example.com/a/b.git", &UrlRules::default()).unwrap();
        let bound = Endpoint::of_repo(&repo).unwrap();
        let same = ["https://git.example.com/other", "https://GIT.example.com:443/", "https://user@git.example.com"];
        for url in same {
            assert_eq!(Endpoint::of_text(url), Some(bound.clone()), "{url}");
        }
        let other = [
            "http://git.example.com/a",
            "https://git.example.com:8443/a",
            "https://git.example.com.evil.org/",
            "https://git.example.com@evil.org/",
            "ssh://git.example.com/a",
            "git.example.com",
        ];
        for url in other {
            assert_ne!(Endpoint::of_text(url), Some(bound.clone()), "{url}");
        }
    }

    #[test]
    fn a_secret_does_not_show_in_debug() {
        let login = Credentials::Token { user: "x".into(), token: Secret::new("hunter2") };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
