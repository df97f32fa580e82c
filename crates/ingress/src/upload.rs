//! One request at one instance, and its body on the way there: never gathered, held back while the instance has not requested
//! for it, and given up once it is of no more use.

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
use crate::headers;
use crate::listeners::SocketState;
use crate::pool::Traffic;
use crate::upstream::Admission;

/// One request at one upstream. Its place there is given back when the last holder drops this.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub admission: Admission,
    /// Frames of the request's body that were record_frame on.
    pub frames_sent: AtomicU64,
    /// The request's body failed on the client's side.
    pub client_failed: AtomicBool,
    /// The request's body was record_frame on to its end, or there was none.
    complete: AtomicBool,
    /// The instance requested for the body, or was given long enough to.
    requested: AtomicBool,
    /// The rest of the body is of no use to anybody.
    abandoned: AtomicBool,
    /// The task that passes the body on.
    body_task: AtomicWaker,
}

impl Exchange {
    pub fn new(admission: Admission) -> Arc<Self> {
        Arc::new(Exchange {
            admission,
            frames_sent: AtomicU64::new(0),
            client_failed: AtomicBool::new(false),
            complete: AtomicBool::new(true),
            requested: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            body_task: AtomicWaker::new(),
        })
    }

    /// Some of the request's body is still to be record_frame on.
    pub fn is_uploading(&self) -> bool {
        !self.complete.load(SeqCst)
    }

    /// What is cut if the instance ends now, or `None` where the instance is not being stopped.
    pub fn cut_by_stop(&self) -> Option<CutKind> {
        let kind = if self.is_uploading() { CutKind::Upload } else { CutKind::Request };
        self.admission.upstream().is_draining().then_some(kind)
    }

    /// The instance answered `100 Continue`.
    pub fn request_body(&self) {
        self.requested.store(true, SeqCst);
        self.body_task.wake();
    }

    pub fn body_requested(&self) -> bool {
        self.requested.load(SeqCst)
    }

    /// Ends the passing on of the body, and the connection to the instance with it.
    pub fn abandon_body(&self) {
        self.abandoned.store(true, SeqCst);
        self.body_task.wake();
    }
}

/// Why a request's body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client did not send it to its end")]
    Client(#[source] hyper::Error),
    #[error("the instance has answered without it")]
    Abandoned,
}

/// A client's body on its way to an upstream.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// `None`: a body that was found empty before, sent again.
    incoming: Option<Incoming>,
    client: Option<Arc<SocketState>>,
    exchange: Option<Arc<Exchange>>,
    continue_wait: ContinueWait,
}

/// The client holds its body back until it is requested for it.
#[derive(Debug)]
enum ContinueWait {
    No,
    ForAtMost(Duration),
    Begun(Pin<Box<Sleep>>),
}

impl RequestBody {
    /// `continue_wait`: the client expects `100 Continue`, and this is how long the instance may take to say it. hyper says it to
    /// the client when this body is requested for its first frame.
    pub fn new(incoming: Incoming, client: &Arc<SocketState>, continue_wait: Option<Duration>) -> Self {
        client.set_body_unread(!incoming.is_end_stream());
        RequestBody {
            incoming: Some(incoming),
            client: Some(Arc::clone(client)),
            exchange: None,
            continue_wait: continue_wait.map_or(ContinueWait::No, ContinueWait::ForAtMost),
        }
    }

    pub fn empty() -> Self {
        RequestBody { incoming: None, client: None, exchange: None, continue_wait: ContinueWait::No }
    }

    /// The client waits for `100 Continue`.
    pub fn expects_continue(&self) -> bool {
        !matches!(self.continue_wait, ContinueWait::No)
    }

    /// Its end is waited for by this exchange, on this connection.
    pub fn attach(&mut self, exchange: &Arc<Exchange>, traffic: &Traffic) {
        let uploading = !self.is_end_stream();
        exchange.complete.store(!uploading, SeqCst);
        traffic.begin_request(uploading);
        self.exchange = Some(Arc::clone(exchange));
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
        // An application that does not know the expectation waits for the body.
        self.continue_wait = ContinueWait::No;
        self.exchange.iter().for_each(|exchange| exchange.request_body());
        true
    }

    fn record_frame(&mut self, frame: Option<&Result<Frame<Bytes>, UploadError>>) {
        let over = frame.is_none() || self.is_end_stream();
        if let Some(exchange) = &self.exchange {
            match frame {
                Some(Err(_)) => exchange.client_failed.store(true, Relaxed),
                Some(Ok(_)) | None => {
                    exchange.frames_sent.fetch_add(1, Relaxed);
                    if over {
                        exchange.complete.store(true, SeqCst);
                    }
                }
            }
        }
        if over {
            self.client.iter().for_each(|client| client.set_body_unread(false));
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
            // Registered first, so that nothing said between the look and the continue_wait is missed.
            exchange.body_task.register(cx.waker());
            if exchange.abandoned.load(SeqCst) {
                return Poll::Ready(Some(Err(UploadError::Abandoned)));
            }
        }
        if self.expects_continue() && !self.may_send_body(cx) {
            return Poll::Pending;
        }
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(incoming).poll_frame(cx));
        let mut frame = frame.map(|result| result.map_err(UploadError::Client));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            // A trailer is a header that comes late, and may claim as little.
            headers::strip_claims(trailers);
        }
        self.record_frame(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // hyper does not notice by itself that nobody reads on what a client sends.
        drop(self.incoming.take());
        self.client.iter().for_each(|client| client.wake());
    }
}
