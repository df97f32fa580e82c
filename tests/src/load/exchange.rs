//! One keep-alive connection, and one request with its answer.
//!
//! The fine point is a connection that the server closed while it lay idle. Such a connection is looked at right before
//! each use and opened anew if its end is there; a request that hyper hands back unsent goes over the new one. A request
//! of which a byte may have left is never sent again: if it gets no answer, it failed.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::plan::{LoadPlan, Request};
use super::tally::Tally;

/// No answer of a test is longer; one that is would fill our memory.
const LONGEST_ANSWER: usize = 64 << 20;

/// How a request failed.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("cannot connect: {0}")]
    Refused(#[source] std::io::Error),
    #[error("cannot speak HTTP on a new connection: {0}")]
    NotHttp(#[source] hyper::Error),
    #[error("no answer: {}", chain(.0))]
    Unanswered(#[source] hyper::Error),
    #[error("answered {status} instead of {wanted}")]
    Status { status: StatusCode, wanted: String },
    #[error("the answer ({status}) was cut after {bytes} bytes: {}", chain(.cause))]
    Cut { status: StatusCode, bytes: usize, cause: hyper::Error },
    #[error("the answer ({status}) is longer than {LONGEST_ANSWER} bytes")]
    TooLong { status: StatusCode },
    #[error("another body than expected ({status}, {} bytes): {start:?}", .bytes)]
    WrongBody { status: StatusCode, bytes: usize, start: String },
    #[error("not done after {0:?}")]
    Deadline(std::time::Duration),
}

impl Failure {
    /// The status, if one arrived.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Failure::Status { status, .. }
            | Failure::Cut { status, .. }
            | Failure::TooLong { status }
            | Failure::WrongBody { status, .. } => Some(status.as_u16()),
            Failure::Refused(_) | Failure::NotHttp(_) | Failure::Unanswered(_) | Failure::Deadline(_) => None,
        }
    }

    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Failure::Refused(_))
    }
}

/// A place for one connection: open, or to be opened when next needed.
pub(super) struct Line<'a> {
    plan: &'a LoadPlan,
    tally: &'a Tally,
    open: Option<Open>,
}

struct Open {
    requests: SendRequest<Full<Bytes>>,
    /// The same socket once more, only to look whether the server has closed it.
    socket: std::net::TcpStream,
    /// Moves the bytes; ends with the connection, and is ended with it.
    mover: tokio::task::JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.mover.abort();
    }
}

impl<'a> Line<'a> {
    pub(super) fn new(plan: &'a LoadPlan, tally: &'a Tally) -> Line<'a> {
        Line { plan, tally, open: None }
    }

    /// Sends one request and reads its whole answer. After a failure the connection is given up.
    pub(super) async fn exchange(&mut self, request: &Request) -> Result<StatusCode, Failure> {
        let deadline = self.plan.deadline;
        let done = timeout(deadline, self.send_and_read(request)).await;
        let outcome = done.unwrap_or(Err(Failure::Deadline(deadline)));
        if outcome.is_err() {
            self.open = None;
        }
        outcome
    }

    async fn send_and_read(&mut self, request: &Request) -> Result<StatusCode, Failure> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = whole_body(response).await?;
        if !request.welcomes(status) {
            let wanted = request.status.map_or("2xx".to_owned(), |status| status.to_string());
            return Err(Failure::Status { status, wanted });
        }
        if !request.answer.is_met_by(&body) {
            let start = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            return Err(Failure::WrongBody { status, bytes: body.len(), start });
        }
        Ok(status)
    }

    async fn send(&mut self, request: &Request) -> Result<Response<Incoming>, Failure> {
        let mut message = self.message(request);
        loop {
            let (open, fresh) = self.usable_connection().await?;
            match open.requests.try_send_request(message).await {
                Ok(response) => return Ok(response),
                Err(mut refused) => match refused.take_message() {
                    // Not a byte of it was sent: the connection ended while it was idle.
                    Some(unsent) if !fresh => message = unsent,
                    _ => return Err(Failure::Unanswered(refused.into_error())),
                },
            }
            self.open = None;
        }
    }

    /// The connection at hand if it is still good, else a new one; and whether it is new.
    async fn usable_connection(&mut self) -> Result<(&mut Open, bool), Failure> {
        let kept = match self.open.take() {
            Some(mut open) => open.is_usable().await.then_some(open),
            None => None,
        };
        let fresh = kept.is_none();
        let open = match kept {
            Some(open) => open,
            None => self.connect().await?,
        };
        Ok((self.open.insert(open), fresh))
    }

    async fn connect(&self) -> Result<Open, Failure> {
        let (stream, socket) = connect_twice_held(self.plan).await.map_err(Failure::Refused)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::NotHttp)?;
        // Its error reaches the request that suffers from it; without a request there is nobody to tell.
        let mover = tokio::spawn(async move { drop(connection.await) });
        self.tally.connected();
        Ok(Open { requests, socket, mover })
    }

    fn message(&self, request: &Request) -> hyper::Request<Full<Bytes>> {
        let mut message = hyper::Request::builder()
            .method(request.method.clone())
            .uri(&request.path)
            .header(header::HOST, &self.plan.host);
        for (name, value) in &request.headers {
            message = message.header(name, value);
        }
        message.body(Full::new(request.body.clone())).expect("the plan names a valid path, host and headers")
    }
}

impl Open {
    /// Idle, and not closed by the server as far as this host knows.
    async fn is_usable(&mut self) -> bool {
        self.requests.ready().await.is_ok() && !self.is_closed_by_server()
    }

    /// Whether the server's end has arrived, though hyper may not have been told yet.
    fn is_closed_by_server(&self) -> bool {
        match self.socket.peek(&mut [0]) {
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            // The end, or bytes nobody asked for.
            Ok(_) => true,
        }
    }
}

async fn connect_twice_held(plan: &LoadPlan) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    let stream = TcpStream::connect(plan.target).await?;
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let socket = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, socket))
}

async fn whole_body(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let (status, mut incoming) = (response.status(), response.into_body());
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|cause| Failure::Cut { status, bytes: body.len(), cause })?;
        // Trailers have no data, and no say in whether the body is whole.
        let data = frame.into_data().unwrap_or_default();
        if body.len() + data.len() > LONGEST_ANSWER {
            return Err(Failure::TooLong { status });
        }
        body.extend_from_slice(&data);
    }
    Ok(body.freeze())
}

/// hyper's own words and those of its cause: "connection error" alone says too little.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
