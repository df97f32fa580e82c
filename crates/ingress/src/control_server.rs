//! The control socket: accepts tables and listeners from the controller, reports drains and counters.
//!
//! Only the same user and root may connect. Any connection may read the status; only the connection in charge may
//! change anything. That is the newest connection that sent a hello and is still open. After this process was frozen,
//! requests of connections that the controller has abandoned are still in the socket buffers. They arrive in any order
//! and must not override the connection that the controller uses now.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{BufReader, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::access_log::AccessLog;
use crate::features::FEATURES;
use crate::files::OpenSites;
use crate::listeners::Listeners;
use crate::protocol::{
    AccessLogFormat, Certificate, CertificateSet, Listener, ListenerRefused, Message, PROTOCOL_VERSION, Request,
    RouteTable, Status, TrustedProxies,
};
use crate::routing_state::RoutingState;
use crate::snapshot::{self, Snapshot};
use crate::take_over;
use crate::wire::{self, WireError};

/// A control connection that reads nothing for this long is closed.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Answers buffered for one connection.
const RESPONSE_BUFFER: usize = 64;

/// The state behind all control connections.
pub(crate) struct ControlServer {
    pub routing: Arc<RoutingState>,
    pub access_log: Arc<AccessLog>,
    pub boot_id: String,
    pub snapshot_path: PathBuf,
    pub config: Mutex<ActiveConfig>,
    /// Number of the connection in charge: the newest one that sent a hello. Only increases.
    pub in_charge: AtomicU64,
    /// Number of connections so far, over all sockets.
    pub connections: AtomicU64,
    /// Set once by a shutdown request: how long open requests may take.
    pub shutdown: watch::Sender<Option<Duration>>,
    /// Number of the connection of a new process that was handed over to; 0: there is none.
    pub successor: AtomicU64,
    /// See [`crate::limits::Limits::take_over`].
    pub take_over_within: Duration,
    /// The new process serves. This one only finishes its open requests.
    pub retired: AtomicBool,
    /// The program file of this process.
    pub program: String,
    /// Whether all listeners and idle connections are closed.
    pub closed: watch::Sender<bool>,
    /// The lock of the data directory. `None`: a new process has it.
    pub lock: StdMutex<Option<OwnedFd>>,
}

/// What the controller asked for, and what is on disk. Locked during each change.
pub(crate) struct ActiveConfig {
    pub listeners: Listeners,
    pub wanted: Vec<Listener>,
    pub table: RouteTable,
    pub certificates: Vec<Certificate>,
    /// Why the state in force is not on disk.
    pub unsaved: Option<String>,
}

/// Binds the socket with access for the owner only. This process holds the lock, so a file at the path was left by a
/// process that has exited.
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
    /// Accepts control connections until this future is dropped; open connections end with it.
    pub async fn serve(self: Arc<Self>, socket: UnixListener) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                // Removes connections that have ended.
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) if is_allowed(&stream) => {
                    let number = self.connections.fetch_add(1, SeqCst) + 1;
                    connections.spawn(Arc::clone(&self).connection(stream, number));
                }
                Ok(_) => tracing::warn!("refused a control connection of another user"),
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
        if !self.retired.load(SeqCst) && self.successor.compare_exchange(number, 0, SeqCst, SeqCst).is_ok() {
            tracing::warn!("the new ingress process ended before it served; this one goes on");
        }
        drop(answers);
        // The writer ends after the last answer.
        let _ = writer.await;
    }

    async fn read_in(&self, read: OwnedReadHalf, answers: &mpsc::Sender<Answer>, number: u64) -> Result<(), WireError> {
        let mut read = BufReader::new(read);
        let mut deadline = None;
        loop {
            let reading = wire::read::<Request>(&mut read);
            let request = match deadline.filter(|_| !self.retired.load(SeqCst)) {
                // The new process hangs. It ends when it finds this connection closed.
                Some(deadline) => timeout_at(deadline, reading).await.unwrap_or(Err(WireError::Closed)),
                None => reading.await,
            };
            let (answer, last) = match request {
                Ok(request) => {
                    let requester = Requester { number, stream: read.get_ref().as_ref() };
                    match request {
                        Request::HandOver => {
                            deadline = Some(Instant::now() + self.take_over_within);
                            (self.hand_over(&requester).await, false)
                        }
                        request => (self.answer(request, &requester).await.into(), false),
                    }
                }
                Err(WireError::Closed) => return Ok(()),
                Err(error @ WireError::NotAMessage(_)) => (refused(error.to_string()).into(), false),
                Err(error @ WireError::TooLong) => (refused(error.to_string()).into(), true),
                Err(error) => return Err(error),
            };
            if answers.send(answer).await.is_err() || last {
                return Ok(());
            }
        }
    }

    async fn answer(&self, request: Request, requester: &Requester<'_>) -> Message {
        match request {
            Request::Hello { protocol, listeners, proxies } => {
                self.hello(protocol, listeners, proxies, requester).await
            }
            Request::Status => Message::Status { status: self.status(&*self.config.lock().await) },
            Request::SetTable { table } => self.set_table(table, requester).await,
            Request::SetCertificates { certificates } => self.set_certificates(certificates, requester).await,
            Request::SetAccessLog { format } => self.set_access_log(format, requester).await,
            Request::HandOver => refused("the ingress hands over only its own sockets".to_owned()),
            Request::Retire { drain_seconds } => {
                if self.successor.load(SeqCst) != requester.number || requester.has_disconnected() {
                    return refused("nothing was handed over on this connection".to_owned());
                }
                tracing::info!("a new ingress process serves; this one finishes its open requests");
                self.retired.store(true, SeqCst);
                self.shutdown.send_replace(Some(Duration::from_secs(drain_seconds)));
                // Until then a request may still use a route that the controller removes meanwhile.
                // The sender is in `self`, so waiting cannot fail.
                let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
                Message::Acknowledged { version: self.routing.table().version }
            }
            Request::Shutdown { drain_seconds } => match self.refuse_unless_in_charge(requester) {
                None => {
                    self.shutdown.send_replace(Some(Duration::from_secs(drain_seconds)));
                    Message::Acknowledged { version: self.routing.table().version }
                }
                Some(reason) => refused(reason),
            },
        }
    }

    /// The reason why this connection may not change anything; `None` if it is in charge.
    fn refuse_unless_in_charge(&self, requester: &Requester<'_>) -> Option<String> {
        if requester.has_disconnected() {
            return Some("the controller has closed this connection".to_owned());
        }
        if self.successor.load(SeqCst) != 0 && self.successor.load(SeqCst) != requester.number {
            return Some("a new ingress process is taking over; connect again".to_owned());
        }
        let in_charge = [&self.in_charge, &self.successor].iter().any(|it| it.load(SeqCst) == requester.number);
        let reason = "this connection is not in charge: a newer one has sent a hello, or this one has not";
        (!in_charge).then(|| reason.to_owned())
    }

    async fn hello(
        &self,
        protocol: u32,
        wanted: Vec<Listener>,
        proxies: TrustedProxies,
        requester: &Requester<'_>,
    ) -> Message {
        let mut config = self.config.lock().await;
        if self.successor.load(SeqCst) != 0 {
            return refused("a new ingress process is taking over; connect again".to_owned());
        }
        if requester.has_disconnected() || self.in_charge.load(SeqCst) > requester.number {
            return refused("late hello: a newer connection is in charge, or this one is closed".to_owned());
        }
        self.in_charge.store(requester.number, SeqCst);
        if protocol != PROTOCOL_VERSION {
            // The controller speaks another protocol version. It reads the number in the answer and replaces this
            // process.
            return self.welcome(&config, Vec::new());
        }
        // Before a new listener accepts the first connection.
        let trusts_others = config.listeners.trust(proxies);
        let mut refused = config.listeners.apply(&wanted).await;
        // Listeners are saved only if all are open, so that a restarted ingress opens the ones that are really in use.
        let are_new = refused.is_empty() && wanted != config.wanted;
        if are_new {
            config.wanted = wanted;
        }
        if are_new || trusts_others {
            self.save_and_record(&mut config).await;
        }
        refused.sort_by(|one, other| one.listener.cmp(&other.listener));
        self.welcome(&config, refused)
    }

    /// Copies of what a new process needs to serve in place of this one. Changes are refused until the new one has ended.
    async fn hand_over(&self, requester: &Requester<'_>) -> Answer {
        let config = self.config.lock().await;
        if self.successor.compare_exchange(0, requester.number, SeqCst, SeqCst).is_err() {
            return refused("another new ingress process is taking over".to_owned()).into();
        }
        let copied = self.copy_of_lock().and_then(|lock| Ok((lock, config.listeners.copies()?)));
        let (lock, sockets) = match copied {
            Ok(copied) => copied,
            Err(error) => {
                self.successor.store(0, SeqCst);
                return refused(format!("cannot copy the sockets: {error}")).into();
            }
        };
        let (listeners, sockets): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
        let message = Message::HandedOver {
            listeners,
            table: config.table.clone(),
            certificates: config.certificates.clone(),
            access_log: self.access_log.format(),
            proxies: TrustedProxies::clone(&config.listeners.trusted()),
        };
        Answer { message, descriptors: [lock].into_iter().chain(sockets).collect() }
    }

    fn welcome(&self, config: &ActiveConfig, refused: Vec<ListenerRefused>) -> Message {
        let (status, table) = (self.status(config), config.table.clone());
        Message::Welcome { protocol: PROTOCOL_VERSION, status, refused, table }
    }

    async fn set_table(&self, table: RouteTable, requester: &Requester<'_>) -> Message {
        // Before the lock: the index of a site may be large, and other requests do not have to wait while it is read.
        let (table, sites) = match self.with_sites(table).await {
            Ok(opened) => opened,
            Err(error) => return refused(format!("the files of static sites cannot be opened: {error}")),
        };
        let mut config = self.config.lock().await;
        // Checked under the lock: a newer connection may have sent a hello while this request waited for it.
        if let Some(reason) = self.refuse_unless_in_charge(requester) {
            return refused(reason);
        }
        let (version, current) = (table.version, config.table.version);
        if version < current {
            return refused(format!("table {version} is older than table {current}, which stays in force"));
        }
        config.table = table;
        // The table takes effect even if it cannot be saved, because a full disk must not keep a dead instance routed.
        // It is saved later. If this process crashes before that, the older table is back until the controller sends
        // the current one.
        self.save_and_record(&mut config).await;
        self.routing.install_with(&config.table, sites);
        let ActiveConfig { listeners, table, .. } = &mut *config;
        listeners.apply_internal(table).await;
        tracing::debug!(version, "table in force");
        Message::Acknowledged { version }
    }

    /// Opens the files of the sites that a table names, on a thread for blocking work.
    pub async fn with_sites(&self, table: RouteTable) -> Result<(RouteTable, OpenSites), tokio::task::JoinError> {
        let routing = Arc::clone(&self.routing);
        tokio::task::spawn_blocking(move || {
            let sites = routing.open_sites(&table);
            (table, sites)
        })
        .await
    }

    async fn set_certificates(&self, wanted: CertificateSet, requester: &Requester<'_>) -> Message {
        let mut config = self.config.lock().await;
        if let Some(reason) = self.refuse_unless_in_charge(requester) {
            return refused(reason);
        }
        for reason in config.listeners.install_certificates(&wanted) {
            tracing::warn!(reason, "a certificate was left out");
        }
        // Answers to challenges are of no use after a restart.
        if config.certificates != wanted.certificates {
            config.certificates = wanted.certificates;
            self.save_certificates(&config).await;
        }
        Message::Acknowledged { version: self.routing.table().version }
    }

    async fn set_access_log(&self, format: AccessLogFormat, requester: &Requester<'_>) -> Message {
        let mut config = self.config.lock().await;
        if let Some(reason) = self.refuse_unless_in_charge(requester) {
            return refused(reason);
        }
        if self.access_log.format() != format {
            self.access_log.set_format(format);
            self.save_and_record(&mut config).await;
        }
        Message::Acknowledged { version: self.routing.table().version }
    }

    /// If this fails, a restarted ingress serves without the newest certificates until the controller sends them again.
    async fn save_certificates(&self, config: &ActiveConfig) {
        let path = snapshot::certificates_path(&self.snapshot_path);
        let (certificates, shown) = (config.certificates.clone(), path.display().to_string());
        let saving = tokio::task::spawn_blocking(move || snapshot::save_certificates(&path, &certificates));
        if let Err(error) = saving.await.map_err(io::Error::other).flatten() {
            tracing::warn!(file = shown, %error, "cannot save the certificates");
        }
    }

    /// Whether a new process is taking over, or has.
    pub fn is_handing_over(&self) -> bool {
        self.successor.load(SeqCst) != 0
    }

    fn lock(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        // Code under this lock only replaces the value.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy_of_lock(&self) -> io::Result<OwnedFd> {
        self.lock().as_ref().ok_or(io::ErrorKind::NotFound)?.try_clone()
    }

    pub fn set_lock(&self, lock: OwnedFd) {
        *self.lock() = Some(lock);
    }

    /// A new process has the lock. The kernel releases it when neither of the two processes holds it.
    pub fn give_up_lock(&self) {
        *self.lock() = None;
    }

    /// Whether the lock is that of this directory, and not of one that was replaced.
    pub fn has_lock_of(&self, folder: &Path) -> bool {
        let held = self.lock().as_ref().and_then(|lock| rustix::fs::fstat(lock).ok());
        let found = rustix::fs::stat(folder.join("lock")).ok();
        held.zip(found).is_some_and(|(held, found)| (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino))
    }

    /// Saves the table in force, as after the data directory was replaced.
    pub async fn save(&self) {
        let mut config = self.config.lock().await;
        self.save_and_record(&mut config).await;
        self.save_certificates(&config).await;
    }

    /// Saves the table in force if the last attempt failed.
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
            (None, Some(why)) => tracing::warn!(why, "cannot save the routes in force; trying again"),
            (Some(_), None) => tracing::info!("saved the routes in force"),
            _ => {}
        }
        config.unsaved = unsaved;
    }

    async fn write_snapshot(&self, config: &ActiveConfig) -> io::Result<()> {
        let proxies = TrustedProxies::clone(&config.listeners.trusted());
        let snapshot = Snapshot::new(config.wanted.clone(), config.table.clone());
        let snapshot = Snapshot { proxies, access_log: self.access_log.format(), ..snapshot };
        let path = self.snapshot_path.clone();
        tokio::task::spawn_blocking(move || snapshot::save(&path, &snapshot)).await.map_err(io::Error::other)?
    }

    fn status(&self, config: &ActiveConfig) -> Status {
        Status {
            boot_id: self.boot_id.clone(),
            pid: std::process::id(),
            version: self.routing.table().version,
            listeners: config.listeners.bound(),
            internal: config.listeners.internal(),
            internal_refused: config.listeners.internal_refused().to_vec(),
            proxies: TrustedProxies::clone(&config.listeners.trusted()),
            refused: self.routing.table().refused.clone(),
            unsaved: config.unsaved.clone(),
            open: self.routing.open(),
            counters: self.routing.counters(),
            refusals: config.listeners.refusals(),
            sent_bytes: self.routing.sent_bytes(),
            program: self.program.clone(),
            components: self.routing.components(),
            log_lines_dropped: self.access_log.dropped(),
            features: FEATURES,
        }
    }
}

/// The connection that a request arrived on.
struct Requester<'a> {
    /// Connections are numbered in the order in which they were accepted.
    number: u64,
    stream: &'a UnixStream,
}

impl Requester<'_> {
    /// Whether the peer has closed the connection and so waits for no answer. An unread request hides the close; the
    /// check before the next request detects it.
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
    let own_uid = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own_uid || peer.uid() == 0)
}

/// An answer, and descriptors that go with it.
struct Answer {
    message: Message,
    descriptors: Vec<OwnedFd>,
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        Answer { message, descriptors: Vec::new() }
    }
}

impl Answer {
    async fn write(&self, to: &mut OwnedWriteHalf) -> Result<(), WireError> {
        let descriptors: Vec<_> = self.descriptors.iter().map(AsFd::as_fd).collect();
        for batch in take_over::batches(&descriptors) {
            let socket: &UnixStream = to.as_ref();
            socket
                .async_io(Interest::WRITABLE, || take_over::send_descriptors(socket, batch))
                .await
                .map_err(WireError::Io)?;
        }
        wire::write(to, &self.message).await
    }
}

/// Writes answers in the order of their requests, and events as they occur.
async fn write_out(
    mut to: OwnedWriteHalf,
    mut answers: mpsc::Receiver<Answer>,
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
                Ok(item) => item.into(),
                // Some events were dropped. Close the connection: the controller connects again and reads the status.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return,
            },
        };
        match tokio::time::timeout(WRITE_LIMIT, message.write(&mut to)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
