//! A connection to the engine for the requests of a build, which bollard cannot send: its builds open a session without
//! secrets.

use std::path::Path;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use super::{DEADLINE, failure};
use crate::error::EngineError;
use crate::port::Context;

pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A connection for one request. Dropping it ends the request.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    pub async fn open(socket: &Path) -> Result<Connection, EngineError> {
        let stream = UnixStream::connect(socket).await.map_err(|error| failure::unreachable_at(socket, error))?;
        let (sender, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|error| failure::broken_connection(socket, &error))?;
        // An error of the connection is also one of its request.
        let driver = tokio::spawn(async move { drop(driver.with_upgrades().await) });
        Ok(Connection { sender, _driver: AbortOnDropHandle::new(driver) })
    }

    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.sender.send_request(request).await
    }
}

/// A POST request with these headers. Every engine answers a path without a version.
pub(super) fn post(path: &str, headers: &[(&'static str, &str)], body: Body) -> Request<Body> {
    let start = Request::builder().method(Method::POST).uri(path).header(header::HOST, "docker");
    let request = headers.iter().fold(start, |request, (name, value)| request.header(*name, *value));
    request.body(body).expect("the path and the headers consist of characters that HTTP allows")
}

pub(super) fn no_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn stream_body(stream: Context) -> Body {
    StreamBody::new(stream.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

/// The error of a response that is not a success.
pub(super) async fn refusal(verb: &'static str, response: Response<Incoming>) -> EngineError {
    let status = response.status().as_u16();
    let text = match tokio::time::timeout(DEADLINE, response.into_body().collect()).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Ok(Err(_)) | Err(_) => String::new(),
    };
    let message = serde_json::from_str::<serde_json::Value>(&text).ok();
    let message = message.and_then(|it| it["message"].as_str().map(str::to_owned)).unwrap_or(text);
    failure::refused(verb, Some(status), message)
}
