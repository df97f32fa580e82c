//! Sending one health check to one instance. Tests of this crate answer from an engine in memory.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rollout::health::{ProbeFailure, ProbeFault, ProbeRequest};
use rollout::ids::InstanceName;
use store::records::{Database, Probe};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::postgres;

/// One health check.
#[derive(Debug, Clone)]
pub(crate) struct HealthCheck {
    /// The instance's address, with the port of the check.
    pub address: SocketAddr,
    /// The health check of the spec.
    pub probe: Probe,
    /// The `Host` header that a client of the app would send.
    pub host: String,
}

/// Sends health checks.
#[async_trait]
pub(crate) trait HealthChecker: Send + Sync {
    /// Checks whether an instance passes its health check. Errors: why it does not.
    async fn check_instance(&self, name: &InstanceName, check: &HealthCheck) -> Result<(), ProbeFailure>;
    /// Checks whether a database accepts connections. Errors: why it does not.
    async fn check_database(&self, database: &Database) -> Result<(), ProbeFailure>;
}

/// Sends health checks over the network.
pub(crate) struct NetworkHealthChecker;

#[async_trait]
impl HealthChecker for NetworkHealthChecker {
    async fn check_instance(&self, _name: &InstanceName, check: &HealthCheck) -> Result<(), ProbeFailure> {
        check.run().await.map_err(|fault| check.failure(fault))
    }

    async fn check_database(&self, database: &Database) -> Result<(), ProbeFailure> {
        let address = SocketAddr::from((database.address, database.port));
        let result = postgres::accepts(address, &database.user, &database.database).await;
        result.map_err(|fault| ProbeFailure { address, request: None, fault })
    }
}

impl HealthCheck {
    /// Builds the error for a check that failed.
    pub fn failure(&self, fault: ProbeFault) -> ProbeFailure {
        let request =
            self.probe.http_path.as_ref().map(|path| ProbeRequest { path: path.clone(), host: self.host.clone() });
        ProbeFailure { address: self.address, request, fault }
    }

    /// Passes on status 2xx or 3xx for HTTP, and on an open connection otherwise.
    async fn run(&self) -> Result<(), ProbeFault> {
        match &self.probe.http_path {
            None => self.in_time(connect(self.address)).await.map(drop),
            Some(path) => self.run_http(path).await,
        }
    }

    /// Sends the app's host name first, because some apps check the `Host` header. If the app refuses with a 4xx
    /// status, sends the instance's address instead, as App Platform does: apps written for App Platform may accept
    /// only that. Each request has the full timeout.
    async fn run_http(&self, path: &str) -> Result<(), ProbeFault> {
        let status = self.in_time(get(self.address, path, &self.host)).await?;
        if passes(status) {
            return Ok(());
        }
        if status.is_client_error() {
            let by_address = self.in_time(get(self.address, path, &self.address.to_string())).await;
            if by_address.is_ok_and(passes) {
                return Ok(());
            }
        }
        Err(ProbeFault::Status { code: status.as_u16() })
    }

    async fn in_time<T>(&self, request: impl Future<Output = Result<T, ProbeFault>>) -> Result<T, ProbeFault> {
        let after = Duration::from_secs(self.probe.timeout_seconds.max(1).into());
        timeout(after, request).await.unwrap_or(Err(ProbeFault::TimedOut { after }))
    }
}

fn passes(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

async fn get(address: SocketAddr, path: &str, host: &str) -> Result<StatusCode, ProbeFault> {
    let stream = connect(address).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| protocol(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", host)
        .header("user-agent", "boatyard-probe")
        .header("connection", "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| protocol(&error))?;
    let answer = sender.send_request(request).await;
    connection.abort();
    answer.map(|it| it.status()).map_err(|error| protocol(&error))
}

pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, ProbeFault> {
    TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeFault::Refused,
        _ => ProbeFault::Unreachable { detail: error.to_string() },
    })
}

/// The error with all its causes; hyper's message omits them.
pub(super) fn protocol(error: &(dyn Error + 'static)) -> ProbeFault {
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        detail = format!("{detail}: {it}");
        cause = it.source();
    }
    ProbeFault::Protocol { detail }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails says where")]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn check(address: SocketAddr, http_path: Option<&str>) -> HealthCheck {
        let probe = Probe {
            port: address.port(),
            http_path: http_path.map(str::to_owned),
            initial_delay_seconds: 0,
            period_seconds: 1,
            timeout_seconds: 1,
            success_threshold: 1,
            failure_threshold: 1,
        };
        HealthCheck { address, probe, host: "shop.localhost".into() }
    }

    /// Starts a server on a free port. `answer` maps the head of each request to the response.
    async fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer(&String::from_utf8_lossy(&head)).as_bytes()).await.unwrap();
            }
        });
        address
    }

    fn status(code: u16) -> String {
        format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\n\r\n")
    }

    #[tokio::test]
    async fn the_response_decides_whether_a_check_passes() {
        let cases: [(String, Result<(), ProbeFault>); 5] = [
            (status(204), Ok(())),
            (status(301), Ok(())),
            (status(401), Err(ProbeFault::Status { code: 401 })),
            (status(503), Err(ProbeFault::Status { code: 503 })),
            ("SSH-2.0-OpenSSH\r\n".into(), Err(ProbeFault::Protocol { detail: "invalid HTTP version parsed".into() })),
        ];
        for (answer, expected) in cases {
            let sent = answer.clone();
            let address = serve(move |_| sent.clone()).await;
            let result = check(address, Some("/health")).run().await;
            assert_eq!(result, expected, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_refuses_with_and_without_a_path() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        for path in [None, Some("/")] {
            assert_eq!(check(address, path).run().await, Err(ProbeFault::Refused));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_error_names_the_limit() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let result = check(listener.local_addr().unwrap(), Some("/")).run().await;
        assert_eq!(result, Err(ProbeFault::TimedOut { after: Duration::from_secs(1) }));
    }

    #[tokio::test]
    async fn an_app_passes_whether_it_accepts_only_its_host_name_or_only_its_address() {
        let knows = |host: fn(&str) -> bool| {
            serve(move |head| {
                let sent = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
                status(if host(&sent) { 200 } else { 400 })
            })
        };
        for address in
            [knows(|host| host == "shop.localhost").await, knows(|host| host.starts_with("127.0.0.1:")).await]
        {
            assert_eq!(check(address, Some("/")).run().await, Ok(()));
        }
        let neither = knows(|_| false).await;
        assert_eq!(check(neither, Some("/")).run().await, Err(ProbeFault::Status { code: 400 }));
    }
}
