//! The API over HTTPS, as clients of App Platform on this or another host use it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use boatyard_tests::installation::Installation;
use futures::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::*;

/// A client that trusts nothing but one file.
struct Client {
    address: SocketAddr,
    connector: TlsConnector,
    token: String,
}

impl Client {
    /// Takes address and file from what `serve` printed.
    fn of(at: &Installation) -> Self {
        let log = at.log();
        let (_, line) = log.split_once("https://").expect("serve prints the address");
        let (address, rest) = line.split_once(' ').unwrap();
        let (_, file) = rest.lines().next().unwrap().split_once("clients have to trust ").unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(PathBuf::from(file)).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (address, connector) = (address.parse().unwrap(), TlsConnector::from(Arc::new(config)));
        Self { address, connector, token: at.token().to_owned() }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.connector.connect(ServerName::from(self.address.ip()), stream).await.unwrap()
    }

    /// The text of an answer with status 200.
    async fn get(&self, path: &str, with_token: bool) -> String {
        let token = if with_token { format!("Authorization: Bearer {}\r\n", self.token) } else { String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{token}Connection: close\r\n\r\n", self.address);
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        body.to_owned()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path, true).await).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trusts_the_printed_file_uses_the_api_and_opens_logs_over_https() {
    let mut at = Installation::start_with(PROGRAM, &["--api-tls", "127.0.0.1:0"]).await.unwrap();
    let client = Client::of(&at);
    assert_eq!(client.json("/v2/account").await["account"]["status"], "active");

    let spec = shop().replacen("value: api}", "value: api}, {key: PRINT, value: open-for-business}", 1);
    at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    let logs = client.json(&format!("/v2/apps/{app}/logs?type=RUN&component_name=api")).await;
    let base = format!("https://{}", client.address);
    let stored = logs["historic_urls"][0].as_str().and_then(|it| it.strip_prefix(&base)).expect("an https address");
    let lines = client.get(stored, false).await;
    assert!(lines.contains("open-for-business"), "{lines}");

    let live = logs["live_url"].as_str().unwrap().replacen("https", "wss", 1);
    let (mut socket, _) = tokio_tungstenite::client_async(live, client.connect().await).await.unwrap();
    let mut texts = String::new();
    while let Some(Ok(message)) = socket.next().await {
        texts += message.to_text().unwrap_or_default();
    }
    assert!(texts.contains("open-for-business"), "{texts}");

    // The authority stays, so clients need no other file after a restart of the server.
    let trusted = std::fs::read(at.data().join("tls/authority.pem")).unwrap();
    at.stop_serve().unwrap();
    at.serve().await.unwrap();
    assert_eq!(std::fs::read(at.data().join("tls/authority.pem")).unwrap(), trusted);
}
