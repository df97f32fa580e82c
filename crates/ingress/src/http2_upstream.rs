//! Requests to instances that speak HTTP/2 without TLS, such as gRPC servers.
//!
//! Each worker has one connection to each instance, and opens another one only while all streams of the first are in use.
//! A request may be sent again, so that the client sees no error:
//! - if the instance certainly did not process it: it refused the stream, or its GOAWAY names only earlier streams, or
//!   nothing was sent. Then the body is sent again from its start, if little of it was sent;
//! - if a connection that carried other requests before died without a response, and the method is GET, HEAD or OPTIONS
//!   without a body: once.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::admission::Admitted;
use crate::body::{BodyError, ResponseBody};
use crate::counters::RequestRecord;
use crate::error_response::{ProxyError, SentAmount};
use crate::headers;
use crate::limits::Limits;
use crate::listeners::SocketState;
use crate::protocol::Address;
use crate::proxy::{connect_error, is_repeatable};
use crate::upload::{Exchange, RequestBody, UploadError};
use crate::upstream_stream::UpstreamStream;

/// What an instance may send on one stream before the client takes it. Our choice: a few frames of the largest size.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection: the largest window that exists. Otherwise clients that do not read their
/// responses would keep those of others from arriving.
const CONNECTION_WINDOW: u32 = i32::MAX as u32;
/// Bytes of a response head, as with HTTP/1.1.
const RESPONSE_HEAD: u32 = 256 * 1024;
/// Bytes of a request body that are kept to send them again.
const KEPT_BYTES: usize = 64 * 1024;

/// The connections of one worker to one upstream.
#[derive(Debug, Default)]
pub(crate) struct Http2Connections {
    open: Mutex<OpenConnections>,
    /// Held while a connection is opened, so that requests that arrive meanwhile share it.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    all: Vec<Arc<Connection>>,
    closed: bool,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<RecordedBody>,
    opened: Instant,
    streams: AtomicUsize,
    /// Streams that the instance allows at once.
    max_streams: Arc<AtomicUsize>,
    /// The connection ended because the instance sent something else than HTTP/2.
    no_http2: Arc<AtomicBool>,
}

/// One stream of a connection. The connection counts it as in use until this is dropped.
#[derive(Debug)]
pub(crate) struct Http2Stream {
    connection: Arc<Connection>,
    /// The connection may have carried a request before this one began, so the upstream may be closing it.
    pub reused: bool,
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.connection.streams.fetch_sub(1, Relaxed);
    }
}

impl Http2Connections {
    /// A stream on an open connection, or on a new one. `opened_after`: only on a connection that was opened after this
    /// time. Fails after the connect timeout.
    pub async fn stream(
        &self,
        address: &Address,
        limits: &Limits,
        opened_after: Option<Instant>,
    ) -> io::Result<Http2Stream> {
        if let Some(stream) = self.reserve(opened_after) {
            return Ok(stream);
        }
        let opened = tokio::time::timeout(limits.connect, self.open_connection(address, opened_after));
        opened.await.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn open_connection(&self, address: &Address, opened_after: Option<Instant>) -> io::Result<Http2Stream> {
        let _opening = self.opening.lock().await;
        // Another request has opened one meanwhile.
        if let Some(stream) = self.reserve(opened_after) {
            return Ok(stream);
        }
        let stream = UpstreamStream::connect(address).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(RESPONSE_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let max_streams = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let no_http2 = Arc::new(AtomicBool::new(false));
        let (mut connection, newest, answered_otherwise) =
            (connection, Arc::clone(&max_streams), Arc::clone(&no_http2));
        // The end of the connection reaches the requests that use it. This task runs whenever a request begins.
        tokio::spawn(std::future::poll_fn(move |cx| {
            let end = Pin::new(&mut connection).poll(cx);
            newest.store(connection.current_max_send_streams(), Relaxed);
            end.map(|ended| answered_otherwise.store(ended.is_err_and(|error| is_no_http2(&error)), Relaxed))
        }));
        let (opened, streams) = (Instant::now(), AtomicUsize::new(1));
        let connection = Arc::new(Connection { sender, opened, streams, max_streams, no_http2 });
        let mut open = self.lock();
        if !open.closed {
            open.all.push(Arc::clone(&connection));
        }
        Ok(Http2Stream { connection, reused: false })
    }

    /// A stream on the first connection that has one left. Drops connections that are closed, and those that are not
    /// needed any more.
    fn reserve(&self, opened_after: Option<Instant>) -> Option<Http2Stream> {
        let mut open = self.lock();
        open.all.retain(|connection| !connection.sender.is_closed());
        let is_new = |it: &Connection| opened_after.is_none_or(|time| it.opened > time);
        let has_stream = |it: &Connection| it.streams.load(Relaxed) < it.max_streams.load(Relaxed);
        let at = open.all.iter().position(|it| is_new(it) && has_stream(it))?;
        let connection = Arc::clone(&open.all[at]);
        connection.streams.fetch_add(1, Relaxed);
        let mut number = 0;
        open.all.retain(|it| {
            number += 1;
            number <= at + 1 || it.streams.load(Relaxed) > 0
        });
        Some(Http2Stream { connection, reused: opened_after.is_none() })
    }

    /// Closes connections as soon as their last stream has ended.
    pub fn close(&self) {
        let mut open = self.lock();
        open.closed = true;
        open.all.clear();
    }

    pub fn reopen(&self) {
        self.lock().closed = false;
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        // Code under this lock leaves nothing half done, so a panic elsewhere cannot have broken it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt to send a request to the instance that admitted it.
pub(crate) struct Attempt<'a> {
    pub admitted: &'a Admitted,
    pub limits: &'a Limits,
    /// Set after a failed attempt: a connection that was opened before this time may be closing, too.
    pub opened_after: Option<Instant>,
}

/// Why an attempt brought no response.
pub(crate) struct Failed {
    /// What the client gets if the request is not sent again.
    pub error: ProxyError,
    pub may_be_sent_again: bool,
    /// The attempt used a connection that was open before. So the instance may still accept new ones.
    pub reused: bool,
    /// When the connection was opened. `None`: there was none.
    pub opened: Option<Instant>,
}

impl Attempt<'_> {
    /// Sends a request, and returns the head of its response. `body`: empty afterwards, unless the request may be sent again.
    /// `replayed`: whether the request was repeated although an instance may have processed it.
    pub async fn send(
        &self,
        connections: &Http2Connections,
        head: Option<request::Parts>,
        body: &mut RequestBody,
        replayed: &mut bool,
    ) -> Result<(Response<Incoming>, Http2Stream), Failed> {
        let Some(head) = head else {
            let error = ProxyError::BadRequest("The Host header is not a host name.");
            return Err(Failed { error, may_be_sent_again: false, reused: true, opened: None });
        };
        let (address, exchange) = (&self.admitted.upstream().address, &self.admitted.exchange);
        let stream = match connections.stream(address, self.limits, self.opened_after).await {
            Ok(stream) => stream,
            Err(cause) => {
                let error = connect_error(self.admitted, &cause);
                return Err(Failed { error, may_be_sent_again: true, reused: false, opened: None });
            }
        };
        let (reused, component) = (stream.reused, || self.admitted.rule().component.clone());
        let opened = Some(stream.connection.opened);
        let failed = |error, may_be_sent_again| Failed { error, may_be_sent_again, reused, opened };
        body.attach(exchange);
        exchange.request_body();
        let is_repeatable = body.is_end_stream() && is_repeatable(&head.method);
        let recording =
            Recording { body: Some(body.take()), kept: Some(Vec::new()), kept_bytes: 0, client_failed: false };
        let recording = Arc::new(Mutex::new(recording));
        let request = Request::from_parts(head, RecordedBody { recording: Arc::clone(&recording) });
        let mut sender = stream.connection.sender.clone();
        let mut failure = tokio::select! {
            biased;
            response = sender.try_send_request(request) => match response {
                Ok(response) => return Ok((response, stream)),
                Err(failure) => failure,
            },
            () = exchange.stalled(self.limits.response_head) => {
                return Err(failed(ProxyError::AnswerTimedOut { component: component() }, false));
            }
        };
        let unprocessed = failure.take_message().is_some() || is_unprocessed(failure.error());
        let (client_failed, again) = {
            let mut recording = lock(&recording);
            (recording.client_failed, unprocessed.then(|| recording.rewind()).flatten())
        };
        if client_failed {
            return Err(failed(ProxyError::BrokenUpload, false));
        }
        // The connection may have ended before the request was sent.
        if !reused && (is_no_http2(failure.error()) || stream.connection.no_http2.load(Relaxed)) {
            return Err(failed(ProxyError::NotHttp2 { component: component() }, false));
        }
        if let Some(again) = again {
            *body = again;
            let error = ProxyError::NoAnswer { component: component(), sent: SentAmount::Nothing };
            return Err(failed(error, true));
        }
        let sent = if exchange.is_uploading() { SentAmount::Part } else { SentAmount::All };
        let repeats = reused && is_repeatable && !was_reset(failure.error()) && !std::mem::replace(replayed, true);
        Err(failed(ProxyError::NoAnswer { component: component(), sent }, repeats))
    }
}

/// Whether the instance says that it did not process the request. hyper reports a stream above the last one in a GOAWAY
/// with that GOAWAY. With another code than NO_ERROR it reports earlier streams in the same way.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let Some(error) = h2_error(error) else { return false };
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let above_last = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || above_last)
}

/// Whether only this stream ended, by the instance's choice.
fn was_reset(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(h2::Error::is_reset)
}

/// Whether the instance sent something else than HTTP/2.
fn is_no_http2(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|it| it.is_library() && it.is_go_away())
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// A request body that is being sent, and what was sent of it.
#[derive(Debug)]
struct Recording {
    /// `None` once it was taken back to send it again.
    body: Option<RequestBody>,
    /// What was read. `None`: too much to keep.
    kept: Option<Vec<Bytes>>,
    kept_bytes: usize,
    /// Reading the body from the client failed.
    client_failed: bool,
}

impl Recording {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let data = frame.data_ref().filter(|data| self.kept_bytes + data.len() <= KEPT_BYTES);
        match (data, &mut self.kept) {
            (Some(data), Some(kept)) => {
                self.kept_bytes += data.len();
                kept.push(data.clone());
            }
            _ => self.kept = None,
        }
    }

    /// The body from its start, if that is possible.
    fn rewind(&mut self) -> Option<RequestBody> {
        let mut body = self.body.take()?;
        body.prepend(self.kept.take()?);
        Some(body)
    }
}

fn lock(recording: &Mutex<Recording>) -> MutexGuard<'_, Recording> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a [`Sending`].
#[derive(Debug)]
pub(crate) struct RecordedBody {
    recording: Arc<Mutex<Recording>>,
}

impl Body for RecordedBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let mut recording = lock(&self.recording);
        let Some(body) = &mut recording.body else { return Poll::Ready(Some(Err(UploadError::Abandoned))) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => recording.keep(frame),
            Some(Err(error)) => {
                recording.kept = None;
                recording.client_failed = matches!(error, UploadError::Client(_));
            }
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.recording).body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.recording).body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// A request whose response head has arrived.
pub(crate) struct Received {
    pub response: Response<Incoming>,
    pub stream: Http2Stream,
    pub admitted: Admitted,
}

impl Received {
    /// The response for the client. `closes_early`: whether a response before the end of the request ends the client's
    /// connection. `reset_when_cut`: see [`StreamGuard`].
    pub fn forward(
        self,
        mut record: RequestRecord,
        closes_early: bool,
        reset_when_cut: Option<Arc<SocketState>>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let Received { mut response, stream, admitted } = self;
        record.response_started(response.status());
        if response.status().is_informational() {
            // HTTP/2 has no upgrade by status 101.
            record.failed(None);
            return Err(ProxyError::BadAnswer { component: admitted.rule().component.clone() });
        }
        if response.status().is_server_error() {
            record.app_error();
        }
        let given = std::mem::take(response.headers_mut());
        for (name, value) in
            given.iter().filter(|(name, value)| headers::is_for_client(name.as_str().as_bytes(), value.as_bytes()))
        {
            response.headers_mut().append(name, value.clone());
        }
        if closes_early && admitted.exchange.is_uploading() {
            // Tells a client of HTTP/1.1 that it need not send the rest.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        *response.version_mut() = Version::HTTP_11;
        let guard = StreamGuard { _stream: stream, exchange: admitted.exchange, record, reset_when_cut };
        Ok(response.map(|incoming| ResponseBody::Http2(Http2Body { incoming, guard: Some(guard) })))
    }
}

/// A response body of an instance, with the state that is released when it ends.
#[derive(Debug)]
pub(crate) struct Http2Body {
    incoming: Incoming,
    /// `None` once the body has ended in any way.
    guard: Option<StreamGuard>,
}

#[derive(Debug)]
struct StreamGuard {
    _stream: Http2Stream,
    exchange: Arc<Exchange>,
    record: RequestRecord,
    /// Set if the client could mistake a truncated body for a complete one. Its connection is then reset instead of
    /// closed.
    reset_when_cut: Option<Arc<SocketState>>,
}

impl StreamGuard {
    /// After the whole response, the instance needs nothing more of the request.
    fn abandon_upload(&self) {
        if self.exchange.is_uploading() {
            self.exchange.abandon_body();
        }
    }
}

impl Http2Body {
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame {
            if let Some(trailers) = frame.trailers_mut() {
                headers::trailers_for_client(trailers);
            }
            if let Some(guard) = &self.guard {
                guard.record.sent(frame.data_ref().map_or(0, Bytes::len));
            }
        }
        match &frame {
            Some(Err(_)) => self.cut(),
            Some(Ok(_)) if !self.incoming.is_end_stream() => {}
            Some(Ok(_)) | None => self.finish(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Http2)))
    }

    pub fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    fn finish(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.record.finish();
            guard.abandon_upload();
        }
    }

    /// The instance ended the body early.
    fn cut(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.record.failed(guard.exchange.cut_by_stop());
            guard.abandon_upload();
            if let Some(socket) = &guard.reset_when_cut {
                socket.reset_on_close();
            }
        }
    }
}

impl Drop for Http2Body {
    fn drop(&mut self) {
        // An empty body is never polled, and one of a known length only until it is complete; the end of the stream may be a frame
        // of its own. Any other body that is dropped before its end means that the client left, which the drop of the guard
        // records.
        if self.incoming.is_end_stream() || self.incoming.size_hint().exact() == Some(0) {
            self.finish();
        }
    }
}
