//! One client connection: HTTP/1.1 by hyper, with an idle timeout, ended gracefully when its listener closes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::connection_limit::{BusyGuard, ConnectionSlot};
use crate::headers::Origin;
use crate::proxy::{Client, Proxy};

pub(super) struct Connection {
    pub proxy: Arc<Proxy>,
    pub peer: SocketAddr,
    pub port: u16,
    pub stop: CancellationToken,
    pub cut: CancellationToken,
    pub slot: Arc<ConnectionSlot>,
}

impl Connection {
    pub async fn serve(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the client disconnected before it was served");
            return;
        }
        let watch = Arc::new(SocketState::default());
        let client = Client { origin: self.origin(), socket: Arc::clone(&watch) };
        let io = TokioIo::new(ClientSocket { stream, watch: Arc::clone(&watch), shut: false });
        let limits = &self.proxy.limits;
        let context = Arc::new((Arc::clone(&self.proxy), client));
        let slot = Arc::clone(&self.slot);
        let service = service_fn(move |request| {
            let context = Arc::clone(&context);
            // Held until the last byte of the response has been handed over.
            let busy = slot.busy();
            async move {
                let response = context.0.respond(&context.1, request).await?;
                Ok::<_, Infallible>(response.map(|body| BusyBody { body, _busy: busy }))
            }
        });
        // Half-close is off: a client that closes its side while it waits counts as gone, and its instance sees a
        // closed connection.
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.request_head)
            .max_header_size(limits.head_bytes)
            .max_headers(limits.headers)
            .max_buf_size(limits.head_bytes.max(64 * 1024))
            .serve_connection(io, service)
            .with_upgrades();
        let mut stopping = false;
        loop {
            tokio::select! {
                result = &mut connection => {
                    let refused = result.as_ref().is_err_and(hyper::Error::is_parse);
                    if let Err(error) = result {
                        tracing::debug!(peer = %self.peer, %error, "client connection ended");
                    }
                    if let Some(parts) = connection.into_parts()
                        && (refused || watch.unread.load(Relaxed))
                    {
                        self.linger(parts.io.into_inner()).await;
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                // Polls hyper again, so that it notices that nothing reads the client's body any more.
                () = watch.wake.notified() => {}
                () = self.cut.cancelled() => return,
                () = self.slot.evicted() => {
                    tracing::debug!(peer = %self.peer, "closed to make room for another connection");
                    return;
                }
                () = watch.idle_for(limits.body_idle) => {
                    tracing::debug!(peer = %self.peer, "closed an idle client connection");
                    return;
                }
            }
        }
    }

    /// The client got a response before it had sent the whole request. Discards what it still sends, so that it can
    /// read the response: closing with unread bytes would reset its connection.
    async fn linger(&self, mut socket: ClientSocket) {
        if !socket.shut || self.proxy.limits.linger.is_zero() {
            return;
        }
        let limits = &self.proxy.limits;
        let mut buffer = vec![0; 16 * 1024];
        let discard = async {
            loop {
                let read = tokio::time::timeout(limits.linger_idle, socket.stream.read(&mut buffer)).await;
                if !matches!(read, Ok(Ok(1..))) {
                    return;
                }
            }
        };
        tokio::select! {
            () = discard => {}
            () = tokio::time::sleep(limits.linger) => {}
            () = self.cut.cancelled() => {}
            () = self.slot.evicted() => {}
        }
    }

    fn origin(&self) -> Origin {
        let text = |text: String| HeaderValue::try_from(text).expect("digits, dots and colons are header text");
        Origin {
            address: text(self.peer.ip().to_canonical().to_string()),
            port: text(self.port.to_string()),
            scheme: HeaderValue::from_static("http"),
        }
    }
}

/// A response body. Its connection counts as busy while it exists.
struct BusyBody<B> {
    body: B,
    _busy: BusyGuard,
}

impl<B: Body + Unpin> Body for BusyBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The state of a client's socket, shared with the tasks that serve it.
#[derive(Debug, Default)]
pub(crate) struct SocketState {
    moved: AtomicU64,
    reset: AtomicBool,
    closed: AtomicBool,
    /// The current request has a body that was not read to its end.
    unread: AtomicBool,
    wake: Notify,
}

impl SocketState {
    /// The socket is reset instead of closed when it is dropped.
    pub fn reset_on_close(&self) {
        self.reset.store(true, Relaxed);
    }

    /// Records whether the current request has a body that is not read yet.
    pub fn set_body_unread(&self, yes: bool) {
        self.unread.store(yes, Relaxed);
    }

    /// Wakes the task that serves the client.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether the client closed its side or its connection broke.
    pub fn client_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Returns once no byte has passed for `limit`, at most twice that time later. Costs nothing while bytes pass.
    pub async fn idle_for(&self, limit: Duration) {
        let mut seen = self.moved.load(Relaxed);
        loop {
            tokio::time::sleep(limit).await;
            let now = self.moved.load(Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }

    fn moved(&self, count: usize) {
        self.moved.fetch_add(count as u64, Relaxed);
    }
}

/// The client's socket.
struct ClientSocket {
    stream: TcpStream,
    watch: Arc<SocketState>,
    /// The ingress closed its side in order.
    shut: bool,
}

impl ClientSocket {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(count)) => self.watch.moved(*count),
            Poll::Ready(Err(_)) => self.watch.closed.store(true, Relaxed),
            Poll::Pending => {}
        }
        result
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        match (buf.filled().len() - before, &result) {
            (0, Poll::Ready(_)) if buf.remaining() > 0 => self.watch.closed.store(true, Relaxed),
            (count, _) => self.watch.moved(count),
        }
        result
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.reset.load(Relaxed) {
            // A regular shutdown would send the FIN that would make a truncated body look complete.
            return Poll::Ready(Ok(()));
        }
        self.shut = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        if self.watch.reset.load(Relaxed) {
            // If the socket is gone there is nothing to reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}
