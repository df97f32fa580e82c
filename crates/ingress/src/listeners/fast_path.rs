//! The fast path: HTTP/1.1 without hyper, for requests without a body and without headers that change how their connection is
//! used. That is most of the traffic. `make proxies` measures what it costs.
//!
//! From the first request of another kind on, hyper serves the connection. It gets all bytes from the start of that request, so
//! it also answers malformed requests.
//!
//! - `request_head`: from bytes to a request; `response_head`: from a response to bytes.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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

/// The server that goes on with a connection, and the bytes that it has to read first.
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

/// What ends the wait for the next request.
enum Next {
    Bytes(io::Result<Bytes>),
    Event(Event),
}

impl Connection {
    /// Serves requests until one that another server has to read. `None`: the connection has ended.
    pub(super) async fn serve_fast<S: ClientStream>(
        &self,
        socket: &mut ClientSocket<S>,
        client: &Client,
    ) -> Option<Handover> {
        let event = FastConnection::<S>::event(self, client, false);
        let reader = RequestReader::default();
        FastConnection { connection: self, client, socket, reader, stopping: false, event }.serve().await
    }
}

/// A connection on the fast path.
struct FastConnection<'a, S: ClientStream> {
    connection: &'a Connection,
    client: &'a Client,
    socket: &'a mut ClientSocket<S>,
    reader: RequestReader,
    /// The listener closes: the response to the current request is the last one.
    stopping: bool,
    event: Rarely<Pin<Box<dyn Future<Output = Event> + Send + 'a>>>,
}

impl<'a, S: ClientStream> FastConnection<'a, S> {
    async fn serve(mut self) -> Option<Handover> {
        loop {
            let request = match self.next_request().await {
                Ok(Some(request)) => request,
                Ok(None) => return None,
                Err(other) => {
                    let is_http2 = other == OtherServer::Http2;
                    return Some(Handover { is_http2, unread: self.reader.into_unread() });
                }
            };
            match self.exchange(request).await {
                ExchangeEnd::Complete { closes: false } => self.client.socket.flushed(),
                ExchangeEnd::Complete { closes: true } => {
                    self.shut_down().await;
                    return None;
                }
                ExchangeEnd::Broken => return None,
            }
        }
    }

    /// Waits for a request. `None`: the connection has ended.
    async fn next_request(&mut self) -> Result<Option<FastRequest>, OtherServer> {
        loop {
            if let Some(request) = self.reader.next(self.connection.proxy.limits.head_bytes)? {
                return Ok(Some(request));
            }
            if self.stopping {
                self.shut_down().await;
                return Ok(None);
            }
            let next = std::future::poll_fn(|cx| match poll_read_at_most(READ_BYTES, self.socket, cx) {
                Poll::Ready(read) => Poll::Ready(Next::Bytes(read)),
                Poll::Pending => Pin::new(&mut self.event).poll(cx).map(Next::Event),
            });
            match next.await {
                Next::Bytes(Ok(bytes)) if !bytes.is_empty() => self.reader.push(bytes),
                // The client has closed its side, or its connection broke.
                Next::Bytes(_) => {
                    self.shut_down().await;
                    return Ok(None);
                }
                Next::Event(event) => {
                    if self.is_ended_by(&event) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Answers a request.
    async fn exchange(&mut self, FastRequest { request, keeps_connection }: FastRequest) -> ExchangeEnd {
        let (connection, client) = (self.connection, self.client);
        // Held until the last byte of the response has been handed over.
        let _busy = Busy { _slot: connection.slot.busy(), socket: Arc::clone(&client.socket) };
        client.socket.request_began();
        let method = request.method().clone();
        let mut response = pin!(connection.proxy.respond(client, request));
        let mut writing: Option<ResponseWriter> = None;
        let poll_exchange = |cx: &mut Context<'_>| {
            loop {
                match &mut writing {
                    None => {
                        if let Poll::Ready(response) = response.as_mut().poll(cx) {
                            let keeps_connection = keeps_connection && !self.stopping;
                            writing = Some(ResponseWriter::new(response, &method, keeps_connection));
                            continue;
                        }
                    }
                    Some(writer) => {
                        if let Poll::Ready(end) = writer.poll(cx, self.socket) {
                            return Poll::Ready(end);
                        }
                    }
                }
                if self.has_client_left(cx) {
                    return Poll::Ready(ExchangeEnd::Broken);
                }
                let event = ready!(Pin::new(&mut self.event).poll(cx));
                if self.is_ended_by(&event) {
                    return Poll::Ready(ExchangeEnd::Broken);
                }
            }
        };
        std::future::poll_fn(poll_exchange).await
    }

    /// Without this, an instance would go on working for a client that has left. A request that was sent ahead is read once.
    fn has_client_left(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.reader.is_empty() {
            return false;
        }
        match poll_read_at_most(READ_BYTES, self.socket, cx) {
            Poll::Ready(Ok(bytes)) if !bytes.is_empty() => self.reader.push(bytes),
            Poll::Ready(_) => return true,
            Poll::Pending => {}
        }
        false
    }

    /// Whether the connection ends at once. Otherwise, waits for the next event.
    fn is_ended_by(&mut self, event: &Event) -> bool {
        match event {
            Event::Close(reason) => {
                tracing::debug!(peer = %self.connection.peer, reason, "closed a client connection");
                return true;
            }
            Event::Stop => self.stopping = true,
            Event::BodyDropped => {}
        }
        self.event = Self::event(self.connection, self.client, self.stopping);
        false
    }

    fn event(
        connection: &'a Connection,
        client: &'a Client,
        stopping: bool,
    ) -> Rarely<Pin<Box<dyn Future<Output = Event> + Send + 'a>>> {
        Rarely::new(Box::pin(connection.event(&client.socket, stopping)))
    }

    /// Closes the sending side in order, as far as that is possible at once.
    async fn shut_down(&mut self) {
        std::future::poll_fn(|cx| {
            // If it fails the connection is gone.
            let _ = Pin::new(&mut *self.socket).poll_shutdown(cx);
            Poll::Ready(())
        })
        .await;
    }
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

    fn poll<S: ClientStream>(&mut self, cx: &mut Context<'_>, socket: &mut ClientSocket<S>) -> Poll<ExchangeEnd> {
        let mut written = 0;
        let result = self.writer.poll(cx, &mut self.body, socket, &mut written);
        // TLS may hold back a part of what was written.
        let flushed = Pin::new(socket).poll_flush(cx);
        match ready!(result) {
            Ok(()) if ready!(flushed).is_ok() => Poll::Ready(ExchangeEnd::Complete { closes: self.closes }),
            Ok(()) | Err(_) => Poll::Ready(ExchangeEnd::Broken),
        }
    }
}
