//! Upgraded connections: copies bytes both ways until one side closes, and records whether a stop cut the connection
//! off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::counters::UpgradeRecord;
use crate::listeners::SocketState;
use crate::upload::Exchange;
use crate::upstream_http1::UpgradedConnection;

/// How long the client's side may take to hand over its connection after the 101 response.
const HAND_OVER: Duration = Duration::from_secs(10);

/// How long a client may take to close its side after the instance closed its own.
const LINGER: Duration = Duration::from_secs(5);

/// The running tunnels, and the token that ends them.
#[derive(Debug)]
pub(crate) struct Tunnels {
    pub tasks: TaskTracker,
    pub cut: CancellationToken,
    pub idle: Duration,
}

enum TunnelEnd {
    /// A side closed, or the client disconnected.
    Closed,
    /// The ingress ended it: the process is stopping, or the connection was idle for too long.
    Aborted,
}

impl Tunnels {
    /// Connects the two sides once the client's has been handed over. The request counts as an upgraded connection from
    /// now on.
    pub fn open(
        &self,
        client: OnUpgrade,
        upstream: UpgradedConnection,
        exchange: &Arc<Exchange>,
        record: UpgradeRecord,
        socket: &Arc<SocketState>,
    ) {
        exchange.admission.upgrade();
        let tunnel = Tunnel {
            exchange: Arc::clone(exchange),
            record: Arc::new(record),
            socket: Arc::clone(socket),
            cut: self.cut.clone(),
            idle: self.idle,
        };
        self.tasks.spawn(tunnel.run(client, upstream));
    }
}

struct Tunnel {
    exchange: Arc<Exchange>,
    record: Arc<UpgradeRecord>,
    socket: Arc<SocketState>,
    cut: CancellationToken,
    idle: Duration,
}

impl Tunnel {
    async fn run(self, client: OnUpgrade, upstream: UpgradedConnection) {
        let Ok(Ok(client)) = tokio::time::timeout(HAND_OVER, client).await else {
            return;
        };
        let upstream = InstanceSide {
            io: upstream,
            socket: Arc::clone(&self.socket),
            record: Arc::clone(&self.record),
            close: Arc::default(),
        };
        let close = Arc::clone(&upstream.close);
        let end = self.join(TokioIo::new(client), upstream).await;
        if matches!(end, TunnelEnd::Aborted) || self.was_stopped(&close) {
            self.record.cut();
        }
    }

    /// Whether the instance closed first because it is being stopped.
    fn was_stopped(&self, close: &InstanceClose) -> bool {
        close.first.load(Relaxed) && self.exchange.admission.upstream().is_draining()
    }

    async fn join(&self, mut client: TokioIo<Upgraded>, mut instance: InstanceSide) -> TunnelEnd {
        let close = Arc::clone(&instance.close);
        let copy = tokio::io::copy_bidirectional(&mut client, &mut instance);
        let linger = async {
            close.now.cancelled().await;
            // Recorded at once: the client may take its time, and the deployment's record is about to be closed.
            if self.was_stopped(&close) {
                self.record.cut();
            }
            tokio::time::sleep(LINGER).await;
        };
        tokio::select! {
            result = copy => { let _: io::Result<_> = result; TunnelEnd::Closed }
            () = linger => TunnelEnd::Closed,
            () = self.socket.idle_for(self.idle) => TunnelEnd::Aborted,
            () = self.cut.cancelled() => TunnelEnd::Aborted,
        }
    }
}

/// Whether the instance closed its side, and whether it did so before the client.
#[derive(Debug, Default)]
struct InstanceClose {
    first: AtomicBool,
    now: CancellationToken,
}

/// The instance's side; notices when it closes.
struct InstanceSide {
    io: UpgradedConnection,
    socket: Arc<SocketState>,
    record: Arc<UpgradeRecord>,
    close: Arc<InstanceClose>,
}

impl InstanceSide {
    fn ended(&self) {
        if !self.close.now.is_cancelled() {
            self.close.first.store(!self.socket.client_closed(), Relaxed);
            self.close.now.cancel();
        }
    }
}

impl AsyncRead for InstanceSide {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if result.is_ready() && read == 0 && buf.remaining() > 0 {
            self.ended();
        }
        self.record.sent(read);
        result
    }
}

impl AsyncWrite for InstanceSide {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        if matches!(result, Poll::Ready(Err(_))) {
            self.ended();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
