//! The controller's side of the control connection: sends requests, waits for answers with a deadline, and receives
//! events.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::protocol::{
    AccessLogFormat, CertificateSet, Listener, ListenerRefused, Message, Open, PROTOCOL_VERSION, Request, RouteTable,
    Status, TrustedProxies,
};
use crate::wire;

/// For one request and its answer. The ingress writes a table to disk before it answers, so this must not be shorter.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How long the process may take to exit after it cut off the last open request.
const EXIT_DEADLINE: Duration = Duration::from_secs(5);
/// Events buffered for a slow receiver.
const EVENT_BUFFER: usize = 4096;

/// Why a request to the ingress failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no ingress answers on {socket}")]
    Connect {
        socket: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// The ingress exited or closed the connection. Its successor serves the same routes.
    #[error("the connection to the ingress is lost; connect again")]
    Lost,
    #[error("the ingress did not answer {request} within {} s; it still serves the previous routes", .after.as_secs())]
    Late { request: &'static str, after: Duration },
    /// The reason is a sentence from the ingress. The ingress changed nothing.
    #[error("the ingress refused {request}: {reason}")]
    Refused { request: &'static str, reason: String },
    #[error(
        "the ingress speaks protocol {protocol}, this program {PROTOCOL_VERSION}; stop it with `boatyard down` and start it again"
    )]
    ProtocolMismatch { protocol: u32 },
    /// The ingress accepted the shutdown and is still running.
    #[error("the ingress has not exited {} s after the shutdown request; see ingress.log in the data directory, or end the process", .after.as_secs())]
    NotStopped { after: Duration },
    #[error("the ingress sent an unexpected answer to {request}")]
    UnexpectedAnswer { request: &'static str },
}

impl ClientError {
    /// Whether the same request may succeed on a new connection.
    pub fn is_transient(&self) -> bool {
        matches!(self, ClientError::Connect { .. } | ClientError::Lost | ClientError::Late { .. })
    }
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    pub status: Status,
    /// Listeners that could not be opened. If there are any, the previous ones stay open.
    pub refused: Vec<ListenerRefused>,
    /// The table in force before this connection.
    pub table: RouteTable,
}

/// What the ingress reports without a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressEvent {
    /// Open requests of an upstream that is not in the table in force. The last event of each upstream has both counts
    /// at zero.
    Draining { upstream: String, open: Open },
    /// The connection ended. Connect again, send a hello, read the status.
    Lost,
}

/// A connection to a running ingress. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct ControlClient {
    requests: mpsc::Sender<PendingRequest>,
    events: broadcast::Sender<IngressEvent>,
}

struct PendingRequest {
    request: Request,
    answer: oneshot::Sender<Message>,
}

/// Senders of the requests that are not answered yet. The ingress answers in order.
type Awaiting = Arc<Mutex<VecDeque<oneshot::Sender<Message>>>>;

impl ControlClient {
    /// Connects to the socket of [`crate::socket_path`].
    ///
    /// # Errors
    /// [`ClientError::Connect`] if no ingress listens there.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let failed = |cause| ClientError::Connect { socket: socket.to_owned(), cause };
        let connecting = tokio::time::timeout(ANSWER_DEADLINE, UnixStream::connect(socket));
        let stream = match connecting.await {
            Ok(stream) => stream.map_err(failed)?,
            Err(_elapsed) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
        };
        Ok(Self::on(stream, Vec::new()))
    }

    /// `received`: what was read from the stream already.
    pub(crate) fn on(stream: UnixStream, received: Vec<u8>) -> Self {
        let (read, write) = stream.into_split();
        let read = std::io::Cursor::new(received).chain(read);
        let (requests, pending) = mpsc::channel(16);
        let events = broadcast::Sender::new(EVENT_BUFFER);
        tokio::spawn(run(read, write, pending, events.clone()));
        ControlClient { requests, events }
    }

    /// Takes control of the ingress, and sets the listeners that should be open from now on.
    ///
    /// # Errors
    /// [`ClientError::ProtocolMismatch`]: another version is running. It changed nothing, and accepts a shutdown
    /// request.
    pub async fn hello(&self, listeners: Vec<Listener>) -> Result<Welcome, ClientError> {
        self.hello_behind(listeners, TrustedProxies::default()).await
    }

    /// Like [`ControlClient::hello`], for an ingress behind proxies.
    pub async fn hello_behind(
        &self,
        listeners: Vec<Listener>,
        proxies: TrustedProxies,
    ) -> Result<Welcome, ClientError> {
        match self.request("hello", Request::Hello { protocol: PROTOCOL_VERSION, listeners, proxies }).await? {
            Message::Welcome { protocol, .. } if protocol != PROTOCOL_VERSION => {
                Err(ClientError::ProtocolMismatch { protocol })
            }
            Message::Welcome { status, refused, table, .. } => Ok(Welcome { status, refused, table }),
            other => Err(unexpected("hello", other)),
        }
    }

    /// Puts a table in force. Returns its version once no new request can use an older table and the table would
    /// survive a crash of the ingress. Subscribe to [`ControlClient::events`] first, so that no drain is missed.
    ///
    /// # Errors
    /// [`ClientError::Refused`]: the previous table is still in force. [`ClientError::Late`]: it is unknown which table
    /// is in force; read the status.
    pub async fn set_table(&self, table: RouteTable) -> Result<u64, ClientError> {
        match self.request("the table", Request::SetTable { table }).await? {
            Message::Acknowledged { version } => Ok(version),
            other => Err(unexpected("the table", other)),
        }
    }

    /// Replaces all certificates. Returns once new connections get them.
    ///
    /// # Errors
    /// [`ClientError::Refused`]: this connection is not in charge, or the ingress is older than certificates.
    pub async fn set_certificates(&self, certificates: CertificateSet) -> Result<(), ClientError> {
        match self.request("the certificates", Request::SetCertificates { certificates }).await? {
            Message::Acknowledged { .. } => Ok(()),
            other => Err(unexpected("the certificates", other)),
        }
    }

    /// Sets the format of the access log. Returns once requests that begin are logged in it.
    ///
    /// # Errors
    /// [`ClientError::Refused`]: this connection is not in charge, or the ingress is older than the access log.
    pub async fn set_access_log(&self, format: AccessLogFormat) -> Result<(), ClientError> {
        match self.request("the format of the access log", Request::SetAccessLog { format }).await? {
            Message::Acknowledged { .. } => Ok(()),
            other => Err(unexpected("the format of the access log", other)),
        }
    }

    /// What is in force, open and counted. Works without a hello.
    ///
    /// # Errors
    /// [`ClientError::Lost`] and [`ClientError::Late`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        match self.request("status", Request::Status).await? {
            Message::Status { status } => Ok(status),
            other => Err(unexpected("status", other)),
        }
    }

    /// Requests a shutdown: stop accepting connections, let open requests finish within `drain`, exit. Returns when the
    /// ingress has accepted the request; [`IngressEvent::Lost`] follows when it has exited. Needs a hello first.
    ///
    /// # Errors
    /// As for every request. A connection that is lost meanwhile counts as success.
    pub async fn shutdown(&self, drain: Duration) -> Result<(), ClientError> {
        let drain_seconds = drain.as_secs();
        match self.request("the shutdown", Request::Shutdown { drain_seconds }).await {
            Ok(Message::Acknowledged { .. }) | Err(ClientError::Lost) => Ok(()),
            Ok(other) => Err(unexpected("the shutdown", other)),
            Err(error) => Err(error),
        }
    }

    /// Asks the ingress that handed over on this connection to retire. Returns when it accepts no further requests.
    pub(crate) async fn retire(&self, drain: Duration) -> Result<(), ClientError> {
        match self.request("to retire", Request::Retire { drain_seconds: drain.as_secs() }).await? {
            Message::Acknowledged { .. } => Ok(()),
            other => Err(unexpected("to retire", other)),
        }
    }

    /// Like [`ControlClient::shutdown`], but returns when the process has exited and nothing that it served is open.
    ///
    /// # Errors
    /// As for a shutdown, and [`ClientError::NotStopped`] if it takes longer than `drain` plus 5 s.
    pub async fn shutdown_and_wait(&self, drain: Duration) -> Result<(), ClientError> {
        let mut events = self.events();
        self.shutdown(drain).await?;
        let gone = async { while !matches!(events.recv().await, Ok(IngressEvent::Lost) | Err(RecvError::Closed)) {} };
        let within = drain + EXIT_DEADLINE;
        tokio::time::timeout(within, gone).await.map_err(|_elapsed| ClientError::NotStopped { after: within })
    }

    /// Events from now on. A receiver that reports having lagged should read the status.
    pub fn events(&self) -> broadcast::Receiver<IngressEvent> {
        let events = self.events.subscribe();
        if self.requests.is_closed() {
            // The connection was lost earlier. Tell the new receiver; a second notice does no harm to the others.
            let _ = self.events.send(IngressEvent::Lost);
        }
        events
    }

    async fn request(&self, name: &'static str, request: Request) -> Result<Message, ClientError> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.requests.send(PendingRequest { request, answer }).await.map_err(|_| ClientError::Lost)?;
            answered.await.map_err(|_| ClientError::Lost)
        };
        match tokio::time::timeout(ANSWER_DEADLINE, exchange).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(ClientError::Late { request: name, after: ANSWER_DEADLINE }),
        }
    }
}

fn unexpected(request: &'static str, message: Message) -> ClientError {
    match message {
        Message::Refused { reason } => ClientError::Refused { request, reason },
        _ => ClientError::UnexpectedAnswer { request },
    }
}

/// Runs both directions until either ends or the last handle is dropped. Pending requests then fail with
/// [`ClientError::Lost`].
async fn run(
    read: impl AsyncRead + Unpin,
    write: OwnedWriteHalf,
    pending: mpsc::Receiver<PendingRequest>,
    events: broadcast::Sender<IngressEvent>,
) {
    let open = Awaiting::default();
    tokio::select! {
        () = receive(read, &open, &events) => {}
        () = send_requests(write, pending, &open) => {}
    }
    // `pending` is dropped by now, so handles see a closed connection before they receive the event.
    let _ = events.send(IngressEvent::Lost);
}

async fn receive(read: impl AsyncRead + Unpin, open: &Awaiting, events: &broadcast::Sender<IngressEvent>) {
    let mut read = BufReader::new(read);
    loop {
        match wire::read::<Message>(&mut read).await {
            Ok(Message::Draining { upstream, open }) => {
                let _ = events.send(IngressEvent::Draining { upstream, open });
            }
            Ok(answer) => {
                let waiting = open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(waiting) = waiting else {
                    tracing::warn!("the ingress sent an answer without a request; closing the connection");
                    return;
                };
                // The caller may have timed out.
                let _ = waiting.send(answer);
            }
            Err(wire::WireError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "connection to the ingress failed");
                return;
            }
        }
    }
}

async fn send_requests(mut write: OwnedWriteHalf, mut pending: mpsc::Receiver<PendingRequest>, open: &Awaiting) {
    while let Some(PendingRequest { request, answer }) = pending.recv().await {
        open.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
        let writing = tokio::time::timeout(ANSWER_DEADLINE, wire::write(&mut write, &request));
        if !matches!(writing.await, Ok(Ok(()))) {
            return;
        }
    }
}
