//! `boatyard ingress`: one process per data directory, from loading its snapshot to its last open request.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use futures::future::OptionFuture;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Pid, Resource, Rlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::AccessLog;
use crate::client::{ClientError, ControlClient, IngressEvent};
use crate::control_server::{ActiveConfig, ControlServer};
use crate::launch;
use crate::limits::Limits;
use crate::listeners::Listeners;
use crate::maintenance::{ControlEndpoint, run_maintenance};
use crate::protocol::{Certificate, CertificateSet, RouteTable};
use crate::proxy::Proxy;
use crate::routing_state::RoutingState;
use crate::snapshot::{self, LoadOutcome, Snapshot};
use crate::take_over::{Inherited, InheritedState};
use crate::tunnel::Tunnels;
use crate::worker;

/// How long open requests may take after SIGTERM.
const SIGTERM_DRAIN: Duration = Duration::from_secs(30);
/// How long the open requests of a process that this one replaced may take. Meanwhile this one serves, so it can be long: as
/// long as an upgraded connection may be idle.
const REPLACED_DRAIN: Duration = Duration::from_secs(3600);
/// The same for a process of the first version. It holds the lock until it ends, so another process could not start meanwhile if
/// this one crashed.
const FIRST_VERSION_DRAIN: Duration = Duration::from_secs(300);
/// After a new process has taken over, clients get this long to end kept connections by their next request.
const LINGER: Duration = Duration::from_secs(2);
/// How long a process that ends may take to write the last lines of the access log.
const LOGGED_WITHIN: Duration = Duration::from_secs(5);
/// How often the open requests of a replaced process are read.
const PREDECESSOR_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum length of a unix socket path without its terminating zero (`sun_path` on Linux).
const SOCKET_PATH_LIMIT: usize = 107;
/// File descriptors reserved for everything except clients and their upstream connections.
const RESERVED_DESCRIPTORS: u64 = 128;
/// And for each worker: its runtime and its copies of the listening sockets.
const RESERVED_PER_WORKER: u64 = 16;

#[derive(Debug)]
pub struct IngressOptions {
    /// The installation's data directory. The ingress uses its subdirectory `ingress`.
    pub data_dir: PathBuf,
    /// What the ingress that this one replaces handed over.
    pub inherited: Option<Inherited>,
}

/// Why the ingress could not start.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    #[error("cannot use {path}")]
    Directory {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("an ingress already runs for {data_dir}; it keeps serving. Stop it with `boatyard down`")]
    AlreadyRunning { data_dir: PathBuf },
    #[error("the path {path} is too long for a socket ({} bytes; {SOCKET_PATH_LIMIT} are possible); choose a shorter data directory", .path.as_os_str().len())]
    SocketPath { path: PathBuf },
    #[error("cannot listen on the control socket {path}")]
    Socket {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot read the snapshot {path}")]
    Snapshot {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    #[error("cannot take over the listener {address}; the running ingress goes on serving")]
    Adopt {
        address: SocketAddr,
        #[source]
        cause: io::Error,
    },
    #[error("the running ingress goes on serving: {reason}")]
    NotReplaced { reason: String },
}

/// The control socket of a data directory's ingress.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("ingress").join("control.sock")
}

/// Runs the ingress of a data directory until a shutdown request, SIGTERM or SIGINT. Open requests then get 30 s, or
/// the time in the shutdown request. SIGHUP is ignored.
///
/// The process starts a new session, so that closing the terminal or a Ctrl-C meant for `boatyard serve` does not reach
/// it. If a person starts it from a shell it already leads a process group, and stays in the terminal's session.
///
/// # Errors
/// [`IngressError::AlreadyRunning`] if another process holds the directory's lock; files and sockets that cannot be
/// opened.
pub async fn run(options: IngressOptions) -> Result<(), IngressError> {
    // Fails only for the leader of a process group, which stays in its session.
    let _ = rustix::process::setsid();
    let mut terminate = signal(SignalKind::terminate()).map_err(IngressError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(IngressError::Signals)?;
    // A handler whose signals are never read: this ignores SIGHUP.
    let _hangup = signal(SignalKind::hangup()).map_err(IngressError::Signals)?;
    let stop_signal = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        SIGTERM_DRAIN
    };
    let for_workers = RESERVED_PER_WORKER * worker::count() as u64;
    let max_clients = max_clients(raise_descriptor_limit().saturating_sub(for_workers));
    serve_after(options.inherited, &options.data_dir, Limits::default(), max_clients, stop_signal).await
}

/// Like [`serve_after`], in place of no other process.
#[cfg(test)]
pub(crate) async fn serve(
    data_dir: &Path,
    limits: Limits,
    max_clients: usize,
    stop_signal: impl Future<Output = Duration>,
) -> Result<(), IngressError> {
    serve_after(None, data_dir, limits, max_clients, stop_signal).await
}

/// Like [`run`], without the process-wide settings. `stop_signal` completes when the ingress should stop; its value is
/// the time for open requests.
pub(crate) async fn serve_after(
    inherited: Option<Inherited>,
    data_dir: &Path,
    limits: Limits,
    max_clients: usize,
    stop_signal: impl Future<Output = Duration>,
) -> Result<(), IngressError> {
    let folder = prepare_directory(data_dir)?;
    let (lock, inherited) = match inherited {
        Some(Inherited { lock, state }) => (lock, Some(state)),
        None => (lock_directory(&folder, data_dir)?, None),
    };
    let path = socket_path(data_dir);
    if path.as_os_str().len() > SOCKET_PATH_LIMIT {
        return Err(IngressError::SocketPath { path });
    }
    let process = Process::new(&folder, lock, limits, max_clients);
    let predecessor = match inherited {
        Some(state) => Some(process.inherit(state).await?),
        None => {
            process.restore().await?;
            None
        }
    };
    let (endpoint, socket) = ControlEndpoint::bind(data_dir)?;
    let endpoint = Arc::new(Mutex::new(endpoint));
    let predecessor = match predecessor {
        Some(predecessor) => predecessor.retire(&process.server.routing).await?,
        None => None,
    };
    tracing::info!(data_dir = %data_dir.display(), boot = %process.server.boot_id, "ingress ready");

    let mut requests = process.server.shutdown.subscribe();
    let clients = process.server.config.lock().await.listeners.connection_limit();
    let control = tokio::spawn(run_maintenance(Arc::clone(&process.server), Arc::clone(&endpoint), socket, clients));
    tokio::pin!(stop_signal);
    let mut signalled = false;
    let mut drain = tokio::select! {
        drain = &mut stop_signal => {
            signalled = true;
            drain
        }
        drain = shutdown_requested(&mut requests) => drain,
    };
    let is_retired = process.server.retired.load(SeqCst);
    tracing::info!(drain_seconds = drain.as_secs(), is_retired, "ingress is stopping");
    if is_retired {
        process.server.give_up_lock();
        process.linger().await;
    }
    // A process that was replaced drains for long, and may be asked to hurry. So may the one before it.
    let mut is_hurried = !is_retired;
    loop {
        let before = predecessor.as_ref().map(|it| it.end(is_hurried.then_some(drain), drain));
        let stopped = async { tokio::join!(process.stop(drain), OptionFuture::from(before)) };
        tokio::select! {
            _ = stopped => break,
            sooner = &mut stop_signal, if !signalled => (signalled, drain) = (true, sooner),
            sooner = next_request(&mut requests) => drain = sooner,
        }
        is_hurried = true;
    }
    process.server.access_log.flush(LOGGED_WITHIN).await;
    control.abort();
    // The task was aborted above, so its result is always an error.
    let _ = control.await;
    if is_retired {
        return Ok(());
    }
    if let Some(endpoint) = Arc::into_inner(endpoint) {
        endpoint.into_inner().close();
    }
    Ok(())
}

async fn shutdown_requested(requests: &mut watch::Receiver<Option<Duration>>) -> Duration {
    loop {
        if let Some(drain) = *requests.borrow_and_update() {
            return drain;
        }
        if requests.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The value of the next shutdown request.
async fn next_request(requests: &mut watch::Receiver<Option<Duration>>) -> Duration {
    if requests.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    requests.borrow_and_update().unwrap_or_default()
}

struct Process {
    server: Arc<ControlServer>,
    clients: TaskTracker,
    cut: CancellationToken,
}

impl Process {
    fn new(folder: &Path, lock: OwnedFd, limits: Limits, max_clients: usize) -> Self {
        let routing = RoutingState::start();
        let (clients, cut) = (TaskTracker::new(), CancellationToken::new());
        let tunnels = Tunnels { tasks: clients.clone(), cut: cut.clone(), idle: limits.tunnel_idle };
        let access_log = AccessLog::new(folder.with_file_name("access.log"));
        let take_over_within = limits.take_over;
        let proxy = Arc::new(Proxy::new(Arc::clone(&routing), limits, tunnels, Arc::clone(&access_log)));
        let listeners = Listeners::new(proxy, max_clients, clients.clone(), cut.clone());
        let server = Arc::new(ControlServer {
            routing,
            access_log,
            boot_id: uuid::Uuid::new_v4().to_string(),
            snapshot_path: folder.join("routes.json"),
            config: Mutex::new(ActiveConfig {
                listeners,
                wanted: Vec::new(),
                table: RouteTable::default(),
                certificates: Vec::new(),
                unsaved: None,
            }),
            in_charge: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            shutdown: watch::Sender::new(None),
            successor: AtomicU64::new(0),
            take_over_within,
            retired: AtomicBool::new(false),
            program: launch::program_identity(Path::new("/proc/self/exe")).unwrap_or_default(),
            closed: watch::Sender::new(false),
            lock: std::sync::Mutex::new(Some(lock)),
        });
        Process { server, clients, cut }
    }

    /// Restores listeners and table from the snapshot.
    async fn restore(&self) -> Result<(), IngressError> {
        let path = &self.server.snapshot_path;
        let certificates = snapshot::load_certificates(&snapshot::certificates_path(path));
        self.install(certificates).await;
        let found = snapshot::load(path).map_err(|cause| IngressError::Snapshot { path: path.clone(), cause })?;
        match found {
            LoadOutcome::Snapshot(snapshot) => self.apply(*snapshot).await,
            LoadOutcome::Missing => {}
            LoadOutcome::Unusable(renamed, reason) => {
                tracing::warn!(kept_as = %renamed.display(), reason, "the snapshot is not usable; waiting for the controller");
            }
        }
        Ok(())
    }

    /// Serves what another process handed over.
    ///
    /// # Errors
    /// [`IngressError::Adopt`] and [`IngressError::NotReplaced`]: a listener or the files of sites would be missing. The running
    /// ingress goes on when this process ends.
    async fn inherit(&self, inherited: InheritedState) -> Result<Predecessor, IngressError> {
        let InheritedState { sockets, table, certificates, access_log, proxies, connection, unread, is_first_version } =
            inherited;
        let (table, sites) = self.server.with_sites(table).await.map_err(|error| IngressError::NotReplaced {
            reason: format!("the files of static sites cannot be opened: {error}"),
        })?;
        self.install(certificates).await;
        self.server.access_log.set_format(access_log);
        {
            let mut config = self.server.config.lock().await;
            self.server.routing.install_with(&table, sites);
            config.listeners.trust(proxies);
            for (listener, socket) in sockets {
                let failed = |cause| IngressError::Adopt { address: listener.address, cause };
                config.listeners.adopt(&listener, socket, &table).map_err(failed)?;
            }
            config.wanted = config.listeners.named();
            let wanted = config.wanted.clone();
            // All are open. This does the rest that follows from them.
            let _ = config.listeners.apply(&wanted).await;
            config.listeners.apply_internal(&table).await;
            config.table = table;
        }
        self.server.save().await;
        Ok(Predecessor { connection, unread, is_first_version })
    }

    /// Lets clients move to the new process, and then tells that process that this one accepts no further requests.
    async fn linger(&self) {
        self.server.config.lock().await.listeners.stop_accepting();
        tokio::time::sleep(LINGER).await;
        self.server.config.lock().await.listeners.close_all().await;
        self.server.closed.send_replace(true);
    }

    async fn install(&self, certificates: Vec<Certificate>) {
        let mut config = self.server.config.lock().await;
        let set = CertificateSet { certificates, ..CertificateSet::default() };
        for reason in config.listeners.install_certificates(&set) {
            tracing::warn!(reason, "a saved certificate was left out");
        }
        config.certificates = set.certificates;
    }

    async fn apply(&self, snapshot: Snapshot) {
        let Snapshot { listeners, table, proxies, access_log, format: _ } = snapshot;
        self.server.access_log.set_format(access_log);
        let mut config = self.server.config.lock().await;
        self.server.routing.install(&table);
        tracing::info!(version = table.version, "serving from the snapshot");
        config.listeners.trust(proxies);
        // Refused listeners were logged; the controller requests them again.
        let _ = config.listeners.apply(&listeners).await;
        config.listeners.apply_internal(&table).await;
        config.table = table;
        config.wanted = listeners;
    }

    async fn stop(&self, drain: Duration) {
        self.server.config.lock().await.listeners.close_all().await;
        self.clients.close();
        if tokio::time::timeout(drain, self.clients.wait()).await.is_err() {
            tracing::warn!(open = self.clients.len(), "closing connections that are still open");
            self.cut.cancel();
            self.clients.wait().await;
        }
    }
}

/// The process that this one replaces.
struct Predecessor {
    connection: std::os::unix::net::UnixStream,
    unread: Vec<u8>,
    is_first_version: bool,
}

impl Predecessor {
    /// Tells it that this process serves, waits until it accepts no further requests, and follows its open requests until it
    /// has ended. `None`: it is gone already.
    ///
    /// # Errors
    /// [`IngressError::NotReplaced`]: it goes on serving, so this process must not.
    async fn retire(self, routing: &Arc<RoutingState>) -> Result<Option<Replaced>, IngressError> {
        let Predecessor { connection, unread, is_first_version } = self;
        let not_replaced = |error: &dyn std::fmt::Display| IngressError::NotReplaced { reason: error.to_string() };
        let pid = rustix::net::sockopt::socket_peercred(&connection).map_err(|error| not_replaced(&error))?.pid;
        let stream = connection.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(connection));
        let client = ControlClient::on(stream.map_err(|error| not_replaced(&error))?, unread);
        let asked = match is_first_version {
            true => client.shutdown(FIRST_VERSION_DRAIN).await,
            false => client.retire(REPLACED_DRAIN).await,
        };
        match asked {
            Ok(()) => {}
            // It has the request, and this process stays: it retires when it reads it.
            Err(error @ ClientError::Late { .. }) => tracing::warn!(%error, "the replaced ingress is slow"),
            Err(ClientError::Lost) if has_ended(pid).await => return Ok(None),
            Err(error) => return Err(not_replaced(&error)),
        }
        // Before the controller can ask: nothing may look drained that is open there.
        follow_once(&client, routing).await;
        let (followed, routing) = (client.clone(), Arc::clone(routing));
        tokio::spawn(async move {
            while follow_once(&followed, &routing).await {
                tokio::time::sleep(PREDECESSOR_INTERVAL).await;
            }
            tracing::info!("the replaced ingress has ended");
        });
        Ok(Some(Replaced { client, to_kill: is_first_version.then_some(pid) }))
    }
}

/// Whether a process has ended, or ends within a moment.
async fn has_ended(pid: Pid) -> bool {
    const A_MOMENT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
    let wait = move || {
        let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return true };
        // Readable once the process has ended.
        let mut ends = [PollFd::new(&process, PollFlags::IN)];
        rustix::event::poll(&mut ends, Some(&A_MOMENT)).is_ok_and(|ended| ended > 0)
    };
    tokio::task::spawn_blocking(wait).await.unwrap_or(true)
}

/// A process that was replaced and finishes its open requests.
struct Replaced {
    client: ControlClient,
    /// A process of the first version does not change its mind about how long it drains, and holds the lock meanwhile.
    to_kill: Option<Pid>,
}

impl Replaced {
    /// Waits for its end, at most for `within`. `drain`: asks it to finish in this time; `None`: it has its own.
    async fn end(&self, drain: Option<Duration>, within: Duration) {
        let mut events = self.client.events();
        if let Some(drain) = drain
            && self.client.shutdown(drain).await.is_err()
        {
            return;
        }
        let gone = async { while !matches!(events.recv().await, Ok(IngressEvent::Lost) | Err(RecvError::Closed)) {} };
        if tokio::time::timeout(within, gone).await.is_err()
            && let (Some(pid), Some(_)) = (self.to_kill, drain)
        {
            tracing::warn!(?pid, "ending the replaced ingress, which still has open requests");
            // It may have ended just now.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Reads the open requests of a replaced process. `false`: it has ended, and has none.
async fn follow_once(client: &ControlClient, routing: &RoutingState) -> bool {
    let status = client.status().await;
    let has_ended = status.as_ref().is_err_and(|error| !matches!(error, ClientError::Late { .. }));
    if has_ended {
        routing.set_open_of_predecessor(BTreeMap::new());
    } else if let Ok(status) = status {
        routing.set_open_of_predecessor(status.open);
    }
    !has_ended
}

pub(crate) fn prepare_directory(data_dir: &Path) -> Result<PathBuf, IngressError> {
    let folder = data_dir.join("ingress");
    let failed = |cause| IngressError::Directory { path: folder.clone(), cause };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    Ok(folder)
}

/// Locks the data directory's ingress. The kernel releases the lock when the process ends, however it ends.
pub(crate) fn lock_directory(folder: &Path, data_dir: &Path) -> Result<OwnedFd, IngressError> {
    let path = folder.join("lock");
    let failed = |cause: rustix::io::Errno| IngressError::Directory { path: path.clone(), cause: cause.into() };
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(IngressError::AlreadyRunning { data_dir: data_dir.to_owned() }),
        Err(error) => Err(failed(error)),
    }
}

/// Raises the limit of file descriptors to its maximum, and returns the limit in force.
fn raise_descriptor_limit() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match rustix::process::setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}

/// Half of the descriptors: each client may need a connection to an upstream.
fn max_clients(descriptors: u64) -> usize {
    let clients = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2;
    usize::try_from(clients.max(16)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_reserved_for_the_control_socket_and_upstreams() {
        assert_eq!(max_clients(1024), 448);
        assert_eq!(max_clients(100), 16);
        assert!(max_clients(u64::MAX) > 1_000_000);
    }
}
