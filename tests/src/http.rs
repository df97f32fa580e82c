//! A minimal HTTP client for the stories: one request, one answer.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::installation::ENDS_WITHIN;

/// Sends JSON with a bearer token, reads JSON.
pub async fn json(
    target: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> Result<(u16, Value)> {
    let body = body.map(|it| it.to_string()).unwrap_or_default();
    authorized(target, method, path, token, "application/json", body).await
}

/// Posts YAML with a bearer token, reads JSON.
pub async fn yaml(target: SocketAddr, path: &str, token: &str, body: &str) -> Result<(u16, Value)> {
    authorized(target, "POST", path, token, "application/yaml", body.to_owned()).await
}

async fn authorized(
    target: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    kind: &str,
    body: String,
) -> Result<(u16, Value)> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", target.to_string())
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "application/json")
        .header("content-type", kind)
        .body(Full::new(Bytes::from(body)))?;
    let (status, answer) = send(target, request).await?;
    let answer =
        if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).context("an answer in JSON")? };
    Ok((status, answer))
}

/// Gets a page through the ingress.
pub async fn page(target: SocketAddr, host: &str, path: &str) -> Result<(u16, String)> {
    let request = Request::get(path).header("host", host).body(Full::new(Bytes::new()))?;
    let (status, body) = send(target, request).await?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Sends one request on a new connection.
pub async fn send(target: SocketAddr, request: Request<Full<Bytes>>) -> Result<(u16, Bytes)> {
    Connection::open(target).await?.send(request).await
}

/// A connection for several requests, one after the other. Dropping it closes it.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    /// Connects.
    pub async fn open(target: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(target).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection: tokio::spawn(connection) })
    }

    /// Sends a request and returns the status and the body.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes)> {
        let answer = self.exchange(request).await?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }

    /// Sends a request and returns the whole answer.
    pub async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
        };
        tokio::time::timeout(ENDS_WITHIN, exchange).await.context("no answer in time")?
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
