//! An answer's body on its way to the client: never gathered, and holding what must stay held until it has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::counters::Tally;
use crate::headers;
use crate::limits::Limits;
use crate::listeners::Watch;
use crate::pool::{Link, Pool};
use crate::upload::Exchange;

/// What a client gets: an application's body passing through, or a text of ours.
#[derive(Debug)]
pub(crate) enum Answer {
    Own(Option<Bytes>),
    Passing(Passing),
}

/// An application's body, with all that ends when it ends.
#[derive(Debug)]
pub(crate) struct Passing {
    incoming: Incoming,
    /// `None` once the body has ended one way or another.
    held: Option<Held>,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub link: Link,
    pub exchange: Arc<Exchange>,
    pub tally: Tally,
    pub limits: Arc<Limits>,
    /// Set where a client could take a cut body for a whole one: its connection is then reset instead of closed.
    pub reset_when_cut: Option<Arc<Watch>>,
}

impl Held {
    /// After an early answer: a body that the instance did not ask for, or does not read, is not sent any more. One that
    /// it still reads goes on.
    fn give_up_upload(&self) {
        let unwanted = !self.exchange.was_asked() || self.link.refused_the_rest();
        if self.exchange.is_uploading() && unwanted {
            self.exchange.give_up();
        }
    }
}

impl Answer {
    pub fn own(text: Bytes) -> Self {
        Answer::Own(Some(text))
    }

    pub fn passing(incoming: Incoming, held: Held) -> Self {
        Answer::Passing(Passing { incoming, held: Some(held) })
    }
}

impl Passing {
    /// The body went through whole: the connection may carry the next request.
    fn finish(&mut self) {
        if let Some(mut held) = self.held.take() {
            held.tally.settle();
            held.give_up_upload();
            Pool::give(held.exchange.admission.upstream(), held.link, &held.limits);
        }
    }

    /// The upstream did not finish what it had begun.
    fn cut(&mut self) {
        if let Some(mut held) = self.held.take() {
            held.tally.failed(held.exchange.cut_by_stop());
            held.give_up_upload();
            if let Some(watch) = &held.reset_when_cut {
                watch.reset_on_close();
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let passing = match &mut *self {
            Answer::Own(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Answer::Passing(passing) => passing,
        };
        let mut frame = ready!(Pin::new(&mut passing.incoming).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            headers::trailers_for_client(trailers);
        }
        match &frame {
            // The error goes on to hyper, which then aborts the client's connection: a cut body never looks whole.
            Some(Err(_)) => passing.cut(),
            Some(Ok(_)) if passing.incoming.is_end_stream() => passing.finish(),
            Some(Ok(_)) => {}
            None => passing.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Own(text) => text.as_ref().is_none_or(Bytes::is_empty),
            Answer::Passing(passing) => passing.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Answer::Passing(passing) => passing.incoming.size_hint(),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // An empty body (HEAD, 204, 304) is never polled. Any other that is dropped before its end: the client left,
        // and dropping `held` says so.
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }
}
