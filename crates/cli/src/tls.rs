//! TLS as a client: which certificates to trust, and why one is refused.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore};

/// Trusts the authorities of the system, or of the files that the variables SSL_CERT_FILE and SSL_CERT_DIR name, and those
/// in the PEM file `authority`. Errors: the file contains no certificate, or there is no authority at all.
pub fn client_config(authority: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems list certificates that rustls cannot parse. They certify nothing here.
    roots.add_parsable_certificates(found.certs);
    if let Some(file) = authority {
        for certificate in certificates(file)? {
            let added = roots.add(certificate);
            added.with_context(|| format!("{} contains a certificate that cannot be used", file.display()))?;
        }
    }
    if roots.is_empty() {
        let why: String = found.errors.iter().map(|it| format!(" ({it})")).collect();
        bail!(
            "no certificate authority is known, so no address with https can be used{why}. Set SSL_CERT_FILE to the file \
             of the server's authority"
        );
    }
    with_roots(roots)
}

/// For a client that uses only http.
pub fn no_authorities() -> anyhow::Result<Arc<ClientConfig>> {
    with_roots(RootCertStore::empty())
}

fn with_roots(roots: RootCertStore) -> anyhow::Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot use TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The certificates of a PEM file. Errors: it cannot be read, or contains none.
pub fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = read.with_context(|| format!("cannot read the certificate authority {}", file.display()))?;
    if all.is_empty() {
        bail!("{} contains no certificate in PEM format", file.display());
    }
    Ok(all)
}

/// Why TLS with the server at `url` failed, and what to do. `None`: for another reason than TLS.
pub fn refusal(url: &str, error: &(dyn Error + 'static)) -> Option<String> {
    let why = match tls_error(error)? {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => format!(
            "this computer does not trust the authority that issued the certificate of {url}. Copy authority.pem, which \
             `boatyard serve` names when it starts, and set SSL_CERT_FILE to it, or save it: boatyard auth init --api-url \
             {url} --certificate-authority authority.pem"
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "the certificate of {url} is for another name. Use a name of the server, or start it with --api-url {url}"
        ),
        rustls::Error::InvalidMessage(_) => {
            format!("the server at {url} does not speak TLS. Use http://, or the address of `boatyard serve --api-tls`")
        }
        other => format!("TLS with {url} failed: {other}"),
    };
    Some(why)
}

fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // The source of an I/O error is the source of the error in it, not that error.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match inner {
        Some(inner) => tls_error(inner),
        None => tls_error(error.source()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("authority.pem");
        let error = |file: &Path| client_config(Some(file)).map(|_| ()).expect_err("refused").to_string();
        assert!(
            error(&file).contains("cannot read the certificate authority") && error(&file).contains("authority.pem")
        );
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).expect("writable");
            assert!(error(&file).contains("authority.pem"), "{text:?}: {}", error(&file));
        }
    }

    #[test]
    fn each_reason_names_the_server_and_what_to_do() {
        let refusal = |error: rustls::Error| {
            let wrapped = std::io::Error::other(std::io::Error::other(error));
            refusal("https://h:7443", &wrapped).expect("an error of TLS")
        };
        let unknown = refusal(CertificateError::UnknownIssuer.into());
        for words in ["SSL_CERT_FILE", "--certificate-authority", "https://h:7443"] {
            assert!(unknown.contains(words), "{unknown}");
        }
        assert!(refusal(CertificateError::NotValidForName.into()).contains("another name"));
        assert!(refusal(rustls::InvalidMessage::InvalidContentType.into()).contains("http://"));
        assert!(refusal(CertificateError::Expired.into()).contains("https://h:7443 failed"));
        let other = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(super::refusal("https://h:7443", &other), None);
    }
}
