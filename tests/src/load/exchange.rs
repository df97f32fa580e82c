//! One keep-alive connection, and one request with its answer.
//!
//! A server may close an idle connection. The load therefore checks the connection right before each use and opens it
//! again if it was closed. If hyper returns a request unsent, the request goes over a new connection. The load never
//! repeats a request of which a byte may have been sent: without an answer it has failed.

use anyhow::{Context, Result, anyhow, ensure};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::plan::{LoadPlan, Request};

/// A connection that is opened when it is needed.
pub(super) struct Connection<'a> {
    plan: &'a LoadPlan,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// The same socket, used only to check whether the server has closed it.
    socket: std::net::TcpStream,
}

impl<'a> Connection<'a> {
    pub(super) fn new(plan: &'a LoadPlan) -> Connection<'a> {
        Connection { plan, open: None }
    }

    /// Sends one request and reads the complete answer. A failure closes the connection.
    pub(super) async fn exchange(&mut self, request: &Request) -> Result<()> {
        let deadline = self.plan.deadline;
        let done = timeout(deadline, self.send_and_check(request)).await;
        let outcome = done.unwrap_or_else(|_| Err(anyhow!("not done after {deadline:?}")));
        if outcome.is_err() {
            self.open = None;
        }
        outcome
    }

    async fn send_and_check(&mut self, request: &Request) -> Result<()> {
        let (answer, mut incoming) = self.send(request).await?.into_parts();
        let (status, mut body) = (answer.status, BytesMut::new());
        while let Some(frame) = incoming.frame().await {
            let frame = frame.with_context(|| format!("the answer ({status}) was cut after {} bytes", body.len()))?;
            // Trailers have no data.
            body.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        ensure!(status.is_success(), "answered {status} instead of 2xx");
        ensure!(
            request.expected.is_met_by(&body),
            "another body than expected ({status}, {} bytes): {:?}",
            body.len(),
            String::from_utf8_lossy(&body[..body.len().min(80)])
        );
        Ok(())
    }

    async fn send(&mut self, request: &Request) -> Result<Response<Incoming>> {
        let mut message = self.message(request);
        if let Some(mut open) = self.open.take()
            && open.is_usable().await
        {
            match open.sender.try_send_request(message).await {
                Ok(answer) => {
                    self.open = Some(open);
                    return Ok(answer);
                }
                Err(mut error) => match error.take_message() {
                    // hyper sent no byte of it: the connection ended while it was idle.
                    Some(unsent) => message = unsent,
                    None => return Err(error.into_error()).context("no answer"),
                },
            }
        }
        let mut open = self.connect().await?;
        let answer = open.sender.send_request(message).await.context("no answer")?;
        self.open = Some(open);
        Ok(answer)
    }

    async fn connect(&self) -> Result<Open> {
        let stream = TcpStream::connect(self.plan.target).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let socket = stream.try_clone()?;
        let stream = TokioIo::new(TcpStream::from_std(stream)?);
        let (sender, connection) = http1::handshake(stream).await.context("cannot connect")?;
        // An error of the connection reaches the request that it fails.
        tokio::spawn(connection);
        Ok(Open { sender, socket })
    }

    fn message(&self, request: &Request) -> hyper::Request<Full<Bytes>> {
        let message = hyper::Request::builder().method(&request.method).uri(&request.path);
        let message = message.header(header::HOST, &self.plan.host);
        message.body(Full::new(request.body.clone())).expect("the plan has a valid path and host")
    }
}

impl Open {
    /// Whether the connection is idle and the server has not closed it, as far as this host knows. hyper may not have
    /// noticed yet.
    async fn is_usable(&mut self) -> bool {
        // There is nothing to read: neither the end nor unexpected bytes.
        let is_open = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        self.sender.ready().await.is_ok() && self.socket.peek(&mut [0]).is_err_and(is_open)
    }
}
