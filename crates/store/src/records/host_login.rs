//! Logins for other hosts: git servers and registries of images.

use rollout::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A login for one host. Stored sealed. Its secret is used to log in and is never returned to a client.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLogin {
    pub kind: LoginKind,
    /// The host in lower case, with a port if it is not the usual one of the protocol: `git.example.com:8443`. One host has
    /// at most one login of each kind.
    pub host: String,
    /// The user name to log in with; `None`: the usual one of the host.
    #[serde(default)]
    pub user: Option<String>,
    /// A token or password; for ssh a private key in OpenSSH or PEM format without a passphrase.
    pub secret: String,
    /// For ssh: the fingerprints of the host's keys, as `ssh-keygen -lf` prints them (`SHA256:…`). No other key is accepted.
    #[serde(default)]
    pub host_keys: Vec<String>,
    pub added: Timestamp,
}

/// What a login is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginKind {
    /// Fetches of git repositories by https.
    GitHttps,
    /// Fetches of git repositories by ssh.
    GitSsh,
    /// Pulls from a registry of images.
    Registry,
}

impl LoginKind {
    /// The value of the key column.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::GitHttps => "git_https",
            Self::GitSsh => "git_ssh",
            Self::Registry => "registry",
        }
    }
}

impl std::fmt::Debug for HostLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostLogin")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("user", &self.user)
            .field("secret", &format_args!("hidden"))
            .field("host_keys", &self.host_keys)
            .field("added", &self.added)
            .finish()
    }
}
