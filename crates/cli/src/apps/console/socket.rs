//! The WebSocket of a console.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use hyper::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::WebSocketStream;

/// Deadline of the connection, with TLS and the upgrade.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub type Socket = WebSocketStream<Box<dyn Stream>>;

/// Opens the WebSocket at an address from the API, which contains the credential. `tls` contains the authorities that the
/// client trusts. Errors: the address begins with `wss` and `tls` is `None`; the server does not accept the connection.
pub async fn connect(url: &str, tls: Option<Arc<ClientConfig>>) -> anyhow::Result<Socket> {
    let target = Target::parse(url)?;
    let opened = async {
        let tcp = TcpStream::connect((target.host.as_str(), target.port)).await?;
        // Keys are sent one by one, and a person waits for each.
        let _ = tcp.set_nodelay(true);
        let stream: Box<dyn Stream> = match (target.is_tls, tls) {
            (false, _) => Box::new(tcp),
            (true, Some(tls)) => {
                let name = ServerName::try_from(target.host.clone())?;
                Box::new(TlsConnector::from(tls).connect(name, tcp).await?)
            }
            (true, None) => bail!("the API hands out an address with TLS to this client, which reached it without"),
        };
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        Ok(socket)
    };
    // The address itself contains the credential, so errors name only the host.
    let failed = || format!("cannot open the console at {}:{}", target.host, target.port);
    timeout(CONNECT_TIMEOUT, opened).await.context("the server does not answer").flatten().with_context(failed)
}

/// Where to connect.
#[derive(Debug, PartialEq)]
struct Target {
    is_tls: bool,
    /// An IPv6 address without brackets.
    host: String,
    port: u16,
}

impl Target {
    fn parse(url: &str) -> anyhow::Result<Self> {
        let wrong = "the API sent an address of the console that cannot be used. Check --api-url";
        let uri: Uri = url.parse().context(wrong)?;
        let (is_tls, default_port) = match uri.scheme_str() {
            Some("ws") => (false, 80),
            Some("wss") => (true, 443),
            _ => bail!(wrong),
        };
        let host = uri.host().context(wrong)?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { is_tls, host, port: uri.port_u16().unwrap_or(default_port) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::{RootCertStore, ServerConfig};

    #[test]
    fn an_address_has_a_scheme_of_websockets_a_host_and_perhaps_a_port() {
        let target = |is_tls, host: &str, port| Some(Target { is_tls, host: host.into(), port });
        for (url, expected) in [
            ("ws://127.0.0.1:7080/v2/boatyard/console?token=t", target(false, "127.0.0.1", 7080)),
            ("wss://api.example.test/x?token=t", target(true, "api.example.test", 443)),
            ("ws://[::1]/x", target(false, "::1", 80)),
            ("http://127.0.0.1/x", None),
            ("/x", None),
            ("", None),
        ] {
            assert_eq!(Target::parse(url).ok(), expected, "{url}");
        }
    }

    /// A certificate for `localhost`, and settings of a client that trusts it.
    fn certified() -> (ServerConfig, ClientConfig) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = made.signing_key.serialize_der().try_into().expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a certificate");
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![made.cert.der().clone()], key).expect("they fit");
        (server, ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }

    #[tokio::test]
    async fn a_websocket_opens_over_tls_to_a_server_that_the_client_trusts() {
        let (server, client) = certified();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("wss://localhost:{}/x?token=s3cret", listener.local_addr().expect("an address").port());
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let server = tokio::spawn(async move {
            for _ in 0..2 {
                let (tcp, _) = listener.accept().await.expect("a connection");
                if let Ok(stream) = acceptor.accept(tcp).await {
                    tokio_tungstenite::accept_async(stream).await.expect("an upgrade");
                }
            }
        });
        connect(&url, Some(Arc::new(client))).await.expect("it trusts the server");
        let stranger = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let error = connect(&url, Some(Arc::new(stranger))).await.err().expect("it does not trust the server");
        let text = format!("{error:#}");
        assert!(text.contains("localhost") && !text.contains("s3cret"), "{text}");
        server.await.expect("no panic");
    }

    #[tokio::test]
    async fn an_error_names_the_server_and_not_the_credential() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let secure = format!("wss://{address}/x?token=s3cret");
        let error = format!("{:#}", connect(&secure, None).await.err().expect("no TLS"));
        assert!(error.contains("with TLS") && !error.contains("s3cret"), "{error}");
        drop(listener);
        let error =
            format!("{:#}", connect(&format!("ws://{address}/x?token=s3cret"), None).await.err().expect("refused"));
        assert!(error.contains(&address.port().to_string()) && !error.contains("s3cret"), "{error}");
    }
}
