//! Tokens of the API, sessions of the panel, and the audit trail of what they did.

use std::net::IpAddr;

use rollout::ids::{AppId, DeploymentId};
use rollout::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A token that the holder of the admin token created. The admin token is a file, not a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// A UUID.
    pub id: String,
    /// Unique among the tokens on record.
    pub name: String,
    /// SHA-256 of the token, in hexadecimal. A token has 256 random bits and cannot be guessed, so a slow hash such as
    /// Argon2 would not protect it better.
    pub hash: String,
    pub scope: TokenScope,
    /// The only app that the token may use; `None`: all apps.
    #[serde(default)]
    pub app: Option<TokenApp>,
    pub created: Timestamp,
    /// The token is not accepted from this time on; `None`: it never expires.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// The app of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenApp {
    pub id: AppId,
    /// Its name when the token was created. An app keeps its name.
    pub name: String,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// Look at apps and their logs.
    Read,
    /// Also change apps, open consoles and read database passwords.
    Write,
}

/// A person who signed in to the panel in a browser with a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// A UUID.
    pub id: String,
    /// SHA-256 of the session's secret, in hexadecimal. A secret has 256 random bits, as a token has.
    pub hash: String,
    /// SHA-256 of the token that the person signed in with, in hexadecimal. The session ends with this token: when a created
    /// token is revoked or expires, or when the installation gets another admin token.
    pub token_hash: String,
    /// The address that the person signed in from. Behind a proxy it is the proxy's.
    #[serde(default)]
    pub source: Option<IpAddr>,
    pub created: Timestamp,
    /// When the session was last used. Uses shortly after this one are not recorded.
    pub used: Timestamp,
}

/// The token that made a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The id of the token; `None`: the admin token.
    #[serde(default)]
    pub token: Option<String>,
    pub name: String,
}

/// One row of the audit trail: who requested what, from where, and with which result. It never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub actor: Actor,
    /// What was requested: "restart".
    pub action: String,
    /// The app, if it is known.
    #[serde(default)]
    pub app: Option<AppId>,
    /// The name of the app, or the text by which the request named an app that was not looked up.
    #[serde(default)]
    pub app_name: Option<String>,
    #[serde(default)]
    pub deployment: Option<DeploymentId>,
    /// What the request concerned besides: the component of a console, or the name of a created token.
    #[serde(default)]
    pub subject: Option<String>,
    /// The HTTP status. `None`: the client disconnected or the deadline passed before the answer, so the request may have
    /// taken effect.
    pub status: Option<u16>,
    /// The address of the other end of the connection. Behind a proxy it is the proxy's.
    #[serde(default)]
    pub source: Option<IpAddr>,
}

impl AuditEntry {
    /// Whether the request was accepted, or may have been. The panel answers an accepted form with a redirect.
    pub fn is_accepted(&self) -> bool {
        self.status.is_none_or(|status| (200..400).contains(&status))
    }
}

/// The audit trail keeps this many accepted requests of each token, and as many refused ones. Our choice. They are counted
/// separately, so that no token pushes out rows of another one, and refused requests push out no accepted ones.
pub const AUDIT_ROWS: u64 = 10_000;
