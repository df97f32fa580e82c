//! HTTP/2 on one client connection, by hyper. Each stream is a request like one of HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::client_socket::{ClientSocket, ClientStream, SocketState};
use super::connection::{Busy, BusyBody, Connection};
use crate::proxy::Client;

impl Connection {
    /// Serves HTTP/2 on a stream until it ends.
    pub async fn serve_http2<S: ClientStream>(self, stream: S) {
        let watch = Arc::new(SocketState::default());
        let io = TokioIo::new(ClientSocket::new(stream, &watch));
        let limits = &self.proxy.limits;
        let (proxy, slot, activity) = (Arc::clone(&self.proxy), Arc::clone(&self.slot), Arc::clone(&watch));
        // The streams of a connection end independently, so each has a state instead of that of the socket.
        let client = self.client(Arc::default());
        let service = service_fn(move |request| {
            activity.request_began();
            let client = Client { socket: Arc::default(), ..client.clone() };
            let busy = Busy { _slot: slot.busy(), socket: Arc::clone(&client.socket) };
            let proxy = Arc::clone(&proxy);
            async move {
                let response = proxy.respond(&client, request).await?;
                Ok::<_, Infallible>(response.map(|body| BusyBody { body, _busy: busy }))
            }
        });
        let mut connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .serve_connection(io, service);
        let mut stopping = false;
        let reason = loop {
            tokio::select! {
                result = &mut connection => {
                    if let Err(error) = result {
                        tracing::debug!(peer = %self.peer, %error, "client connection ended");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
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
