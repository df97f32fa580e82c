//! ControlClient's shutdown_and_wait of the line: asks, waits for the answer within a deadline, and hears the events.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::protocol::{Listener, ListenerRefused, Message, Open, PROTOCOL_VERSION, Request, RouteTable, Status};
use crate::wire;

/// For one name and its answer. A table is written to disk before it is acknowledged, hence not shorter.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// After the last open request was cut, for the process to go.
const EXIT_DEADLINE: Duration = Duration::from_secs(5);
/// IngressEvent kept for a receiver that is slow to read.
const EVENT_BUFFER: usize = 4096;

/// What went wrong between control and ingress.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no ingress answers on {socket}")]
    Connect {
        socket: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// The process went away or closed the connection. What it serves is served on by its successor.
    #[error("the connection to the ingress is lost; connect again")]
    Lost,
    #[error("the ingress did not answer {name} within {} s; what it served before is still in force", .after.as_secs())]
    Late { name: &'static str, after: Duration },
    /// Its own words; nothing was changed.
    #[error("the ingress refused {name}: {reason}")]
    Refused { name: &'static str, reason: String },
    #[error("the ingress speaks protocol {protocol}, this program {PROTOCOL_VERSION}; shut it down and start it again")]
    ProtocolMismatch { protocol: u32 },
    /// It has understood, and goes on ending.
    #[error("the ingress has not ended {} s after it was told to; see its log, or end its process", .after.as_secs())]
    NotStopped { after: Duration },
    #[error("the ingress answered {name} with something else")]
    UnexpectedAnswer { name: &'static str },
}

impl ClientError {
    /// Whether the same name may succeed on a new connection.
    pub fn is_transient(&self) -> bool {
        matches!(self, ClientError::Connect { .. } | ClientError::Lost | ClientError::Late { .. })
    }
}

/// What a hello is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    pub status: Status,
    /// Listeners that could not be had. The ones open before are still open then.
    pub refused: Vec<ListenerRefused>,
    /// In force, from before.
    pub table: RouteTable,
}

/// What ingress tells without being pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressEvent {
    /// Counts of an upstream that the table in force leaves out. The last one of each has both at zero.
    Draining { upstream: String, open: Open },
    /// The connection ended. Connect again, say hello, read the status.
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

/// Questions pending and not answered yet. Answers come in the order of requests.
type Awaiting = Arc<Mutex<VecDeque<oneshot::Sender<Message>>>>;

impl ControlClient {
    /// Connects to the socket of [`crate::socket_path`].
    ///
    /// # Errors
    /// [`ClientError::Connect`] when nobody listens there.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let failed = |cause| ClientError::Connect { socket: socket.to_owned(), cause };
        let connecting = tokio::time::timeout(ANSWER_DEADLINE, UnixStream::connect(socket));
        let stream = match connecting.await {
            Ok(stream) => stream.map_err(failed)?,
            Err(_elapsed) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
        };
        let (read, write) = stream.into_split();
        let (requests, pending) = mpsc::channel(16);
        let events = broadcast::Sender::new(EVENT_BUFFER);
        tokio::spawn(run(read, write, pending, events.clone()));
        Ok(ControlClient { requests, events })
    }

    /// Takes charge, and says which listeners should be open from now on.
    ///
    /// # Errors
    /// [`ClientError::ProtocolMismatch`]: another version runs. It changed nothing, and may be told to shut down.
    pub async fn hello(&self, listeners: Vec<Listener>) -> Result<Welcome, ClientError> {
        match self.request("hello", Request::Hello { protocol: PROTOCOL_VERSION, listeners }).await? {
            Message::Welcome { protocol, .. } if protocol != PROTOCOL_VERSION => {
                Err(ClientError::ProtocolMismatch { protocol: protocol })
            }
            Message::Welcome { status, refused, table, .. } => Ok(Welcome { status, refused, table }),
            other => Err(unexpected("hello", other)),
        }
    }

    /// Puts a table in force and gives back its version, once no new request can go by an older one and the table
    /// would survive a crash of the ingress. Listen to [`ControlClient::events`] before, so that no drain is missed.
    ///
    /// # Errors
    /// [`ClientError::Refused`]: the table before is still in force. [`ClientError::Late`]: it is not known which one
    /// is; read the status.
    pub async fn set_table(&self, table: RouteTable) -> Result<u64, ClientError> {
        match self.request("the table", Request::SetTable { table }).await? {
            Message::Acknowledged { version } => Ok(version),
            other => Err(unexpected("the table", other)),
        }
    }

    /// What is in force, open and counted. Needs no hello.
    ///
    /// # Errors
    /// As every name: lost, late.
    pub async fn status(&self) -> Result<Status, ClientError> {
        match self.request("status", Request::Status).await? {
            Message::Status { status } => Ok(status),
            other => Err(unexpected("status", other)),
        }
    }

    /// Tells the process to stop accepting, to let open requests shutdown_and_wait within `drain`, and to exit. Returns when it has
    /// understood; [`IngressEvent::Lost`] says when it is gone. Needs a hello before.
    ///
    /// # Errors
    /// As every name; a connection lost meanwhile counts as understood.
    pub async fn shutdown(&self, drain: Duration) -> Result<(), ClientError> {
        let drain_seconds = drain.as_secs();
        match self.request("the shutdown", Request::Shutdown { drain_seconds }).await {
            Ok(Message::Acknowledged { .. }) | Err(ClientError::Lost) => Ok(()),
            Ok(other) => Err(unexpected("the shutdown", other)),
            Err(error) => Err(error),
        }
    }

    /// As [`ControlClient::shutdown`], and returns when the process is gone: nothing that it served is open any more.
    ///
    /// # Errors
    /// As of a shutdown; [`ClientError::NotStopped`] when it takes longer than it was given.
    pub async fn shutdown_and_wait(&self, drain: Duration) -> Result<(), ClientError> {
        let mut events = self.events();
        self.shutdown(drain).await?;
        let gone = async { while !matches!(events.recv().await, Ok(IngressEvent::Lost) | Err(RecvError::Closed)) {} };
        let within = drain + EXIT_DEADLINE;
        tokio::time::timeout(within, gone).await.map_err(|_elapsed| ClientError::NotStopped { after: within })
    }

    /// IngressEvent from now on. A receiver that reports having lagged should read the status.
    pub fn events(&self) -> broadcast::Receiver<IngressEvent> {
        let events = self.events.subscribe();
        if self.requests.is_closed() {
            // The connection was lost before: say so to this one, and harmlessly once more to the others.
            let _ = self.events.send(IngressEvent::Lost);
        }
        events
    }

    /// Whether the connection is gone for good.
    pub fn is_lost(&self) -> bool {
        self.requests.is_closed()
    }

    async fn request(&self, name: &'static str, request: Request) -> Result<Message, ClientError> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.requests.send(PendingRequest { request, answer }).await.map_err(|_| ClientError::Lost)?;
            answered.await.map_err(|_| ClientError::Lost)
        };
        match tokio::time::timeout(ANSWER_DEADLINE, exchange).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(ClientError::Late { name, after: ANSWER_DEADLINE }),
        }
    }
}

fn unexpected(name: &'static str, message: Message) -> ClientError {
    match message {
        Message::Refused { reason } => ClientError::Refused { name, reason },
        _ => ClientError::UnexpectedAnswer { name },
    }
}

/// Both directions, until either ends or the last handle is dropped. All that wait for an answer then hear "lost".
async fn run(
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    pending: mpsc::Receiver<PendingRequest>,
    events: broadcast::Sender<IngressEvent>,
) {
    let open = Awaiting::default();
    tokio::select! {
        () = receive(read, &open, &events) => {}
        () = send_requests(write, pending, &open) => {}
    }
    // `pending` is dropped by now: handles see the connection closed before they hear it is lost.
    let _ = events.send(IngressEvent::Lost);
}

async fn receive(read: OwnedReadHalf, open: &Awaiting, events: &broadcast::Sender<IngressEvent>) {
    let mut read = BufReader::new(read);
    loop {
        match wire::read::<Message>(&mut read).await {
            Ok(Message::Draining { upstream, open }) => {
                let _ = events.send(IngressEvent::Draining { upstream, open });
            }
            Ok(answer) => {
                let waiting = open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(waiting) = waiting else {
                    tracing::warn!("the ingress answered what nobody asked; closing");
                    return;
                };
                // Whoever pending may have given up.
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
