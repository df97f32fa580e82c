//! One request and its answer on a connection. Both go on at once: an answer may begin before the request has ended.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::oneshot;

use super::answer_body::{BodyReader, Truncated};
use super::answer_head::{AnswerHead, HeadError, HeadReader, HeadRules, Parsed};
use super::chunks::{Chunk, ChunkError};
use super::connection::{Connection, UpgradedConnection};
use super::request::Upload;
use crate::message_writer::WriteStop;
use crate::socket_read::poll_read;
use crate::upload::Exchange;
use crate::upstream_stream::UpstreamStream;

/// Why a request has no answer, and what is known about it.
#[derive(Debug)]
pub(crate) struct SendError {
    pub cause: SendErrorCause,
    /// Whether a byte of the request was written.
    pub wrote: bool,
    /// Whether a byte of an answer was read.
    pub read: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SendErrorCause {
    #[error("the body of the request cannot be read")]
    RequestBody,
    #[error("the answer cannot be understood")]
    Answer(#[from] HeadError),
    #[error("the connection ended without an answer")]
    Closed,
}

/// An answer whose head has arrived.
#[derive(Debug)]
pub(crate) struct Answer {
    pub head: AnswerHead,
    pub body: AnswerBody,
}

/// Sends a request and returns when the head of the answer has arrived. Some of the request may not be written by then:
/// the caller passes `upload` to [`AnswerBody::with_upload`].
pub(crate) async fn exchange(
    connection: Connection,
    upload: &mut Upload,
    exchange: &Exchange,
    rules: HeadRules,
) -> Result<Answer, SendError> {
    let mut sending =
        Sending { stream: connection.stream, exchange, rules, head: HeadReader::default(), wrote: 0, read: false };
    match std::future::poll_fn(|cx| sending.poll(cx, upload)).await {
        Ok((head, reader)) => {
            let body = AnswerBody {
                stream: Some(ReadSide::Whole(sending.stream)),
                unread: sending.head.into_rest(),
                reader,
                keeps_connection: head.keeps_connection,
                closed: false,
                had_request_body: upload.has_body(),
            };
            Ok(Answer { head, body })
        }
        Err(cause) => Err(SendError { cause, wrote: sending.wrote > 0, read: sending.read }),
    }
}

struct Sending<'a> {
    stream: UpstreamStream,
    exchange: &'a Exchange,
    rules: HeadRules,
    head: HeadReader,
    wrote: u64,
    read: bool,
}

impl Sending<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        upload: &mut Upload,
    ) -> Poll<Result<(AnswerHead, BodyReader), SendErrorCause>> {
        if !self.exchange.stopped_reading() {
            match upload.poll(cx, &mut self.stream, &mut self.wrote) {
                Poll::Ready(Err(WriteStop::Body)) => return Poll::Ready(Err(SendErrorCause::RequestBody)),
                // The instance may have answered (413, 401, 429) before it closed the connection. Linux keeps received
                // bytes readable after a reset, and every read ends once the connection is gone.
                Poll::Ready(Err(WriteStop::Connection)) => self.exchange.stop_reading(),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        loop {
            match self.head.next(self.rules)? {
                Some(Parsed::Interim(StatusCode::CONTINUE)) => self.exchange.request_body(),
                // hyper cannot send other interim answers to the client.
                Some(Parsed::Interim(_)) => {}
                Some(Parsed::Final(head, body)) => return Poll::Ready(Ok((head, body))),
                None => match ready!(poll_read(&mut self.stream, cx)) {
                    Ok(bytes) if !bytes.is_empty() => {
                        self.read = true;
                        self.head.push(bytes);
                    }
                    Ok(_) | Err(_) => return Poll::Ready(Err(SendErrorCause::Closed)),
                },
            }
        }
    }
}

/// Why the body of an answer ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("cannot read from the instance")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Truncated(#[from] Truncated),
    #[error(transparent)]
    Chunks(#[from] ChunkError),
}

/// The side of a connection that is read.
#[derive(Debug)]
enum ReadSide {
    /// The request was written.
    Whole(UpstreamStream),
    /// Another task writes the request. It gets this half when the answer has ended.
    Half(ReadHalf<UpstreamStream>, oneshot::Sender<ReadHalf<UpstreamStream>>),
}

/// The body of an answer, and the connection that it is read from.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    /// `None` once the connection was given away.
    stream: Option<ReadSide>,
    unread: Bytes,
    reader: BodyReader,
    /// The connection may carry another request once this body and the request have ended.
    keeps_connection: bool,
    /// The instance has closed the connection.
    closed: bool,
    had_request_body: bool,
}

impl AnswerBody {
    /// Leaves what is not written of the request to another task, so that a client may send everything before it reads.
    pub fn with_upload(mut self, upload: Upload, exchange: &Arc<Exchange>) -> Self {
        if upload.is_done() {
            return self;
        }
        // Another request could follow only if the instance read this one to its end. An upload that outlives the answer
        // is rare, so the connection is closed in any case.
        self.keeps_connection = false;
        match self.stream.take() {
            Some(ReadSide::Whole(stream)) if !exchange.stopped_reading() => {
                let (read, write) = split(stream);
                let (sender, receiver) = oneshot::channel();
                self.stream = Some(ReadSide::Half(read, sender));
                tokio::spawn(finish_upload(upload, write, receiver, Arc::clone(exchange)));
            }
            stream => self.stream = stream,
        }
        self
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        loop {
            match self.reader.next(&mut self.unread) {
                Ok(Some(Chunk::Data(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Some(Chunk::Trailers(trailers))) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Some(Chunk::End)) => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            let read = match &mut self.stream {
                Some(ReadSide::Whole(stream)) => ready!(poll_read(stream, cx)),
                Some(ReadSide::Half(half, _)) => ready!(poll_read(half, cx)),
                None => return Poll::Ready(None),
            };
            match read {
                Ok(bytes) if !bytes.is_empty() => self.unread = bytes,
                Ok(_) => self.end()?,
                // The kernel resets a connection that is closed with unread bytes. If the request has a body this is the
                // end of an early response, not a sign of a truncated one: an application that crashes ends its response
                // the same way as one that has finished, and only a length shows that something is missing.
                Err(error) if self.had_request_body && is_closed_by_peer(&error) => self.end()?,
                Err(error) => return Poll::Ready(Some(Err(AnswerError::Read(error)))),
            }
        }
    }

    fn end(&mut self) -> Result<(), Truncated> {
        (self.keeps_connection, self.closed) = (false, true);
        self.reader.end()
    }

    /// Whether the instance has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn is_end_stream(&self) -> bool {
        self.reader.is_end()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.reader.exact_length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// Ends this answer. Returns the connection if it may carry another request.
    pub fn take_connection(&mut self) -> Option<Connection> {
        let is_free = self.keeps_connection && self.reader.is_end() && self.unread.is_empty();
        match self.stream.take()? {
            ReadSide::Whole(stream) => is_free.then_some(Connection { stream, reused: true }),
            ReadSide::Half(half, sender) => {
                // Fails if the request was written meanwhile.
                let _ = sender.send(half);
                None
            }
        }
    }

    /// The connection after a 101. `None`: some of the request is not written.
    pub fn into_upgraded(self) -> Option<UpgradedConnection> {
        match self.stream? {
            ReadSide::Whole(stream) => Some(UpgradedConnection { stream, unread: self.unread }),
            ReadSide::Half(..) => None,
        }
    }
}

/// Writes the rest of a request. `answered`: gets the other half of the connection once the answer has ended. If the
/// instance closes the connection then, it does not want the rest.
async fn finish_upload(
    mut upload: Upload,
    mut stream: WriteHalf<UpstreamStream>,
    mut answered: oneshot::Receiver<ReadHalf<UpstreamStream>>,
    exchange: Arc<Exchange>,
) {
    let mut written = 0;
    let writing = std::future::poll_fn(|cx| upload.poll(cx, &mut stream, &mut written));
    let closing = async {
        let Ok(mut half) = (&mut answered).await else { return std::future::pending().await };
        while std::future::poll_fn(|cx| poll_read(&mut half, cx)).await.is_ok_and(|bytes| !bytes.is_empty()) {}
    };
    let result = tokio::select! {
        result = writing => result,
        () = closing => Err(WriteStop::Connection),
    };
    match result {
        Ok(()) => {}
        Err(WriteStop::Connection) => exchange.stop_reading(),
        // Ends the connection for the instance, which must not wait for the rest. If that fails it has ended already.
        Err(WriteStop::Body) => drop(stream.shutdown().await),
    }
}

/// Errors after which the connection is closed, so that reading the rest ends.
fn is_closed_by_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}
