//! An answer's body on its way to the client: never gathered, and holding what must stay guard until it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::counters::RequestRecord;
use crate::headers;
use crate::limits::Limits;
use crate::listeners::SocketState;
use crate::pool::{Pool, UpstreamConnection};
use crate::upload::Exchange;

/// What a client gets: an application's body proxied through, or a text of ours.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    Generated(Option<Bytes>),
    Proxied(ProxiedBody),
}

/// An application's body, with all that ends when it ends.
#[derive(Debug)]
pub(crate) struct ProxiedBody {
    incoming: Incoming,
    /// `None` once the body has ended one way or another.
    guard: Option<ExchangeGuard>,
}

#[derive(Debug)]
pub(crate) struct ExchangeGuard {
    pub connection: UpstreamConnection,
    pub exchange: Arc<Exchange>,
    pub record: RequestRecord,
    pub limits: Arc<Limits>,
    /// Set where a client could take a cut body for a whole one: its connection is then reset instead of closed.
    pub reset_when_cut: Option<Arc<SocketState>>,
}

impl ExchangeGuard {
    /// After an early answer: a body that the instance did not ask for, or does not read, is not sent any more. One that
    /// it still reads goes on.
    fn abandon_unwanted_body(&self) {
        let unwanted = !self.exchange.body_requested() || self.connection.stopped_reading();
        if self.exchange.is_uploading() && unwanted {
            self.exchange.abandon_body();
        }
    }
}

impl ResponseBody {
    pub fn generated(text: Bytes) -> Self {
        ResponseBody::Generated(Some(text))
    }

    pub fn proxied(incoming: Incoming, guard: ExchangeGuard) -> Self {
        ResponseBody::Proxied(ProxiedBody { incoming, guard: Some(guard) })
    }
}

impl ProxiedBody {
    /// The body went through whole: the connection may carry the next request.
    fn finish(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.record.finish();
            guard.abandon_unwanted_body();
            Pool::put(guard.exchange.admission.upstream(), guard.connection, &guard.limits);
        }
    }

    /// The upstream did not finish what it had begun.
    fn cut(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.record.failed(guard.exchange.cut_by_stop());
            guard.abandon_unwanted_body();
            if let Some(watch) = &guard.reset_when_cut {
                watch.reset_on_close();
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let proxied = match &mut *self {
            ResponseBody::Generated(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            ResponseBody::Proxied(proxied) => proxied,
        };
        let mut frame = ready!(Pin::new(&mut proxied.incoming).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            headers::trailers_for_client(trailers);
        }
        match &frame {
            // The error goes on to hyper, which then aborts the client's connection: a cut body never looks whole.
            Some(Err(_)) => proxied.cut(),
            Some(Ok(_)) if proxied.incoming.is_end_stream() => proxied.finish(),
            Some(Ok(_)) => {}
            None => proxied.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Generated(text) => text.as_ref().is_none_or(Bytes::is_empty),
            ResponseBody::Proxied(proxied) => proxied.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Generated(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            ResponseBody::Proxied(proxied) => proxied.incoming.size_hint(),
        }
    }
}

impl Drop for ProxiedBody {
    fn drop(&mut self) {
        // An empty body (HEAD, 204, 304) is never polled. Any other that is dropped before its end: the client left,
        // and dropping `guard` says so.
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }
}
