//! Instances that speak HTTP/2 without TLS, as gRPC servers do, for clients of both versions.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

use super::harness::*;
use crate::protocol::{Address, Message, Open, Rewrite, RouteTable, Rule, Target, Upstream};

/// A rule for instances that speak HTTP/2.
pub fn http2_rule(prefix: &str, upstreams: &[(&str, SocketAddr)]) -> Rule {
    let upstream =
        |(id, http2): &(&str, SocketAddr)| Upstream { id: (*id).to_owned(), address: Address::Http2 { http2: *http2 } };
    let target = Target::Instances { upstreams: upstreams.iter().map(upstream).collect() };
    Rule { target, ..rule(prefix, Rewrite::Keep, &[]) }
}

fn routes(version: u64, upstreams: &[(&str, SocketAddr)]) -> RouteTable {
    table(version, vec![http2_rule("/", upstreams)])
}

async fn proxy_to(upstreams: &[(&str, SocketAddr)]) -> TestProxy {
    let proxy = TestProxy::to(&[]).await;
    proxy.routing.install(&routes(2, upstreams));
    proxy
}

type AnyBody = BoxBody<Bytes, Infallible>;

/// Serves HTTP/2 on one connection.
async fn serve<F>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static)
where
    F: Future<Output = Response<AnyBody>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let response = answer(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Responds with what it got: version, address, headers, body; and with trailers.
async fn answer_with_request(request: Request<Incoming>) -> Response<AnyBody> {
    let (parts, body) = request.into_parts();
    let (authority, path) = (parts.uri.authority().unwrap(), parts.uri.path_and_query().unwrap());
    // The path as it was sent. `Display` would add a missing slash.
    let mut text = format!("{:?} {} http://{authority}{}\n", parts.version, parts.method, path.as_str());
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    text += &format!("\n{}", String::from_utf8_lossy(&body));
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    Response::new(Full::new(Bytes::from(text)).with_trailers(async { Some(Ok(trailers)) }).boxed())
}

/// An application with the number of its connections so far.
pub async fn http2_echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = application(move |stream, _| {
        counted.fetch_add(1, SeqCst);
        serve(stream, answer_with_request)
    })
    .await;
    (address, connections)
}

/// Sends each part of the request's body back as soon as it arrives, and a trailer at the end.
async fn answer_in_parts(request: Request<Incoming>) -> Response<AnyBody> {
    let (mut send, receive) = mpsc::channel(0);
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                send.send(Ok(Frame::data(data))).await.unwrap();
            }
        }
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let _ = send.send(Ok(Frame::trailers(trailers))).await;
    });
    Response::new(StreamBody::new(receive).boxed())
}

/// An application that sends each part of a request back.
pub async fn http2_application() -> SocketAddr {
    application(|stream, _| serve(stream, answer_in_parts)).await
}

fn post(body: impl Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static) -> Request<AnyBody> {
    let request = Request::post("http://shop/shop.Api/List").header("te", "trailers");
    request.header("content-type", "application/grpc").body(body.boxed()).unwrap()
}

fn get() -> Request<AnyBody> {
    Request::get("http://shop/a").body(Full::default().boxed()).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::test]
async fn an_http1_client_reaches_an_http2_instance() {
    let (app, connections) = http2_echo().await;
    let proxy = proxy_to(&[("web", app)]).await;
    let request = "POST /a?b=c HTTP/1.1\r\nHost: shop:80\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nExpect: 100-continue\r\n\
                   Connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = proxy.raw(request).await;
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    for part in ["HTTP/2.0 POST http://shop:80/a?b=c\n", "te: trailers\n", "x-forwarded-host: shop:80\n", "\n\nabc"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let seen = answer.split_once("HTTP/2.0").unwrap().1;
    for gone in ["transfer-encoding:", "connection:", "expect:", "\nhost:"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    for _ in 0..3 {
        assert_eq!(status(&proxy.get("/").await), 200);
    }
    assert!(connections.load(SeqCst) <= crate::worker::count(), "each worker has one connection");
    assert_eq!((proxy.counters().requests, proxy.counters().failed), (4, 0));
}

#[tokio::test]
async fn messages_pass_both_ways_at_once_and_trailers_reach_the_client() {
    let proxy = proxy_to(&[("web", http2_application().await)]).await;
    let mut client = proxy.http2().await;
    let (mut send, receive) = mpsc::channel(0);
    let response = soon(client.send_request(post(StreamBody::new(receive)))).await.unwrap();
    let mut body = response.into_body();
    for message in ["one", "two", "three"] {
        send.send(Ok(Frame::data(Bytes::from(message)))).await.unwrap();
        let frame = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    drop(send);
    let trailers = soon(body.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    until(|| proxy.routing.open().is_empty()).await;
    let counters = proxy.counters();
    assert_eq!((counters.requests, counters.failed, counters.client_gone), (1, 0, 0));
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Reads up to the end of the first request, and returns the number of its stream.
async fn read_request(read: &mut (impl AsyncRead + Unpin), write: &mut (impl AsyncWrite + Unpin)) -> u32 {
    read.read_exact(&mut [0; 24]).await.unwrap();
    write.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    read_request_frames(read).await
}

/// Reads up to the end of the next request, and returns the number of its stream.
async fn read_request_frames(read: &mut (impl AsyncRead + Unpin)) -> u32 {
    loop {
        let mut head = [0; 9];
        read.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        read.read_exact(&mut vec![0; length as usize]).await.unwrap();
        // HEADERS or DATA with END_STREAM.
        if head[3] <= 1 && head[4] & 1 == 1 {
            return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        }
    }
}

/// An application that answers the first request of its first connection with these frames and closes. Later connections
/// are served.
async fn refusing_first(frames: fn(u32) -> Vec<u8>) -> SocketAddr {
    application(move |mut stream, number| async move {
        if number > 0 {
            return serve(stream, answer_with_request).await;
        }
        let (mut read, mut write) = stream.split();
        let refused = read_request(&mut read, &mut write).await;
        write.write_all(&frames(refused)).await.unwrap();
        // Until the ingress closes, so that no reset overtakes the frames.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

#[tokio::test]
async fn a_request_that_the_instance_did_not_process_is_sent_again_with_its_body() {
    for frames in [
        |stream| frame(3, 0, stream, &REFUSED_STREAM),
        // GOAWAY with the last stream 0 and NO_ERROR.
        |_| frame(7, 0, 0, &[0; 8]),
    ] {
        let first = refusing_first(frames).await;
        let (other, connections) = http2_echo().await;
        let proxy = proxy_to(&[("first", first), ("other", other)]).await;
        let mut client = proxy.http2().await;
        let body = Full::new(Bytes::from("the message"));
        let response = soon(client.send_request(post(body))).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(text(response).await.ends_with("\n\nthe message"));
        assert_eq!(connections.load(SeqCst), 1, "the first instance was asked first");
        assert_eq!((proxy.counters().requests, proxy.counters().failed), (1, 0));
    }
}

/// Answers the first request of a connection with status 200. Returns what reads the next ones.
async fn answer_first_request(stream: &mut TcpStream) -> BufReader<ReadHalf<'_>> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let first = read_request(&mut read, &mut write).await;
    write.write_all(&frame(1, 5, first, &[0x88])).await.unwrap();
    read
}

#[tokio::test]
async fn a_kept_connection_that_ended_costs_no_request() {
    let app = application(|mut stream, number| async move {
        if number > 0 {
            return serve(stream, answer_with_request).await;
        }
        // The connection serves one request, and ends during the next one.
        let mut read = answer_first_request(&mut stream).await;
        read_request_frames(&mut read).await;
    })
    .await;
    let proxy = proxy_to(&[("web", app)]).await;
    let mut client = proxy.http2().await;
    for _ in 0..2 {
        assert_eq!(soon(client.send_request(get())).await.unwrap().status(), 200);
    }
    assert_eq!((proxy.counters().requests, proxy.counters().failed), (2, 0));
}

#[tokio::test]
async fn requests_whose_connection_died_share_new_ones() {
    const REQUESTS: usize = 50;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let app = application(move |mut stream, number| {
        counted.fetch_add(1, SeqCst);
        async move {
            if number > 0 {
                return serve(stream, answer_with_request).await;
            }
            // The connection serves one request, and ends without an answer to the others.
            let mut read = answer_first_request(&mut stream).await;
            for _ in 0..REQUESTS {
                read_request_frames(&mut read).await;
            }
        }
    })
    .await;
    let proxy = proxy_to(&[("web", app)]).await;
    // A connection of a client stays on one worker, as those to instances do.
    let mut client = proxy.http2().await;
    assert_eq!(soon(client.send_request(get())).await.unwrap().status(), 200);
    let waiting: Vec<_> = (0..REQUESTS).map(|_| tokio::spawn(client.send_request(get()))).collect();
    for response in waiting {
        assert_eq!(soon(response).await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(connections.load(SeqCst), 2);
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn a_request_that_the_instance_may_have_processed_is_not_sent_again() {
    for frames in [
        |stream| frame(3, 0, stream, &[0, 0, 0, 2]),
        // GOAWAY with INTERNAL_ERROR.
        |_| frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2]),
    ] {
        let proxy = proxy_to(&[("web", refusing_first(frames).await)]).await;
        let mut client = proxy.http2().await;
        let response = soon(client.send_request(post(Full::new(Bytes::from("once"))))).await.unwrap();
        assert_eq!(response.status(), 502);
        assert_eq!(response.headers()["x-boatyard-error"], "no-answer");
        assert_eq!((proxy.counters().requests, proxy.counters().failed), (1, 1));
    }
}

#[tokio::test]
async fn an_instance_that_speaks_only_http1_is_named() {
    let app = application(|mut stream, _| async move {
        let text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let proxy = proxy_to(&[("web", app)]).await;
    let answer = proxy.get("/").await;
    assert_eq!(status(&answer), 502, "{answer}");
    assert!(answer.contains("x-boatyard-error: not-http2") && answer.contains("HTTP/2"), "{answer}");
}

#[tokio::test]
async fn an_unreachable_instance_is_passed_over() {
    let (closed, (app, _)) = (closed_port(), http2_echo().await);
    let proxy = proxy_to(&[("closed", closed.address), ("web", app)]).await;
    for _ in 0..4 {
        assert_eq!(status(&proxy.get("/").await), 200);
    }
    proxy.routing.install(&routes(3, &[("closed", closed.address)]));
    let answer = proxy.get("/").await;
    assert!(answer.contains("x-boatyard-error: connect-failed"), "{answer}");
}

#[tokio::test]
async fn requests_above_the_limit_of_streams_use_further_connections() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let (go, gate) = tokio::sync::watch::channel(false);
    let app = application(move |stream, _| {
        counted.fetch_add(1, SeqCst);
        let gate = gate.clone();
        async move {
            let service = service_fn(move |request| {
                let mut gate = gate.clone();
                async move {
                    gate.wait_for(|go| *go).await.unwrap();
                    Ok::<_, Infallible>(answer_with_request(request).await)
                }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.max_concurrent_streams(2).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    let proxy = proxy_to(&[("web", app)]).await;
    // Until the ingress knows the limit of the first connections.
    go.send(true).unwrap();
    let mut client = proxy.http2().await;
    for _ in 0..3 {
        assert_eq!(soon(client.send_request(get())).await.unwrap().status(), 200);
    }
    go.send(false).unwrap();
    let before = connections.load(SeqCst);
    let waiting: Vec<_> = (0..8).map(|_| tokio::spawn(client.send_request(get()))).collect();
    until(|| connections.load(SeqCst) >= before + 3).await;
    go.send(true).unwrap();
    for response in waiting {
        assert_eq!(soon(response).await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(proxy.counters().failed, 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_response_does_not_hold_up_others() {
    let app = application(|stream, _| {
        serve(stream, async |request: Request<Incoming>| match request.uri().path() {
            "/a" => answer_with_request(request).await,
            _ => {
                let data = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![0; 64 * 1024]))));
                Response::new(StreamBody::new(data).boxed())
            }
        })
    })
    .await;
    let proxy = proxy_to(&[("web", app)]).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.http2().await;
        for _ in 0..20 {
            stalled.push(soon(client.send_request(post(Full::default()))).await.unwrap());
        }
        // On another connection of a client, but the same one to the instance.
        let response = soon(proxy.http2().await.send_request(get())).await.unwrap();
        assert_eq!(response.status(), 200);
        text(response).await;
    }
}

#[tokio::test]
async fn a_drain_waits_for_open_streams_and_then_closes_the_connection() {
    let (gone, mut closed) = tokio::sync::mpsc::unbounded_channel();
    let app = application(move |stream, _| {
        let gone = gone.clone();
        async move {
            serve(stream, answer_in_parts).await;
            gone.send(()).unwrap();
        }
    })
    .await;
    let proxy = proxy_to(&[("old", app)]).await;
    let mut events = proxy.routing.events();
    let mut client = proxy.http2().await;
    let (mut send, receive) = mpsc::channel(0);
    let response = soon(client.send_request(post(StreamBody::new(receive)))).await.unwrap();
    let (other, _) = http2_echo().await;
    proxy.routing.install(&routes(3, &[("new", other)]));
    let first = soon(events.recv()).await.unwrap();
    assert_eq!(first, Message::Draining { upstream: "old".to_owned(), open: Open { requests: 1, upgraded: 0 } });
    assert_eq!(soon(client.send_request(get())).await.unwrap().status(), 200, "new requests go to the new one");
    send.send(Ok(Frame::data(Bytes::from("last")))).await.unwrap();
    drop(send);
    assert_eq!(text(response).await, "last");
    soon(closed.recv()).await.unwrap();
    until(|| proxy.routing.open().is_empty()).await;
    assert_eq!((proxy.counters().failed, proxy.counters().client_gone), (0, 0));
}

#[tokio::test]
async fn a_stream_that_a_stopped_instance_ends_counts_as_cut() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let app = application(move |stream, _| {
        let mut gate = gate.clone();
        async move {
            tokio::select! {
                () = serve(stream, answer_in_parts) => {}
                _ = gate.wait_for(|go| *go) => {}
            }
        }
    })
    .await;
    let proxy = proxy_to(&[("old", app)]).await;
    let mut client = proxy.http2().await;
    let (_send, receive) = mpsc::channel(0);
    let response = soon(client.send_request(post(StreamBody::new(receive)))).await.unwrap();
    proxy.routing.install(&routes(3, &[]));
    go.send(true).unwrap();
    assert!(soon(response.into_body().collect()).await.is_err());
    until(|| proxy.counters().uploads_cut == 1).await;
    assert_eq!(proxy.counters().failed, 1);
}
