//! The head of a response, as hyper would write it.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use hyper::Method;
use hyper::body::Body;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, TRANSFER_ENCODING};

use crate::client_response::ClientResponse;
use crate::headers;
use crate::message_writer::{BodyFraming, COPIED, may_have_body, write_header};

/// Bytes for each header line. A longer head makes the buffer grow.
const USUAL_LINE: usize = 40;

/// The head of a response in bytes.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub bytes: Vec<u8>,
    /// How the body is framed.
    pub framing: BodyFraming,
    /// No other response follows on the connection.
    pub closes: bool,
}

/// `method`: that of the request. `keeps_connection`: the connection may carry another request.
pub(super) fn encode(response: &ClientResponse<impl Body>, method: &Method, keeps_connection: bool) -> ResponseHead {
    let ClientResponse { lines, head } = response;
    let (status, body) = (head.status(), head.body());
    let has_no_body = *method == Method::HEAD || !may_have_body(status);
    let framing = match (body.is_end_stream(), body.size_hint().exact()) {
        _ if has_no_body => BodyFraming::None,
        (true, _) => BodyFraming::Length(0),
        (false, Some(length)) => BodyFraming::Length(length),
        (false, None) => BodyFraming::Chunked,
    };
    // The writer copies a short body behind the head.
    let copied = match framing {
        BodyFraming::Length(length) => usize::try_from(length).ok().filter(|it| *it <= COPIED).unwrap_or_default(),
        BodyFraming::None | BodyFraming::Chunked => 0,
    };
    let mut bytes = Vec::with_capacity(100 + lines.as_bytes().len() + head.headers().len() * USUAL_LINE + copied);
    let reason = head.extensions().get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    let reason = reason.or(status.canonical_reason().map(str::as_bytes)).unwrap_or(b"<none>");
    for part in [&b"HTTP/1.1 "[..], status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
    // No line frames the body: `AnswerHead` has none that does.
    bytes.extend_from_slice(lines.as_bytes());
    let says_close = write_headers(&mut bytes, head.headers(), *method == Method::HEAD);
    match framing {
        // The length that the body of a GET would have.
        BodyFraming::None if *method == Method::HEAD && may_have_body(status) => {
            let length = body.size_hint().exact().filter(|_| !body.is_end_stream());
            if let Some(length) = length
                && !head.headers().contains_key(CONTENT_LENGTH)
            {
                let _ = write!(bytes, "content-length: {length}\r\n");
            }
        }
        BodyFraming::None => {}
        BodyFraming::Length(length) => {
            // Writing to a vector does not fail.
            let _ = write!(bytes, "content-length: {length}\r\n");
        }
        BodyFraming::Chunked => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if !keeps_connection && !says_close {
        bytes.extend_from_slice(b"connection: close\r\n");
    }
    if !lines.has_date && !head.headers().contains_key(DATE) {
        write_date(&mut bytes);
    }
    bytes.extend_from_slice(b"\r\n");
    ResponseHead { bytes, framing, closes: says_close || !keeps_connection }
}

/// Writes the headers that do not frame the body. Returns whether one says that the connection closes. `is_head`: the length
/// is that of the body that a GET would get.
fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap, is_head: bool) -> bool {
    let mut says_close = false;
    for (name, value) in headers {
        match *name {
            CONTENT_LENGTH if !is_head => continue,
            TRANSFER_ENCODING => continue,
            CONNECTION => says_close |= headers::has_token(value, "close"),
            _ => {}
        }
        write_header(out, name, value);
    }
    says_close
}

/// Writes the current time. It is formatted once a second.
fn write_date(out: &mut Vec<u8>) {
    thread_local! {
        static NEWEST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    NEWEST.with_borrow_mut(|(of, text)| {
        if *of != second || text.is_empty() {
            (*of, *text) = (second, httpdate::fmt_http_date(now));
        }
        for part in ["date: ", text, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    });
}
