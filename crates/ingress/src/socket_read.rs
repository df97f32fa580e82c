//! Reads from sockets by way of one buffer for each worker, so idle connections have no buffers.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of one read from an instance. Large answers are cheaper in large pieces.
const MOST: usize = 256 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; MOST]);
}

/// Reads what has arrived. Empty: the other side has closed its side.
pub(crate) fn poll_read(stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    poll_read_at_most(MOST, stream, cx)
}

/// Reads at most this number of bytes.
pub(crate) fn poll_read_at_most(
    most: usize,
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(&mut scratch[..most.min(MOST)]);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
}

/// The bytes of a connection that were read and not understood yet.
#[derive(Debug, Default)]
pub(crate) struct UnreadBytes {
    bytes: Bytes,
    /// How many of them are known not to end a head.
    checked: usize,
}

impl UnreadBytes {
    pub fn push(&mut self, bytes: Bytes) {
        if self.bytes.is_empty() {
            self.bytes = bytes;
            return;
        }
        // Almost every head arrives as a whole. With enough capacity the next piece needs no copy of the ones before.
        let mut joined = BytesMut::from(std::mem::take(&mut self.bytes));
        joined.extend_from_slice(&bytes);
        self.bytes = joined.freeze();
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether the bytes have to be parsed. The first ones always are, so that a wrong protocol is noticed at once. Later ones
    /// only if they may end the head: otherwise a head in small pieces would cost the square of its length.
    pub fn may_contain_head(&self) -> bool {
        let may_end = self.checked == 0 || has_empty_line(&self.bytes[self.checked.saturating_sub(3)..]);
        !self.bytes.is_empty() && may_end
    }

    /// The bytes contain no whole head. Returns their number.
    pub fn set_incomplete(&mut self) -> usize {
        self.checked = self.bytes.len();
        self.checked
    }

    /// Removes the first bytes.
    pub fn advance(&mut self, count: usize) {
        self.checked = 0;
        if count == self.bytes.len() {
            // An empty slice would keep the memory of the whole.
            self.bytes = Bytes::new();
        } else {
            self.bytes.advance(count);
        }
    }
}

/// Whether a line in these bytes is empty, in any spelling.
fn has_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_that_may_end_a_head_are_parsed_again() {
        for end in ["\r\n\r\n", "\n\n", "\n\r\n"] {
            let text = format!("GET / HTTP/1.1\nHost: shop{end}");
            let mut unread = UnreadBytes::default();
            let mut parses = 0;
            for byte in text.bytes() {
                unread.push(Bytes::copy_from_slice(&[byte]));
                parses += usize::from(unread.may_contain_head());
                assert!(unread.bytes().len() < text.len() || unread.may_contain_head(), "{end:?}");
                unread.set_incomplete();
            }
            assert_eq!(parses, 2, "the first byte and the last: {end:?}");
        }
    }
}
