//! An HTTPS connection: the handshake with the certificate of the host name, then HTTP/2 or HTTP/1.1.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::client_socket::{ClientSocket, ClientStream};
use super::connection::Connection;
use crate::certificates::{ACME_TLS, Choice};
use crate::host;

/// From the first byte to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The fatal alert `unrecognized_name` (RFC 6066, 3), as a whole record.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

impl ClientStream for TlsStream<TcpStream> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}

/// Why no request arrives on a connection.
enum Ended {
    /// It was a check by a certificate authority.
    Challenge,
    /// Counted under this code.
    Refused(&'static str, io::Error),
}

/// Serves one connection until it ends.
pub(super) async fn serve(mut connection: Connection, stream: TcpStream) {
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE, accept(&connection, stream)) => accepted,
        () = connection.stop.cancelled() => return,
        () = connection.cut.cancelled() => return,
        () = connection.slot.evicted() => return,
    };
    let timed_out = || Err(Ended::Refused("tls-handshake", io::ErrorKind::TimedOut.into()));
    match accepted.unwrap_or_else(|_elapsed| timed_out()) {
        Ok((stream, name)) => {
            connection.server_name = Some(name);
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let socket = ClientSocket::new(stream, &Arc::default());
                Box::pin(connection.serve_http2(socket)).await;
            } else {
                connection.serve(stream).await;
            }
        }
        Err(Ended::Challenge) => tracing::info!("answered a challenge of a certificate authority"),
        Err(Ended::Refused(code, error)) => {
            connection.proxy.refusals.count(code);
            tracing::debug!(peer = %connection.peer, %error, "no TLS connection");
        }
    }
}

/// The stream after the handshake, and the host name that the client asked for.
async fn accept(connection: &Connection, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Box<str>), Ended> {
    let failed = |error| Ended::Refused("tls-handshake", error);
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    tokio::pin!(acceptor);
    let start = acceptor.as_mut().await.map_err(failed)?;
    let hello = start.client_hello();
    let is_challenge =
        hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_TLS) && offered.next().is_none());
    let name = hello.server_name().and_then(host::normal).map(|name| Box::from(name.as_ref()));
    let chosen =
        name.and_then(|name: Box<str>| Some((connection.proxy.certificates.choose(&name, is_challenge)?, name)));
    match chosen {
        Some((Choice::Requests(config), name)) => Ok((start.into_stream(config).await.map_err(failed)?, name)),
        Some((Choice::Challenge(config), _)) => {
            let mut stream = start.into_stream(config).await.map_err(failed)?;
            // The authority has seen the certificate; how it closes the connection does not matter.
            let _ = stream.shutdown().await;
            Err(Ended::Challenge)
        }
        None => {
            let mut stream = start.io;
            // Best effort: the client may be gone.
            let _ = stream.write_all(&UNRECOGNIZED_NAME).await;
            Err(Ended::Refused("no-certificate", io::Error::other("no certificate for the name in the handshake")))
        }
    }
}
