//! What is forwarded unchanged: methods, bodies of every framing, old clients, headers, rewritten paths.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::*;
use crate::limits::Limits;
use crate::protocol::Rewrite;

#[tokio::test]
async fn one_connection_carries_many_requests_and_their_bodies() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let mut client = proxy.connect().await;
    let mut sent = 0;
    for number in 0..50 {
        let body = "x".repeat(number * 37);
        let text =
            format!("PUT /{number}?q={number} HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        client.write_all(text.as_bytes()).await.unwrap();
        let (head, answer) = read_answer(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200") && !head.contains("connection: close"), "{head}");
        assert!(answer.starts_with(&format!("PUT /{number}?q={number}\n")) && answer.ends_with(&body), "{answer}");
        sent += answer.len() as u64;
    }
    assert_eq!(proxy.counters().requests, 50);
    assert_eq!(proxy.routing.sent_bytes()["shop"], sent);
    assert!(proxy.counters().slowest_us > 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let one = "GET /1 HTTP/1.1\r\nHost: shop\r\n\r\n";
    let answers = proxy.raw(&format!("{one}GET /2 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")).await;
    assert!(answers.find("GET /1").unwrap() < answers.find("GET /2").unwrap());
}

#[tokio::test]
async fn the_application_gets_the_real_origin_and_no_forged_headers() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let answer = proxy
        .raw(
            "GET / HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Host: evil\r\nForwarded: for=10.9.9.9\r\nX-Real-IP: 10.9.9.9\r\nX_Forwarded_For: 10.9.9.9\r\n\
             Connection: close, X-Forwarded-For, x-secret\r\nX-Secret: s\r\nX-Kept: k\r\n\
             Cookie: a=1; boatyard_session_a=s\r\n\r\n",
        )
        .await;
    let port = proxy.address.port();
    for wanted in [
        "x-forwarded-for: 127.0.0.1\n".to_owned(),
        "x-forwarded-proto: http\n".to_owned(),
        "x-forwarded-host: shop\n".to_owned(),
        format!("x-forwarded-port: {port}\n"),
        "x-kept: k\n".to_owned(),
        "cookie: a=1\n".to_owned(),
    ] {
        assert!(answer.contains(&wanted), "{wanted} in {answer}");
    }
    for unwanted in ["10.9.9.9", "evil", "https", "x-secret", "\nconnection", "boatyard_session_a"] {
        assert!(!answer.split_once("\r\n\r\n").unwrap().1.contains(unwanted), "{unwanted} in {answer}");
    }
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_application_are_removed() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\n\
                    X-Mine: 1\r\nX-Boatyard-Error: fake\r\nX-Kept: k\r\nSet-Cookie: a=1\r\nSet-Cookie: boatyard_session_a=s\r\nSet-Cookie: b=2\r\n\r\nok";
        stream.write_all(head.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let answer = proxy.get("/").await.to_lowercase();
    for gone in ["keep-alive", "x-mine", "x-boatyard-error", "boatyard_session_a"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
    assert!(answer.contains("x-kept: k") && answer.contains("a=1") && answer.contains("b=2"), "{answer}");
}

#[tokio::test]
async fn rewritten_paths_reach_the_application_with_their_query() {
    let proxy = TestProxy::open(Limits::default()).await;
    let web = [("web", echo().await)];
    let rules = vec![
        rule("/strip", Rewrite::Strip, &web),
        rule("/replace", Rewrite::Replace("/v1/".to_owned()), &web),
        rule("/", Rewrite::Keep, &web),
    ];
    proxy.routing.install(&table(1, rules));
    for (sent, wanted) in [
        ("/strip/a%2Fb/?x=1&y=%20", "/a%2Fb/?x=1&y=%20"),
        ("/strip", "/"),
        ("/strip?x", "/?x"),
        ("/replace/user/1?a=b", "/v1/user/1?a=b"),
        ("/other//x?", "/other//x?"),
    ] {
        let answer = proxy.get(sent).await;
        assert!(answer.contains(&format!("GET {wanted}\n")), "{sent}: {answer}");
    }
}

#[tokio::test]
async fn chunked_bodies_are_forwarded_both_ways_even_with_get() {
    let app = application(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap().to_lowercase();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let mut body = vec![0; b"5\r\nhello\r\n0\r\n\r\n".len()];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(body, b"5\r\nhello\r\n0\r\n\r\n");
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await.unwrap();
        stream.write_all(b"2\r\nde\r\n0\r\n\r\n").await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    for method in ["POST", "GET"] {
        let head =
            format!("{method} / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
        let answer = proxy.raw(&format!("{head}5\r\nhello\r\n0\r\n\r\n")).await;
        assert!(answer.contains("transfer-encoding: chunked") && answer.ends_with("0\r\n\r\n"), "{answer}");
        assert!(answer.contains("abc") && answer.contains("de"), "{answer}");
    }
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn responses_without_a_body_are_framed_correctly() {
    let app = application(|mut stream, _| async move {
        while let Some(head) = read_head(&mut stream).await {
            let answer = match head.split(' ').nth(1).unwrap() {
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n",
                _ => OK,
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let mut client = proxy.connect().await;
    for (line, code, has) in
        [("HEAD /head", 200, "content-length: 1234"), ("GET /204", 204, "204"), ("GET /304", 304, "etag: \"x\"")]
    {
        client.write_all(format!("{line} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes()).await.unwrap();
        let head = soon(read_head(&mut client)).await.unwrap();
        assert_eq!(status(&head), code);
        assert!(head.to_lowercase().contains(has), "{head}");
        client.write_all(b"GET /next HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
        assert_eq!(read_answer(&mut client).await.1, "ok", "the connection is in step after {line}");
    }
    assert_eq!((proxy.counters().requests, proxy.counters().failed, proxy.counters().client_gone), (6, 0, 0));
}

#[tokio::test]
async fn clients_of_http_1_0_are_served() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let answer = proxy.raw("GET / HTTP/1.0\r\nHost: shop\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nabc") && !answer.to_lowercase().contains("chunked"), "{answer}");
}

#[tokio::test]
async fn http_1_0_responses_are_accepted() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("until the end"), "{answer}");
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_and_its_body_arrives() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let mut client = proxy.connect().await;
    let head =
        b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    client.write_all(head).await.unwrap();
    assert!(soon(read_head(&mut client)).await.unwrap().starts_with("HTTP/1.1 100"));
    client.write_all(b"hello").await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn an_upload_is_streamed_and_never_buffered_as_a_whole() {
    const SIZE: usize = 50 * 1024 * 1024;
    let taken = Arc::new(AtomicUsize::new(0));
    let (go, gate) = tokio::sync::watch::channel(false);
    let counted = Arc::clone(&taken);
    let app = application(move |mut stream, _| {
        let (counted, mut gate) = (Arc::clone(&counted), gate.clone());
        async move {
            read_head(&mut stream).await;
            gate.wait_for(|go| *go).await.unwrap();
            let mut buffer = vec![0; 64 * 1024];
            while counted.load(SeqCst) < SIZE {
                counted.fetch_add(stream.read(&mut buffer).await.unwrap(), SeqCst);
            }
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let client = proxy.connect().await;
    let (mut read, mut write) = client.into_split();
    let sent = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        write
            .write_all(format!("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let chunk = vec![b'x'; 64 * 1024];
        while counting.load(SeqCst) < SIZE {
            write.write_all(&chunk).await.unwrap();
            counting.fetch_add(chunk.len(), SeqCst);
        }
        write
    });
    // The application reads nothing, so the client stops once the socket buffers are full.
    let mut before = usize::MAX;
    soon(async {
        while before != sent.load(SeqCst) {
            before = sent.load(SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    })
    .await;
    assert!(before < SIZE / 2, "{before} bytes were read from the client while the application reads nothing");
    go.send(true).unwrap();
    let mut answer = vec![0; 15];
    soon(read.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
    assert_eq!((sent.load(SeqCst), taken.load(SeqCst)), (SIZE, SIZE));
    drop(soon(sending).await.unwrap());
}

#[tokio::test]
async fn a_response_is_streamed() {
    let (go, gate) = tokio::sync::watch::channel(0);
    let app = application(move |mut stream, _| {
        let mut gate = gate.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await.unwrap();
            for event in 1..4 {
                gate.wait_for(|number| *number >= event).await.unwrap();
                stream.write_all(format!("data: {event}\n\n").as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
    soon(read_head(&mut client)).await.unwrap();
    for event in 1..4 {
        go.send(event).unwrap();
        let wanted = format!("data: {event}\n\n");
        let mut seen = Vec::new();
        soon(async {
            while !seen.ends_with(wanted.as_bytes()) {
                let at = seen.len();
                seen.resize(at + 1, 0);
                client.read_exact(&mut seen[at..]).await.unwrap();
                if seen.ends_with(b"\r\n") {
                    seen.clear();
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn hundreds_of_headers_are_forwarded_both_ways() {
    let app = application(|mut stream, _| async move {
        let lines = read_head(&mut stream).await.unwrap().matches("x-many").count();
        let many: String = (0..400).map(|number| format!("X-Many-{number}: {number}\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 3\r\n\r\n{lines}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let many: String = (0..400).map(|number| format!("X-Many-{number}: {number}\r\n")).collect();
    let answer = proxy.raw(&format!("GET / HTTP/1.1\r\nHost: shop\r\n{many}Connection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-many-399: 399"), "{answer}");
    assert!(answer.ends_with("400"), "{answer}");
}

#[tokio::test]
async fn a_space_before_a_colon_and_a_folded_line_in_a_response_are_normalized() {
    let app = application(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nX-Odd : 1\r\nX-Folded: a\r\n  b\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\r\nx-odd: 1\r\n"), "{answer}");
    assert!(answer.lines().any(|line| line.starts_with("x-folded: a ") && line.ends_with('b')), "{answer}");
}

#[tokio::test]
async fn trailers_are_forwarded_both_ways_except_forged_ones() {
    let app = application(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("\r\nte: trailers\r\n"), "{head}");
        let mut body = String::new();
        while !body.ends_with("\r\n\r\n") {
            body.push(char::from(stream.read_u8().await.unwrap()));
        }
        assert!(body.contains("x-sum: 5") && !body.contains("6.6.6.6"), "{body}");
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Boatyard-Error\r\n\r\n";
        let body = "2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Boatyard-Error: no-instance\r\n\r\n";
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let answer = proxy
        .raw(
            "POST / HTTP/1.1\r\nHost: shop\r\nTE: trailers\r\nConnection: TE, close\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Sum, X-Forwarded-For, X-Real-IP, X_Real_IP\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\
             X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-sum: 7"), "{answer}");
    assert!(!answer.contains("no-instance"), "{answer}");
}
