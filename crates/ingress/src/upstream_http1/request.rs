//! A request on its way to an instance: its head as bytes, and its body with the framing that the head announces.

use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::Method;
use hyper::body::{Body, Frame};
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
};
use tokio::io::AsyncWrite;

use crate::headers::{self, NoLength, Origin};
use crate::upload::RequestBody;

/// Bytes of a usual head.
const HEAD_CAPACITY: usize = 1024;

/// How a request's body is framed.
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
    pub fn of(headers: &HeaderMap, body: &impl Body) -> Result<Self, NoLength> {
        let length = headers::content_length(headers)?;
        Ok(match length {
            _ if body.is_end_stream() => BodyFraming::None,
            _ if headers.contains_key(TRANSFER_ENCODING) => BodyFraming::Chunked,
            Some(length) => BodyFraming::Length(length),
            None => BodyFraming::None,
        })
    }
}

/// Everything that the head of a request is made of.
pub(crate) struct RequestHead<'a> {
    pub method: &'a Method,
    /// Path and query, or `*`.
    pub target: &'a str,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    pub host: &'a HeaderValue,
    /// `None`: another component of the app calls.
    pub origin: Option<&'a Origin>,
    /// A header that replaces the client's.
    pub added: Option<&'a (HeaderName, HeaderValue)>,
    pub framing: BodyFraming,
    /// Whether this is the handshake of a WebSocket.
    pub upgrade: bool,
}

impl RequestHead<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_CAPACITY);
        for part in [self.method.as_str(), " ", self.target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        headers::for_upstream(self.headers, self.host, self.origin, |name, value| {
            if self.added.is_none_or(|(replaced, _)| replaced != name) {
                write_header(&mut out, name, value);
            }
        });
        if let Some((name, value)) = self.added {
            write_header(&mut out, name, value);
        }
        if self.framing == BodyFraming::Chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if self.upgrade {
            out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
        } else if headers::accepts_trailers(self.headers) {
            out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn write_header(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Why an upload ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadStop {
    /// The body of the client ended early or was malformed, or is not wanted any more.
    Body,
    /// The instance accepts no more bytes. What it has sent can still be read.
    Connection,
}

/// A request that is being written. Until its first byte is written it can be written to another connection.
#[derive(Debug)]
pub(crate) struct Upload {
    pub body: RequestBody,
    framing: BodyFraming,
    has_body: bool,
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

impl Upload {
    pub fn new(body: RequestBody, framing: BodyFraming, headers: &HeaderMap) -> Self {
        let announced = match framing {
            BodyFraming::Chunked => announced_trailers(headers),
            BodyFraming::None | BodyFraming::Length(_) => Vec::new(),
        };
        let has_body = framing != BodyFraming::None;
        Upload { body, framing, has_body, announced, unwritten: Unwritten::default(), ended: !has_body }
    }

    /// Whether the request has a body.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// Puts a head before the body, in place of the one before. If the request has a body, the caller must not have written
    /// any byte of it yet.
    pub fn begin(&mut self, head: &RequestHead<'_>) {
        let (head, unwritten) = (head.to_bytes(), &mut self.unwritten);
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
        stream: &mut (impl AsyncWrite + Unpin),
        written: &mut u64,
    ) -> Poll<Result<(), UploadStop>> {
        loop {
            if !self.ended && self.unwritten.has_room() {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.take(frame)?,
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(UploadStop::Body)),
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
                Ok(0) | Err(_) => return Poll::Ready(Err(UploadStop::Connection)),
                Ok(count) => *written += count as u64,
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), UploadStop> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return self.end(frame.into_trailers().ok()),
        };
        match &mut self.framing {
            BodyFraming::None => return Err(UploadStop::Body),
            BodyFraming::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(UploadStop::Body)?;
            }
            // A chunk without data would end the body.
            BodyFraming::Chunked if data.is_empty() => return Ok(()),
            BodyFraming::Chunked => {
                self.unwritten.line(format_args!("{:x}\r\n", data.len()));
                self.unwritten.end = b"\r\n";
            }
        }
        self.unwritten.data = data;
        if self.framing == BodyFraming::Length(0) {
            return self.end(None);
        }
        Ok(())
    }

    /// The body has ended.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), UploadStop> {
        self.ended = true;
        match self.framing {
            BodyFraming::None | BodyFraming::Length(0) => return Ok(()),
            BodyFraming::Length(_) => return Err(UploadStop::Body),
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
    /// Whether another frame of the body may be added.
    fn has_room(&self) -> bool {
        self.data.is_empty() && self.end.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.lead.is_empty() && self.has_room()
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Only the chunked coding writes lines, and the text is ASCII.
        let mut line = String::new();
        if line.write_fmt(text).is_ok() {
            self.lead.extend_from_slice(line.as_bytes());
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut (impl AsyncWrite + Unpin)) -> Poll<io::Result<usize>> {
        let lead = &self.lead[self.written..];
        let result = if self.has_room() {
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

/// The names in `Trailer`, except for those that may not be trailers (RFC 9110, 6.5.1).
fn announced_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    const NEVER: [HeaderName; 12] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TRAILER,
        TRANSFER_ENCODING,
        TE,
    ];
    let values = headers.get_all(TRAILER).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).filter_map(|name| HeaderName::try_from(name.trim()).ok());
    names.filter(|name| !NEVER.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head(lines: &[(&'static str, &'static str)], framing: BodyFraming, upgrade: bool) -> String {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let fixed = HeaderValue::from_static;
        let origin = Origin { address: fixed("192.0.2.9"), port: fixed("80"), scheme: fixed("http"), host: None };
        let added = (HeaderName::from_static("x-secret"), fixed("s"));
        let head = RequestHead {
            method: &Method::GET,
            target: "/a?b",
            headers: &headers,
            host: &fixed("shop"),
            origin: Some(&origin),
            added: Some(&added),
            framing,
            upgrade,
        };
        String::from_utf8(head.to_bytes()).unwrap()
    }

    #[test]
    fn a_head_has_the_clients_headers_then_those_of_the_ingress() {
        let text = head(
            &[("host", "other"), ("x-secret", "mine"), ("accept", "*/*"), ("te", "trailers")],
            BodyFraming::None,
            false,
        );
        assert_eq!(
            text,
            "GET /a?b HTTP/1.1\r\nhost: shop\r\naccept: */*\r\nx-forwarded-for: 192.0.2.9\r\nx-forwarded-host: shop\r\n\
             x-forwarded-port: 80\r\nx-forwarded-proto: http\r\nx-secret: s\r\nte: trailers\r\nconnection: te\r\n\r\n"
        );
    }

    #[test]
    fn a_head_announces_how_its_body_is_framed() {
        let both = [("content-length", "3"), ("transfer-encoding", "chunked")];
        let text = head(&both, BodyFraming::Chunked, false);
        assert!(text.contains("transfer-encoding: chunked\r\n") && !text.contains("content-length"), "{text}");
        let text = head(&[("content-length", "3")], BodyFraming::Length(3), true);
        assert!(text.contains("content-length: 3\r\n") && !text.contains("transfer-encoding"), "{text}");
        assert!(text.ends_with("connection: upgrade\r\nupgrade: websocket\r\n\r\n"), "{text}");
    }

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
