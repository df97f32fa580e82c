//! The body of an answer (RFC 9112, 6 and 7), as a reader without I/O.

use bytes::Bytes;

use super::chunks::{Chunk, ChunkError, ChunkReader};

/// Takes the body of an answer off the bytes of a connection.
#[derive(Debug)]
pub(crate) struct BodyReader(Framing);

#[derive(Debug)]
enum Framing {
    /// How many bytes are missing.
    Length(u64),
    Chunked(Box<ChunkReader>),
    UntilClose {
        ended: bool,
    },
}

/// The instance closed the connection before the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection ended before the body")]
pub(crate) struct Truncated;

impl BodyReader {
    pub fn empty() -> Self {
        Self::with_length(0)
    }

    pub fn with_length(length: u64) -> Self {
        BodyReader(Framing::Length(length))
    }

    pub fn chunked(most_trailers: usize) -> Self {
        BodyReader(Framing::Chunked(Box::new(ChunkReader::new(most_trailers))))
    }

    pub fn until_close() -> Self {
        BodyReader(Framing::UntilClose { ended: false })
    }

    /// Whether nothing is missing.
    pub fn is_end(&self) -> bool {
        match &self.0 {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunks) => chunks.is_end(),
            Framing::UntilClose { ended } => *ended,
        }
    }

    /// How many bytes are missing, if the head said so.
    pub fn exact_length(&self) -> Option<u64> {
        match &self.0 {
            Framing::Length(left) => Some(*left),
            Framing::Chunked(_) | Framing::UntilClose { .. } => None,
        }
    }

    /// Takes bytes off `input`. `None`: more are needed.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Chunk>, ChunkError> {
        if self.is_end() {
            return Ok(Some(Chunk::End));
        }
        match &mut self.0 {
            Framing::Chunked(chunks) => chunks.next(input),
            _ if input.is_empty() => Ok(None),
            Framing::UntilClose { .. } => Ok(Some(Chunk::Data(std::mem::take(input)))),
            Framing::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= count as u64;
                Ok(Some(Chunk::Data(input.split_to(count))))
            }
        }
    }

    /// The connection has ended.
    pub fn end(&mut self) -> Result<(), Truncated> {
        if let Framing::UntilClose { ended } = &mut self.0 {
            *ended = true;
        }
        if self.is_end() { Ok(()) } else { Err(Truncated) }
    }
}
