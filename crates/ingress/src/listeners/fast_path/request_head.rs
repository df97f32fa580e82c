//! The head of a request, if it is one for the fast path.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, Uri};

use crate::proxy::ClientRequest;

/// Header lines. A request with more is rare.
const MOST_LINES: usize = 64;

/// The HTTP library has to read what stands at the start of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherRequest;

/// A request without a body.
#[derive(Debug)]
pub(super) struct FastRequest {
    pub request: ClientRequest,
    /// The client may send another request on the connection.
    pub keeps_connection: bool,
}

/// Takes a request off the bytes of a connection. Leaves everything else there. `None`: more bytes are needed. `most_bytes`: of a
/// head.
pub(super) fn take(unread: &mut Bytes, most_bytes: usize) -> Result<Option<FastRequest>, OtherRequest> {
    if unread.is_empty() {
        return Ok(None);
    }
    let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut head = httparse::Request::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut head, unread, &mut lines);
    match parsed {
        Ok(httparse::Status::Complete(length)) if length <= most_bytes => {
            let request = request(unread, &head).ok_or(OtherRequest)?;
            unread.advance(length);
            Ok(Some(request))
        }
        Ok(httparse::Status::Partial) if unread.len() < most_bytes => Ok(None),
        Ok(_) | Err(_) => Err(OtherRequest),
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
