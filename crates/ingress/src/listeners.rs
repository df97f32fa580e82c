//! The listening sockets: opened and closed as the controller asks, and the client connections they accept.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ipnet::IpNet;
use rustix::net::sockopt::{set_ip_freebind, set_ipv6_v6only, set_socket_reuseport};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection_limit::ConnectionLimit;
use crate::forwarded::contains;
use crate::headers::Origin;
use crate::internal::{self, InternalListener};
use crate::protocol::{
    CertificateSet, InternalRefused, Listener, ListenerKind, ListenerRefused, RouteTable, TrustedProxies,
};
use crate::proxy::Proxy;
use crate::worker::Workers;

mod client_socket;
mod connection;
mod fast_path;
mod http2;
mod https;
mod proxy_header;
mod refused_head;

pub(crate) use client_socket::SocketState;

/// Backlog, as [`TcpListener::bind`] sets it.
const BACKLOG: u32 = 1024;
/// Pause after the system refused to accept a connection, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// All listeners of the process.
#[derive(Debug)]
pub(crate) struct Listeners {
    proxy: Arc<Proxy>,
    open: BTreeMap<Listener, OpenListener>,
    /// Those for containers.
    internal: BTreeMap<InternalListener, OpenListener>,
    internal_refused: Vec<InternalRefused>,
    limit: Arc<ConnectionLimit>,
    tasks: TaskTracker,
    /// Cancelled to close connections that did not end in time.
    cut: CancellationToken,
    /// Started with the first listener.
    workers: Option<Workers>,
}

/// One bound listener.
#[derive(Debug)]
struct OpenListener {
    bound: SocketAddr,
    /// Each worker accepts on a copy of this descriptor. `None`: this listener no longer accepts.
    socket: Option<std::net::TcpListener>,
    stop: CancellationToken,
    accepting: Vec<JoinHandle<()>>,
}

impl Listeners {
    /// `max_clients`: simultaneous client connections. Above it idle ones are closed.
    pub fn new(proxy: Arc<Proxy>, max_clients: usize, tasks: TaskTracker, cut: CancellationToken) -> Self {
        let limit = ConnectionLimit::new(max_clients);
        let (open, internal, internal_refused) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Listeners { proxy, open, internal, internal_refused, limit, tasks, cut, workers: None }
    }

    /// Opens listeners that are wanted and not open, then closes those that are open and not wanted. If one cannot be
    /// opened nothing is closed: an extra listener is better than none.
    pub async fn apply(&mut self, wanted: &[Listener]) -> Vec<ListenerRefused> {
        let mut refused = Vec::new();
        for listener in wanted {
            if self.open.iter().any(|(listed, open)| is_for(listener, listed, open)) {
                continue;
            }
            if let Err(error) = self.open_one(listener, wanted) {
                tracing::warn!(listener = %listener.address, %error, "listener refused");
                refused.push(ListenerRefused { listener: listener.clone(), reason: reason(&error) });
            }
        }
        if refused.is_empty() {
            for (listener, open) in self.remove_unwanted(wanted) {
                tracing::info!(listener = %listener.address, "listener closed");
                open.close().await;
            }
        }
        let https = self.bound().into_iter().find(|it| it.kind == ListenerKind::Https);
        self.proxy.https_port.store(https.map_or(0, |it| it.address.port()), Ordering::Relaxed);
        refused
    }

    /// Closes the listeners for containers that the table does not need, and opens those that it needs. One
    /// that cannot be opened is tried again with the next table.
    pub async fn apply_internal(&mut self, table: &RouteTable) {
        let wanted = internal::listeners(table);
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.internal).into_iter().partition(|(it, _)| wanted.contains(it));
        self.internal = kept;
        for (listener, open) in gone {
            tracing::info!(listener = %listener.address(), "listener for containers closed");
            open.close().await;
        }
        let mut refused = Vec::new();
        for listener in wanted {
            if self.internal.contains_key(&listener) {
                continue;
            }
            let address = listener.address();
            match self.open_internal(listener.clone()) {
                Ok(open) => drop(self.internal.insert(listener, open)),
                Err(error) => refused.push(InternalRefused { address, reason: reason(&error) }),
            }
        }
        for it in refused.iter().filter(|it| !self.internal_refused.contains(it)) {
            tracing::warn!(listener = %it.address, reason = it.reason, "listener for containers refused");
        }
        self.internal_refused = refused;
    }

    /// Where the ingress listens for containers.
    pub fn internal(&self) -> Vec<SocketAddr> {
        self.internal.keys().map(InternalListener::address).collect()
    }

    /// Where it should listen for them and cannot.
    pub fn internal_refused(&self) -> &[InternalRefused] {
        &self.internal_refused
    }

    /// The limit shared by all client connections.
    pub fn connection_limit(&self) -> Arc<ConnectionLimit> {
        Arc::clone(&self.limit)
    }

    /// Requests that were refused without an app, by the code of the refusal.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.proxy.refusals.read()
    }

    /// Puts certificates in force for new connections. Returns a sentence for each one that cannot be used.
    pub fn install_certificates(&self, wanted: &CertificateSet) -> Vec<String> {
        self.proxy.certificates.install(wanted)
    }

    /// Sets the proxies that new connections are compared with. Returns whether that changed anything.
    pub fn trust(&self, proxies: TrustedProxies) -> bool {
        let changed = **self.trusted() != proxies;
        self.proxy.trusted.store(Arc::new(proxies));
        changed
    }

    pub fn trusted(&self) -> arc_swap::Guard<Arc<TrustedProxies>> {
        self.proxy.trusted.load()
    }

    /// The open listeners as the controller named them, with the bound port.
    pub fn bound(&self) -> Vec<Listener> {
        self.open.iter().map(|(listener, open)| Listener { address: open.bound, kind: listener.kind }).collect()
    }

    /// Serves on a socket that another process opened. It is for containers if the table says so.
    pub fn adopt(&mut self, listener: &Listener, socket: std::net::TcpListener, table: &RouteTable) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        match internal::listeners(table).into_iter().find(|it| it.address() == listener.address) {
            Some(internal) => {
                let open = self.serve(socket, listener.kind, Some(Arc::new(internal.clone())))?;
                self.internal.insert(internal, open);
            }
            None => {
                let open = self.serve(socket, listener.kind, None)?;
                self.open.insert(listener.clone(), open);
            }
        }
        Ok(())
    }

    /// Copies of the listening sockets, each as the controller named it, and of those for containers.
    pub fn copies(&self) -> io::Result<Vec<(Listener, OwnedFd)>> {
        let public = self.open.iter().map(|(listener, open)| (listener.clone(), open));
        let internal = self
            .internal
            .iter()
            .map(|(listener, open)| (Listener { address: listener.address(), kind: listener.kind() }, open));
        let accepting = public.chain(internal).filter_map(|(listener, open)| Some((listener, open.socket.as_ref()?)));
        accepting.map(|(listener, socket)| Ok((listener, socket.try_clone()?.into()))).collect()
    }

    /// The open listeners as the controller named them.
    pub fn named(&self) -> Vec<Listener> {
        self.open.keys().cloned().collect()
    }

    /// Stops accepting, and asks clients to use another connection for their next request. A connection that is closed
    /// while its client sends a request would lose that request. Closes the sockets, so that none of this process keeps
    /// clients waiting.
    pub fn stop_accepting(&mut self) {
        self.proxy.closing.store(true, Ordering::Relaxed);
        for open in self.open.values_mut().chain(self.internal.values_mut()) {
            open.accepting.iter().for_each(JoinHandle::abort);
            open.socket = None;
        }
    }

    /// Closes all listeners. Open connections end after their current request.
    pub async fn close_all(&mut self) {
        let internal = std::mem::take(&mut self.internal).into_values();
        for open in std::mem::take(&mut self.open).into_values().chain(internal) {
            open.close().await;
        }
    }

    fn open_one(&mut self, listener: &Listener, wanted: &[Listener]) -> io::Result<()> {
        let socket = match bind(listener.address, false) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // A listener that is no longer wanted stays open until the new one is bound, and stays open if the new
                // one cannot be bound.
                let unwanted = self.open.iter().filter(|(listed, _)| !wanted.contains(listed)).map(|(_, open)| open);
                bind_beside(unwanted.chain(self.internal.values()), listener.address, error)?
            }
            Err(error) => return Err(error),
        };
        let open = self.serve(socket, listener.kind, None)?;
        self.open.insert(listener.clone(), open);
        Ok(())
    }

    fn open_internal(&mut self, listener: InternalListener) -> io::Result<OpenListener> {
        let address = listener.address();
        let socket = match bind(address, false) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // A connection to the more specific address reaches the new listener.
                bind_beside(self.open.values(), address, error)?
            }
            Err(error) => return Err(error),
        };
        self.serve(socket, listener.kind(), Some(Arc::new(listener)))
    }

    fn serve(
        &mut self,
        socket: TcpListener,
        kind: ListenerKind,
        internal: Option<Arc<InternalListener>>,
    ) -> io::Result<OpenListener> {
        let bound = socket.local_addr()?;
        let socket = socket.into_std()?;
        let workers = match &mut self.workers {
            Some(workers) => workers,
            none => none.insert(Workers::start()?),
        };
        let stop = CancellationToken::new();
        let mut accepting = Vec::new();
        for runtime in workers.runtimes() {
            let _entered = runtime.enter();
            let accept = Accept {
                socket: TcpListener::from_std(socket.try_clone()?)?,
                kind,
                internal: internal.clone(),
                proxy: Arc::clone(&self.proxy),
                limit: Arc::clone(&self.limit),
                tasks: self.tasks.clone(),
                stop: stop.clone(),
                cut: self.cut.clone(),
                port: bound.port(),
            };
            accepting.push(accept);
        }
        let accepting = accepting.into_iter().zip(workers.runtimes());
        let accepting = accepting.map(|(accept, runtime)| runtime.spawn(accept.run())).collect();
        tracing::info!(listener = %bound, "listening");
        Ok(OpenListener { bound, socket: Some(socket), stop, accepting })
    }

    fn remove_unwanted(&mut self, wanted: &[Listener]) -> Vec<(Listener, OpenListener)> {
        let keep = |listed: &Listener, open: &OpenListener| wanted.iter().any(|wanted| is_for(wanted, listed, open));
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.open).into_iter().partition(|(listed, open)| keep(listed, open));
        self.open = kept;
        gone.into_iter().collect()
    }
}

/// Whether an open listener is the wanted one. Its port may have been chosen by the system.
fn is_for(wanted: &Listener, listed: &Listener, open: &OpenListener) -> bool {
    wanted == listed || (wanted.kind == listed.kind && wanted.address == open.bound)
}

/// Why a listener cannot be opened, for people.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    }
}

/// Binds an address that a listener of this process may have: `127.0.0.1:80` conflicts with `0.0.0.0:80`. Sockets that both
/// set `SO_REUSEPORT` may share a port. `taken`: the error if no listener of this process is on that port.
fn bind_beside<'a>(
    open: impl Iterator<Item = &'a OpenListener>,
    address: SocketAddr,
    taken: io::Error,
) -> io::Result<TcpListener> {
    let beside: Vec<_> =
        open.filter(|it| it.bound.port() == address.port()).filter_map(|it| it.socket.as_ref()).collect();
    if beside.is_empty() {
        return Err(taken);
    }
    let share = |yes| beside.iter().try_for_each(|socket| set_socket_reuseport(socket, yes));
    let bound = share(true).map_err(io::Error::from).and_then(|()| bind(address, true));
    // Only for a moment, so that no other process shares the port.
    share(false)?;
    let socket = bound?;
    set_socket_reuseport(&socket, false)?;
    Ok(socket)
}

/// Like [`TcpListener::bind`], also for an IPv4 address that this host does not have yet: the engine creates the networks of
/// apps, and creates them again after it was restarted. `[::]` accepts IPv4 as well, whatever the host's default is.
fn bind(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(share)?;
    if address.is_ipv4() {
        set_ip_freebind(&socket, true)?;
    } else {
        set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl OpenListener {
    /// Returns once the socket is closed and its address is free.
    async fn close(self) {
        self.stop.cancel();
        for accepting in self.accepting {
            // A panic of the task was reported already; the socket is closed either way.
            let _ = accepting.await;
        }
    }
}

/// Accepts connections on one worker.
struct Accept {
    socket: TcpListener,
    kind: ListenerKind,
    internal: Option<Arc<InternalListener>>,
    proxy: Arc<Proxy>,
    limit: Arc<ConnectionLimit>,
    tasks: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
    port: u16,
}

impl Accept {
    async fn run(self) {
        loop {
            let (stream, peer) = tokio::select! {
                () = self.stop.cancelled() => return,
                next = self.socket.accept() => match next {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::warn!(%error, port = self.port, "cannot accept; pausing");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            if self.internal.as_ref().is_some_and(|it| !it.accepts(peer.ip(), &self.proxy.routing.table())) {
                self.proxy.refusals.count("other-network");
                tracing::debug!(%peer, port = self.port, "refused a connection from outside the networks of apps");
                continue;
            }
            let is_https = self.kind == ListenerKind::Https;
            let Some(slot) = self.limit.acquire(peer.ip()) else {
                self.proxy.refusals.count("connection-limit");
                tracing::debug!(%peer, "the connection limit is reached and no connection may be evicted; closing a new one");
                continue;
            };
            let trusted = self.proxy.trusted.load();
            // No proxy stands between the components of an app.
            let is_listed = |networks: &[IpNet]| self.internal.is_none() && contains(networks, peer.ip());
            let has_header = is_listed(&trusted.by_proxy_protocol);
            let mut connection = connection::Connection {
                proxy: Arc::clone(&self.proxy),
                peer,
                origin: Origin::new(peer.ip(), self.port, if is_https { "https" } else { "http" }),
                behind: is_listed(&trusted.by_header).then(|| Arc::clone(&trusted)),
                server_name: None,
                internal: self.internal.clone(),
                stop: self.stop.clone(),
                cut: self.cut.clone(),
                slot: Arc::new(slot),
            };
            self.tasks.spawn(async move {
                let mut stream = stream;
                if has_header && !connection.read_proxy_header(&mut stream).await {
                    return;
                }
                match stream.set_nodelay(true) {
                    Ok(()) if is_https => https::serve(connection, stream).await,
                    Ok(()) => connection.serve(stream).await,
                    Err(error) => tracing::debug!(%error, "the client disconnected before it was served"),
                }
            });
        }
    }
}
