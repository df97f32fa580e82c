//! Connections to one upstream: opened, kept while idle, reused.
//!
//! Built on hyper's connection API rather than its pooling client, because two guarantees need it: whether a byte of a
//! request was written or of its response read (this decides what may be sent again), and that no connection outlives
//! its instance or its idle timeout.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::Limits;
use crate::protocol::Address;
use crate::upload::RequestBody;
use crate::upstream::Upstream;
use crate::upstream_stream::UpstreamStream;
use crate::worker;

/// One HTTP/1.1 connection to an upstream.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    pub sender: SendRequest<RequestBody>,
    traffic: Arc<Traffic>,
    /// It has carried a request before, so the upstream may be closing it.
    pub reused: bool,
}

/// The traffic of a connection so far.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    written: AtomicU64,
    read: AtomicU64,
    /// The current request has a body.
    has_body: AtomicBool,
    /// The upstream accepts no more bytes. What it has sent can still be read.
    write_closed: AtomicBool,
}

impl Traffic {
    pub fn begin_request(&self, has_body: bool) {
        self.has_body.store(has_body, Relaxed);
    }
}

/// How many bytes a connection had written and read at some moment.
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

    /// Whether the upstream stopped reading before the whole request was written.
    pub fn stopped_reading(&self) -> bool {
        self.traffic.write_closed.load(Relaxed)
    }
}

/// Opens a connection within the connect timeout.
pub(crate) async fn connect(address: &Address, limits: &Limits) -> io::Result<UpstreamConnection> {
    let stream = match tokio::time::timeout(limits.connect, UpstreamStream::connect(address)).await {
        Ok(stream) => stream?,
        Err(_elapsed) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let traffic = Arc::new(Traffic::default());
    let io = TokioIo::new(UpstreamSocket { stream, traffic: Arc::clone(&traffic), unwritten: true, reader: None });
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(256 * 1024)
        .max_headers(limits.headers)
        // A proxy removes such spaces (RFC 9112, 5.1) and replaces line folding with spaces (5.2).
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(io)
        .await
        .map_err(io::Error::other)?;
    // Errors reach the request that waits for the response or reads the body. The end of an idle connection needs no
    // report.
    tokio::spawn(connection.with_upgrades());
    Ok(UpstreamConnection { sender, traffic, reused: false })
}

/// Idle connections of one worker to one upstream.
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
    /// The most recently used connection that is ready. Closed and expired ones are dropped on the way.
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
            // Not ready: it is still finishing its last exchange. Keep it.
        }
        None
    }

    /// Returns a connection whose response has been read to its end.
    pub fn put(upstream: &Arc<Upstream>, connection: UpstreamConnection, limits: &Arc<Limits>) {
        let mut idle = upstream.pool().lock();
        if idle.closed
            || connection.sender.is_closed()
            || connection.stopped_reading()
            || idle.connections.len() >= limits.upstream_idle_count.div_ceil(worker::count())
        {
            return;
        }
        idle.connections.push_back((connection, Instant::now()));
        if !std::mem::replace(&mut idle.sweeping, true) {
            tokio::spawn(sweep(Arc::clone(upstream), Arc::clone(limits)));
        }
    }

    /// Drops idle connections, and every connection that is returned from now on.
    pub fn close(&self) {
        let mut idle = self.lock();
        idle.closed = true;
        // A connection that still sends a request body after its response stays until that has ended.
        idle.connections.retain(|(connection, _)| !connection.sender.is_ready() && !connection.sender.is_closed());
    }

    pub fn open(&self) {
        self.lock().closed = false;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, IdleConnections> {
        // Code under this lock leaves nothing half done, so a panic elsewhere cannot have broken it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops expired connections. Returns when to check again, or `None` if nothing is left.
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
        // The minimum avoids a busy loop on an expired connection that is still in use.
        Some(idle_limit.saturating_sub(oldest.elapsed()).max(Duration::from_millis(100)))
    }
}

/// Runs on the worker that has the pool, while the pool holds connections.
async fn sweep(upstream: Arc<Upstream>, limits: Arc<Limits>) {
    while let Some(next) = upstream.pool().drop_overdue(limits.upstream_idle) {
        tokio::time::sleep(next).await;
    }
}

/// The socket of an upstream. It counts bytes, and keeps reading after a failed write.
///
/// An application may respond (413, 401, 429) and close before it has read the whole request. The next write then
/// fails, although the response is in the receive buffer. hyper gives up on a failed write, so this type hides it: from
/// then on it discards what hyper writes, and hyper reads until it has the response or the connection ends. Linux keeps
/// received bytes readable after a reset, and every read ends once the connection is gone.
struct UpstreamSocket {
    stream: UpstreamStream,
    traffic: Arc<Traffic>,
    /// Nothing was written yet. hyper treats bytes that arrive before its request as a protocol error, so such a
    /// response has to wait. A connection that closes before its request is reported at once, so that the request can
    /// use another one.
    unwritten: bool,
    /// Woken by the first write.
    reader: Option<Waker>,
}

impl UpstreamSocket {
    fn write_closed(&self) -> bool {
        self.traffic.write_closed.load(Relaxed)
    }

    /// `given`: the number of bytes to be written.
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

/// Errors after which the connection is closed, so that reading the rest ends.
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
            // The kernel resets a connection that is closed with unread bytes. If the request has a body this is the
            // end of an early response, not a sign of a truncated one: an application that crashes ends its response
            // the same way as one that has finished, and only a length shows that something is missing.
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
