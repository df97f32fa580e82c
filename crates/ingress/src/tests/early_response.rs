//! Responses that arrive before the request was read: they reach the client and count as served.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;
use crate::limits::Limits;

const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large";

/// Responds at once, reads nothing and closes, so that the kernel resets the connection.
async fn refuses_at_once(answer: &'static str) -> SocketAddr {
    application(move |mut stream, _| async move {
        stream.readable().await.unwrap();
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

#[derive(Clone, Copy)]
struct Upload {
    size: usize,
    chunked: bool,
    connection: &'static str,
}

impl Upload {
    fn of(size: usize) -> Self {
        Upload { size, chunked: false, connection: "keep-alive" }
    }

    /// Sends everything before it reads a byte, as many HTTP libraries do. Returns what it read, up to `end`.
    async fn send(self, proxy: &TestProxy, end: &str) -> String {
        let mut stream = proxy.connect().await;
        // A failed write is fine: the test is about the response.
        let _ = soon(self.write(&mut stream)).await;
        read_until(&mut stream, end).await
    }

    async fn write(self, stream: &mut TcpStream) -> std::io::Result<()> {
        let framing = match self.chunked {
            true => "Transfer-Encoding: chunked".to_owned(),
            false => format!("Content-Length: {}", self.size),
        };
        let head = format!("POST / HTTP/1.1\r\nHost: shop\r\nConnection: {}\r\n{framing}\r\n\r\n", self.connection);
        stream.write_all(head.as_bytes()).await?;
        let piece = vec![b'x'; 50_000];
        for _ in 0..self.size / piece.len() {
            if self.chunked {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            }
            stream.write_all(&piece).await?;
            if self.chunked {
                stream.write_all(b"\r\n").await?;
            }
        }
        if self.chunked { stream.write_all(b"0\r\n\r\n").await } else { Ok(()) }
    }
}

/// Reads until this text or the end of the connection.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut all, mut buffer) = (String::new(), [0; 4096]);
    while !all.contains(end) {
        match soon(stream.read(&mut buffer)).await {
            Ok(count @ 1..) => all += &String::from_utf8_lossy(&buffer[..count]),
            Ok(0) | Err(_) => break,
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_response_reaches_a_client_that_is_still_sending() {
    let answers = [
        (413, TOO_LARGE, "too large"),
        (
            401,
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\nWWW-Authenticate: Basic\r\n\r\ntoo large",
            "too large",
        ),
        (429, "HTTP/1.0 429 Too Many Requests\r\n\r\ntoo large", "too large\r\n0\r\n\r\n"),
    ];
    for (code, text, end) in answers {
        let proxy = TestProxy::to(&[("web", refuses_at_once(text).await)]).await;
        let mut count = 0;
        for size in [100_000, 300_000, 1_000_000] {
            for (chunked, connection) in
                [(false, "keep-alive"), (false, "close"), (true, "keep-alive"), (true, "close")]
            {
                for _ in 0..3 {
                    let answer = Upload { size, chunked, connection }.send(&proxy, end).await;
                    assert!(!answer.is_empty(), "reset: {size} {chunked} {connection}");
                    assert_eq!(status(&answer), code, "{size} {chunked} {connection}: {answer}");
                    assert!(answer.ends_with(end), "{size} {chunked} {connection}: {answer}");
                    count += 1;
                }
            }
        }
        until(|| proxy.routing.open().is_empty()).await;
        let counters = proxy.counters();
        assert_eq!((counters.requests, counters.failed, counters.client_gone), (count, 0, 0));
    }
}

async fn all_get_413(count: u64, size: usize) {
    let proxy = TestProxy::to(&[("web", refuses_at_once(TOO_LARGE).await)]).await;
    for number in 0..count {
        let answer = Upload::of(size).send(&proxy, "too large").await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("too large"), "{number}: {answer:?}");
    }
    until(|| proxy.routing.open().is_empty()).await;
    let counters = proxy.counters();
    assert_eq!((counters.requests, counters.failed, counters.client_gone), (count, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_uploads_of_three_megabytes_to_an_application_that_reads_nothing_get_ten_responses() {
    all_get_413(10, 3_000_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "moves three gigabytes"]
async fn a_hundred_uploads_of_thirty_megabytes_to_an_application_that_reads_nothing_get_a_hundred_responses() {
    all_get_413(100, 30_000_000).await;
}

#[tokio::test]
async fn an_early_response_announces_that_the_connection_closes() {
    let proxy = TestProxy::to(&[("web", refuses_at_once(TOO_LARGE).await)]).await;
    let mut client = proxy.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 30000000\r\n\r\nxxx";
    client.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "too large").await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
    assert_eq!(soon(client.read(&mut [0; 1])).await.unwrap(), 0, "it need not send the rest");
}

#[tokio::test]
async fn an_application_that_keeps_reading_after_its_early_response_gets_the_whole_upload() {
    const SIZE: usize = 1_000_000;
    let (received, mut read) = tokio::sync::mpsc::channel(1);
    let app = application(move |mut stream, _| {
        let received = received.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            let mut body = vec![0; SIZE];
            stream.read_exact(&mut body).await.unwrap();
            received.send(body.len()).await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let mut client = proxy.connect().await;
    client
        .write_all(format!("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let (head, body) = read_answer(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 200") && body == "ok", "{head}");
    soon(client.write_all(&vec![b'x'; SIZE])).await.unwrap();
    assert_eq!(soon(read.recv()).await, Some(SIZE));
}

#[tokio::test]
async fn an_error_response_of_the_ingress_reaches_a_client_that_is_still_sending() {
    let proxy = TestProxy::open(Limits::default()).await;
    for _ in 0..3 {
        let answer = Upload::of(3_000_000).send(&proxy, "no-such-host").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_error_page_says_that_an_application_closed_without_reading_or_responding() {
    let app = application(|stream, _| async move { stream.readable().await.unwrap() }).await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    // More than the kernel keeps for an application that closes late.
    let answer = Upload::of(30_000_000).send(&proxy, "destroyed it").await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("x-boatyard-error: no-answer"), "{answer:?}");
    assert!(answer.contains("before the whole request was sent"), "{answer}");
    until(|| proxy.routing.open().is_empty()).await;
    assert_eq!((proxy.counters().failed, proxy.counters().client_gone), (1, 0));
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_disconnected() {
    let proxy = TestProxy::open(Limits { linger: Duration::from_millis(100), ..Limits::default() }).await;
    proxy.route(1, &[("web", refuses_at_once(TOO_LARGE).await)]);
    let mut client = proxy.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000000000\r\n\r\n").await.unwrap();
    let piece = vec![b'x'; 64 * 1024];
    soon(async { while client.write_all(&piece).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_reset_truncates_a_response_without_a_length_if_nothing_was_uploaded() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nabc").await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let answer = proxy.get("/").await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    until(|| proxy.counters().failed == 1).await;
}

const EXPECTING: &[u8] = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn an_upload_that_the_application_refuses_is_not_requested_from_the_client() {
    let app = application(|mut stream, _| async move {
        assert!(read_head(&mut stream).await.unwrap().contains("expect: 100-continue"));
        stream.write_all(TOO_LARGE.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = TestProxy::open(Limits { continue_wait: PATIENCE, ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    let mut client = proxy.connect().await;
    client.write_all(EXPECTING).await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("too large"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    until(|| proxy.routing.open().is_empty()).await;
    assert_eq!((proxy.counters().failed, proxy.counters().client_gone), (0, 0));
}

#[tokio::test]
async fn a_100_continue_of_the_application_reaches_the_client() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = TestProxy::open(Limits { continue_wait: PATIENCE, ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    let mut client = proxy.connect().await;
    client.write_all(EXPECTING).await.unwrap();
    assert!(soon(read_head(&mut client)).await.unwrap().starts_with("HTTP/1.1 100"));
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read_answer(&mut client).await.1, "ok");
}

#[tokio::test]
async fn an_application_that_ignores_the_expectation_gets_the_upload_after_a_timeout() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.read_exact(&mut [0; 5]).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = TestProxy::open(Limits { continue_wait: Duration::from_millis(50), ..Limits::default() }).await;
    proxy.route(1, &[("web", app)]);
    let mut client = proxy.connect().await;
    client.write_all(EXPECTING).await.unwrap();
    assert!(soon(read_head(&mut client)).await.unwrap().starts_with("HTTP/1.1 100"));
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read_answer(&mut client).await.1, "ok");
}
