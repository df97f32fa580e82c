//! Certificates for the host names of apps.

use rollout::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A certificate with its key. Stored sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The name for which it was added or issued: `shop.example.com`, or `*.example.com` for all names one level below. One
    /// name has at most one certificate.
    pub name: String,
    pub source: CertificateSource,
    /// All host names that the certificate is valid for, in lower case.
    pub names: Vec<String>,
    /// The certificate and those of its issuers, in PEM format.
    pub chain: String,
    /// The private key, in PEM format. It is never returned to a client.
    pub key: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub added: Timestamp,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateSource {
    /// Files of the operator, who also renews them.
    OwnFiles,
    /// A certificate authority that checks names by itself.
    Acme,
    /// The local certificate authority of this installation.
    LocalAuthority,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The account of this installation at a certificate authority. Stored sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeAccount {
    /// The address of the authority's directory.
    pub directory: String,
    /// The account's address and its private key, as JSON.
    pub credentials: String,
}

impl std::fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeAccount").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The attempts to get a certificate for a name since the last one that succeeded. Stored sealed.
///
/// An attempt is recorded before it begins, so that a process that is killed again and again does not exceed the limits of a
/// certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAttempts {
    /// The host name.
    pub name: String,
    /// How many attempts have begun.
    pub count: u32,
    /// When the last one ended, or began if it has not ended.
    pub last: Timestamp,
    /// Whether the last one has ended. It has not while it runs, or if the process was killed.
    pub ended: bool,
    /// Why the newest one that ended has failed.
    pub error: Option<String>,
    /// The order that the next attempt continues.
    pub order: Option<AcmeOrder>,
}

/// An order at a certificate authority, whose certificate was not received yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeOrder {
    /// The address of the authority's directory.
    pub directory: String,
    /// The address of the order.
    pub url: String,
    /// The private key of the certificate, in PEM format.
    pub key: String,
    /// The answer to the authority's challenge. `None`: none was chosen yet.
    #[serde(default)]
    pub answer: Option<AcmeAnswer>,
}

/// The proof that this host serves a name, in the form of both challenges.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeAnswer {
    /// HTTP-01: the token, and the text that the ingress answers.
    pub token: String,
    pub text: String,
    /// TLS-ALPN-01: a certificate and its key, in PEM format.
    pub chain: String,
    pub key: String,
}

impl std::fmt::Debug for AcmeOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeOrder").field("url", &self.url).finish_non_exhaustive()
    }
}
