//! The load counts and reports each way in which a request can be lost.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::*;

/// Answers the first request with `bytes`, then closes the connection cleanly.
async fn answer_and_close(mut stream: TcpStream, bytes: &'static [u8]) {
    read_request(&mut stream).await;
    let _ = stream.write_all(bytes).await;
}

async fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket has a linger time");
}

#[tokio::test]
async fn a_refused_connection_fails() {
    // Bound, so that no other process gets the port, but not listening.
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let plan = LoadPlan::new(bound.local_addr().unwrap(), "shop.localhost").connections(2).with(Request::get("/"));
    let report = report_after(3, plan).await;
    assert_all_failed(&report, "GET /: cannot connect");
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_fails() {
    let server = Server::on_connection(|stream| answer_and_close(stream, b"")).await;
    assert_all_failed(&report_after(3, plan_for(&server).with(Request::get("/a"))).await, "GET /a: no answer");
}

#[tokio::test]
async fn a_connection_reset_before_the_answer_fails() {
    let server = Server::on_connection(|mut stream| async move {
        read_request(&mut stream).await;
        reset(stream).await;
    })
    .await;
    assert_all_failed(&report_after(3, plan_for(&server).with(Request::get("/"))).await, "no answer");
}

#[tokio::test]
async fn a_body_shorter_than_its_length_fails() {
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let server = Server::on_connection(move |stream| answer_and_close(stream, short)).await;
    let report = report_after(3, plan_for(&server).with(Request::get("/"))).await;
    assert_all_failed(&report, "was cut after 4 bytes");
}

#[tokio::test]
async fn a_chunked_body_without_its_last_chunk_fails() {
    let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let server = Server::on_connection(move |stream| answer_and_close(stream, cut)).await;
    assert_all_failed(&report_after(3, plan_for(&server).with(Request::get("/"))).await, "was cut after 4 bytes");
}

#[tokio::test]
async fn a_body_that_ends_in_a_reset_fails() {
    let server = Server::on_connection(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        reset(stream).await;
    })
    .await;
    // The reset may arrive before the head, so there are two possible messages. The request fails in both cases.
    assert_all_failed(&report_after(3, plan_for(&server).with(Request::get("/"))).await, "GET /: ");
}

#[tokio::test]
async fn a_status_other_than_2xx_fails() {
    for status in ["503 Service Unavailable", "502 Bad Gateway", "404 Not Found", "302 Found"] {
        let server = Server::on_request(move |_| answer(status, b"sorry")).await;
        let report = report_after(3, plan_for(&server).with(Request::get("/"))).await;
        assert_all_failed(&report, &format!("answered {status} instead of 2xx"));
    }
}

#[tokio::test]
async fn an_unexpected_body_fails_and_is_shown() {
    let server = Server::on_request(|_| answer("200 OK", b"someone else's page")).await;
    let containing = Request::get("/").answered(Expected::Containing("my page".to_owned()));
    let exactly = Request::get("/").answered(Expected::Exactly(Bytes::from_static(b"someone else's")));
    for request in [containing, exactly] {
        assert_all_failed(&report_after(3, plan_for(&server).with(request)).await, "someone else's page");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_fails_at_the_deadline() {
    let server =
        Server::on_connection(|mut stream| async move { while read_request(&mut stream).await.is_some() {} }).await;
    let plan = plan_for(&server).with(Request::get("/")).deadline(Duration::from_millis(30));
    let report = report_after(2, plan).await;
    assert_all_failed(&report, "not done after 30ms");
    assert!(report.max >= Duration::from_millis(30), "{report}");
}

#[tokio::test]
async fn a_body_that_never_ends_fails_at_the_deadline() {
    let server = Server::on_request(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()).await;
    let plan = plan_for(&server).with(Request::get("/")).deadline(Duration::from_millis(30));
    assert_all_failed(&report_after(2, plan).await, "not done after 30ms");
}

#[tokio::test]
async fn an_answer_that_is_not_http_fails() {
    let server = Server::on_connection(|stream| answer_and_close(stream, b"SSH-2.0-harbor\r\n\r\n")).await;
    assert_all_failed(&report_after(2, plan_for(&server).with(Request::get("/"))).await, "no answer");
}

#[tokio::test]
async fn a_request_without_an_answer_is_not_sent_again() {
    let server = Server::on_request(|_| Vec::new()).await;
    let plan =
        plan_for(&server).connections(1).with(Request::post("/orders", "one")).deadline(Duration::from_millis(200));
    let report = report_after(2, plan).await;
    // A request whose deadline passed before it was written counts as sent, but never reached the server.
    assert!(server.requests() <= report.sent, "{} arrived: {report}", server.requests());
}
