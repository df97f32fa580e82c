//! A minimal HTTPS client for the stories, which shows whose certificate it gets.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::installation::ENDS_WITHIN;

/// An answer, and the certificate of the connection.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Head and body.
    pub text: String,
    /// The certificate in DER.
    pub certificate: Vec<u8>,
}

impl Answer {
    /// Whether the certificate contains this text: its names and those of its issuer are not encoded.
    pub fn certificate_names(&self, text: &str) -> bool {
        self.certificate.windows(text.len()).any(|it| it == text.as_bytes())
    }
}

/// Gets a page with a connection for this host name. Accepts every certificate that the server can prove to have.
pub async fn get(target: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    tokio::time::timeout(ENDS_WITHIN, exchange(target, host, path)).await.context("no answer in time")?
}

async fn exchange(target: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptEvery(provider)))
        .with_no_client_auth();
    let stream = TcpStream::connect(target).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|it| it.first()).context("a certificate")?.to_vec();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let status = text.split(' ').nth(1).and_then(|it| it.parse().ok()).context("a status line")?;
    Ok(Answer { status, text, certificate: shown })
}

/// An address that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

#[derive(Debug)]
struct AcceptEvery(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptEvery {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
