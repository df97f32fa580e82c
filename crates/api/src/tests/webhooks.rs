//! Webhooks are added, listed and removed over the API, and deliveries come in through another server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use web::Stop;

use super::client::Server;
use super::fake_control::{FakeControl, TOKEN};
use super::samples;
use crate::serve_webhooks;

const PATH: &str = "/v2/boatyard/webhooks";

#[tokio::test]
async fn only_the_answer_to_its_creation_contains_the_secret() {
    let server = Server::start().await;
    let created = server.send("POST", PATH, r#"{"name":"github","app":"shop"}"#).await.json();
    assert_eq!(created["webhook"]["secret"], "new-secret");
    assert_eq!(created["webhook"]["address"], "http://hooks.example.com:8080/github");
    let given = server.send("POST", PATH, r#"{"name":"forge","secret":"0123456789abcdef"}"#).await.json();
    assert_eq!(given["webhook"]["secret"], "0123456789abcdef");
    let calls = [
        "create_webhook github Some(\"shop\") None",
        "create_webhook forge None Some(\"0123456789abcdef\")",
        "delete_webhook forge",
    ];
    let removed = server.send("DELETE", &format!("{PATH}/forge"), "").await.json();
    assert!(removed["webhook"]["name"] == "forge" && removed["webhook"].get("secret").is_none(), "{removed}");
    assert_eq!(server.control.calls(), calls);
    assert_eq!(server.send("POST", PATH, "{}").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn webhooks_are_listed_with_their_deliveries() {
    let server = Server::start().await;
    let listed = server.get(PATH).await.json();
    let app = json!({
        "app_id": samples::APP, "app_name": "shop", "result": "deployment 2 was started", "deployment_id": "d-2",
    });
    let expected = json!({
        "name": "github", "created_at": "2026-02-25T06:13:20.000Z", "address": "http://hooks.example.com:8080/github",
        "refused": 0,
        "deliveries": [{
            "id": "delivery-1", "at": "2026-02-25T06:13:20.000Z", "host": "GitHub", "event": "push",
            "repository": "acme/shop", "refs": ["main"], "answer": "looking at shop (web)", "apps": [app],
        }],
    });
    assert_eq!(listed["webhooks"], json!([expected]));
}

/// The server for deliveries.
struct Receiver {
    address: SocketAddr,
    control: Arc<FakeControl>,
    stop: Stop,
    task: JoinHandle<std::io::Result<()>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (control, stop) = (Arc::new(FakeControl::default()), Stop::default());
        let task = tokio::spawn(serve_webhooks(listener, control.clone(), stop.clone()));
        Self { address, control, stop, task }
    }

    async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "hooks.example.com");
        let request = request.header("authorization", format!("Bearer {TOKEN}")).body(Body::from(body));
        let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&text).trim().to_owned())
    }
}

#[tokio::test]
async fn a_delivery_is_answered_with_what_the_controller_says() {
    let receiver = Receiver::start().await;
    for (name, status, words) in [
        ("github", 202, "looking at shop"),
        ("ping", 200, "received"),
        ("garbage", 400, "the body is not JSON"),
        ("other", 401, "refused: there is no such webhook, or the signature does not fit its secret"),
    ] {
        assert_eq!(receiver.send("POST", &format!("/{name}"), b"{}".to_vec()).await, (status, words.to_owned()));
    }
    assert_eq!(receiver.control.calls()[0], "receive_webhook github 2");
    receiver.stop.request();
    assert!(receiver.task.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_delivery_has_at_most_5_mib() {
    let receiver = Receiver::start().await;
    let most = 5 * 1024 * 1024;
    assert_eq!(receiver.send("POST", "/ping", vec![b' '; most]).await.0, 200);
    assert_eq!(receiver.send("POST", "/ping", vec![b' '; most + 1]).await.0, 413);
    assert_eq!(receiver.control.calls(), [format!("receive_webhook ping {most}")]);
}

#[tokio::test]
async fn a_delivery_that_cannot_be_recorded_is_to_be_repeated() {
    let receiver = Receiver::start().await;
    *receiver.control.failure.lock().expect("no panic") =
        Some(controller::ControlError::DiskFull("the disk is full".into()));
    let (status, text) = receiver.send("POST", "/github", Vec::new()).await;
    assert!(status == 503 && text.contains("deliver it again") && !text.contains("disk"), "{status} {text}");
}

#[tokio::test]
async fn the_api_cannot_be_reached_through_the_server_for_deliveries() {
    let receiver = Receiver::start().await;
    for path in ["/v2/apps", "/v2/boatyard/webhooks", "/", "//v2/apps", "/panel/apps"] {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(receiver.send(method, path, Vec::new()).await.0, 404, "{method} {path}");
        }
    }
    assert_eq!(receiver.send("GET", "/github", Vec::new()).await.0, 405);
    assert!(receiver.control.calls().is_empty());
}

/// A client that announces a body and does not send it.
async fn slow_client(receiver: &Receiver, address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.address).await.expect("it listens");
    let head = format!(
        "POST /github HTTP/1.1\r\nhost: hooks.example.com\r\nx-forwarded-for: {address}\r\ncontent-length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    stream
}

#[tokio::test]
async fn slow_clients_do_not_delay_the_deliveries_of_others() {
    let receiver = Receiver::start().await;
    let mut slow = Vec::new();
    for number in 0..200 {
        slow.push(slow_client(&receiver, &format!("192.0.2.{}", number % 4)).await);
    }
    let answer = receiver.send("POST", "/github", b"{}".to_vec()).await;
    assert_eq!(answer, (202, "looking at shop".to_owned()));
    for client in &slow {
        let read = client.try_read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(read, Err(std::io::ErrorKind::WouldBlock), "a slow client still sends its body");
    }
}
