//! One request at one instance, and its body: streamed, held back until the instance asks for it, and abandoned when it
//! is of no more use.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use crate::counters::CutKind;
use crate::deadline::Deadline;
use crate::headers;
use crate::listeners::SocketState;
use crate::upstream::Admission;

/// One request at one upstream. Its admission ends when the last holder drops this.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub admission: Admission,
    /// Body frames that were forwarded.
    frames_sent: AtomicU64,
    /// The instance accepts no more bytes. What it has sent can still be read.
    stopped_reading: AtomicBool,
    /// The whole request body was forwarded, or there is none.
    complete: AtomicBool,
    /// The instance asked for the body, or did not ask within the time allowed.
    requested: AtomicBool,
    /// The rest of the body will not be sent.
    abandoned: AtomicBool,
    /// The task that forwards the body.
    body_task: AtomicWaker,
}

impl Exchange {
    pub fn new(admission: Admission) -> Arc<Self> {
        Arc::new(Exchange {
            admission,
            frames_sent: AtomicU64::new(0),
            stopped_reading: AtomicBool::new(false),
            complete: AtomicBool::new(true),
            requested: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            body_task: AtomicWaker::new(),
        })
    }

    /// Whether some of the request body is still to be forwarded.
    pub fn is_uploading(&self) -> bool {
        !self.complete.load(SeqCst)
    }

    /// What would be cut off if the instance ended now, or `None` if the instance is not draining.
    pub fn cut_by_stop(&self) -> Option<CutKind> {
        let kind = if self.is_uploading() { CutKind::Upload } else { CutKind::Request };
        self.admission.upstream().is_draining().then_some(kind)
    }

    /// Whether the instance stopped reading before the whole request was written.
    pub fn stopped_reading(&self) -> bool {
        self.stopped_reading.load(SeqCst)
    }

    pub fn stop_reading(&self) {
        self.stopped_reading.store(true, SeqCst);
    }

    /// Returns once no part of the body was sent for `limit`.
    pub async fn stalled(&self, limit: Duration) {
        loop {
            let before = self.frames_sent.load(Relaxed);
            Deadline::after(limit).await;
            if self.frames_sent.load(Relaxed) == before {
                return;
            }
        }
    }

    /// Allows the body to be sent: the instance answered `100 Continue`, or no answer is needed.
    pub fn request_body(&self) {
        self.requested.store(true, SeqCst);
        self.body_task.wake();
    }

    pub fn body_requested(&self) -> bool {
        self.requested.load(SeqCst)
    }

    /// Stops forwarding the body, which also closes the connection to the instance.
    pub fn abandon_body(&self) {
        self.abandoned.store(true, SeqCst);
        self.body_task.wake();
    }
}

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client did not send the whole body")]
    Client(#[source] hyper::Error),
    #[error("the instance responded without reading the body")]
    Abandoned,
}

/// Whether something of a request's body is left to read.
pub(crate) fn has_body(body: Option<&Incoming>) -> bool {
    body.is_some_and(|body| !body.is_end_stream())
}

/// A request body on its way to an upstream.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// `None`: there is none, or it was dropped.
    incoming: Option<Incoming>,
    /// Sent before the rest of `incoming`: what another attempt had sent already.
    again: VecDeque<Bytes>,
    client: Arc<SocketState>,
    exchange: Option<Arc<Exchange>>,
    continue_wait: ContinueWait,
}

/// Whether the body is held back until the instance asks for it.
#[derive(Debug)]
enum ContinueWait {
    No,
    ForAtMost(Duration),
    Begun(Pin<Box<Sleep>>),
}

impl RequestBody {
    /// `continue_wait`: set if the client expects `100 Continue`; how long the instance may take to send it. hyper
    /// sends it to the client when this body is polled for its first frame.
    pub fn new(incoming: Option<Incoming>, client: &Arc<SocketState>, continue_wait: Option<Duration>) -> Self {
        client.set_body_unread(has_body(incoming.as_ref()));
        RequestBody {
            incoming,
            again: VecDeque::new(),
            client: Arc::clone(client),
            exchange: None,
            continue_wait: continue_wait.map_or(ContinueWait::No, ContinueWait::ForAtMost),
        }
    }

    /// Moves the rest of the body out. This one is empty then.
    pub fn take(&mut self) -> Self {
        RequestBody {
            incoming: self.incoming.take(),
            again: std::mem::take(&mut self.again),
            client: Arc::clone(&self.client),
            exchange: None,
            continue_wait: std::mem::replace(&mut self.continue_wait, ContinueWait::No),
        }
    }

    /// Whether the client waits for `100 Continue`.
    pub fn expects_continue(&self) -> bool {
        !matches!(self.continue_wait, ContinueWait::No)
    }

    /// Ties this body to an exchange.
    pub fn attach(&mut self, exchange: &Arc<Exchange>) {
        exchange.complete.store(self.is_end_stream(), SeqCst);
        self.exchange = Some(Arc::clone(exchange));
    }

    /// Puts back what was read from this body, so that it can be sent again.
    pub fn prepend(&mut self, read: Vec<Bytes>) {
        self.again = read.into();
    }

    fn may_send_body(&mut self, cx: &mut Context<'_>) -> bool {
        if self.exchange.as_ref().is_none_or(|exchange| exchange.body_requested()) {
            self.continue_wait = ContinueWait::No;
            return true;
        }
        if let ContinueWait::ForAtMost(time) = self.continue_wait {
            self.continue_wait = ContinueWait::Begun(Box::pin(tokio::time::sleep(time)));
        }
        let ContinueWait::Begun(sleep) = &mut self.continue_wait else { return true };
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        // An application that does not support the expectation waits for the body.
        self.continue_wait = ContinueWait::No;
        self.exchange.iter().for_each(|exchange| exchange.request_body());
        true
    }

    fn record_frame(&mut self, frame: Option<&Result<Frame<Bytes>, UploadError>>) {
        let over = frame.is_none() || self.is_end_stream();
        // For the deadline of a stream of HTTP/2, which carries other streams on the same socket.
        self.client.moved(1);
        if let Some(exchange) = &self.exchange
            && !matches!(frame, Some(Err(_)))
        {
            exchange.frames_sent.fetch_add(1, Relaxed);
            if over {
                exchange.complete.store(true, SeqCst);
            }
        }
        if over {
            self.client.set_body_unread(false);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if self.incoming.is_none() {
            return Poll::Ready(None);
        }
        if let Some(exchange) = &self.exchange {
            // Register the waker first, so that no wake-up between check and wait is missed.
            exchange.body_task.register(cx.waker());
            if exchange.abandoned.load(SeqCst) {
                return Poll::Ready(Some(Err(UploadError::Abandoned)));
            }
        }
        if self.expects_continue() && !self.may_send_body(cx) {
            return Poll::Pending;
        }
        if let Some(data) = self.again.pop_front() {
            let frame = Some(Ok(Frame::data(data)));
            self.record_frame(frame.as_ref());
            return Poll::Ready(frame);
        }
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(incoming).poll_frame(cx));
        let mut frame = frame.map(|result| result.map_err(UploadError::Client));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            // Trailers are subject to the same restrictions as headers.
            headers::strip_claims(trailers);
        }
        self.record_frame(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_empty() && self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let again = self.again.iter().map(|data| data.len() as u64).sum::<u64>();
        if again > 0 {
            hint.upper().into_iter().for_each(|upper| hint.set_upper(upper + again));
            hint.set_lower(hint.lower() + again);
        }
        hint
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        let unread = !incoming.is_end_stream();
        drop(incoming);
        if unread {
            // hyper does not notice by itself that nothing reads the client's body any more.
            self.client.wake();
        }
    }
}
