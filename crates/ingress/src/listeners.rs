//! The front doors: bound as control wants them, kept when a new one cannot be had, and the connections that come in.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_socket_reuseport;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection_limit::ConnectionLimit;
use crate::protocol::{Listener, ListenerKind, ListenerRefused};
use crate::proxy::Proxy;

mod connection;

pub(crate) use connection::SocketState;

/// Connections that wait to be accepted, as [`TcpListener::bind`] has it.
const BACKLOG: u32 = 1024;
/// How long accepting pauses after the system refused a connection (out of descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// All listeners of the process.
#[derive(Debug)]
pub(crate) struct Listeners {
    proxy: Arc<Proxy>,
    open: BTreeMap<Listener, OpenListener>,
    limit: Arc<ConnectionLimit>,
    tasks: TaskTracker,
    /// Ends connections that did not end by themselves.
    cut: CancellationToken,
}

/// One bound listener.
#[derive(Debug)]
struct OpenListener {
    bound: SocketAddr,
    socket: Arc<TcpListener>,
    stop: CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
}

impl Listeners {
    /// `max_clients`: open client connections; above, idle ones give way.
    pub fn new(proxy: Arc<Proxy>, max_clients: usize, tasks: TaskTracker, cut: CancellationToken) -> Self {
        let limit = ConnectionLimit::new(max_clients);
        Listeners { proxy, open: BTreeMap::new(), limit, tasks, cut }
    }

    /// Opens what is wanted and not open, then closes what is open and not wanted. If one cannot be had, everything
    /// open stays open: a front open too many is better than none.
    pub async fn apply(&mut self, wanted: &[Listener]) -> Vec<ListenerRefused> {
        let mut refused = Vec::new();
        for listener in wanted {
            if self.open.contains_key(listener) || self.open.values().any(|open| open.bound == listener.address) {
                continue;
            }
            if let Err(error) = self.open_one(listener, wanted).await {
                let reason = match error.kind() {
                    io::ErrorKind::AddrInUse => "something else listens there".to_owned(),
                    _ => error.to_string(),
                };
                tracing::warn!(listener = %listener.address, %error, "listener refused");
                refused.push(ListenerRefused { listener: listener.clone(), reason });
            }
        }
        if refused.is_empty() {
            for (listener, open) in self.remove_unwanted(wanted) {
                tracing::info!(listener = %listener.address, "listener closed");
                open.close().await;
            }
        }
        refused
    }

    /// Of all client connections.
    pub fn connection_limit(&self) -> Arc<ConnectionLimit> {
        Arc::clone(&self.limit)
    }

    /// As control names them, with the port that was really bound.
    pub fn bound(&self) -> Vec<Listener> {
        self.open.iter().map(|(listener, open)| Listener { address: open.bound, kind: listener.kind }).collect()
    }

    /// No new connection on any of them; open ones end after their present request.
    pub async fn close_all(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            open.close().await;
        }
    }

    async fn open_one(&mut self, listener: &Listener, wanted: &[Listener]) -> io::Result<()> {
        let socket = match TcpListener::bind(listener.address).await {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                self.bind_sharing_port(listener, wanted, error)?
            }
            Err(error) => return Err(error),
        };
        self.serve(listener, socket)
    }

    /// The address may be taken by a listener of ours that is not wanted any more: `127.0.0.1:80` is in the way of
    /// `0.0.0.0:80`. Sockets that both allow it (`SO_REUSEPORT`) may be bound side by side. So the old one stays open until
    /// the new one is, and stays open where the new one cannot be had.
    fn bind_sharing_port(&self, listener: &Listener, wanted: &[Listener], taken: io::Error) -> io::Result<TcpListener> {
        let conflicting = |(listed, open): &(&Listener, &OpenListener)| {
            open.bound.port() == listener.address.port() && !wanted.contains(listed)
        };
        let old: Vec<&TcpListener> = self.open.iter().filter(conflicting).map(|(_, open)| &*open.socket).collect();
        if old.is_empty() {
            return Err(taken);
        }
        let share = |yes| old.iter().try_for_each(|socket| set_socket_reuseport(socket, yes));
        let bound = share(true).map_err(io::Error::from).and_then(|()| bind_shared(listener.address));
        // For a moment only: nobody else shall share the port with us.
        share(false)?;
        let socket = bound?;
        set_socket_reuseport(&socket, false)?;
        Ok(socket)
    }

    fn serve(&mut self, listener: &Listener, socket: TcpListener) -> io::Result<()> {
        let bound = socket.local_addr()?;
        let socket = Arc::new(socket);
        let stop = CancellationToken::new();
        let accept = Accept {
            socket: Arc::clone(&socket),
            kind: listener.kind,
            proxy: Arc::clone(&self.proxy),
            limit: Arc::clone(&self.limit),
            tasks: self.tasks.clone(),
            stop: stop.clone(),
            cut: self.cut.clone(),
            port: bound.port(),
        };
        let accepting = tokio::spawn(accept.run());
        tracing::info!(listener = %bound, "listening");
        self.open.insert(listener.clone(), OpenListener { bound, socket, stop, accepting });
        Ok(())
    }

    fn remove_unwanted(&mut self, wanted: &[Listener]) -> Vec<(Listener, OpenListener)> {
        let keep = |listed: &Listener, open: &OpenListener| {
            wanted.contains(listed) || wanted.iter().any(|wanted| wanted.address == open.bound)
        };
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.open).into_iter().partition(|(listed, open)| keep(listed, open));
        self.open = kept;
        gone.into_iter().collect()
    }
}

/// As [`TcpListener::bind`], and beside other sockets that allow it.
fn bind_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl OpenListener {
    /// Returns once the socket is closed, so that its address is free.
    async fn close(self) {
        self.stop.cancel();
        // A panic in there has been reported; the socket is closed either way.
        let _ = self.accepting.await;
    }
}

struct Accept {
    socket: Arc<TcpListener>,
    kind: ListenerKind,
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
            let ListenerKind::Http = self.kind;
            let Some(slot) = self.limit.acquire(peer.ip()) else {
                tracing::debug!(%peer, "too many connections are busy; a new one is closed");
                continue;
            };
            let connection = connection::Connection {
                proxy: Arc::clone(&self.proxy),
                peer,
                port: self.port,
                stop: self.stop.clone(),
                cut: self.cut.clone(),
                slot: Arc::new(slot),
            };
            self.tasks.spawn(connection.serve(stream));
        }
    }
}
