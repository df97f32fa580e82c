//! Connections on which requests for the fast path and other requests alternate.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::*;

/// The request lines that an echo saw, in the order of the answers.
fn seen(answers: &str) -> Vec<&str> {
    let is_line = |line: &&str| line.starts_with("GET /") || line.starts_with("POST /");
    answers.lines().filter(is_line).collect()
}

#[tokio::test]
async fn requests_with_and_without_bodies_are_answered_in_order_on_one_connection() {
    let proxy = TestProxy::to(&[("web.0", echo().await)]).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n");
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nbody");
    let last = "GET /7 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".to_owned();
    let all = [get("/1"), get("/2"), post("/3"), get("/4"), post("/5"), get("/6"), last].concat();
    for step in [1, 7, 50, all.len()] {
        let mut client = proxy.connect().await;
        for piece in all.as_bytes().chunks(step) {
            client.write_all(piece).await.unwrap();
        }
        let answers = read_all(&mut client).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 7, "{step}: {answers}");
        assert_eq!(seen(&answers), ["GET /1", "GET /2", "POST /3", "GET /4", "POST /5", "GET /6", "GET /7"]);
    }
    assert_eq!(proxy.counters().requests, 4 * 7);
    assert_eq!((proxy.counters().failed, proxy.counters().client_gone), (0, 0));
}

#[tokio::test]
async fn a_client_that_begins_with_http2_byte_by_byte_is_served() {
    let proxy = TestProxy::to(&[("web.0", echo().await)]).await;
    let mut client = proxy.connect().await;
    client.set_nodelay(true).unwrap();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    // An empty SETTINGS frame.
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut head = [0; 9];
    soon(client.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "a SETTINGS frame: {head:?}");
}

#[tokio::test]
async fn what_only_begins_like_http2_is_a_malformed_request() {
    let proxy = TestProxy::to(&[("web.0", echo().await)]).await;
    for text in
        ["PRI * HTTP/1.1\r\nHost: shop\r\n\r\n", "PRI\r\n\r\n", "GET /a HTTP/1.1\r\nHost: shop\r\nX Y: 1\r\n\r\n"]
    {
        let answer = proxy.raw(text).await;
        assert_eq!(status(&answer), 400, "{text}: {answer}");
    }
}

/// The page for a head that cannot be read is the same on a connection that has served requests before.
#[tokio::test]
async fn a_malformed_request_after_good_ones_gets_its_page() {
    let proxy = TestProxy::to(&[("web.0", echo().await)]).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET /1 HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut client).await.0.starts_with("HTTP/1.1 200"));
    client.write_all(b"GET /2 HTTP/1.1\r\nHost: shop\r\nX Y: 1\r\n\r\n").await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.contains("x-boatyard-error: malformed-request"), "{answer}");
}

#[tokio::test]
async fn a_pipelined_request_after_the_last_response_is_not_sent_to_an_instance() {
    let (web, seen) = counting_echo().await;
    let proxy = TestProxy::to(&[("web.0", web)]).await;
    let mut client = proxy.connect().await;
    let text = "GET /1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: shop\r\n\r\n";
    client.write_all(text.as_bytes()).await.unwrap();
    let answers = read_all(&mut client).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1, "{answers}");
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// A stray empty line after a request changes nothing: the listener's stop still ends the idle connection at once.
#[tokio::test]
async fn an_idle_connection_ends_with_its_listener_whatever_was_sent_behind_the_last_request() {
    for rest in ["", "\r\n", "GET / HT"] {
        let mut proxy = TestProxy::to(&[("web.0", echo().await)]).await;
        let mut client = proxy.connect().await;
        client.write_all(format!("GET /1 HTTP/1.1\r\nHost: shop\r\n\r\n{rest}").as_bytes()).await.unwrap();
        assert!(read_answer(&mut client).await.0.starts_with("HTTP/1.1 200"));
        proxy.close().await;
        assert_eq!(read_all(&mut client).await, "", "{rest:?}");
    }
}

/// Both servers of HTTP/1.1: with `Content-Length: 0`, a request is one for hyper.
#[tokio::test]
async fn a_listeners_stop_lets_an_open_request_finish() {
    for header in ["", "Content-Length: 0\r\n"] {
        let (open, gate) = tokio::sync::watch::channel(false);
        let mut proxy = TestProxy::to(&[("web.0", gated_application(gate).await)]).await;
        let mut client = proxy.connect().await;
        client.write_all(format!("GET / HTTP/1.1\r\nHost: shop\r\n{header}\r\n").as_bytes()).await.unwrap();
        until(|| proxy.counters().requests == 1).await;
        proxy.close().await;
        open.send(true).unwrap();
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{header:?}: {answer}");
    }
}

#[tokio::test]
async fn an_instance_loses_its_connection_when_its_client_leaves() {
    // The first two take the fast path, and an empty line behind a request has no meaning.
    for (header, rest) in [("", ""), ("", "\r\n"), ("Content-Length: 0\r\n", "")] {
        let (ended, mut end) = tokio::sync::mpsc::unbounded_channel();
        let web = application(move |mut stream, _| {
            let ended = ended.clone();
            async move {
                read_head(&mut stream).await;
                // Ends when the ingress closes the connection.
                let _ = stream.read_u8().await;
                ended.send(()).unwrap();
            }
        });
        let proxy = TestProxy::to(&[("web.0", web.await)]).await;
        let mut client = proxy.connect().await;
        client.write_all(format!("GET / HTTP/1.1\r\nHost: shop\r\n{header}\r\n{rest}").as_bytes()).await.unwrap();
        until(|| proxy.counters().requests == 1).await;
        drop(client);
        soon(end.recv()).await.unwrap();
        until(|| proxy.counters().client_gone == 1).await;
    }
}

#[tokio::test]
async fn http2_may_only_begin_a_connection() {
    let proxy = TestProxy::to(&[("web.0", echo().await)]).await;
    let mut client = proxy.connect().await;
    let text = "GET /1 HTTP/1.1\r\nHost: shop\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    client.write_all(text.as_bytes()).await.unwrap();
    let answers = read_all(&mut client).await;
    // Hyper ends the connection without an answer.
    assert!(answers.starts_with("HTTP/1.1 200 OK") && answers.matches("HTTP/1.1 ").count() == 1, "{answers}");
    assert!(answers.ends_with("x-forwarded-proto: http\n\n"), "{answers}");
}

#[tokio::test]
async fn an_empty_answer_has_its_length_in_both_protocols() {
    let web = application(|mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    });
    let proxy = TestProxy::to(&[("web.0", web.await)]).await;
    assert!(proxy.get("/").await.contains("content-length: 0\r\n"));
    let mut http2 = proxy.http2::<http_body_util::Empty<bytes::Bytes>>().await;
    let request = hyper::Request::get("http://shop/").body(http_body_util::Empty::new()).unwrap();
    let response = soon(http2.send_request(request)).await.unwrap();
    assert_eq!(response.headers()["content-length"], "0");
}
