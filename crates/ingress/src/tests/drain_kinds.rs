//! A drain with one of each kind of exchange open: a response, an upload, server-sent events, a WebSocket, fifty streams of
//! HTTP/2, and a gRPC stream. The test ends each of them, so a slow machine changes nothing.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::harness::*;
use super::http2_upstream::{http2_application, http2_rule};
use crate::protocol::{Counters, Open, Rewrite};

/// An application of HTTP/1.1, which ends its responses when the gate opens.
async fn gated(gate: watch::Receiver<bool>) -> SocketAddr {
    application(move |mut stream, _| {
        let mut gate = gate.clone();
        async move {
            let head = read_head(&mut stream).await.unwrap();
            let mut send = async |text: &str| stream.write_all(text.as_bytes()).await.unwrap();
            match head.split(' ').nth(1).unwrap() {
                "/slow" | "/stream" => {
                    gate.wait_for(|go| *go).await.unwrap();
                    send(OK).await;
                }
                "/events" => {
                    send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await;
                    gate.wait_for(|go| *go).await.unwrap();
                    send("data: 2\n\n").await;
                }
                "/upload" => {
                    stream.read_exact(&mut [0; 8]).await.unwrap();
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
                "/socket" => {
                    send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.unwrap();
                }
                other => panic!("{other}"),
            }
        }
    })
    .await
}

async fn begun(proxy: &TestProxy, text: &str) -> TcpStream {
    let mut client = proxy.connect().await;
    client.write_all(text.as_bytes()).await.unwrap();
    client
}

/// What ends the routes to the old instances.
#[derive(Clone, Copy)]
enum End {
    /// A table without them.
    NewTable,
    /// The ingress closes its listeners, as when it stops.
    ListenersClose,
}

async fn nothing_is_cut(end: End) {
    let (go, gate) = watch::channel(false);
    let (web, grpc) = (gated(gate).await, http2_application().await);
    let routed = |version, web: (&str, SocketAddr), grpc: (&str, SocketAddr)| {
        table(version, vec![http2_rule("/shop.Api", &[grpc]), rule("/", Rewrite::Keep, &[web])])
    };
    let mut proxy = TestProxy::to(&[]).await;
    proxy.routing.install(&routed(2, ("old", web), ("old-grpc", grpc)));

    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    let mut slow = begun(&proxy, &get("/slow")).await;
    let mut events = begun(&proxy, &get("/events")).await;
    let head = soon(read_head(&mut events)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut upload =
        begun(&proxy, "POST /upload HTTP/1.1\r\nHost: shop\r\nContent-Length: 8\r\nConnection: close\r\n\r\nhalf")
            .await;
    let mut socket =
        begun(&proxy, "GET /socket HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let head = soon(read_head(&mut socket)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut http2 = proxy.http2::<Full<Bytes>>().await;
    let request = || Request::get("http://shop/stream").body(Full::default()).unwrap();
    let streams: Vec<_> = (0..50).map(|_| tokio::spawn(http2.send_request(request()))).collect();
    let mut grpc_client = proxy.http2().await;
    let (mut messages, sent) = mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(0);
    let call = Request::post("http://shop/shop.Api/Watch").header("te", "trailers");
    let call = soon(grpc_client.send_request(call.body(StreamBody::new(sent)).unwrap())).await.unwrap();

    let open = || proxy.routing.open();
    let all = (Open { requests: 53, upgraded: 1 }, Open { requests: 1, upgraded: 0 });
    until(|| open().get("old") == Some(&all.0) && open().get("old-grpc") == Some(&all.1)).await;
    match end {
        End::NewTable => {
            let (new, new_grpc) = (echo().await, http2_application().await);
            proxy.routing.install(&routed(3, ("new", new), ("new-grpc", new_grpc)));
            assert_eq!(status(&proxy.get("/slow").await), 200, "the new instance answers at once");
            assert_eq!((open()["old"], open()["old-grpc"]), all);
        }
        End::ListenersClose => {
            proxy.close().await;
            assert!(TcpStream::connect(proxy.address).await.is_err());
            assert_eq!((proxy.routing.open()["old"], proxy.routing.open()["old-grpc"]), all);
        }
    }

    go.send(true).unwrap();
    assert!(read_all(&mut slow).await.ends_with("\r\n\r\nok"));
    assert!(read_all(&mut events).await.contains("data: 2\n\n"));
    upload.write_all(b"rest").await.unwrap();
    assert!(read_all(&mut upload).await.ends_with("\r\n\r\nok"));
    for response in streams {
        let response = soon(response).await.unwrap().unwrap();
        assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "ok");
    }
    socket.write_all(b"still here").await.unwrap();
    let mut back = [0; 10];
    soon(socket.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"still here");
    drop(socket);
    messages.send(Ok(Frame::data(Bytes::from("last")))).await.unwrap();
    drop(messages);
    let answer = soon(call.into_body().collect()).await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(answer.to_bytes(), "last");

    until(|| proxy.routing.open().is_empty()).await;
    let requests = if matches!(end, End::NewTable) { 56 } else { 55 };
    let counters = Counters { slowest_us: 0, ..proxy.counters() };
    assert_eq!(counters, Counters { requests, upgraded: 1, ..Counters::default() });
}

#[tokio::test]
async fn a_new_table_cuts_nothing_of_what_is_open() {
    nothing_is_cut(End::NewTable).await;
}

#[tokio::test]
async fn an_ingress_that_stops_cuts_nothing_of_what_is_open() {
    nothing_is_cut(End::ListenersClose).await;
}
