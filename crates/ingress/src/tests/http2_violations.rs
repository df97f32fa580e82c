//! Clients that violate HTTP/2, by raw frames: a selection of the cases of h2spec, by the sections of RFC 9113.

use std::sync::atomic::Ordering::SeqCst;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
const END: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block: fields that are neither compressed nor remembered.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "shop")];
const POST: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "shop")];

/// HEADERS of a request without a body.
fn get(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END | END_HEADERS, stream, &block(&[&GET[..], more].concat()))
}

/// HEADERS of a request whose body follows.
fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&[&POST[..], more].concat()))
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn read_frame(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    let mut payload = vec![0; number(&head[..3]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
}

async fn open(proxy: &TestProxy) -> TcpStream {
    let mut stream = proxy.connect().await;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    stream
}

/// The code of the first error of a stream or of the connection; `None`: the connection was closed without one.
async fn error_code(stream: &mut TcpStream) -> Option<u32> {
    loop {
        let frame = soon(read_frame(stream)).await?;
        let at = match frame.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => continue,
        };
        return frame.payload.get(at..at + 4).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
    }
}

#[tokio::test]
async fn a_violation_ends_the_stream_or_the_connection_with_its_code() {
    let (app, _) = counting_echo().await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let half_head = frame(HEADERS, END, 1, &block(&GET));
    let big = vec![0; 16_385];
    let cases: Vec<(&str, Vec<u8>, &[u32])> = vec![
        ("4.2 too large a DATA frame", [post(1, &[]), frame(DATA, END, 1, &big)].concat(), &[FRAME_SIZE_ERROR]),
        ("4.2 too large a HEADERS frame", frame(HEADERS, END | END_HEADERS, 1, &big), &[FRAME_SIZE_ERROR]),
        (
            "4.3 header block that cannot be read",
            frame(HEADERS, END | END_HEADERS, 1, &[0xff; 9]),
            &[COMPRESSION_ERROR, PROTOCOL_ERROR],
        ),
        ("5.1 DATA on an idle stream", frame(DATA, END, 1, b"x"), &[PROTOCOL_ERROR]),
        ("5.1 RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), &[PROTOCOL_ERROR]),
        ("5.1 WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), &[PROTOCOL_ERROR]),
        ("5.1 CONTINUATION on an idle stream", frame(CONTINUATION, END_HEADERS, 1, &block(&GET)), &[PROTOCOL_ERROR]),
        ("5.1 DATA after the end of the stream", [get(1, &[]), frame(DATA, END, 1, b"x")].concat(), &[STREAM_CLOSED]),
        (
            "5.1 HEADERS after the end of the stream",
            [get(1, &[]), get(1, &[])].concat(),
            &[STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        ("5.1.1 even number of a stream", get(2, &[]), &[PROTOCOL_ERROR]),
        ("5.1.1 number below an earlier one", [get(5, &[]), get(3, &[])].concat(), &[PROTOCOL_ERROR, STREAM_CLOSED]),
        ("6.1 DATA on stream 0", frame(DATA, END, 0, b"x"), &[PROTOCOL_ERROR]),
        ("6.1 too much padding", [post(1, &[]), frame(DATA, END | PADDED, 1, &[9, 1])].concat(), &[PROTOCOL_ERROR]),
        ("6.2 HEADERS on stream 0", get(0, &[]), &[PROTOCOL_ERROR]),
        (
            "6.2 another frame inside a head",
            [half_head.clone(), frame(PING, 0, 0, &[0; 8])].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("6.2 another stream inside a head", [half_head.clone(), get(3, &[])].concat(), &[PROTOCOL_ERROR]),
        ("6.3 PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), &[PROTOCOL_ERROR]),
        ("6.4 RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), &[PROTOCOL_ERROR]),
        ("6.4 RST_STREAM of 3 bytes", [post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), &[FRAME_SIZE_ERROR]),
        ("6.5 SETTINGS that acknowledge with content", frame(SETTINGS, END, 0, &[0; 6]), &[FRAME_SIZE_ERROR]),
        ("6.5 SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), &[PROTOCOL_ERROR]),
        ("6.5 SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5]), &[FRAME_SIZE_ERROR]),
        ("6.5.2 ENABLE_PUSH of 2", setting(2, 2), &[PROTOCOL_ERROR]),
        ("6.5.2 INITIAL_WINDOW_SIZE above the largest", setting(4, 1 << 31), &[FLOW_CONTROL_ERROR]),
        ("6.5.2 MAX_FRAME_SIZE below the smallest", setting(5, 16_383), &[PROTOCOL_ERROR]),
        ("6.5.2 MAX_FRAME_SIZE above the largest", setting(5, 1 << 24), &[PROTOCOL_ERROR]),
        ("6.6 PUSH_PROMISE of a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), &[PROTOCOL_ERROR]),
        ("6.7 PING on a stream", frame(PING, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("6.7 PING of 6 bytes", frame(PING, 0, 0, &[0; 6]), &[FRAME_SIZE_ERROR]),
        ("6.8 GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("6.9 WINDOW_UPDATE by 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), &[PROTOCOL_ERROR]),
        ("6.9 WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), &[FRAME_SIZE_ERROR]),
        ("6.9.1 window above the largest", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), &[FLOW_CONTROL_ERROR]),
        (
            "6.10 CONTINUATION after a whole head",
            [post(1, &[]), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("8.1 trailers that do not end the stream", [post(1, &[]), post(1, &[])].concat(), &[PROTOCOL_ERROR]),
        (
            "8.1.1 shorter body than content-length",
            [post(1, &[("content-length", "2")]), frame(DATA, END, 1, b"x")].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "8.1.1 longer body than content-length",
            [post(1, &[("content-length", "2")]), frame(DATA, END, 1, b"xyz")].concat(),
            &[PROTOCOL_ERROR],
        ),
    ];
    let mut wrong = Vec::new();
    for (what, bytes, codes) in cases {
        let mut stream = open(&proxy).await;
        stream.write_all(&bytes).await.unwrap();
        let code = error_code(&mut stream).await;
        // The HTTP library names some violations PROTOCOL_ERROR in place of the more specific code.
        if !code.is_some_and(|code| code == PROTOCOL_ERROR || codes.contains(&code)) {
            wrong.push(format!("{what}: {code:?} in place of one of {codes:?}"));
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
    until(|| proxy.proxy.refusals.read().get("malformed-request").is_some_and(|count| *count > 20)).await;
}

#[tokio::test]
async fn a_malformed_head_never_reaches_an_application() {
    let (app, seen) = counting_echo().await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let head = |fields: &[(&str, &str)]| frame(HEADERS, END | END_HEADERS, 1, &block(fields));
    let without = |name: &str| head(&GET.into_iter().filter(|(it, _)| *it != name).collect::<Vec<_>>());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("8.2 upper case in a name", get(1, &[("X-Upper", "1")])),
        ("8.2 space in a name", get(1, &[("x y", "1")])),
        ("8.2.1 line feed in a value", get(1, &[("x-a", "1\nhost: other")])),
        ("8.2.1 zero byte in a value", get(1, &[("x-a", "1\0")])),
        ("8.2.2 connection", get(1, &[("connection", "keep-alive")])),
        ("8.2.2 transfer-encoding", get(1, &[("transfer-encoding", "chunked")])),
        ("8.2.2 te other than trailers", get(1, &[("te", "gzip")])),
        ("8.3 unknown pseudo-header", get(1, &[(":other", "1")])),
        ("8.3 pseudo-header of a response", get(1, &[(":status", "200")])),
        ("8.3 pseudo-header after a header", head(&[&[("x-a", "1")], &GET[..]].concat())),
        ("8.3.1 two methods", head(&[&[(":method", "GET")], &GET[..]].concat())),
        ("8.3.1 two paths", head(&[&[(":path", "/")], &GET[..]].concat())),
        ("8.3.1 no method", without(":method")),
        ("8.3.1 no scheme", without(":scheme")),
        ("8.3.1 no path", without(":path")),
        ("8.3.1 empty path", head(&[(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "shop")])),
    ];
    for (what, bytes) in cases {
        let mut stream = open(&proxy).await;
        stream.write_all(&bytes).await.unwrap();
        let first = soon(async {
            loop {
                match read_frame(&mut stream).await {
                    Some(it) if matches!(it.kind, SETTINGS | WINDOW_UPDATE | PING) => {}
                    other => return other.map(|it| (it.kind, it.payload)),
                }
            }
        })
        .await;
        let refused = match first {
            None => true,
            Some((RST_STREAM | GOAWAY, _)) => true,
            // A page of the ingress: status 400 is the entry 12 of the static table.
            Some((HEADERS, payload)) => payload.first() == Some(&0x8c),
            Some(_) => false,
        };
        assert!(refused, "{what}");
    }
    assert_eq!(seen.load(SeqCst), 0);
}

#[tokio::test]
async fn what_http2_allows_is_served() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let (first, second) = (block(&GET[..2]), block(&GET[2..]));
    let unknown_frame = frame(0xbe, 0xff, 0, b"ignored");
    for (what, bytes) in [
        ("4.1 unknown frame", [unknown_frame, get(1, &[])].concat()),
        ("6.5.2 unknown setting", [setting(0xff, 1), get(1, &[])].concat()),
        ("5.3 PRIORITY of an idle stream", [frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 9]), get(1, &[])].concat()),
        (
            "6.10 head in two frames",
            [frame(HEADERS, END, 1, &first), frame(CONTINUATION, END_HEADERS, 1, &second)].concat(),
        ),
        ("8.1 trailers", [post(1, &[]), frame(HEADERS, END | END_HEADERS, 1, &block(&[("x-sum", "1")]))].concat()),
        ("8.2.2 te: trailers", get(1, &[("te", "trailers")])),
    ] {
        let mut stream = open(&proxy).await;
        stream.write_all(&bytes).await.unwrap();
        let answered = async {
            while let Some(frame) = read_frame(&mut stream).await {
                // Status 200 is the entry 8 of the static table.
                if frame.kind == HEADERS {
                    return frame.stream == 1 && frame.payload.first() == Some(&0x88);
                }
            }
            false
        };
        assert!(soon(answered).await, "{what}");
    }
    let mut stream = open(&proxy).await;
    stream.write_all(&frame(PING, 0, 0, b"12345678")).await.unwrap();
    let pong = async {
        loop {
            let frame = read_frame(&mut stream).await.unwrap();
            if frame.kind == PING {
                return (frame.flags & END, frame.payload);
            }
        }
    };
    assert_eq!(soon(pong).await, (END, b"12345678".to_vec()));
}

#[tokio::test]
async fn one_stream_too_many_is_refused_and_the_others_are_served() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let app = gated_application(gate).await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let mut stream = open(&proxy).await;
    let streams = proxy.proxy.limits.streams;
    for number in 0..=streams {
        stream.write_all(&get(2 * number + 1, &[])).await.unwrap();
    }
    assert_eq!(error_code(&mut stream).await, Some(REFUSED_STREAM));
    go.send(true).unwrap();
    let mut served = 0;
    while served < streams {
        let frame = soon(read_frame(&mut stream)).await.unwrap();
        served += u32::from(frame.kind == HEADERS && frame.payload.first() == Some(&0x88));
    }
}
