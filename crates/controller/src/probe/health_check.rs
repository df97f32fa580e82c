//! Sending one health check to one instance. Tests of this crate answer from an engine in memory.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rollout::health::{ProbeFailure, ProbeFault, ProbeRequest};
use rollout::ids::InstanceName;
use store::records::{Database, Probe};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::postgres;

/// How long a forwarder of a published port may take to find out that the instance does not listen, and to close the
/// connection.
const FORWARDER_CLOSES_WITHIN: Duration = Duration::from_millis(200);

/// One health check.
#[derive(Debug, Clone)]
pub(crate) struct HealthCheck {
    /// The instance's address in the app's network, with the port of the check.
    pub address: SocketAddr,
    /// Where this host reaches that port: the same address, or a published port.
    pub dialed: SocketAddr,
    /// The health check of the spec.
    pub probe: Probe,
    /// The `Host` header that a client of the app would send.
    pub host: String,
    /// The port speaks HTTP/2 without TLS.
    pub http2: bool,
}

/// Sends health checks.
#[async_trait]
pub(crate) trait HealthChecker: Send + Sync {
    /// Checks whether an instance passes its health check. Errors: why it does not.
    async fn check_instance(&self, name: &InstanceName, check: &HealthCheck) -> Result<(), ProbeFailure>;
    /// Checks whether a database accepts connections at an address. Errors: why it does not.
    async fn check_database(&self, database: &Database, address: SocketAddr) -> Result<(), ProbeFailure>;
}

/// Sends health checks over the network.
pub(crate) struct NetworkHealthChecker;

#[async_trait]
impl HealthChecker for NetworkHealthChecker {
    async fn check_instance(&self, _name: &InstanceName, check: &HealthCheck) -> Result<(), ProbeFailure> {
        check.run().await.map_err(|fault| check.failure(fault))
    }

    async fn check_database(&self, database: &Database, address: SocketAddr) -> Result<(), ProbeFailure> {
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
            None => self.in_time(self.open()).await,
            Some(path) => self.run_http(path).await,
        }
    }

    /// Opens a connection. Whatever forwards a published port accepts connections before it knows whether the instance does,
    /// and closes them if it does not.
    async fn open(&self) -> Result<(), ProbeFault> {
        let mut stream = connect(self.dialed).await?;
        if !self.is_forwarded() {
            return Ok(());
        }
        match timeout(FORWARDER_CLOSES_WITHIN, stream.read(&mut [0])).await {
            Ok(Ok(0) | Err(_)) => Err(ProbeFault::Refused),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    fn is_forwarded(&self) -> bool {
        self.dialed != self.address
    }

    /// Sends the app's host name first, because some apps check the `Host` header. If the app refuses with a 4xx
    /// status, sends the instance's address instead, as App Platform does: apps written for App Platform may accept
    /// only that. Each request has the full timeout.
    async fn run_http(&self, path: &str) -> Result<(), ProbeFault> {
        let status = self.in_time(self.get(path, &self.host)).await?;
        if passes(status) {
            return Ok(());
        }
        if status.is_client_error() {
            let by_address = self.in_time(self.get(path, &self.address.to_string())).await;
            if by_address.is_ok_and(passes) {
                return Ok(());
            }
        }
        Err(ProbeFault::Status { code: status.as_u16() })
    }

    async fn get(&self, path: &str, host: &str) -> Result<StatusCode, ProbeFault> {
        match get(self.dialed, path, host, self.http2).await {
            // See `open`.
            Err(GetError::Closed(_)) if self.is_forwarded() => Err(ProbeFault::Refused),
            Err(GetError::Closed(fault) | GetError::Failed(fault)) => Err(fault),
            Ok(status) => Ok(status),
        }
    }

    async fn in_time<T>(&self, request: impl Future<Output = Result<T, ProbeFault>>) -> Result<T, ProbeFault> {
        let after = Duration::from_secs(self.probe.timeout_seconds.max(1).into());
        timeout(after, request).await.unwrap_or(Err(ProbeFault::TimedOut { after }))
    }
}

fn passes(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// Why there is no status.
enum GetError {
    /// The connection ended before an answer began.
    Closed(ProbeFault),
    Failed(ProbeFault),
}

async fn get(address: SocketAddr, path: &str, host: &str, http2: bool) -> Result<StatusCode, GetError> {
    let failed = |error: &(dyn Error + 'static)| GetError::Failed(protocol(error));
    let stream = TokioIo::new(connect(address).await.map_err(GetError::Failed)?);
    let request = Request::get(path).header("user-agent", "boatyard-probe");
    let request = match http2 {
        true => request.uri(format!("http://{host}{path}")).version(Version::HTTP_2),
        false => request.header("host", host).header("connection", "close"),
    };
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| failed(&error))?;
    let (answer, connection) = if http2 {
        let opened = http2::handshake(TokioExecutor::new(), stream).await;
        let (mut sender, connection) = opened.map_err(|error| failed(&error))?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        (sender.send_request(request).await, connection)
    } else {
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| failed(&error))?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        (sender.send_request(request).await, connection)
    };
    connection.abort();
    answer.map(|it| it.status()).map_err(|error| match was_closed(&error) {
        true => GetError::Closed(protocol(&error)),
        false => failed(&error),
    })
}

fn was_closed(error: &hyper::Error) -> bool {
    let reset = |it: &io::Error| matches!(it.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    let cause = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || cause.is_some_and(reset)
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

    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use tokio::io::AsyncWriteExt;
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
        HealthCheck { address, dialed: address, probe, host: "shop.localhost".into(), http2: false }
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
    async fn an_instance_that_speaks_http2_is_asked_by_http2() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(async |request: Request<Incoming>| {
                    let is_known = request.uri().host() == Some("shop.localhost") && request.uri().path() == "/health";
                    let status = if is_known { StatusCode::OK } else { StatusCode::NOT_FOUND };
                    hyper::Response::builder().status(status).body(Empty::<bytes::Bytes>::new())
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { drop(server.serve_connection(TokioIo::new(stream), service).await) });
            }
        });
        let asked = |http_path| HealthCheck { http2: true, ..check(address, http_path) };
        assert_eq!(asked(Some("/health")).run().await, Ok(()));
        assert_eq!(asked(Some("/other")).run().await, Err(ProbeFault::Status { code: 404 }));
        assert_eq!(asked(None).run().await, Ok(()));
        let other = serve(|_| status(200)).await;
        let result = HealthCheck { http2: true, ..check(other, Some("/health")) }.run().await;
        assert!(matches!(result, Err(ProbeFault::Protocol { .. } | ProbeFault::TimedOut { .. })), "{result:?}");
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

    /// A check of an instance behind a published port at `dialed`.
    fn forwarded(dialed: SocketAddr, http_path: Option<&str>) -> HealthCheck {
        HealthCheck { dialed, ..check(([10, 192, 7, 2], 8080).into(), http_path) }
    }

    #[tokio::test]
    async fn a_published_port_whose_connections_end_at_once_leads_to_a_closed_port() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        for path in [None, Some("/")] {
            let result = forwarded(address, path).run().await;
            assert_eq!(result, Err(ProbeFault::Refused), "{path:?}");
        }
        assert_eq!(check(address, None).run().await, Ok(()), "without a forwarder, an open connection is enough");
    }

    #[tokio::test]
    async fn a_published_port_whose_connections_stay_open_passes_whoever_speaks_first() {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        assert_eq!(forwarded(silent.local_addr().unwrap(), None).run().await, Ok(()));
        let speaks = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = speaks.local_addr().unwrap();
        tokio::spawn(async move { speaks.accept().await.unwrap().0.write_all(b"SSH-2.0-x\r\n").await });
        assert_eq!(forwarded(address, None).run().await, Ok(()));
        let answers = serve(|_| status(204)).await;
        assert_eq!(forwarded(answers, Some("/")).run().await, Ok(()));
    }

    #[test]
    fn a_failure_names_the_port_of_the_instance_and_not_the_published_one() {
        let check = forwarded(([127, 0, 0, 1], 20_001).into(), None);
        assert_eq!(check.failure(ProbeFault::Refused).to_string(), "10.192.7.2:8080 refused the connection");
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
