//! Connections to one upstream: made, kept for a moment, handed out again.
//!
//! Built on hyper's connection level rather than on its pooling client, because two promises need what only this level
//! knows: whether a byte of a request was written or a byte of its answer read (which decides what may be sent again),
//! and that no connection outlives its instance or its idle time.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::limits::Limits;
use crate::upload::RequestBody;
use crate::upstream::Upstream;

/// One connection to an upstream, speaking HTTP/1.1.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    pub sender: SendRequest<RequestBody>,
    traffic: Arc<Traffic>,
    /// It has carried a request before, so the other side may be closing it right now.
    pub reused: bool,
}

/// What went over a connection so far.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    written: AtomicU64,
    read: AtomicU64,
    /// The present request has a body.
    has_body: AtomicBool,
    /// The other side takes no more bytes. What it has sent before can still be read.
    write_closed: AtomicBool,
}

impl Traffic {
    pub fn begin_request(&self, has_body: bool) {
        self.has_body.store(has_body, Relaxed);
    }
}

/// Where a connection's traffic stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrafficPosition {
    pub written: u64,
    pub read: u64,
}

impl UpstreamConnection {
    pub fn position(&self) -> TrafficPosition {
        TrafficPosition { written: self.traffic.written.load(Relaxed), read: self.traffic.read.load(Relaxed) }
    }

    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// The other side stopped reading before the request was written to its end.
    pub fn stopped_reading(&self) -> bool {
        self.traffic.write_closed.load(Relaxed)
    }
}

/// Opens a connection. The caller has the deadline.
pub(crate) async fn connect(address: SocketAddr, limits: &Limits) -> io::Result<UpstreamConnection> {
    let stream = match tokio::time::timeout(limits.connect, TcpStream::connect(address)).await {
        Ok(stream) => stream?,
        Err(_elapsed) => return Err(io::ErrorKind::TimedOut.into()),
    };
    stream.set_nodelay(true)?;
    let traffic = Arc::new(Traffic::default());
    let io = TokioIo::new(UpstreamSocket { stream, traffic: Arc::clone(&traffic), unwritten: true, reader: None });
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(256 * 1024)
        .max_headers(limits.headers)
        // A proxy takes off such spaces (RFC 9112, 5.1), and replaces folds by spaces (5.2).
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(io)
        .await
        .map_err(io::Error::other)?;
    // Its errors reach whoever waits for an answer or reads a body; an idle one's end concerns nobody.
    tokio::spawn(connection.with_upgrades());
    Ok(UpstreamConnection { sender, traffic, reused: false })
}

/// Idle connections of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<IdleConnections>,
}

#[derive(Debug, Default)]
struct IdleConnections {
    connections: VecDeque<(UpstreamConnection, Instant)>,
    closed: bool,
    sweeping: bool,
}

impl Pool {
    /// The connection used last that is ready now. Dead and overdue ones are dropped on the way.
    pub fn take(&self, idle_limit: Duration) -> Option<UpstreamConnection> {
        let mut idle = self.lock();
        let mut at = idle.connections.len();
        while at > 0 {
            at -= 1;
            let (connection, since) = &idle.connections[at];
            if connection.sender.is_closed() || (connection.sender.is_ready() && since.elapsed() >= idle_limit) {
                idle.connections.remove(at);
            } else if connection.sender.is_ready() {
                return idle
                    .connections
                    .remove(at)
                    .map(|(connection, _)| UpstreamConnection { reused: true, ..connection });
            }
            // Not ready: its last answer is being finished. Leave it there.
        }
        None
    }

    /// Gives a connection back whose answer has been read to its end.
    pub fn put(upstream: &Arc<Upstream>, connection: UpstreamConnection, limits: &Arc<Limits>) {
        let mut idle = upstream.pool.lock();
        if idle.closed
            || connection.sender.is_closed()
            || connection.stopped_reading()
            || idle.connections.len() >= limits.upstream_idle_count
        {
            return;
        }
        idle.connections.push_back((connection, Instant::now()));
        if !std::mem::replace(&mut idle.sweeping, true) {
            tokio::spawn(sweep(Arc::clone(upstream), Arc::clone(limits)));
        }
    }

    /// Drops what is idle, and everything that is given back from now on.
    pub fn close(&self) {
        let mut idle = self.lock();
        idle.closed = true;
        // One that still sends a request's body after its answer stays until that has ended.
        idle.connections.retain(|(connection, _)| !connection.sender.is_ready() && !connection.sender.is_closed());
    }

    pub fn open(&self) {
        self.lock().closed = false;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, IdleConnections> {
        // Nothing that runs under this lock leaves it half done, so a panic elsewhere cannot have broken it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops overdue connections. Returns when to look again, or `None` when nothing is left.
    fn drop_overdue(&self, idle_limit: Duration) -> Option<Duration> {
        let mut idle = self.lock();
        let closed = idle.closed;
        idle.connections.retain(|(connection, since)| {
            let may_stay = !closed && since.elapsed() < idle_limit;
            !connection.sender.is_closed() && (may_stay || !connection.sender.is_ready())
        });
        let Some((_, oldest)) = idle.connections.front() else {
            idle.sweeping = false;
            return None;
        };
        // The floor keeps a connection that is overdue but still busy from spinning us.
        Some(idle_limit.saturating_sub(oldest.elapsed()).max(Duration::from_millis(100)))
    }
}

/// Runs only while the pool holds something.
async fn sweep(upstream: Arc<Upstream>, limits: Arc<Limits>) {
    while let Some(next) = upstream.pool.drop_overdue(limits.upstream_idle) {
        tokio::time::sleep(next).await;
    }
}

/// The socket of an upstream. It counts what passes, and it outlives a failed write.
///
/// An application may answer before it has read the whole request (413, 401, 429) and close. The next write then fails,
/// although the answer lies in our receive buffer. hyper gives up on a failed write, so it must not see one: from then on
/// what it writes is thrown away, and it reads on until it has the answer, or finds that there is none. Linux keeps
/// received bytes readable after a reset, and every read ends once the connection is gone.
struct UpstreamSocket {
    stream: TcpStream,
    traffic: Arc<Traffic>,
    /// Nothing was written yet. hyper takes bytes that come before its request for a broken connection, and such an answer
    /// has to wait; a connection that ends before its request may be told at once, since then the request can go elsewhere.
    unwritten: bool,
    /// Waits for the first write.
    reader: Option<Waker>,
}

impl UpstreamSocket {
    fn write_closed(&self) -> bool {
        self.traffic.write_closed.load(Relaxed)
    }

    /// `given`: the number of bytes that should have been written.
    fn wrote(&mut self, result: Poll<io::Result<usize>>, given: usize) -> Poll<io::Result<usize>> {
        if self.unwritten && result.is_ready() {
            self.unwritten = false;
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        match result {
            Poll::Ready(Ok(count)) => {
                self.traffic.written.fetch_add(count as u64, Relaxed);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) if is_closed_by_peer(&error) => {
                self.traffic.write_closed.store(true, Relaxed);
                Poll::Ready(Ok(given))
            }
            other => other,
        }
    }
}

/// Errors after which the connection is gone, so that reading what is left comes to an end.
fn is_closed_by_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

impl AsyncRead for UpstreamSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unwritten && matches!(ready!(self.stream.poll_peek(cx, &mut ReadBuf::new(&mut [0; 1]))), Ok(1..)) {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.traffic.read.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        match result {
            // A system that closes a connection with unread bytes resets it. Where a request has a body this is the end of
            // an answer that came early, and no sign of a cut one: an application that dies ends its answer in the same
            // way as one that has finished, and only an answer with a length shows whether something is missing.
            Poll::Ready(Err(error)) if is_closed_by_peer(&error) && self.traffic.has_body.load(Relaxed) => {
                self.traffic.write_closed.store(true, Relaxed);
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for UpstreamSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.write_closed() {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let given = bufs.iter().map(|buf| buf.len()).sum();
        if self.write_closed() {
            return Poll::Ready(Ok(given));
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(result, given)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
