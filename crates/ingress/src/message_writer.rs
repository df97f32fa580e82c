//! Writes a message of HTTP/1.1: a head, then a body with the framing that the head announces (RFC 9112, 6 and 7).

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::StatusCode;
use hyper::body::{Body, Frame};
use hyper::header::{HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use tokio::io::AsyncWrite;

use crate::headers::{self, NoLength};

/// A body, or a piece of it, that is not longer is copied behind the bytes before it: that costs less than a second buffer in
/// the system call.
pub(crate) const COPIED: usize = 4096;

/// How the body of a message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// There is no body.
    None,
    /// How many bytes are still to come.
    Length(u64),
    Chunked,
}

impl BodyFraming {
    /// Errors: the length is no number, or there are several.
    pub fn of(headers: &HeaderMap, has_body: bool) -> Result<Self, NoLength> {
        let length = headers::content_length(headers)?;
        Ok(match length {
            _ if !has_body => BodyFraming::None,
            _ if headers.contains_key(TRANSFER_ENCODING) => BodyFraming::Chunked,
            Some(length) => BodyFraming::Length(length),
            None => BodyFraming::None,
        })
    }
}

/// Whether an answer with this status may have a body, if its request is no HEAD (RFC 9112, 6.3).
pub(crate) fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Why a message was not written to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteStop {
    /// The body ended early or was malformed, or is not wanted any more.
    Body,
    /// The receiver accepts no more bytes. What it has sent can still be read.
    Connection,
}

/// A message that is being written.
#[derive(Debug)]
pub(crate) struct MessageWriter {
    framing: BodyFraming,
    /// The trailers that the head announced. Others are dropped.
    announced: Vec<HeaderName>,
    unwritten: Unwritten,
    /// The body has been taken in as a whole.
    ended: bool,
}

/// Bytes in the order in which they are written.
#[derive(Debug, Default)]
struct Unwritten {
    /// The head, and the line before a chunk.
    lead: Vec<u8>,
    /// How much of `lead` is the head.
    head: usize,
    /// How much of `lead` was written.
    written: usize,
    data: Bytes,
    end: &'static [u8],
}

impl MessageWriter {
    pub fn new(framing: BodyFraming, announced: Vec<HeaderName>) -> Self {
        let ended = framing == BodyFraming::None || framing == BodyFraming::Length(0);
        MessageWriter { framing, announced, unwritten: Unwritten::default(), ended }
    }

    /// Puts a head before the body, in place of the one before.
    pub fn begin(&mut self, head: Vec<u8>) {
        let unwritten = &mut self.unwritten;
        let length = head.len();
        if unwritten.lead.is_empty() {
            unwritten.lead = head;
        } else {
            unwritten.lead.splice(..unwritten.head, head);
        }
        (unwritten.head, unwritten.written) = (length, 0);
    }

    /// Whether everything was written.
    pub fn is_done(&self) -> bool {
        self.ended && self.unwritten.is_empty()
    }

    /// Writes until everything is written. `written`: increased by the number of bytes.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut (impl Body<Data = Bytes> + Unpin),
        stream: &mut (impl AsyncWrite + Unpin),
        written: &mut u64,
    ) -> Poll<Result<(), WriteStop>> {
        loop {
            if !self.ended && self.unwritten.has_room() {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.take(frame)?,
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(WriteStop::Body)),
                    Poll::Ready(None) => self.end(None)?,
                    Poll::Pending if self.unwritten.is_empty() => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            if self.unwritten.is_empty() {
                if self.ended {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match ready!(self.unwritten.poll_write(cx, stream)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(WriteStop::Connection)),
                Ok(count) => *written += count as u64,
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), WriteStop> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return self.end(frame.into_trailers().ok()),
        };
        match &mut self.framing {
            BodyFraming::None => return Err(WriteStop::Body),
            BodyFraming::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(WriteStop::Body)?;
            }
            // A chunk without data would end the body.
            BodyFraming::Chunked if data.is_empty() => return Ok(()),
            BodyFraming::Chunked => {
                self.unwritten.line(format_args!("{:X}\r\n", data.len()));
                self.unwritten.end = b"\r\n";
            }
        }
        self.unwritten.add(data);
        if self.framing == BodyFraming::Length(0) {
            return self.end(None);
        }
        Ok(())
    }

    /// The body has ended.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), WriteStop> {
        self.ended = true;
        match self.framing {
            BodyFraming::None | BodyFraming::Length(0) => return Ok(()),
            BodyFraming::Length(_) => return Err(WriteStop::Body),
            BodyFraming::Chunked => {}
        }
        self.unwritten.line(format_args!("0\r\n"));
        for (name, value) in trailers.iter().flatten() {
            if self.announced.contains(name) {
                write_header(&mut self.unwritten.lead, name, value);
            }
        }
        self.unwritten.line(format_args!("\r\n"));
        Ok(())
    }
}

impl Unwritten {
    /// Whether another frame of the body may be added: nothing but the head is left.
    fn has_room(&self) -> bool {
        self.lead.len() == self.head && self.is_only_lead()
    }

    fn is_empty(&self) -> bool {
        self.lead.is_empty() && self.is_only_lead()
    }

    fn is_only_lead(&self) -> bool {
        self.data.is_empty() && self.end.is_empty()
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a vector does not fail.
        let _ = self.lead.write_fmt(text);
    }

    fn add(&mut self, data: Bytes) {
        if self.written == 0 && !self.lead.is_empty() && data.len() <= COPIED {
            self.lead.extend_from_slice(&data);
            self.lead.extend_from_slice(std::mem::take(&mut self.end));
        } else {
            self.data = data;
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut (impl AsyncWrite + Unpin)) -> Poll<io::Result<usize>> {
        let lead = &self.lead[self.written..];
        let result = if self.is_only_lead() {
            Pin::new(stream).poll_write(cx, lead)
        } else {
            let parts = [IoSlice::new(lead), IoSlice::new(&self.data), IoSlice::new(self.end)];
            Pin::new(stream).poll_write_vectored(cx, &parts)
        };
        let count = ready!(result)?;
        self.advance(count);
        Poll::Ready(Ok(count))
    }

    fn advance(&mut self, mut count: usize) {
        let of_lead = count.min(self.lead.len() - self.written);
        self.written += of_lead;
        count -= of_lead;
        if self.written == self.lead.len() {
            self.lead.clear();
            (self.written, self.head) = (0, 0);
        }
        let of_data = count.min(self.data.len());
        self.data.advance(of_data);
        self.end = &self.end[count - of_data..];
    }
}

/// Writes one header line.
pub(crate) fn write_header(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_order_however_few_are_accepted() {
        for step in 1..20 {
            let mut unwritten = Unwritten { data: Bytes::from("data"), end: b"\r\n", ..Unwritten::default() };
            unwritten.lead = b"lead".to_vec();
            let mut out = Vec::new();
            while !unwritten.is_empty() {
                let all = [&unwritten.lead[unwritten.written..], &unwritten.data[..], unwritten.end].concat();
                let count = step.min(all.len());
                out.extend_from_slice(&all[..count]);
                unwritten.advance(count);
            }
            assert_eq!(out, b"leaddata\r\n", "{step}");
        }
    }
}
