//! One request at one instance, and its body on the way there: never gathered, held back while the instance has not asked
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

use crate::counters::Cut;
use crate::headers;
use crate::listeners::Watch;
use crate::pool::Traffic;
use crate::upstream::Admission;

/// One request at one upstream. Its place there is given back when the last holder drops this.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub admission: Admission,
    /// Frames of the request's body that were passed on.
    pub moved: AtomicU64,
    /// The request's body failed on the client's side.
    pub broken: AtomicBool,
    /// The request's body was passed on to its end, or there was none.
    whole: AtomicBool,
    /// The instance asked for the body, or was given long enough to.
    asked: AtomicBool,
    /// The rest of the body is of no use to anybody.
    given_up: AtomicBool,
    /// The task that passes the body on.
    sending: AtomicWaker,
}

impl Exchange {
    pub fn new(admission: Admission) -> Arc<Self> {
        Arc::new(Exchange {
            admission,
            moved: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            whole: AtomicBool::new(true),
            asked: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            sending: AtomicWaker::new(),
        })
    }

    /// Some of the request's body is still to be passed on.
    pub fn is_uploading(&self) -> bool {
        !self.whole.load(SeqCst)
    }

    /// What is cut if the instance ends now, or `None` where the instance is not being stopped.
    pub fn cut_by_stop(&self) -> Option<Cut> {
        let kind = if self.is_uploading() { Cut::Upload } else { Cut::Request };
        self.admission.upstream().is_draining().then_some(kind)
    }

    /// The instance answered `100 Continue`.
    pub fn ask(&self) {
        self.asked.store(true, SeqCst);
        self.sending.wake();
    }

    pub fn was_asked(&self) -> bool {
        self.asked.load(SeqCst)
    }

    /// Ends the passing on of the body, and the connection to the instance with it.
    pub fn give_up(&self) {
        self.given_up.store(true, SeqCst);
        self.sending.wake();
    }
}

/// Why a request's body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client did not send it to its end")]
    Client(#[source] hyper::Error),
    #[error("the instance has answered without it")]
    GivenUp,
}

/// A client's body on its way to an upstream.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// `None`: a body that was found empty before, sent again.
    incoming: Option<Incoming>,
    client: Option<Arc<Watch>>,
    exchange: Option<Arc<Exchange>>,
    wait: Wait,
}

/// The client holds its body back until it is asked for it.
#[derive(Debug)]
enum Wait {
    No,
    ForAtMost(Duration),
    Begun(Pin<Box<Sleep>>),
}

impl RequestBody {
    /// `wait`: the client expects `100 Continue`, and this is how long the instance may take to say it. hyper says it to
    /// the client when this body is asked for its first frame.
    pub fn new(incoming: Incoming, client: &Arc<Watch>, wait: Option<Duration>) -> Self {
        client.unread(!incoming.is_end_stream());
        RequestBody {
            incoming: Some(incoming),
            client: Some(Arc::clone(client)),
            exchange: None,
            wait: wait.map_or(Wait::No, Wait::ForAtMost),
        }
    }

    pub fn empty() -> Self {
        RequestBody { incoming: None, client: None, exchange: None, wait: Wait::No }
    }

    /// The client waits for `100 Continue`.
    pub fn is_expected(&self) -> bool {
        !matches!(self.wait, Wait::No)
    }

    /// Its end is waited for by this exchange, on this connection.
    pub fn held_by(&mut self, exchange: &Arc<Exchange>, traffic: &Traffic) {
        let uploading = !self.is_end_stream();
        exchange.whole.store(!uploading, SeqCst);
        traffic.begin(uploading);
        self.exchange = Some(Arc::clone(exchange));
    }

    fn is_asked_for(&mut self, cx: &mut Context<'_>) -> bool {
        if self.exchange.as_ref().is_none_or(|exchange| exchange.was_asked()) {
            self.wait = Wait::No;
            return true;
        }
        if let Wait::ForAtMost(time) = self.wait {
            self.wait = Wait::Begun(Box::pin(tokio::time::sleep(time)));
        }
        let Wait::Begun(sleep) = &mut self.wait else { return true };
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        // An application that does not know the expectation waits for the body.
        self.wait = Wait::No;
        self.exchange.iter().for_each(|exchange| exchange.ask());
        true
    }

    fn passed(&mut self, frame: Option<&Result<Frame<Bytes>, UploadError>>) {
        let over = frame.is_none() || self.is_end_stream();
        if let Some(exchange) = &self.exchange {
            match frame {
                Some(Err(_)) => exchange.broken.store(true, Relaxed),
                Some(Ok(_)) | None => {
                    exchange.moved.fetch_add(1, Relaxed);
                    if over {
                        exchange.whole.store(true, SeqCst);
                    }
                }
            }
        }
        if over {
            self.client.iter().for_each(|client| client.unread(false));
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
            // Registered first, so that nothing said between the look and the wait is missed.
            exchange.sending.register(cx.waker());
            if exchange.given_up.load(SeqCst) {
                return Poll::Ready(Some(Err(UploadError::GivenUp)));
            }
        }
        if self.is_expected() && !self.is_asked_for(cx) {
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
        self.passed(frame.as_ref());
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
        self.client.iter().for_each(|client| client.look_again());
    }
}
