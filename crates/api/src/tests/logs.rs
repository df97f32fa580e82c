//! Log streams as plain text and as WebSocket messages, behind one-use addresses.

use axum::http::StatusCode;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::client::Server;
use super::fake_control::FakeControl;

const LINES: &str = "web 2026-03-01T10:00:01Z line 1\nweb 2026-03-01T10:00:02Z line 2\n";

/// Path and query of a log address.
fn path(server: &Server, url: &Value) -> String {
    let base = format!("http://{}", server.address);
    url.as_str().expect("an address").strip_prefix(&base).expect("the host of the request").to_owned()
}

#[tokio::test]
async fn a_log_address_works_once_and_without_the_token() {
    let server = Server::start().await;
    let answer = server.get("/v2/apps/shop/deployments/1/logs?type=RUN&follow=false&tail_lines=-1").await.json();
    for url in [&answer["live_url"], &answer["historic_urls"][0]] {
        let path = path(&server, url);
        let first = server.send_with("GET", &path, "", &[]).await;
        assert_eq!((first.status, first.text.as_str()), (StatusCode::OK, LINES));
        assert_eq!(first.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(server.send_with("GET", &path, "", &[]).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn all_four_paths_send_the_same_query() {
    let server = Server::start().await;
    for (path, asked) in [
        ("logs?type=BUILD", "logs None None Build"),
        ("components/web/logs?type=UNSPECIFIED", "logs None Some(\"web\") Run"),
        (
            "deployments/DEP/logs?type=DEPLOY&component_name=web",
            "logs Some(\"00000000-0000-4000-8000-000000000001\") Some(\"web\") Deploy",
        ),
        (
            "deployments/1/components/web/logs?type=RUN_RESTARTED",
            "logs Some(\"00000000-0000-4000-8000-000000000001\") Some(\"web\") RunRestarted",
        ),
    ] {
        let answer = server.get(&format!("/v2/apps/shop/{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let call = server.control.calls().last().cloned().expect("a call");
        assert_eq!(call, format!("{asked} follow=false tail=Some(0)"), "{path}");
    }
}

#[tokio::test]
async fn an_unknown_component_or_type_is_an_error_before_a_stream_opens() {
    let server = Server::start().await;
    let answer = server.get("/v2/apps/shop/logs?type=RUN&component_name=wrk").await;
    assert_eq!((answer.status, answer.message().contains("Did you mean")), (StatusCode::NOT_FOUND, true));
    assert_eq!(server.get("/v2/apps/shop/logs?type=AUTOSCALE_EVENT").await.status, StatusCode::BAD_REQUEST);
}

async fn messages(server: &Server, url: &Value) -> (Vec<Value>, Option<CloseCode>) {
    let url = url.as_str().expect("an address").replacen("http", "ws", 1);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("an upgrade");
    let (mut all, mut code) = (vec![], None);
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) => all.push(serde_json::from_str(&text).expect("each message is JSON")),
            Message::Close(frame) => code = frame.map(|frame| frame.code),
            _ => {}
        }
        if all.len() == 2 && server.control.endless {
            break;
        }
    }
    if server.control.endless {
        socket.close(None).await.expect("a close frame goes out");
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                code = Some(CloseCode::Normal);
            }
        }
    }
    (all, code)
}

#[tokio::test]
async fn a_websocket_gets_one_message_per_line_and_closes_with_1000() {
    let server = Server::start().await;
    let answer = server.get("/v2/apps/shop/logs?type=RUN&follow=false").await.json();
    let (all, code) = messages(&server, &answer["live_url"]).await;
    assert_eq!(all[0], json!({ "data": "web 2026-03-01T10:00:01Z line 1\n" }));
    assert_eq!((all.len(), code), (2, Some(CloseCode::Normal)));
}

#[tokio::test]
async fn a_client_that_closes_gets_a_close_frame() {
    let server = Server::with(FakeControl { endless: true, ..FakeControl::default() }).await;
    let answer = server.get("/v2/apps/shop/logs?type=RUN&follow=true").await.json();
    let (all, code) = messages(&server, &answer["live_url"]).await;
    assert_eq!((all.len(), code), (2, Some(CloseCode::Normal)));
}

#[tokio::test]
async fn a_shutdown_closes_a_stream_with_another_code_than_its_end() {
    let mut server = Server::with(FakeControl { endless: true, ..FakeControl::default() }).await;
    let answer = server.get("/v2/apps/shop/logs?type=RUN&follow=true").await.json();
    let url = answer["live_url"].as_str().expect("an address").replacen("http", "ws", 1);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("an upgrade");
    let _ = server.stop.take().expect("not stopped yet").send(());
    let mut code = None;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            code = frame.map(|frame| frame.code);
        }
    }
    assert_eq!(code, Some(CloseCode::Away));
    server.task.await.expect("no panic").expect("an orderly end");
}
