//! One client connection: HTTP/1.1 on the fast path and by hyper, with an idle timeout, ended gracefully when its listener
//! closes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::client_socket::{ClientSocket, ClientStream, SocketState};
use super::fast_path::Handover;
use crate::access_log::AccessLogEntry;
use crate::connection_limit::{BusyGuard, ConnectionSlot};
use crate::headers::Origin;
use crate::internal::InternalListener;
use crate::protocol::TrustedProxies;
use crate::proxy::{Client, Proxy};
use crate::rarely::Rarely;

pub(super) struct Connection {
    pub proxy: Arc<Proxy>,
    /// For the log. [`Self::origin`] is what applications see.
    pub peer: SocketAddr,
    pub origin: Origin,
    /// Set if the peer is a trusted proxy.
    pub behind: Option<Arc<TrustedProxies>>,
    /// The host name in the TLS handshake, in normal form. `None`: there is no TLS.
    pub server_name: Option<Box<str>>,
    /// The listener, if it is one for containers.
    pub internal: Option<Arc<InternalListener>>,
    pub stop: CancellationToken,
    pub cut: CancellationToken,
    pub slot: Arc<ConnectionSlot>,
}

impl Connection {
    /// Serves HTTP/1.1 on an accepted stream until it ends: a TCP connection, or TLS on one. Without TLS, a client may begin
    /// with HTTP/2 as well (RFC 9113, 3.3).
    pub async fn serve<S: ClientStream>(self, stream: S) {
        let watch = Arc::new(SocketState::default());
        let client = self.client(Arc::clone(&watch));
        let mut socket = ClientSocket::new(stream, &watch);
        let Some(Handover { is_http2, unread }) = self.serve_fast(&mut socket, &client).await else { return };
        let socket = socket.reading_first(unread);
        // Boxed, because most connections never need these, and moving a connection to its task would cost more.
        if is_http2 && self.server_name.is_none() {
            Box::pin(self.serve_http2(socket)).await;
        } else {
            Box::pin(self.serve_with_hyper(socket, client)).await;
        }
    }

    /// Serves HTTP/1.1 by hyper.
    async fn serve_with_hyper<S: ClientStream>(self, socket: ClientSocket<S>, client: Client) {
        let watch = Arc::clone(socket.state());
        let io = TokioIo::new(socket);
        let limits = &self.proxy.limits;
        let context = Arc::new((Arc::clone(&self.proxy), client));
        let slot = Arc::clone(&self.slot);
        let activity = Arc::clone(&watch);
        let service = service_fn(move |request| {
            let context = Arc::clone(&context);
            // Held until the last byte of the response has been handed over.
            let busy = Busy { _slot: slot.busy(), socket: Arc::clone(&activity) };
            activity.request_began();
            async move {
                let response = context.0.respond(&context.1, request.map(Some)).await.into_http();
                Ok::<_, Infallible>(response.map(|body| BusyBody { body, _busy: busy }))
            }
        });
        // Half-close is off: a client that closes its side while it waits counts as gone, and its instance sees a
        // closed connection. The limit for a head is watched here instead of by hyper, which sets a timer for each.
        let mut connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_header_size(limits.head_bytes)
            .max_headers(limits.headers)
            .max_buf_size(limits.head_bytes.max(64 * 1024))
            .serve_connection(io, service)
            .with_upgrades();
        let mut stopping = false;
        loop {
            let event = Rarely::new(Box::pin(self.event(&watch, stopping)));
            tokio::select! {
                biased;
                result = &mut connection => {
                    let refused = result.as_ref().is_err_and(hyper::Error::is_parse);
                    if refused {
                        self.proxy.refusals.count("malformed-request");
                        if let Some((status, id)) = watch.refused_head() {
                            AccessLogEntry::unreadable(&self.proxy.access_log, id, &self.origin.address, *status);
                        }
                    }
                    if let Err(error) = result {
                        tracing::debug!(peer = %self.peer, %error, "client connection ended");
                    }
                    if let Some(parts) = connection.into_parts()
                        && (refused || watch.is_body_unread())
                    {
                        self.linger(parts.io.into_inner()).await;
                    }
                    return;
                }
                event = event => match event {
                    Event::Stop => {
                        stopping = true;
                        Pin::new(&mut connection).graceful_shutdown();
                    }
                    // Polls hyper again, so that it notices that nothing reads the client's body any more.
                    Event::BodyDropped => {}
                    Event::Close(reason) => {
                        tracing::debug!(peer = %self.peer, reason, "closed a client connection");
                        return;
                    }
                },
            }
        }
    }

    /// Where the requests of this connection come from. `socket`: the state of the connection, or of one stream.
    pub fn client(&self, socket: Arc<SocketState>) -> Client {
        Client {
            origin: self.origin.clone(),
            behind: self.behind.clone(),
            socket,
            server_name: self.server_name.clone(),
            internal: self.internal.clone().map(|listener| (listener, self.peer.ip())),
        }
    }

    /// How long the connection may wait for a whole request head. Components keep connections to each other open for minutes.
    /// Below the limit of idleness they are not closed, because a call that is sent at that moment would fail.
    pub fn head_limit(&self) -> Duration {
        let limits = &self.proxy.limits;
        match (&self.internal, &self.behind) {
            (Some(_), _) => limits.body_idle,
            (None, Some(_)) => limits.proxy_idle,
            (None, None) => limits.request_head,
        }
    }

    /// Waits for what happens seldom: everything except bytes and responses.
    pub(super) async fn event(&self, watch: &SocketState, stopping: bool) -> Event {
        let limits = &self.proxy.limits;
        tokio::select! {
            () = self.stop.cancelled(), if !stopping => Event::Stop,
            () = watch.woken() => Event::BodyDropped,
            () = self.cut.cancelled() => Event::Close("the ingress stops"),
            () = self.slot.evicted() => Event::Close("another connection needs its place"),
            () = watch.idle_for(limits.body_idle) => Event::Close("it was idle"),
            () = watch.head_overdue(self.head_limit()) => Event::Close("no whole request head arrived in time"),
        }
    }

    /// The client got a response before it had sent the whole request. Discards what it still sends, so that it can
    /// read the response: closing with unread bytes would reset its connection.
    async fn linger<S: ClientStream>(&self, mut socket: ClientSocket<S>) {
        if !socket.was_shut_down() || self.proxy.limits.linger.is_zero() {
            return;
        }
        let limits = &self.proxy.limits;
        let mut buffer = vec![0; 16 * 1024];
        let discard = async {
            loop {
                let read = tokio::time::timeout(limits.linger_idle, socket.read(&mut buffer)).await;
                if !matches!(read, Ok(Ok(1..))) {
                    return;
                }
            }
        };
        tokio::select! {
            () = discard => {}
            () = tokio::time::sleep(limits.linger) => {}
            () = self.cut.cancelled() => {}
            () = self.slot.evicted() => {}
        }
    }
}

pub(super) enum Event {
    /// The listener closes.
    Stop,
    BodyDropped,
    Close(&'static str),
}

/// While one of these exists, its connection serves a request.
pub(super) struct Busy {
    pub _slot: BusyGuard,
    pub socket: Arc<SocketState>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.socket.request_ended();
    }
}

/// A response body. Its connection counts as busy while it exists.
pub(super) struct BusyBody<B> {
    pub body: B,
    pub _busy: Busy,
}

impl<B> BusyBody<B> {
    pub fn state(&self) -> &SocketState {
        &self._busy.socket
    }
}

impl<B: Body + Unpin> Body for BusyBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
