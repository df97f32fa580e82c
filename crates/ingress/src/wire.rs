//! Reads and writes messages, one JSON value per line, with a size limit. Used by both sides of the control socket.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest line either side accepts.
pub(crate) const LINE_LIMIT: u64 = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("a line is longer than {LINE_LIMIT} bytes")]
    TooLong,
    #[error("a line is not a message of this protocol: {0}")]
    NotAMessage(serde_json::Error),
    #[error("the control socket failed")]
    Io(#[source] io::Error),
}

/// The next message. Not cancel safe: a dropped read loses part of a line.
pub(crate) async fn read<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin)) -> Result<T, WireError> {
    let mut line = Vec::new();
    let count = from.take(LINE_LIMIT + 1).read_until(b'\n', &mut line).await.map_err(WireError::Io)?;
    match line.last() {
        Some(b'\n') => serde_json::from_slice(&line).map_err(WireError::NotAMessage),
        Some(_) if count as u64 > LINE_LIMIT => Err(WireError::TooLong),
        // The peer died in the middle of a line.
        Some(_) | None => Err(WireError::Closed),
    }
}

pub(crate) async fn write<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<(), WireError> {
    let mut line = serde_json::to_vec(message).map_err(|error| WireError::Io(error.into()))?;
    line.push(b'\n');
    to.write_all(&line).await.map_err(WireError::Io)?;
    to.flush().await.map_err(WireError::Io)
}
