//! The socket of a client, and its state, which the tasks that serve the client share.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::refused_head::page_for;
use crate::deadline::Deadline;

/// The state of a client's socket, shared with the tasks that serve it.
#[derive(Debug)]
pub(crate) struct SocketState {
    opened: Instant,
    /// Microseconds from `opened` to when the ingress began to wait for the next request head, or [`IN_REQUEST`].
    waiting_since: AtomicU64,
    moved: AtomicU64,
    reset: AtomicBool,
    closed: AtomicBool,
    /// The current request has a body that was not read to its end.
    unread: AtomicBool,
    /// A response of HTTP/2 waits for data of the application.
    app_silent: AtomicBool,
    /// The last response may not have left every buffer of this process.
    unflushed: AtomicBool,
    wake: Notify,
    /// The status and the request id of the page that a request got because its head cannot be read.
    refused_head: OnceLock<(StatusCode, HeaderValue)>,
}

/// The client sends a request or waits for its response.
const IN_REQUEST: u64 = u64::MAX;

impl Default for SocketState {
    fn default() -> Self {
        SocketState {
            opened: Instant::now(),
            waiting_since: AtomicU64::new(0),
            moved: AtomicU64::default(),
            reset: AtomicBool::default(),
            closed: AtomicBool::default(),
            unread: AtomicBool::default(),
            app_silent: AtomicBool::default(),
            unflushed: AtomicBool::default(),
            wake: Notify::default(),
            refused_head: OnceLock::new(),
        }
    }
}

impl SocketState {
    /// A whole request head has arrived.
    pub fn request_began(&self) {
        self.waiting_since.store(IN_REQUEST, Relaxed);
    }

    /// The response was handed over.
    pub fn request_ended(&self) {
        let since = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(IN_REQUEST - 1);
        self.unflushed.store(true, Relaxed);
        self.waiting_since.store(since, Relaxed);
    }

    /// The last response has left every buffer of this process.
    pub fn flushed(&self) {
        self.unflushed.store(false, Relaxed);
    }

    /// Whether no byte of a response is left to write.
    fn has_responded(&self) -> bool {
        self.waiting_since.load(Relaxed) != IN_REQUEST && !self.unflushed.load(Relaxed)
    }

    /// Returns once the ingress has waited for a whole request head for `limit`. Costs nothing while requests arrive.
    pub async fn head_overdue(&self, limit: Duration) {
        loop {
            let since = self.waiting_since.load(Relaxed);
            let left = match since {
                IN_REQUEST => limit,
                // The response came early, and the client still sends its body.
                _ if self.is_body_unread() => limit,
                since => (Duration::from_micros(since) + limit).saturating_sub(self.opened.elapsed()),
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// The socket is reset instead of closed when it is dropped.
    pub fn reset_on_close(&self) {
        self.reset.store(true, Relaxed);
    }

    /// Records whether the current request has a body that is not read yet.
    pub fn set_body_unread(&self, yes: bool) {
        if self.unread.swap(yes, Relaxed) && !yes && self.waiting_since.load(Relaxed) != IN_REQUEST {
            self.request_ended();
        }
    }

    pub fn is_body_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// The status and the request id of the page that was written because a head cannot be read.
    pub fn refused_head(&self) -> Option<&(StatusCode, HeaderValue)> {
        self.refused_head.get()
    }

    /// Wakes the task that serves the client.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Returns after the next [`Self::wake`].
    pub async fn woken(&self) {
        self.wake.notified().await;
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

    /// Records whether a response of HTTP/2 waits for the application. Otherwise it waits for the client.
    pub fn set_app_silent(&self, yes: bool) {
        self.app_silent.store(yes, Relaxed);
    }

    /// For one stream of HTTP/2: returns once its client has taken or sent nothing for `limit`, or the application has sent
    /// nothing for `silence`, at most twice `limit` later. The bytes of other streams do not count, nor PINGs.
    pub async fn stream_stalled(&self, limit: Duration, silence: Duration) {
        let (mut seen, mut quiet) = (self.moved.load(Relaxed), Duration::ZERO);
        loop {
            Deadline::after(limit).await;
            let now = self.moved.load(Relaxed);
            quiet = if now == seen { quiet + limit } else { Duration::ZERO };
            seen = now;
            let allowed = if self.app_silent.load(Relaxed) { silence } else { limit };
            if quiet >= allowed {
                return;
            }
        }
    }

    /// These bytes of a message or its framing have passed.
    pub fn moved(&self, count: usize) {
        self.moved.fetch_add(count as u64, Relaxed);
    }
}

/// A stream to a client: a TCP connection, or TLS on one.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the kernel reset the connection when it is dropped, instead of closing it in order.
    fn reset_on_drop(&self);
}

impl ClientStream for TcpStream {
    fn reset_on_drop(&self) {
        // If the socket is gone there is nothing to reset.
        let _ = self.set_zero_linger();
    }
}

/// A client's stream, which keeps [`SocketState`] up to date.
pub(super) struct ClientSocket<S: ClientStream> {
    stream: S,
    watch: Arc<SocketState>,
    /// The ingress closed its side in order.
    shut: bool,
    /// Bytes that were read, and are to be read again.
    ahead: Bytes,
    /// What is left of a page that replaces an answer of the HTTP library.
    page: Option<Bytes>,
}

impl<S: ClientStream> ClientSocket<S> {
    pub fn new(stream: S, watch: &Arc<SocketState>) -> Self {
        let watch = Arc::clone(watch);
        ClientSocket { stream, watch, shut: false, ahead: Bytes::new(), page: None }
    }

    /// The next reader gets these bytes before those of the stream.
    pub fn reading_first(mut self, unread: Bytes) -> Self {
        self.ahead = unread;
        self
    }

    pub fn state(&self) -> &Arc<SocketState> {
        &self.watch
    }

    /// Whether the ingress closed its side in order.
    pub fn was_shut_down(&self) -> bool {
        self.shut
    }

    /// Writes the page that replaces the answer `given`, if it is one of the HTTP library to a head that it cannot read.
    /// `None`: it is not.
    fn poll_page(&mut self, cx: &mut Context<'_>, given: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.page.is_none() {
            let refused = self.watch.has_responded().then(|| page_for(given)).flatten()?;
            // The connection ends after the first one.
            let _ = self.watch.refused_head.set((refused.status, refused.request_id));
            self.page = Some(refused.page);
        }
        let page = self.page.as_mut()?;
        while !page.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, page) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(count)) => page.advance(count),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        self.page = None;
        Some(Poll::Ready(Ok(given.len())))
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(count)) => self.watch.moved(*count),
            Poll::Ready(Err(_)) => self.watch.closed.store(true, Relaxed),
            Poll::Pending => {}
        }
        result
    }
}

impl<S: ClientStream> AsyncRead for ClientSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        match (buf.filled().len() - before, &result) {
            (0, Poll::Ready(_)) if buf.remaining() > 0 => self.watch.closed.store(true, Relaxed),
            (count, _) => self.watch.moved(count),
        }
        result
    }
}

impl<S: ClientStream> AsyncWrite for ClientSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(page) = self.poll_page(cx, buf) {
            return page;
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs
            && let Some(page) = self.poll_page(cx, only)
        {
            return page;
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_ready() && self.watch.waiting_since.load(Relaxed) != IN_REQUEST {
            self.watch.flushed();
        }
        result
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

impl<S: ClientStream> Drop for ClientSocket<S> {
    fn drop(&mut self) {
        if self.watch.reset.load(Relaxed) {
            self.stream.reset_on_drop();
        }
    }
}
