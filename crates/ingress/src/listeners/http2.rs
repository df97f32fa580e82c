//! HTTP/2 on one client connection, by hyper. Each stream is a request like one of HTTP/1.1.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Response};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::client_socket::{ClientSocket, ClientStream, SocketState};
use super::connection::{Busy, BusyBody, Connection};
use crate::limits::Limits;
use crate::message_writer::may_have_body;
use crate::proxy::Client;
use crate::rarely::Rarely;

impl Connection {
    /// Serves HTTP/2 on a socket until it ends.
    pub async fn serve_http2<S: ClientStream>(self, socket: ClientSocket<S>) {
        let watch = Arc::clone(socket.state());
        let limits = &self.proxy.limits;
        let (proxy, slot, activity) = (Arc::clone(&self.proxy), Arc::clone(&self.slot), Arc::clone(&watch));
        // The streams of a connection end independently, so each has a state instead of that of the socket.
        let client = self.client(Arc::default());
        let streams = Streams { newest: Arc::default(), limits: Arc::clone(limits) };
        let newest = Arc::clone(&streams.newest);
        let service = service_fn(move |request| {
            activity.request_began();
            let client = Client { socket: Arc::default(), ..client.clone() };
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&client.socket));
            let has_place = slot.has_place_for_stream();
            let busy = Busy { _slot: slot.busy(), socket: Arc::clone(&client.socket) };
            let (proxy, request) = (Arc::clone(&proxy), request.map(Some));
            let is_head = request.method() == Method::HEAD;
            async move {
                let response = match has_place {
                    true => proxy.respond(&client, request).await,
                    false => proxy.refuse_stream(&client, request).await,
                };
                let mut response = response.into_http();
                if !is_head {
                    state_empty_length(&mut response);
                }
                Ok::<_, Infallible>(response.map(|body| StreamBody { body: BusyBody { body, _busy: busy } }))
            }
        });
        let mut connection = http2::Builder::new(streams)
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(socket), service);
        let mut stopping = false;
        let reason = loop {
            tokio::select! {
                result = &mut connection => {
                    if let Err(error) = result {
                        if is_violation(&error) {
                            self.proxy.refusals.count("malformed-request");
                        }
                        tracing::debug!(peer = %self.peer, %error, "client connection ended");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                () = self.cut.cancelled() => break "the ingress stops",
                () = self.slot.evicted() => break "another connection needs its place",
                () = watch.idle_for(limits.body_idle) => break "it was idle",
                // Only for the first request: afterwards an idle connection may stay for a while.
                () = watch.head_overdue(self.head_limit()) => break "no whole request head arrived in time",
            }
        };
        tracing::debug!(peer = %self.peer, reason, "closed a client connection");
    }
}

/// Adds the length of an empty body. The HTTP library adds only others.
fn state_empty_length(response: &mut Response<impl Body>) {
    if may_have_body(response.status()) && response.body().is_end_stream() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(0));
    }
}

/// Whether the HTTP library ended the connection because the client violated the protocol. It sends no page then.
fn is_violation(error: &hyper::Error) -> bool {
    error.source().and_then(|it| it.downcast_ref()).is_some_and(h2::Error::is_library)
}

/// Runs the streams of one connection, and ends one on which nothing moves. hyper does not ask for more of a response while
/// the client takes none of it, so the response itself could not notice.
#[derive(Clone)]
struct Streams {
    /// The state of the stream that begins. hyper calls the service for a stream, and then hands the stream over at once.
    newest: Arc<Mutex<Option<Arc<SocketState>>>>,
    limits: Arc<Limits>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let state = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let limits = Arc::clone(&self.limits);
        tokio::spawn(async move {
            let Some(state) = state else { return stream.await };
            let stalled = Rarely::new(Box::pin(state.stream_stalled(limits.body_idle, limits.tunnel_idle)));
            tokio::select! {
                biased;
                () = stream => {}
                // Dropping a stream resets it.
                () = stalled => tracing::debug!("closed a stream on which nothing moved"),
            }
        });
    }
}

/// A response body on one stream. It records whether the stream waits for the application or for the client.
struct StreamBody<B> {
    body: BusyBody<B>,
}

impl<B: Body + Unpin> Body for StreamBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let state = self.body.state();
        state.set_app_silent(frame.is_pending());
        if frame.is_ready() {
            state.moved(1);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
