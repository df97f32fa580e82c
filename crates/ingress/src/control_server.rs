//! The control socket: takes tables and listeners from control, tells what drains and what was counted.
//!
//! Only this user and root may connect. Any connection may ask for the status; only the one in charge may change
//! anything. The connection in charge is the newest one that said hello and is still open. After this process was
//! frozen, requests of connections that the controller has given up meanwhile are still in their buffers; they arrive
//! in any order and must not win over the connection that the controller uses now.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tokio::task::JoinSet;

use crate::listeners::Listeners;
use crate::protocol::{Listener, ListenerRefused, Message, PROTOCOL_VERSION, Request, RouteTable, Status};
use crate::routing_state::RoutingState;
use crate::snapshot::{self, Snapshot};
use crate::wire::{self, WireError};

/// A reader of events that takes none for so long is disconnected.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Answers waiting for one connection.
const RESPONSE_BUFFER: usize = 64;

/// What steers this process; shared by all control connections.
pub(crate) struct ControlServer {
    pub routing: Arc<RoutingState>,
    pub boot_id: String,
    pub snapshot_path: PathBuf,
    pub config: Mutex<ActiveConfig>,
    /// Number of the connection in charge: the newest one that said hello. Only grows.
    pub in_charge: AtomicU64,
    /// Connections so far, over all sockets.
    pub connections: AtomicU64,
    /// Set once by a shutdown request: how long open requests may take.
    pub shutdown: watch::Sender<Option<Duration>>,
}

/// What is wanted and kept on disk. One change at a time.
pub(crate) struct ActiveConfig {
    pub listeners: Listeners,
    pub wanted: Vec<Listener>,
    pub table: RouteTable,
    /// Why the table in force is not on disk.
    pub unsaved: Option<String>,
}

/// Binds the socket: only the owner may open it. What lies at the path was left by a process that is gone, since we
/// hold the lock.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

impl ControlServer {
    /// Serves control until this is dropped, and its connections with it.
    pub async fn serve(self: Arc<Self>, socket: UnixListener) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                // Only to let go of those that ended.
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) if is_allowed(&stream) => {
                    let number = self.connections.fetch_add(1, SeqCst) + 1;
                    connections.spawn(Arc::clone(&self).connection(stream, number));
                }
                Ok(_) => tracing::warn!("control connection of another user refused"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept control connections; pausing");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: UnixStream, number: u64) {
        let (read, write) = stream.into_split();
        let (answers, waiting) = mpsc::channel(RESPONSE_BUFFER);
        let events = self.routing.events();
        let writer = tokio::spawn(write_out(write, waiting, events));
        if let Err(error) = self.read_in(read, &answers, number).await {
            tracing::debug!(%error, "control connection ended");
        }
        drop(answers);
        // The writer ends once the last answer is out.
        let _ = writer.await;
    }

    async fn read_in(
        &self,
        read: OwnedReadHalf,
        answers: &mpsc::Sender<Message>,
        number: u64,
    ) -> Result<(), WireError> {
        let mut read = BufReader::new(read);
        loop {
            let (answer, last) = match wire::read::<Request>(&mut read).await {
                Ok(request) => {
                    let requester = Requester { number, stream: read.get_ref().as_ref() };
                    (self.answer(request, &requester).await, false)
                }
                Err(WireError::Closed) => return Ok(()),
                Err(error @ WireError::NotAMessage(_)) => (refused(error.to_string()), false),
                Err(error @ WireError::TooLong) => (refused(error.to_string()), true),
                Err(error) => return Err(error),
            };
            if answers.send(answer).await.is_err() || last {
                return Ok(());
            }
        }
    }

    async fn answer(&self, request: Request, requester: &Requester<'_>) -> Message {
        match request {
            Request::Hello { protocol, listeners } => self.hello(protocol, listeners, requester).await,
            Request::Status => Message::Status { status: self.status(&*self.config.lock().await) },
            Request::SetTable { table } => self.set_table(table, requester).await,
            Request::Shutdown { drain_seconds } => match self.refuse_unless_in_charge(requester) {
                None => {
                    self.shutdown.send_replace(Some(Duration::from_secs(drain_seconds)));
                    Message::Acknowledged { version: self.routing.table().version }
                }
                Some(reason) => refused(reason),
            },
        }
    }

    /// Why this connection may change nothing; `None` when it is in charge.
    fn refuse_unless_in_charge(&self, requester: &Requester<'_>) -> Option<String> {
        if requester.has_disconnected() {
            return Some("the controller has closed this connection".to_owned());
        }
        let in_charge = self.in_charge.load(SeqCst) == requester.number;
        let reason = "this connection is not in charge: a newer one said hello, or this one never did";
        (!in_charge).then(|| reason.to_owned())
    }

    async fn hello(&self, protocol: u32, wanted: Vec<Listener>, requester: &Requester<'_>) -> Message {
        let mut config = self.config.lock().await;
        if requester.has_disconnected() || self.in_charge.load(SeqCst) > requester.number {
            return refused("this hello came late: a newer connection is in charge, or this one is closed".to_owned());
        }
        self.in_charge.store(requester.number, SeqCst);
        if protocol != PROTOCOL_VERSION {
            // Nothing is changed for a control that we do not understand; it reads our number and replaces us.
            return self.welcome(&config, Vec::new());
        }
        let mut refused = config.listeners.apply(&wanted).await;
        // Kept on disk only when all could be had: a restarted ingress then opens what is really open now.
        if refused.is_empty() && wanted != config.wanted {
            let kept = std::mem::replace(&mut config.wanted, wanted);
            if let Err(error) = self.write_snapshot(&config).await {
                tracing::warn!(%error, "snapshot not written; a restarted ingress would open the listeners of before");
                config.wanted = kept;
            }
        }
        refused.sort_by(|one, other| one.listener.cmp(&other.listener));
        self.welcome(&config, refused)
    }

    fn welcome(&self, config: &ActiveConfig, refused: Vec<ListenerRefused>) -> Message {
        let (status, table) = (self.status(config), config.table.clone());
        Message::Welcome { protocol: PROTOCOL_VERSION, status, refused, table }
    }

    async fn set_table(&self, table: RouteTable, requester: &Requester<'_>) -> Message {
        let mut config = self.config.lock().await;
        // Under the lock: a newer connection may have said hello while this table waited for it.
        if let Some(reason) = self.refuse_unless_in_charge(requester) {
            return refused(reason);
        }
        let (version, current) = (table.version, config.table.version);
        if version < current {
            return refused(format!("table {version} is older than table {current}, which stays in force"));
        }
        config.table = table;
        // A full disk must not keep a dead instance routed: the table counts all the same, and is saved later. Until then a
        // crash of this process would bring back the older one, for the moment until the controller sends its own.
        self.save_and_record(&mut config).await;
        self.routing.install(&config.table);
        tracing::debug!(version, "table in force");
        Message::Acknowledged { version }
    }

    /// Writes the table in force to disk again, as after the directory was replaced.
    pub async fn save(&self) {
        self.save_and_record(&mut *self.config.lock().await).await;
    }

    /// Tries again what could not be written.
    pub async fn save_if_unsaved(&self) {
        let mut config = self.config.lock().await;
        if config.unsaved.is_some() {
            self.save_and_record(&mut config).await;
        }
    }

    async fn save_and_record(&self, config: &mut ActiveConfig) {
        let unsaved = self.write_snapshot(config).await.err();
        let unsaved = unsaved.map(|error| format!("cannot write {}: {error}", self.snapshot_path.display()));
        match (&config.unsaved, &unsaved) {
            (None, Some(why)) => tracing::warn!(why, "the routes in force are not on disk; trying again"),
            (Some(_), None) => tracing::info!("the routes in force are on disk again"),
            _ => {}
        }
        config.unsaved = unsaved;
    }

    async fn write_snapshot(&self, config: &ActiveConfig) -> io::Result<()> {
        let snapshot = Snapshot::new(config.wanted.clone(), config.table.clone());
        let path = self.snapshot_path.clone();
        tokio::task::spawn_blocking(move || snapshot::save(&path, &snapshot)).await.map_err(io::Error::other)?
    }

    fn status(&self, config: &ActiveConfig) -> Status {
        Status {
            boot_id: self.boot_id.clone(),
            pid: std::process::id(),
            version: self.routing.table().version,
            listeners: config.listeners.bound(),
            refused: self.routing.table().refused.clone(),
            unsaved: config.unsaved.clone(),
            open: self.routing.open(),
            counters: self.routing.counters(),
        }
    }
}

/// The connection that a request came from.
struct Requester<'a> {
    /// Connections are numbered in the order in which they were made.
    number: u64,
    stream: &'a UnixStream,
}

impl Requester<'_> {
    /// The other side has closed the connection, so it waits for no answer. A request that is still unread hides that;
    /// then the next one shows it.
    fn has_disconnected(&self) -> bool {
        let mut next = [0_u8];
        let peeked = rustix::net::recv(self.stream, &mut next[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Ok((0, _)))
    }
}

fn refused(reason: String) -> Message {
    Message::Refused { reason }
}

fn is_allowed(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0)
}

/// Answers in the order of their questions, events as they come.
async fn write_out(
    mut to: OwnedWriteHalf,
    mut answers: mpsc::Receiver<Message>,
    mut events: broadcast::Receiver<Message>,
) {
    loop {
        let message = tokio::select! {
            biased;
            answer = answers.recv() => match answer {
                Some(answer) => answer,
                None => return,
            },
            item = events.recv() => match item {
                Ok(item) => item,
                // It missed some. Closing is honest: control connects again and reads the status.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return,
            },
        };
        match tokio::time::timeout(WRITE_LIMIT, wire::write(&mut to, &message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
