//! Compares the fast path with hyper's server: a request that the fast path takes must be understood as hyper does, and a
//! response must be written as hyper does.
//!
//! `PROPTEST_CASES` sets the number of cases. Two million take a few minutes in a release build:
//! `PROPTEST_CASES=2000000 cargo test --release -p ingress --lib _differential`.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::executor::block_on;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Frame};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::request_head::{OtherServer, RequestReader};
use super::response_head;
use crate::client_response::ClientResponse;
use crate::header_lines::NoHeader;
use crate::message_writer::MessageWriter;

/// A socket that gives these bytes and then ends, and collects what is written.
#[derive(Clone)]
struct Socket {
    unread: Rc<RefCell<Bytes>>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl Socket {
    fn with(bytes: &[u8]) -> Self {
        Socket { unread: Rc::new(RefCell::new(Bytes::copy_from_slice(bytes))), written: Rc::default() }
    }
}

impl Read for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut unread = self.unread.borrow_mut();
        let count = unread.len().min(buf.remaining());
        buf.put_slice(&unread.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl Write for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A request without its body.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    method: Method,
    uri: String,
    headers: HeaderMap,
    version: Version,
    has_body: bool,
}

impl Understood {
    fn new<B>(request: &Request<B>, has_body: bool) -> Self {
        let (method, uri) = (request.method().clone(), request.uri().to_string());
        Understood { method, uri, headers: request.headers().clone(), version: request.version(), has_body }
    }
}

/// The first request in these bytes, and what hyper answers if it gets this response to it.
fn by_hyper(bytes: &[u8], response: impl Fn() -> Response<AnyBody>) -> (Option<Understood>, Vec<u8>) {
    let (understood, socket) = (RefCell::new(None), Socket::with(bytes));
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let has_body = !request.body().is_end_stream();
        understood.borrow_mut().get_or_insert_with(|| Understood::new(&request, has_body));
        std::future::ready(Ok::<_, Infallible>(response()))
    });
    let connection = http1::Builder::new().half_close(true).max_headers(512).serve_connection(socket.clone(), service);
    // An end without a request, or within one, is an error.
    let _ = block_on(connection);
    let written = socket.written.take();
    (understood.into_inner(), written)
}

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

fn nothing() -> Response<AnyBody> {
    Response::new(Empty::new().boxed_unsync())
}

/// Compares what both make of these bytes, which arrive in pieces.
fn compare_request(bytes: &[u8], cuts: &[usize]) -> Result<bool, TestCaseError> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut reader = RequestReader::default();
    let mut arrived = Vec::new();
    for cut in cuts.iter().copied().chain([usize::MAX]) {
        let piece = rest.split_to(cut.min(rest.len()));
        arrived.extend_from_slice(&piece);
        reader.push(piece);
        match reader.next(64 * 1024) {
            Ok(Some(fast)) => {
                let ours = Understood::new(&fast.request, fast.request.body().is_some());
                let (hypers, written) = by_hyper(bytes, nothing);
                prop_assert_eq!(Some(&ours), hypers.as_ref(), "{:?}", String::from_utf8_lossy(bytes));
                // Hyper answers every request that follows, unless this one said that the connection ends.
                let closes = String::from_utf8_lossy(&written).starts_with("HTTP/1.1 200 OK\r\nconnection: close");
                prop_assert!(fast.keeps_connection || closes, "{:?}", String::from_utf8_lossy(bytes));
                prop_assert!(arrived.ends_with(&reader.into_unread()));
                return Ok(true);
            }
            Ok(None) => {}
            Err(other) => {
                let unread = reader.into_unread();
                let empty_lines = &arrived[..arrived.len() - unread.len()];
                prop_assert!(arrived.ends_with(&unread) && empty_lines.iter().all(|it| b"\r\n".contains(it)));
                prop_assert_eq!(other == OtherServer::Http2, unread.starts_with(b"PRI * HTTP/2.0\r\n"));
                return Ok(false);
            }
        }
    }
    Ok(false)
}

/// A response, of which some headers are lines.
#[derive(Debug, Clone)]
struct Given {
    status: u16,
    reason: bool,
    lines: Vec<(&'static str, &'static str)>,
    headers: Vec<(&'static str, &'static str)>,
    /// `None`: its length is not known before.
    length: bool,
    pieces: Vec<Vec<u8>>,
    states_length: bool,
}

impl Given {
    fn response(&self) -> ClientResponse<AnyBody> {
        let whole: Bytes = self.pieces.concat().into();
        let body = match (self.length, whole.is_empty()) {
            (true, true) => Empty::new().boxed_unsync(),
            (true, false) => Full::new(whole.clone()).boxed_unsync(),
            (false, _) => {
                let frames: Vec<_> = self.pieces.iter().map(|it| Ok(Frame::data(Bytes::copy_from_slice(it)))).collect();
                StreamBody::new(stream::iter(frames)).boxed_unsync()
            }
        };
        let mut response = ClientResponse::from(Response::new(body));
        *response.head.status_mut() = StatusCode::from_u16(self.status).unwrap();
        for (name, value) in &self.lines {
            response.lines.push(name.as_bytes(), value.as_bytes(), |_, _| Ok::<_, NoHeader>(true)).unwrap();
        }
        let headers = response.head.headers_mut();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if self.length && self.states_length {
            headers.insert(CONTENT_LENGTH, whole.len().into());
        }
        if self.reason {
            response.head.extensions_mut().insert(ReasonPhrase::from_static(b"Fine"));
        }
        response
    }
}

/// The status line, the header lines in any order without the value of a date, and the body.
fn parts(written: &[u8]) -> (String, Vec<String>, Vec<u8>) {
    let end = written.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(written[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n").map(ToOwned::to_owned);
    let status = lines.next().unwrap();
    let mut lines: Vec<_> = lines.map(|it| if it.starts_with("date: ") { "date".to_owned() } else { it }).collect();
    lines.sort_unstable();
    (status, lines, written[end + 4..].to_vec())
}

fn by_fast_path(given: &Given, method: &Method, keeps_connection: bool) -> (Vec<u8>, bool) {
    let response = given.response();
    let head = response_head::encode(&response, method, keeps_connection);
    let mut writer = MessageWriter::new(head.framing, Vec::new());
    writer.begin(head.bytes);
    let (mut out, mut body, mut count) = (Vec::new(), response.head.into_body(), 0);
    block_on(std::future::poll_fn(|cx| writer.poll(cx, &mut body, &mut out, &mut count))).unwrap();
    (out, head.closes)
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(4000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just("\r\n"), 1 => select(&["\n", "\r", "\r\r\n", " \r\n", ""][..])]
}

fn request_line() -> impl Strategy<Value = String> {
    let method = prop_oneof![3 => Just("GET"), 2 => select(&["HEAD", "POST", "OPTIONS", "CONNECT", "PRI", "get", "X-Y", "G ET", "G(T", ""][..])];
    let targets =
        &["/a?b=c", "/", "//x", "/a%2f", "/ä", "/a b", "/a#b", "*", "http://shop/a", "shop:80", "", "/\\", "/a|\"{}"];
    let target = prop_oneof![3 => Just("/a"), 2 => select(&targets[..])];
    let version =
        prop_oneof![5 => Just("HTTP/1.1"), 1 => select(&["HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", ""][..])];
    (method, target, version).prop_map(|(method, target, version)| format!("{method} {target} {version}"))
}

fn header_line() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "Host: shop",
            "host: shop:80",
            "Host:",
            "Host : shop",
            "Accept: */*",
            "X-A: 1",
            "x-a:\t2 ",
            "X-A:",
            "Cookie: a=1; b=2",
            "X-Latin: \u{e9}",
            "X\u{e9}: 1",
            "X: a\0b",
            "X: a\rb",
            "X Space: 1",
            " X-Folded: 1",
            "X-None",
            ": none",
            "X_Y: 1",
            "Connection: close",
            "Connection: keep-alive",
            "connection: Keep-Alive",
            "Connection: close, x-a",
            "Connection: x-a",
            "Content-Length: 0",
            "Content-Length: 3",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            "Upgrade: websocket",
            "TE: trailers",
            "Trailer: x",
        ][..],
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn requests_are_understood_as_by_hyper_or_left_to_it_differential(
        request in (request_line(), line_end(), vec((header_line(), line_end()), 0..5), line_end(), select(&["", "abc", "GET / HTTP/1.1\r\n\r\n"][..])),
        before in prop_oneof![9 => Just(""), 1 => select(&["\r\n", "\n", " "][..])],
        cuts in vec(1_usize..40, 0..6),
    ) {
        let (line, after, lines, end, rest) = request;
        let lines: String = lines.iter().map(|(line, end)| format!("{line}{end}")).collect();
        let text = format!("{before}{line}{after}{lines}{end}{rest}");
        // Header values may be Latin-1, which is one byte each.
        let bytes: Vec<u8> = text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect();
        compare_request(&bytes, &cuts)?;
    }

    #[test]
    fn ordinary_requests_take_the_fast_path_differential(
        method in select(&["GET", "HEAD", "OPTIONS", "DELETE"][..]),
        lines in vec(select(&["Accept: */*", "Cookie: a=1", "User-Agent: x", "Connection: close", "X-B: \"\u{20}\"", "Range: bytes=0-1"][..]), 0..20),
        cuts in vec(1_usize..60, 0..6),
    ) {
        let lines: String = lines.iter().map(|it| format!("{it}\r\n")).collect();
        let text = format!("{method} /a/b?c HTTP/1.1\r\nHost: shop\r\n{lines}\r\n");
        prop_assert!(compare_request(text.as_bytes(), &cuts)?);
    }

    #[test]
    fn responses_are_written_as_by_hyper_differential(
        status in select(&[200_u16, 201, 204, 206, 299, 302, 304, 404, 416, 500, 502][..]),
        reason in prop::bool::weighted(0.2),
        lines in vec(select(&[("x-a", "1"), ("x-b", ""), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("date", "x"), ("etag", "\"x\"")][..]), 0..5),
        headers in subsequence(vec![("x-c", "1"), ("vary", "origin"), ("connection", "close"), ("location", "/")], 0..=4),
        length in any::<bool>(),
        states_length in any::<bool>(),
        pieces in vec(vec(any::<u8>(), 0..40), 0..4),
        large in prop::bool::weighted(0.1),
        method in select(&["GET", "HEAD", "POST"][..]),
        keeps_connection in any::<bool>(),
    ) {
        let mut pieces = pieces;
        pieces.extend(large.then(|| vec![b'x'; 10_000]));
        if [204, 304].contains(&status) {
            // Every body of the ingress is empty then. Hyper would announce the length of another one.
            pieces.clear();
        }
        let given = Given { status, reason, lines, headers, length, pieces, states_length };
        let connection = if keeps_connection { "" } else { "Connection: close\r\n" };
        let request = format!("{method} / HTTP/1.1\r\nHost: shop\r\n{connection}\r\n");
        let (_, hypers) = by_hyper(request.as_bytes(), || given.response().into_http());
        let (ours, closes) = by_fast_path(&given, &method.parse().unwrap(), keeps_connection);
        let (ours, hypers) = (parts(&ours), parts(&hypers));
        prop_assert_eq!(&ours, &hypers, "{:?}", given);
        prop_assert_eq!(closes, ours.1.iter().any(|it| it == "connection: close"), "{:?}", given);
    }
}
