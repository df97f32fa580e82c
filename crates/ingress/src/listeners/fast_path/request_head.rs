//! The head of a request, if it is one for the fast path.

use std::mem::MaybeUninit;

use bytes::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, Uri};

use crate::proxy::ClientRequest;
use crate::socket_read::UnreadBytes;

/// Most header lines on the fast path. Hyper reads requests with more.
const MOST_LINES: usize = 64;
/// How HTTP/2 begins (RFC 9113, 3.4). No method of HTTP/1.1 is named PRI.
const HTTP2_REQUEST_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Which server has to read what the client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherServer {
    Http1,
    /// The client began with HTTP/2.
    Http2,
}

/// A request without a body.
#[derive(Debug)]
pub(super) struct FastRequest {
    pub request: ClientRequest,
    /// The client may send another request on the connection.
    pub keeps_connection: bool,
}

/// Takes requests off the bytes of a connection.
#[derive(Debug, Default)]
pub(super) struct RequestReader {
    unread: UnreadBytes,
    /// The client has sent a request of HTTP/1.1.
    began: bool,
}

impl RequestReader {
    pub fn push(&mut self, bytes: Bytes) {
        self.unread.push(bytes);
    }

    /// Whether nothing is left behind the last request.
    pub fn is_empty(&self) -> bool {
        self.unread.bytes().is_empty()
    }

    pub fn into_unread(self) -> Bytes {
        self.unread.into_bytes()
    }

    /// The next request. `None`: more bytes are needed. An error leaves all bytes here, except for empty lines.
    /// `most_bytes`: the longest head.
    pub fn next(&mut self, most_bytes: usize) -> Result<Option<FastRequest>, OtherServer> {
        self.skip_empty_lines();
        let bytes = self.unread.bytes();
        if !self.began {
            if bytes.starts_with(HTTP2_REQUEST_LINE) {
                return Err(OtherServer::Http2);
            }
            if HTTP2_REQUEST_LINE.starts_with(bytes) {
                return Ok(None);
            }
        }
        if self.unread.may_contain_head()
            && let Some((request, length)) = parse(bytes, most_bytes)?
        {
            self.unread.advance(length);
            self.skip_empty_lines();
            self.began = true;
            return Ok(Some(request));
        }
        if self.unread.set_incomplete() >= most_bytes { Err(OtherServer::Http1) } else { Ok(None) }
    }

    /// Servers ignore empty lines before a request (RFC 9112, 2.2).
    fn skip_empty_lines(&mut self) {
        loop {
            match self.unread.bytes().as_ref() {
                [b'\r', b'\n', ..] => self.unread.advance(2),
                [b'\n', ..] => self.unread.advance(1),
                _ => return,
            }
        }
    }
}

/// The request at the start of these bytes and the length of its head. `None`: the head is not complete.
fn parse(bytes: &Bytes, most_bytes: usize) -> Result<Option<(FastRequest, usize)>, OtherServer> {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut head = httparse::Request::new(&mut []);
    match httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut head, bytes, &mut lines) {
        Ok(httparse::Status::Complete(length)) if length <= most_bytes => {
            Ok(Some((request(bytes, &head).ok_or(OtherServer::Http1)?, length)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(_)) | Err(_) => Err(OtherServer::Http1),
    }
}

/// `None`: the request is not one for the fast path.
fn request(bytes: &Bytes, head: &httparse::Request<'_, '_>) -> Option<FastRequest> {
    let method = Method::from_bytes(head.method?.as_bytes()).ok()?;
    let path = head.path?;
    if head.version != Some(1) || method == Method::CONNECT || !path.starts_with('/') {
        return None;
    }
    // With room for the id of the request.
    let mut headers = HeaderMap::with_capacity(head.headers.len() + 1);
    let mut keeps_connection = true;
    for line in head.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).ok()?;
        match name {
            CONTENT_LENGTH | EXPECT | TE | TRAILER | TRANSFER_ENCODING | UPGRADE => return None,
            CONNECTION if value.as_bytes().eq_ignore_ascii_case(b"close") => keeps_connection = false,
            CONNECTION if value.as_bytes().eq_ignore_ascii_case(b"keep-alive") => {}
            CONNECTION => return None,
            _ => {}
        }
        headers.try_append(name, value).ok()?;
    }
    let mut request = Request::new(None);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_maybe_shared(bytes.slice_ref(path.as_bytes())).ok()?;
    *request.headers_mut() = headers;
    Some(FastRequest { request, keeps_connection })
}
