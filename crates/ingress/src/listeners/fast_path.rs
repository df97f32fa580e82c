//! The fast path: HTTP/1.1 without the HTTP library, for requests without a body and without headers that change how their
//! connection is used. That is most of the traffic, and costs about half of what the library takes for it.
//!
//! From the first request of another kind on, the library serves the connection. It gets all bytes from the start of that
//! request, so it is also what decides about requests that cannot be read.
//!
//! - `request_head`: from bytes to a request; `response_head`: from a response to bytes.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::Method;
use tokio::io::AsyncWrite;

use super::client_socket::{ClientSocket, ClientStream};
use super::connection::{Busy, Connection, Event};
use crate::access_log::LoggedBody;
use crate::body::ResponseBody;
use crate::client_response::ClientResponse;
use crate::message_writer::MessageWriter;
use crate::proxy::Client;
use crate::rarely::Rarely;
use crate::upstream_http1::poll_read;

#[cfg(test)]
mod differential;
mod request_head;
mod response_head;

use request_head::{FastRequest, OtherRequest};

/// How an exchange ended.
enum Exchanged {
    /// The response was written. `closes`: it was the last one.
    Complete { closes: bool },
    /// The connection cannot be used any more.
    Broken,
}

/// What a connection waits for between two requests.
enum Next {
    Bytes(io::Result<Bytes>),
    Event(Event),
}

/// A response that is being written.
struct Answering {
    writer: MessageWriter,
    body: LoggedBody<ResponseBody>,
    closes: bool,
}

impl Answering {
    fn new(response: ClientResponse<LoggedBody<ResponseBody>>, method: &Method, keeps_connection: bool) -> Self {
        let head = response_head::encode(&response, method, keeps_connection);
        let mut writer = MessageWriter::new(head.framing, Vec::new());
        writer.begin(head.bytes);
        Answering { writer, body: response.head.into_body(), closes: head.closes }
    }
}

impl Connection {
    /// Serves requests until one that the HTTP library has to read. Returns the bytes from its start on. `None`: the
    /// connection has ended.
    pub(super) async fn serve_fast<S: ClientStream>(
        &self,
        socket: &mut ClientSocket<S>,
        client: &Client,
    ) -> Option<Bytes> {
        let limits = &self.proxy.limits;
        let mut unread = Bytes::new();
        let mut stopping = false;
        let mut event = Rarely::new(Box::pin(self.event(&client.socket, stopping)));
        loop {
            let (request, keeps_connection) = loop {
                match request_head::take(&mut unread, limits.head_bytes) {
                    Ok(Some(FastRequest { request, keeps_connection })) => break (request, keeps_connection),
                    Ok(None) => {}
                    Err(OtherRequest) => return Some(unread),
                }
                if stopping && unread.is_empty() {
                    shut_down(socket).await;
                    return None;
                }
                let next = std::future::poll_fn(|cx| match poll_read(socket, cx) {
                    Poll::Ready(read) => Poll::Ready(Next::Bytes(read)),
                    Poll::Pending => Pin::new(&mut event).poll(cx).map(Next::Event),
                });
                match next.await {
                    Next::Bytes(Ok(bytes)) if !bytes.is_empty() => join(&mut unread, bytes),
                    // The client has closed its side, or its connection broke.
                    Next::Bytes(_) => {
                        shut_down(socket).await;
                        return None;
                    }
                    Next::Event(Event::Close(reason)) => {
                        tracing::debug!(peer = %self.peer, reason, "closed a client connection");
                        return None;
                    }
                    Next::Event(other) => {
                        stopping |= matches!(other, Event::Stop);
                        event = Rarely::new(Box::pin(self.event(&client.socket, stopping)));
                    }
                }
            };

            // Held until the last byte of the response has been handed over.
            let busy = Busy { _slot: self.slot.busy(), socket: Arc::clone(&client.socket) };
            client.socket.request_began();
            let method = request.method().clone();
            let mut response = pin!(self.proxy.respond(client, request));
            let mut answering: Option<Answering> = None;
            let exchanged = std::future::poll_fn(|cx| {
                loop {
                    match &mut answering {
                        None => {
                            if let Poll::Ready(response) = response.as_mut().poll(cx) {
                                answering = Some(Answering::new(response, &method, keeps_connection && !stopping));
                                continue;
                            }
                        }
                        Some(answering) => {
                            if let Poll::Ready(end) = answering.poll(cx, socket) {
                                return Poll::Ready(end);
                            }
                        }
                    }
                    // Without this, an instance would go on working for a client that has left. Another request, sent ahead,
                    // is read once.
                    if unread.is_empty()
                        && let Poll::Ready(read) = poll_read(socket, cx)
                    {
                        match read {
                            Ok(bytes) if !bytes.is_empty() => unread = bytes,
                            _ => return Poll::Ready(Exchanged::Broken),
                        }
                    }
                    match std::task::ready!(Pin::new(&mut event).poll(cx)) {
                        Event::Close(reason) => {
                            tracing::debug!(peer = %self.peer, reason, "closed a client connection");
                            return Poll::Ready(Exchanged::Broken);
                        }
                        other => {
                            stopping |= matches!(other, Event::Stop);
                            event = Rarely::new(Box::pin(self.event(&client.socket, stopping)));
                        }
                    }
                }
            });
            let exchanged = exchanged.await;
            drop(answering);
            drop(busy);
            match exchanged {
                Exchanged::Complete { closes: false } => client.socket.flushed(),
                Exchanged::Complete { closes: true } => {
                    shut_down(socket).await;
                    return None;
                }
                Exchanged::Broken => return None,
            }
        }
    }
}

impl Answering {
    fn poll<S: ClientStream>(&mut self, cx: &mut Context<'_>, socket: &mut ClientSocket<S>) -> Poll<Exchanged> {
        let mut written = 0;
        let result = self.writer.poll(cx, &mut self.body, socket, &mut written);
        // TLS may hold back a part of what was written.
        let flushed = Pin::new(socket).poll_flush(cx);
        match result {
            Poll::Ready(Ok(())) => match std::task::ready!(flushed) {
                Ok(()) => Poll::Ready(Exchanged::Complete { closes: self.closes }),
                Err(_) => Poll::Ready(Exchanged::Broken),
            },
            Poll::Ready(Err(_)) => Poll::Ready(Exchanged::Broken),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Appends what was read. Almost every head arrives as a whole.
fn join(unread: &mut Bytes, bytes: Bytes) {
    if unread.is_empty() {
        *unread = bytes;
        return;
    }
    // With enough capacity the next piece needs no copy of the ones before.
    let mut joined = BytesMut::from(std::mem::take(unread));
    joined.extend_from_slice(&bytes);
    *unread = joined.freeze();
}

/// Closes the sending side in order, as far as that is possible at once.
async fn shut_down<S: ClientStream>(socket: &mut ClientSocket<S>) {
    std::future::poll_fn(|cx| {
        // If it fails the connection is gone.
        let _ = Pin::new(&mut *socket).poll_shutdown(cx);
        Poll::Ready(())
    })
    .await;
}
