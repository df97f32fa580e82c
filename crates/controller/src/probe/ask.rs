//! One question to one instance. Tests of this crate answer from an engine in memory.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use rollout::ids::InstanceName;
use store::records::{Database, Probe};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::postgres;

/// Who asks.
#[async_trait]
pub(crate) trait Asker: Send + Sync {
    /// Whether an instance answers as its probe wants.
    async fn instance(&self, name: &InstanceName, address: SocketAddr, probe: &Probe) -> bool;
    /// Whether a database takes connections.
    async fn database(&self, database: &Database) -> bool;
}

/// Asks at the address itself.
pub(crate) struct OverTheNetwork;

#[async_trait]
impl Asker for OverTheNetwork {
    async fn instance(&self, _name: &InstanceName, address: SocketAddr, probe: &Probe) -> bool {
        ask(address, probe).await
    }

    async fn database(&self, database: &Database) -> bool {
        let address = SocketAddr::from((database.address, database.port));
        postgres::accepts(address, &database.user, &database.database).await
    }
}

/// Whether it answers as the probe wants: 2xx or 3xx over HTTP, a connection otherwise. Every failure is a "no".
async fn ask(address: SocketAddr, probe: &Probe) -> bool {
    let limit = Duration::from_secs(probe.timeout_seconds.max(1).into());
    let asked = async {
        let stream = TcpStream::connect(address).await.ok()?;
        match &probe.http_path {
            None => Some(()),
            Some(path) => ask_http(stream, address, path).await,
        }
    };
    matches!(timeout(limit, asked).await, Ok(Some(())))
}

async fn ask_http(stream: TcpStream, address: SocketAddr, path: &str) -> Option<()> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("user-agent", "boatyard-probe")
        .header("connection", "close")
        .body(Empty::<bytes::Bytes>::new())
        .ok()?;
    let answer = sender.send_request(request).await;
    connection.abort();
    let status = answer.ok()?.status();
    (status.is_success() || status.is_redirection()).then_some(())
}
