//! Credentials for private repositories and trusted ssh host keys. Credentials are bound to one repository host and
//! never printed.

use std::fmt;

use app_spec::split_port;
use serde::{Deserialize, Serialize};

use crate::repo_url::{RepoLocation, RepoUrl};

/// A secret string that never appears in `Debug`, logs or errors.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
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

/// A login for one repository's host. It is sent once, to the scheme, host and port of that repository only: not after
/// a redirect, and not again after it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// For http(s): a user name (any for GitHub, `oauth2` for GitLab) and a token or password.
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

/// A trusted ssh host key, as `ssh-keygen -lf` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHost {
    /// Host name as in the repository's address.
    pub host: String,
    /// Port; 22 if the address names none.
    pub port: u16,
    /// `SHA256:` and the unpadded base64 of the key's hash.
    pub fingerprint: String,
}

/// Scheme, host and port of an http(s) address, with the default port of the scheme filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) secure: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Endpoint {
    /// The endpoint of a repository's address; `None` for ssh and local ones.
    pub(crate) fn of_repo(repo: &RepoUrl) -> Option<Self> {
        match repo.location() {
            RepoLocation::Http { secure, host, port } => {
                Some(Self { secure: *secure, host: host.clone(), port: port.unwrap_or(if *secure { 443 } else { 80 }) })
            }
            RepoLocation::Ssh { .. } | RepoLocation::Local { .. } => None,
        }
    }

    /// The endpoint of an address, for example one that a redirect led to. `None` if it does not parse.
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
    fn a_token_is_bound_to_one_scheme_host_and_port() {
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
