//! Headers of every response, limits of connections, and shutdown.

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Server;
use super::fake_control::TOKEN;
use crate::server::ShutdownReason;

#[tokio::test]
async fn every_answer_has_rate_headers_and_an_id() {
    let server = Server::start().await;
    for path in ["/v2/apps", "/v2/nothing"] {
        let answer = server.get(path).await;
        for name in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
            let value = answer.headers[name].to_str().expect("text");
            assert!(value.parse::<u64>().is_ok(), "{name}: {value}");
        }
        assert_eq!(answer.headers["x-request-id"].len(), 36);
        assert_eq!(answer.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn a_request_that_is_not_answered_in_time_gets_a_504_that_advises_to_check_first() {
    let server = Server::start().await;
    let skip_the_wait = async {
        while server.control.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
    };
    let (answer, ()) = tokio::join!(server.get("/v2/apps/never-answers"), skip_the_wait);
    assert_eq!((answer.status.as_u16(), answer.json()["id"].as_str()), (504, Some("gateway_timeout")));
    assert!(answer.message().contains("may still take effect"), "{}", answer.message());
}

#[tokio::test]
async fn an_incomplete_request_does_not_delay_the_shutdown() {
    let mut server = Server::start().await;
    let mut half = TcpStream::connect(server.address).await.expect("the server listens");
    half.write_all(b"GET /v2/apps HTTP/1.1\r\nHost: local").await.expect("sent");
    assert_eq!(server.get("/v2/apps").await.status, StatusCode::OK);
    let _ = server.stop.take().expect("not stopped yet").send(());
    assert_eq!(server.task.await.expect("no panic").expect("an orderly end"), ShutdownReason::Requested);
    let mut rest = Vec::new();
    let _ = half.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn connections_without_the_token_cannot_lock_out_clients_with_it() {
    let server = Server::start().await;
    let mut admin = TcpStream::connect(server.address).await.expect("the server listens");
    let request =
        format!("GET /v2/account HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n", server.address);
    let send = async |admin: &mut TcpStream| {
        admin.write_all(request.as_bytes()).await.expect("the connection is open");
        let mut head = [0; 12];
        admin.read_exact(&mut head).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200");
        // Reads the rest of the response as far as it has arrived.
        let mut rest = [0; 64 * 1024];
        let _ = tokio::time::timeout(std::time::Duration::from_millis(50), admin.read(&mut rest)).await;
    };
    send(&mut admin).await;
    let mut others = Vec::new();
    for _ in 0..1100 {
        others.push(TcpStream::connect(server.address).await.expect("the server listens"));
    }
    assert_eq!(server.get("/v2/apps").await.status, StatusCode::OK, "a new client");
    send(&mut admin).await;
    let mut first = others.swap_remove(0);
    assert_eq!(first.read(&mut [0; 1]).await.unwrap_or(0), 0, "the oldest connection without the token was closed");
}

#[tokio::test]
async fn down_stops_the_server_after_the_answer() {
    let server = Server::start().await;
    let answer = server.send("POST", "/v2/boatyard/down", "{\"apps\":true}").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(server.control.calls(), ["down apps=true"]);
    assert_eq!(server.task.await.expect("no panic").expect("an orderly end"), ShutdownReason::Down);
}
