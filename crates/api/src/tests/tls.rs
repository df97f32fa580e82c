//! The API over TLS, for a client that trusts only the authority's certificate.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use web::{Tls, server_names};

use super::client::Server;
use super::fake_control::FakeControl;

/// A server over TLS, with the authority in `directory`, and the server's address.
async fn start(directory: &Path) -> (Server, std::net::SocketAddr, TlsConnector) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let tls = Tls::from_authority(directory, server_names(address, None)).expect("an authority");
    let connector = trusting(tls.authority_file().expect("a file"));
    (Server::listening(FakeControl::default(), Some((listener, tls)), None).await, address, connector)
}

fn trusting(authority: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn connect(address: std::net::SocketAddr, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    connector.connect(ServerName::from(address.ip()), stream).await
}

async fn get(address: std::net::SocketAddr, connector: &TlsConnector, path: &str) -> String {
    let mut stream = connect(address, connector).await.expect("the client trusts the authority");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer tok\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer that ends in order");
    answer
}

fn path_of(url: &Value, address: std::net::SocketAddr) -> &str {
    let base = format!("https://{address}");
    url.as_str().and_then(|url| url.strip_prefix(&base)).expect("an address on the TLS listener")
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_gets_answers_and_opens_log_addresses() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_server, address, connector) = start(&directory.path().join("tls")).await;
    let answer = get(address, &connector, "/v2/account").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let answer = get(address, &connector, "/v2/apps/shop/logs?type=RUN").await;
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let logs: Value = serde_json::from_str(body).expect("JSON");
    let lines = get(address, &connector, path_of(&logs["historic_urls"][0], address)).await;
    assert!(lines.contains("web 2026-03-01T10:00:02Z line 2\n"), "{lines}");

    let stream = connect(address, &connector).await.expect("the client trusts the authority");
    let url = logs["live_url"].as_str().expect("an address").replacen("https", "wss", 1);
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("an upgrade");
    let messages: Vec<_> = socket.take(3).map(|it| it.expect("a message")).collect().await;
    assert!(messages[1].to_string().contains("line 2") && messages[2].is_close(), "{messages:?}");
}

#[tokio::test]
async fn plain_http_on_the_tls_listener_and_strangers_do_not_disturb_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut server, address, connector) = start(&directory.path().join("tls")).await;
    let other = tempfile::tempdir().expect("a directory");
    let stranger = Tls::from_authority(other.path(), server_names(address, None)).expect("an authority");
    let distrusting = trusting(stranger.authority_file().expect("a file"));
    assert!(connect(address, &distrusting).await.is_err());
    let mut plain = TcpStream::connect(address).await.expect("the server listens");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let _ = plain.read_to_end(&mut Vec::new()).await;
    let _silent = TcpStream::connect(address).await.expect("the server listens");
    assert!(get(address, &connector, "/v2/account").await.starts_with("HTTP/1.1 200"));
    // A connection in its handshake does not delay the shutdown.
    let _ = server.stop.take().expect("not stopped yet").send(());
    assert!(server.task.await.expect("no panic").is_ok());
}
