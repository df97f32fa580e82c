//! The API over TLS: its certificate, which is renewed while the server runs, and the handshake.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use controller::certificates::authority::{self, Authority, AuthorityError, Issued};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use crate::base_url::OutsideUrl;

/// Time from the start of the connection to the end of the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the server looks whether its certificate has to be renewed.
const CHECK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Why the API cannot use TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file with the operator's certificate or key cannot be used.
    #[error("cannot read {} as a PEM file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: pem::Error,
    },
    /// The certificate file contains no certificate.
    #[error("{} contains no certificate in PEM format", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The operator's certificate and key do not work together.
    #[error("the certificate in {} cannot be used with the key in {}", certificate.display(), key.display())]
    Unusable {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What rustls objects to.
        #[source]
        cause: rustls::Error,
    },
    /// The local authority cannot be used.
    #[error("the API gets no certificate of the local authority")]
    Authority(#[from] AuthorityError),
    /// The issued certificate cannot be used.
    #[error("rustls refuses the issued certificate")]
    Refused(#[from] rustls::Error),
}

/// The certificate of the API, and what renews it.
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<CurrentCertificate>,
    source: Source,
}

enum Source {
    /// Files of the operator, who also renews them.
    Files { certificate: PathBuf, key: PathBuf },
    /// The local authority. It issues certificates for these names.
    Authority { authority: Box<Authority>, names: Vec<String>, file: PathBuf },
}

impl Tls {
    /// Uses the certificate chain and the key of these PEM files. The server reads them again every hour.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let first = read_files(certificate, key)?;
        Self::new(first, Source::Files { certificate: certificate.to_owned(), key: key.to_owned() })
    }

    /// Uses certificates of the local authority in this directory, and creates the authority if necessary. A new authority
    /// replaces one that is damaged, expires within a year, or must not certify one of the names.
    pub fn from_authority(directory: &Path, names: Vec<String>) -> Result<Self, TlsError> {
        let now = SystemTime::now();
        let authority = authority::load_or_create(directory, &names, now)?;
        let first = issue(&authority, &names, now)?;
        let file = authority::certificate_file(directory);
        Self::new(first, Source::Authority { authority: Box::new(authority), names, file })
    }

    fn new(first: Certificate, source: Source) -> Result<Self, TlsError> {
        let current = Arc::new(CurrentCertificate(RwLock::new(first)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current, source })
    }

    /// The certificate that clients have to trust; `None` for the operator's own certificate.
    pub fn authority_file(&self) -> Option<&Path> {
        match &self.source {
            Source::Authority { file, .. } => Some(file),
            Source::Files { .. } => None,
        }
    }

    /// Errors: the handshake failed or was not complete in time.
    pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream));
        handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Renews the certificate until the future is dropped. Open connections keep the certificate that they have.
    pub(crate) async fn renew(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            self.renew_if_due(SystemTime::now());
        }
    }

    /// If the renewal fails, the server keeps its certificate and tries again later.
    fn renew_if_due(&self, now: SystemTime) {
        let renewed = match &self.source {
            Source::Files { certificate, key } => read_files(certificate, key),
            Source::Authority { .. } if !self.current.is_due(now) => return,
            Source::Authority { authority, names, .. } => issue(authority, names, now),
        };
        match renewed {
            Ok(certificate) => {
                if self.current.replace(certificate) {
                    info!("the API has a new certificate");
                }
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "the API's certificate could not be renewed");
            }
        }
    }
}

/// Names and addresses for which the local authority issues the server's certificate: those of this host, the address of
/// the listener and the host of the outside address. `*.localhost` is not one of them, because clients refuse a wildcard
/// directly below a top-level domain.
pub fn server_names(bound: SocketAddr, outside: Option<&OutsideUrl>) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let listener = Some(bound.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
    for name in listener.into_iter().chain(outside.map(|it| it.host().to_owned())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A certificate chain with its key.
struct Certificate {
    key: Arc<CertifiedKey>,
    /// `None`: files, which are read again at every check.
    renew_at: Option<SystemTime>,
}

/// The certificate of the next handshake.
struct CurrentCertificate(RwLock<Certificate>);

const NO_PANIC: &str = "no code panics while it holds this lock";

impl CurrentCertificate {
    fn is_due(&self, now: SystemTime) -> bool {
        self.0.read().expect(NO_PANIC).renew_at.is_some_and(|at| at <= now)
    }

    /// Returns whether the certificate is another one.
    fn replace(&self, certificate: Certificate) -> bool {
        let mut current = self.0.write().expect(NO_PANIC);
        let is_new = current.key.cert != certificate.key.cert;
        *current = certificate;
        is_new
    }
}

impl std::fmt::Debug for CurrentCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CurrentCertificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().expect(NO_PANIC).key.clone())
    }
}

fn issue(authority: &Authority, names: &[String], now: SystemTime) -> Result<Certificate, TlsError> {
    let Issued { chain, key, renew_at } = authority.issue(names, now)?;
    let unreadable = |_| rustls::Error::General("the issued certificate is not in PEM format".to_owned());
    let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(unreadable)?;
    let private = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unreadable)?;
    let key = CertifiedKey::from_der(vec![certificate], private, &provider())?;
    Ok(Certificate { key: Arc::new(key), renew_at: Some(renew_at) })
}

fn read_files(certificate: &Path, key: &Path) -> Result<Certificate, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| TlsError::Unreadable { path, cause }
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(unreadable(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: certificate.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    match CertifiedKey::from_der(chain, private, &provider()) {
        Ok(pair) => Ok(Certificate { key: Arc::new(pair), renew_at: None }),
        Err(cause) => Err(TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), cause }),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests;
