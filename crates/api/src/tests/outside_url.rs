//! Requests under the outside address, as a proxy that ends TLS sends them.

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Server;

const WITH_TOKEN: (&str, &str) = ("authorization", "Bearer tok");

#[tokio::test]
async fn answers_under_the_outside_name_have_its_scheme_and_name() {
    let server = Server::at_outside_url("https://api.example.test:8443").await;
    for host in ["api.example.test:8443", "api.example.test"] {
        let headers = [("host", host), WITH_TOKEN];
        let logs = server.send_with("GET", "/v2/apps/shop/logs?type=RUN", "", &headers).await.json();
        for address in [&logs["live_url"], &logs["historic_urls"][0]] {
            let address = address.as_str().expect("an address");
            assert!(address.starts_with("https://api.example.test:8443/v2/boatyard/logs?token="), "{host}: {address}");
        }
        let page = server.send_with("GET", "/v2/apps/shop/deployments?per_page=1", "", &headers).await.json();
        let next = page["links"]["pages"]["next"].as_str().expect("a next page");
        assert!(next.starts_with("https://api.example.test:8443/v2/apps/"), "{host}: {next}");
    }
    let local = server.get("/v2/apps/shop/logs?type=RUN").await.json();
    assert!(local["live_url"].as_str().is_some_and(|it| it.starts_with(&format!("http://{}/", server.address))));
}

#[tokio::test]
async fn forwarding_headers_change_nothing() {
    let server = Server::at_outside_url("https://api.example.test").await;
    let headers = [
        ("host", "localhost:9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "api.example.test"),
        ("forwarded", "proto=https;host=api.example.test"),
        WITH_TOKEN,
    ];
    let logs = server.send_with("GET", "/v2/apps/shop/logs?type=RUN", "", &headers).await.json();
    assert!(logs["live_url"].as_str().is_some_and(|it| it.starts_with("http://localhost:9/")), "{logs}");
}

#[tokio::test]
async fn a_name_other_than_the_outside_name_is_refused() {
    let server = Server::at_outside_url("https://api.example.test").await;
    let answer = server.send_with("GET", "/v2/account", "", &[("host", "www.example.test"), WITH_TOKEN]).await;
    assert_eq!((answer.status, answer.message().contains("--api-url")), (StatusCode::FORBIDDEN, true));
}

#[tokio::test]
async fn the_host_of_an_absolute_request_target_counts_and_not_the_header() {
    let server = Server::at_outside_url("https://api.example.test").await;
    for (target, status) in [
        ("http://localhost/v2/account", "200"),
        ("http://api.example.test/v2/account", "200"),
        ("http://other.example.test/v2/account", "403"),
        ("http://localhost@other.example.test/v2/account", "403"),
    ] {
        let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer tok\r\nConnection: close\r\n\r\n",
            server.address
        );
        stream.write_all(request.as_bytes()).await.expect("the connection is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert_eq!(answer.get(9..12), Some(status), "{target}: {answer}");
    }
}
