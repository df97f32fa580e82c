//! `boatyard ingress`: one process per data directory, from loading its snapshot to its last open request.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control_server::{ActiveConfig, ControlServer};
use crate::limits::Limits;
use crate::listeners::Listeners;
use crate::maintenance::{ControlEndpoint, run_maintenance};
use crate::protocol::{Certificate, CertificateSet, RouteTable};
use crate::proxy::Proxy;
use crate::routing_state::RoutingState;
use crate::snapshot::{self, LoadOutcome, Snapshot};
use crate::tunnel::Tunnels;
use crate::worker;

/// How long open requests may take after SIGTERM.
const SIGTERM_DRAIN: Duration = Duration::from_secs(30);
/// Maximum length of a unix socket path without its terminating zero (`sun_path` on Linux).
const SOCKET_PATH_LIMIT: usize = 107;
/// File descriptors reserved for everything except clients and their upstream connections.
const RESERVED_DESCRIPTORS: u64 = 128;
/// And for each worker: its runtime and its copies of the listening sockets.
const RESERVED_PER_WORKER: u64 = 16;

#[derive(Debug, Clone)]
pub struct IngressOptions {
    /// The installation's data directory. The ingress uses its subdirectory `ingress`.
    pub data_dir: PathBuf,
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
    serve(&options.data_dir, Limits::default(), max_clients, stop_signal).await
}

/// Like [`run`], without the process-wide settings. `stop_signal` completes when the ingress should stop; its value is
/// the time for open requests.
pub(crate) async fn serve(
    data_dir: &Path,
    limits: Limits,
    max_clients: usize,
    stop_signal: impl Future<Output = Duration>,
) -> Result<(), IngressError> {
    let folder = prepare_directory(data_dir)?;
    let lock = lock_directory(&folder, data_dir)?;
    let path = socket_path(data_dir);
    if path.as_os_str().len() > SOCKET_PATH_LIMIT {
        return Err(IngressError::SocketPath { path });
    }
    let process = Process::new(&folder, limits, max_clients);
    process.restore().await?;
    let (endpoint, socket) = ControlEndpoint::bind(data_dir, lock)?;
    let endpoint = Arc::new(Mutex::new(endpoint));
    tracing::info!(data_dir = %data_dir.display(), boot = %process.server.boot_id, "ingress ready");

    let mut requests = process.server.shutdown.subscribe();
    let clients = process.server.config.lock().await.listeners.connection_limit();
    let control = tokio::spawn(run_maintenance(Arc::clone(&process.server), Arc::clone(&endpoint), socket, clients));
    let drain = tokio::select! {
        drain = stop_signal => drain,
        drain = shutdown_requested(&mut requests) => drain,
    };
    tracing::info!(drain_seconds = drain.as_secs(), "ingress is stopping");
    process.stop(drain).await;
    control.abort();
    // The task was aborted above, so its result is always an error.
    let _ = control.await;
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

struct Process {
    server: Arc<ControlServer>,
    clients: TaskTracker,
    cut: CancellationToken,
}

impl Process {
    fn new(folder: &Path, limits: Limits, max_clients: usize) -> Self {
        let routing = RoutingState::start();
        let (clients, cut) = (TaskTracker::new(), CancellationToken::new());
        let tunnels = Tunnels { tasks: clients.clone(), cut: cut.clone(), idle: limits.tunnel_idle };
        let proxy = Arc::new(Proxy::new(Arc::clone(&routing), limits, tunnels));
        let listeners = Listeners::new(proxy, max_clients, clients.clone(), cut.clone());
        let server = Arc::new(ControlServer {
            routing,
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

    async fn install(&self, certificates: Vec<Certificate>) {
        let mut config = self.server.config.lock().await;
        let set = CertificateSet { certificates, ..CertificateSet::default() };
        for reason in config.listeners.install_certificates(&set) {
            tracing::warn!(reason, "a saved certificate was left out");
        }
        config.certificates = set.certificates;
    }

    async fn apply(&self, snapshot: Snapshot) {
        let Snapshot { listeners, table, proxies, format: _ } = snapshot;
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
