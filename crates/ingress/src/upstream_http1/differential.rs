//! Compares the reader of answers with hyper's client: it must understand an answer as hyper does, or refuse it.
//!
//! `PROPTEST_CASES` sets the number of cases. Two million take a few minutes in a release build:
//! `PROPTEST_CASES=2000000 cargo test --release -p ingress --lib _differential`.
#![allow(clippy::unwrap_used)]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::executor::block_on;
use futures::future::join;
use http_body_util::{BodyExt, Empty};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Method, Request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::answer_head::{HeadError, HeadReader, HeadRules, Parsed};
use super::chunks::{Chunk, ChunkError};

const MOST_LINES: usize = 512;

/// What a client makes of the bytes of an answer.
#[derive(Debug, Default)]
struct Understood {
    /// `None`: no head could be read.
    head: Option<(u16, HeaderMap)>,
    /// The length of the body, if the head says so.
    length: Option<u64>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// The body has ended in order.
    complete: bool,
    /// Why the ingress refuses more than hyper does.
    stricter: bool,
}

fn by_ingress(pieces: &[&[u8]], is_head: bool) -> Understood {
    let mut understood = Understood::default();
    let mut pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece));
    let (mut head, rules) = (HeadReader::default(), HeadRules { is_head, most_lines: MOST_LINES });
    let mut body = loop {
        match head.next(rules) {
            Ok(Some(Parsed::Interim(_))) => {}
            Ok(Some(Parsed::Final(head, body))) => {
                understood.head = Some((head.status.as_u16(), head.headers.to_map()));
                understood.length = body.exact_length();
                break body;
            }
            Ok(None) => match pieces.next() {
                Some(piece) => head.push(piece),
                None => return understood,
            },
            Err(error) => {
                let framings = [HeadError::Length, HeadError::TwoFramings, HeadError::TransferEncoding];
                understood.stricter = framings.contains(&error);
                return understood;
            }
        }
    };
    let mut unread = head.into_rest();
    loop {
        match body.next(&mut unread) {
            Ok(Some(Chunk::Data(data))) => understood.body.extend_from_slice(&data),
            Ok(Some(Chunk::Trailers(trailers))) => understood.trailers = Some(trailers),
            Ok(Some(Chunk::End)) => {
                understood.complete = true;
                return understood;
            }
            Ok(None) => match pieces.next() {
                Some(piece) => unread = piece,
                None if body.end().is_ok() => {}
                None => return understood,
            },
            Err(error) => {
                // hyper reads longer sizes, and lines of trailers that end in a bare LF.
                understood.stricter = matches!(error, ChunkError::SizeTooLong | ChunkError::LineEnd);
                return understood;
            }
        }
    }
}

/// The ingress used hyper with these settings before it had a reader of its own.
fn by_hyper(pieces: &[&[u8]], is_head: bool) -> Understood {
    let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    let socket = Script { pieces, next: 0, at: 0, written: false, reader: None };
    block_on(async {
        let mut understood = Understood::default();
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(256 * 1024)
            .max_headers(MOST_LINES)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(socket)
            .await
            .unwrap();
        let request = async {
            let method = if is_head { Method::HEAD } else { Method::GET };
            let request = Request::builder().method(method).uri("/").body(Empty::<Bytes>::new()).unwrap();
            let Ok(response) = sender.send_request(request).await else { return };
            let (mut parts, mut body) = response.into_parts();
            if !is_head {
                // The ingress keeps the length beside the headers.
                parts.headers.remove("content-length");
            }
            understood.head = Some((parts.status.as_u16(), parts.headers));
            understood.length = body.size_hint().exact();
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => understood.body.extend_from_slice(&data),
                        Err(frame) => understood.trailers = frame.into_trailers().ok(),
                    },
                    Some(Err(_)) => return,
                    None => {
                        understood.complete = true;
                        return;
                    }
                }
            }
        };
        let ((), _end) = join(request, connection.with_upgrades()).await;
        understood
    })
}

/// A socket that answers with these pieces once something was written, and then closes.
struct Script {
    pieces: Vec<Bytes>,
    next: usize,
    at: usize,
    written: bool,
    reader: Option<Waker>,
}

impl Read for Script {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if !self.written {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let Some(piece) = self.pieces.get(self.next) else { return Poll::Ready(Ok(())) };
        let rest = piece.slice(self.at..);
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        if count == rest.len() {
            (self.next, self.at) = (self.next + 1, 0);
        } else {
            self.at += count;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a client gets of the headers that hyper has read, by plain rules.
fn for_client(headers: &HeaderMap) -> HeaderMap {
    const NEVER: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-boatyard-error",
    ];
    // A value that is not ASCII has no tokens, for hyper as well.
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_lowercase();
    let named: String = headers.get_all("connection").iter().map(|it| text(it).replace(' ', "") + ",").collect();
    let is_named = |name: &str| {
        let kept = ["content-length", "host", "close", "keep-alive"].contains(&name);
        !kept && named.split(',').any(|token| token.trim() == name)
    };
    headers
        .iter()
        .filter(|(name, _)| !NEVER.contains(&name.as_str()) && !is_named(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn compare(answer: &[u8], cuts: &[usize], is_head: bool) -> Result<(), TestCaseError> {
    let mut rest = answer;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        pieces.extend((!piece.is_empty()).then_some(piece));
        rest = after;
    }
    pieces.extend((!rest.is_empty()).then_some(rest));
    let (ours, hypers) = (by_ingress(&pieces, is_head), by_hyper(&pieces, is_head));
    let said =
        || format!("{:?}\nin pieces {pieces:?}\ningress {ours:?}\nhyper {hypers:?}", String::from_utf8_lossy(answer));
    match (&ours.head, &hypers.head) {
        (None, hyper) => prop_assert!(ours.stricter || hyper.is_none(), "{}", said()),
        (Some(_), None) => prop_assert!(false, "{}", said()),
        (Some((status, headers)), Some((hypers_status, hypers_headers))) => {
            prop_assert_eq!(status, hypers_status, "{}", said());
            prop_assert_eq!(headers, &for_client(hypers_headers), "{}", said());
            prop_assert_eq!(ours.length, hypers.length, "{}", said());
            if ours.complete {
                prop_assert!(hypers.complete, "{}", said());
                prop_assert_eq!(&ours.body, &hypers.body, "{}", said());
                prop_assert_eq!(&ours.trailers, &hypers.trailers, "{}", said());
            } else {
                prop_assert!(ours.stricter || !hypers.complete, "{}", said());
                let is_start = ours.body.starts_with(&hypers.body) || hypers.body.starts_with(&ours.body);
                prop_assert!(is_start, "{}", said());
            }
        }
    }
    Ok(())
}

/// Mostly the first of these, sometimes another.
fn mostly(usual: &'static str, others: &'static [&'static str]) -> BoxedStrategy<&'static str> {
    prop_oneof![8 => Just(usual), 1 => select(others)].boxed()
}

fn line_end() -> BoxedStrategy<&'static str> {
    prop_oneof![60 => Just("\r\n"), 1 => select(&["\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\0\r\n"][..])].boxed()
}

fn status_line() -> impl Strategy<Value = &'static str> {
    let others = &[
        "HTTP/1.0 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/1.1 100 Continue",
        "HTTP/1.1 103 Early Hints",
        "HTTP/1.1 500 \u{fc}",
        "HTTP/1.1 999 Any",
        "HTTP/1.1 099 Low",
        "HTTP/1.1 20 OK",
        "HTTP/1.1  200 OK",
        "HTTP/2 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "\r\nHTTP/1.1 200 OK",
        " HTTP/1.1 200 OK",
    ];
    mostly("HTTP/1.1 200 OK", others)
}

fn header_line() -> impl Strategy<Value = &'static str> {
    select(&[
        "Content-Length: 5",
        "Content-Length: 5",
        "Content-Length: 0",
        "Content-Length: 005",
        "Content-Length: 12",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5, 5",
        "Content-Length: 5, 6",
        "Content-Length:",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: 18446744073709551613",
        "Content-Length: 18446744073709551614",
        "Content-Length: 18446744073709551615",
        "Content-Length: 18446744073709551616",
        "content-length :\t5\t",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
        "transfer-encoding:CHUNKED",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\r\n chunked",
        "Connection: close",
        "Connection: keep-alive",
        "Connection: x-a, Upgrade",
        "Connection: content-length",
        "Upgrade: websocket",
        "Keep-Alive: timeout=5",
        "X-Boatyard-Error: x",
        "X-A: 1",
        "X-A: 2",
        "x-a:\t \u{e9} ",
        "X-Folded: a\r\n  b\r\n\tc",
        "X-Folded: \r\n ",
        " X-Space: 1",
        "X-Space : 1",
        "X Space: 1",
        "X-None",
        ": none",
        "X-\u{e4}: 1",
        "X\0: 1",
        "X: a\0b",
        "X: a\rb",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "Trailer: X-Sum",
    ])
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let lines = vec((header_line(), line_end()), 0..5);
    (status_line(), line_end(), lines, line_end()).prop_map(|(status, after, lines, end)| {
        let mut text = format!("{status}{after}");
        lines.iter().for_each(|(line, end)| text.extend([*line, *end]));
        text += end;
        // Header values may be Latin-1, which is one byte each.
        text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect()
    })
}

fn chunk() -> impl Strategy<Value = String> {
    let size_end = &["", " ", "\t ", ";x", ";x=\"y\"", " ; x", ";\t", "x", ";x\n", " 5"];
    let sizes =
        &["05", "0005", "5", "a", "A", "6", "4", "0", "0000000000000005", "00000000000000005", "+5", "-5", "", "0x5"];
    let data = &["hell", "hello!", "", "0123456789", "\r\n\r\n"];
    (mostly("5", sizes), mostly("", size_end), line_end(), mostly("hello", data), line_end())
        .prop_map(|(size, size_end, line, data, end)| format!("{size}{size_end}{line}{data}{end}"))
}

fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let trailers = &["X-Sum: 5", "X-Sum : 5", "x-b:", "X: a\r\n b", "X", ": x", "X: \u{7f}"];
    let trailer = (select(&trailers[..]), line_end()).prop_map(|(line, end)| format!("{line}{end}"));
    let last = mostly("0", &["00", "0;x", "", "0 ", "1", "000000000000000000"]);
    (vec(chunk(), 0..4), last, line_end(), vec(trailer, 0..3), line_end()).prop_map(
        |(chunks, last, after, trailers, end)| {
            format!("{}{last}{after}{}{end}", chunks.concat(), trailers.concat()).into_bytes()
        },
    )
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), Just(b"hello".to_vec()), vec(any::<u8>(), 0..20), chunked_body()]
}

/// Changes a few bytes.
fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![select(&b"\r\n\t :;,0159afHT\0\x7f\x80"[..]), any::<u8>()];
    let damage = (any::<prop::sample::Index>(), 0_u8..3, byte);
    let damages = prop_oneof![3 => vec(damage.clone(), 0..1), 1 => vec(damage, 1..4)];
    (bytes, damages).prop_map(|(mut bytes, damages)| {
        for (at, kind, byte) in damages {
            let at = at.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(4000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn answers_are_understood_as_by_hyper_or_refused_differential(
        answer in damaged((vec(head(), 1..3), any_body()).prop_map(|(heads, body)| [heads.concat(), body].concat())),
        cuts in vec(1_usize..40, 0..12),
        is_head in prop::bool::weighted(0.1),
    ) {
        compare(&answer, &cuts, is_head)?;
    }

    #[test]
    fn chunked_bodies_are_understood_as_by_hyper_or_refused_differential(
        body in damaged(chunked_body()),
        cuts in vec(1_usize..20, 0..12),
    ) {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let cuts: Vec<usize> = std::iter::once(head.len()).chain(cuts).collect();
        compare(&[&head[..], &body].concat(), &cuts, false)?;
    }

    /// Strictness must not refuse what applications send.
    #[test]
    fn well_formed_answers_are_never_refused_differential(
        status in select(&["HTTP/1.1 200 OK", "HTTP/1.1 404 Nope", "HTTP/1.0 200 OK", "HTTP/1.1 304 Not Modified"][..]),
        lines in vec(select(&["X-A: 1", "X-B:", "Connection: close", "Set-Cookie: a=1", "X-C: \"\u{e9}\"", "ETag: \"x\""][..]), 0..9),
        framing in prop_oneof![Just(None), vec(any::<u8>(), 0..60).prop_map(Some)],
        cuts in vec(1_usize..60, 0..12),
    ) {
        let mut answer = format!("{status}\r\n");
        lines.iter().for_each(|line| answer += &format!("{line}\r\n"));
        let body = framing.clone().unwrap_or_default();
        answer += &framing.map(|body| format!("Content-Length: {}\r\n", body.len())).unwrap_or_default();
        let answer = [answer.as_bytes(), b"\r\n", &body].concat();
        let understood = by_ingress(&[&answer], false);
        prop_assert!(understood.complete, "{:?}", understood);
        compare(&answer, &cuts, false)?;
    }
}
