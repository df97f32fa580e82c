//! The socket of an instance.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::Address;
use crate::upstream_stream::UpstreamStream;

/// A connection to an instance. Between two requests no byte of it is buffered here.
#[derive(Debug)]
pub(crate) struct Connection {
    pub stream: UpstreamStream,
    /// It has carried a request before, so the instance may be closing it.
    pub reused: bool,
}

impl Connection {
    /// Opens a connection within the connect timeout.
    pub async fn open(address: &Address, limit: Duration) -> io::Result<Self> {
        match tokio::time::timeout(limit, UpstreamStream::connect(address)).await {
            Ok(stream) => Ok(Connection { stream: stream?, reused: false }),
            Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Whether an idle connection is open, as far as is known. One whose instance sent something without being asked is
    /// of no use either.
    pub fn is_usable(&self) -> bool {
        // Not `poll_read`: it looks at nothing if the task has used up its share of the runtime. This makes a system call
        // only if something has happened to the socket since the last read.
        self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A connection that carries another protocol now, with what was read behind the head of the answer.
#[derive(Debug)]
pub(crate) struct UpgradedConnection {
    pub stream: UpstreamStream,
    pub unread: Bytes,
}

impl AsyncRead for UpgradedConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UpgradedConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
