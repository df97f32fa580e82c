//! What every answer has, and how the server ends.

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Server;
use crate::server::Ended;

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
async fn half_a_request_does_not_hold_up_the_end() {
    let mut server = Server::start().await;
    let mut half = TcpStream::connect(server.address).await.expect("the server listens");
    half.write_all(b"GET /v2/apps HTTP/1.1\r\nHost: local").await.expect("sent");
    assert_eq!(server.get("/v2/apps").await.status, StatusCode::OK);
    let _ = server.stop.take().expect("not stopped yet").send(());
    assert_eq!(server.task.await.expect("no panic").expect("an orderly end"), Ended::Asked);
    let mut rest = Vec::new();
    let _ = half.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn bringing_everything_down_ends_the_server_after_the_answer() {
    let server = Server::start().await;
    let answer = server.send("POST", "/v2/boatyard/down", "{\"apps\":true}").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(server.control.calls(), ["down apps=true"]);
    assert_eq!(server.task.await.expect("no panic").expect("an orderly end"), Ended::Down);
}
