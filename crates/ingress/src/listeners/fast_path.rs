//! The fast path: HTTP/1.1 without hyper, for requests without a body and without headers that change how their connection is
//! used. That is most of the traffic, and costs about a third less CPU time here.
//!
//! From the first request of another kind on, hyper serves the connection. It gets all bytes from the start of that request, so
//! it also answers malformed requests.
//!
//! - `request_head`: from bytes to a request; `response_head`: from a response to bytes.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
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
use crate::socket_read::poll_read_at_most;

#[cfg(test)]
mod differential;
mod request_head;
mod response_head;

use request_head::{FastRequest, OtherServer, RequestReader};

/// Bytes of one read from a client.
const READ_BYTES: usize = 16 * 1024;

/// What other server goes on with the connection, and the bytes that it has to read first.
pub(super) struct Handover {
    pub is_http2: bool,
    pub unread: Bytes,
}

/// How an exchange ended.
enum ExchangeEnd {
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
struct ResponseWriter {
    writer: MessageWriter,
    body: LoggedBody<ResponseBody>,
    closes: bool,
}

impl ResponseWriter {
    fn new(response: ClientResponse<LoggedBody<ResponseBody>>, method: &Method, keeps_connection: bool) -> Self {
        let head = response_head::encode(&response, method, keeps_connection);
        let mut writer = MessageWriter::new(head.framing, Vec::new());
        writer.begin(head.bytes);
        ResponseWriter { writer, body: response.head.into_body(), closes: head.closes }
    }
}

impl Connection {
    /// Serves requests until one that another server has to read. `None`: the connection has ended.
    pub(super) async fn serve_fast<S: ClientStream>(
        &self,
        socket: &mut ClientSocket<S>,
        client: &Client,
    ) -> Option<Handover> {
        let limits = &self.proxy.limits;
        let mut reader = RequestReader::default();
        let mut stopping = false;
        let mut event = Rarely::new(Box::pin(self.event(&client.socket, stopping)));
        loop {
            let (request, keeps_connection) = loop {
                match reader.next(limits.head_bytes) {
                    Ok(Some(FastRequest { request, keeps_connection })) => break (request, keeps_connection),
                    Ok(None) => {}
                    Err(other) => {
                        let is_http2 = other == OtherServer::Http2;
                        return Some(Handover { is_http2, unread: reader.into_unread() });
                    }
                }
                if stopping {
                    shut_down(socket).await;
                    return None;
                }
                let next = std::future::poll_fn(|cx| match poll_read_at_most(READ_BYTES, socket, cx) {
                    Poll::Ready(read) => Poll::Ready(Next::Bytes(read)),
                    Poll::Pending => Pin::new(&mut event).poll(cx).map(Next::Event),
                });
                match next.await {
                    Next::Bytes(Ok(bytes)) if !bytes.is_empty() => reader.push(bytes),
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
            let mut writing: Option<ResponseWriter> = None;
            let exchange = std::future::poll_fn(|cx| {
                loop {
                    match &mut writing {
                        None => {
                            if let Poll::Ready(response) = response.as_mut().poll(cx) {
                                writing = Some(ResponseWriter::new(response, &method, keeps_connection && !stopping));
                                continue;
                            }
                        }
                        Some(writer) => {
                            if let Poll::Ready(end) = writer.poll(cx, socket) {
                                return Poll::Ready(end);
                            }
                        }
                    }
                    // Without this, an instance would go on working for a client that has left. Another request, sent ahead,
                    // is read once.
                    if reader.is_empty()
                        && let Poll::Ready(read) = poll_read_at_most(READ_BYTES, socket, cx)
                    {
                        match read {
                            Ok(bytes) if !bytes.is_empty() => reader.push(bytes),
                            _ => return Poll::Ready(ExchangeEnd::Broken),
                        }
                    }
                    match std::task::ready!(Pin::new(&mut event).poll(cx)) {
                        Event::Close(reason) => {
                            tracing::debug!(peer = %self.peer, reason, "closed a client connection");
                            return Poll::Ready(ExchangeEnd::Broken);
                        }
                        other => {
                            stopping |= matches!(other, Event::Stop);
                            event = Rarely::new(Box::pin(self.event(&client.socket, stopping)));
                        }
                    }
                }
            });
            let end = exchange.await;
            drop(writing);
            drop(busy);
            match end {
                ExchangeEnd::Complete { closes: false } => client.socket.flushed(),
                ExchangeEnd::Complete { closes: true } => {
                    shut_down(socket).await;
                    return None;
                }
                ExchangeEnd::Broken => return None,
            }
        }
    }
}

impl ResponseWriter {
    fn poll<S: ClientStream>(&mut self, cx: &mut Context<'_>, socket: &mut ClientSocket<S>) -> Poll<ExchangeEnd> {
        let mut written = 0;
        let result = self.writer.poll(cx, &mut self.body, socket, &mut written);
        // TLS may hold back a part of what was written.
        let flushed = Pin::new(socket).poll_flush(cx);
        match result {
            Poll::Ready(Ok(())) => match std::task::ready!(flushed) {
                Ok(()) => Poll::Ready(ExchangeEnd::Complete { closes: self.closes }),
                Err(_) => Poll::Ready(ExchangeEnd::Broken),
            },
            Poll::Ready(Err(_)) => Poll::Ready(ExchangeEnd::Broken),
            Poll::Pending => Poll::Pending,
        }
    }
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
