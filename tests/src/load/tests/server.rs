//! A test server that runs one small script on every connection.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) struct Server {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// What the server received.
pub(super) struct Received {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Server {
    /// Runs `script` on each connection.
    pub(super) async fn on_connection<F, Done>(script: F) -> Server
    where
        F: Fn(TcpStream) -> Done + Send + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let connections: Arc<AtomicUsize> = Arc::default();
        let accepted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(script(stream));
            }
        });
        Server { address, connections, requests: Arc::default() }
    }

    /// Answers each request with the bytes that `reply` returns, and keeps the connection open.
    pub(super) async fn on_request(reply: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Server {
        let (requests, reply) = (Arc::new(AtomicUsize::new(0)), Arc::new(reply));
        let seen = requests.clone();
        let server = Server::on_connection(move |mut stream| {
            let (seen, reply) = (seen.clone(), reply.clone());
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    seen.fetch_add(1, Ordering::Relaxed);
                    let bytes = reply(&request);
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        Server { requests, ..server }
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests read so far.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// A complete answer with its length.
pub(super) fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The next request with its body; `None` when the client has closed.
pub(super) async fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let length: usize = length.parse().expect("the client's length is a number");
    while bytes.len() < head_end + length {
        read_more(stream, &mut bytes).await?;
    }
    Some(Received { head, body: bytes.split_off(head_end) })
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(bytes).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}
