//! A request on its way to an instance: its head as bytes, and its body with the framing that the head announces.

use std::task::{Context, Poll};

use hyper::Method;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
};
use tokio::io::AsyncWrite;

use crate::headers::{self, Origin};
use crate::message_writer::{BodyFraming, MessageWriter, WriteStop, write_header};
use crate::upload::RequestBody;

/// Bytes of a usual head.
const HEAD_CAPACITY: usize = 1024;

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

/// A request that is being written. Until its first byte is written it can be written to another connection.
#[derive(Debug)]
pub(crate) struct Upload {
    pub body: RequestBody,
    has_body: bool,
    writer: MessageWriter,
}

impl Upload {
    pub fn new(body: RequestBody, framing: BodyFraming, headers: &HeaderMap) -> Self {
        let announced = match framing {
            BodyFraming::Chunked => announced_trailers(headers),
            BodyFraming::None | BodyFraming::Length(_) => Vec::new(),
        };
        Upload { body, has_body: framing != BodyFraming::None, writer: MessageWriter::new(framing, announced) }
    }

    /// Whether the request has a body.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// Puts a head before the body, in place of the one before. If the request has a body, the caller must not have written
    /// any byte of it yet.
    pub fn begin(&mut self, head: &RequestHead<'_>) {
        self.writer.begin(head.to_bytes());
    }

    /// Whether everything was written.
    pub fn is_done(&self) -> bool {
        self.writer.is_done()
    }

    /// Writes until everything is written. `written`: increased by the number of bytes.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
        written: &mut u64,
    ) -> Poll<Result<(), WriteStop>> {
        self.writer.poll(cx, &mut self.body, stream, written)
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
}
