//! Logins for private repositories. A login is bound to one host and never printed.

use std::fmt;

use app_spec::split_port;
use base64::Engine as _;
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

/// The logins for the host of one repository. A fetch uses one of them at most, and none if the server asks for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logins {
    /// For http(s).
    pub token: Option<Token>,
    /// For ssh. Also for a repository that is named by https, if its server requires a login and there is no token.
    pub ssh_key: Option<SshKey>,
}

/// A token or password. It is sent once, to the scheme, host and port of the repository only: not after a redirect, and
/// not again after it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The user name to send with the token.
    pub user: String,
    /// The token.
    pub secret: Secret,
}

/// A private key, and the keys by which the host is recognized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// The private key in OpenSSH or PEM format, without a passphrase.
    pub private_key: Secret,
    /// The pinned keys of the host. Nothing is sent to a host that presents another key.
    pub host_keys: Vec<Fingerprint>,
}

/// The login that a worker gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Login {
    Token(Token),
    SshKey(SshKey),
}

/// The fingerprint of an ssh key, as `ssh-keygen -lf` prints it: `SHA256:` and the unpadded base64 of the key's hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

const FINGERPRINT_PREFIX: &str = "SHA256:";
/// As OpenSSH writes it.
const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD_NO_PAD;

impl Fingerprint {
    /// Parses a fingerprint. Errors: it does not have the form of one.
    pub fn parse(text: &str) -> Result<Self, InvalidFingerprint> {
        let hash = text.strip_prefix(FINGERPRINT_PREFIX).and_then(|hash| BASE64.decode(hash).ok());
        match hash {
            Some(hash) if hash.len() == 32 => Ok(Self(text.to_owned())),
            Some(_) | None => Err(InvalidFingerprint(text.chars().take(80).collect())),
        }
    }

    /// The fingerprint of a key with this SHA-256 hash.
    pub fn of_hash(hash: &[u8; 32]) -> Self {
        Self(format!("{FINGERPRINT_PREFIX}{}", BASE64.encode(hash)))
    }

    /// The fingerprint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

/// The text is not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the fingerprint of an ssh key: SHA256: and 43 characters are needed, as `ssh-keygen -lf` prints them"
)]
pub struct InvalidFingerprint(String);

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

    /// Host and port, as in a request.
    pub(crate) fn authority(&self) -> String {
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
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
        let token = Token { user: "x".into(), secret: Secret::new("hunter2") };
        assert!(!format!("{token:?}").contains("hunter2"));
    }

    #[test]
    fn a_fingerprint_has_the_form_that_openssh_prints() {
        let text = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
        assert_eq!(Fingerprint::parse(text).unwrap().as_str(), text);
        assert_eq!(Fingerprint::of_hash(&[0; 32]), Fingerprint::parse(&format!("SHA256:{}", "A".repeat(43))).unwrap());
        for wrong in ["", "SHA256:", "SHA256:AAAA", &format!("{text}="), "MD5:16:27:ac", &text[7..]] {
            assert!(Fingerprint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
