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

/// What stands at the start of the bytes of a connection.
#[derive(Debug)]
pub(super) enum Parsed {
    Request(FastRequest),
    /// More bytes are needed.
    Partial,
    /// The HTTP library has to read this.
    Other,
}

/// A request without a body.
#[derive(Debug)]
pub(super) struct FastRequest {
    pub request: ClientRequest,
    /// The client may send another request on the connection.
    pub keeps_connection: bool,
}

/// Takes a request off the bytes of a connection. Leaves everything else there. `most_bytes`: of a head.
pub(super) fn take(unread: &mut Bytes, most_bytes: usize) -> Parsed {
    if unread.is_empty() {
        return Parsed::Partial;
    }
    let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut head = httparse::Request::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut head, unread, &mut lines);
    match parsed {
        Ok(httparse::Status::Complete(length)) if length <= most_bytes => match request(unread, &head) {
            Some(request) => {
                unread.advance(length);
                Parsed::Request(request)
            }
            None => Parsed::Other,
        },
        Ok(httparse::Status::Partial) if unread.len() < most_bytes => Parsed::Partial,
        Ok(_) | Err(_) => Parsed::Other,
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
