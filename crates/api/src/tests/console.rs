//! Consoles over a real connection, with a fake shell: the protocol, the limits, and how each end reaches both sides.

use std::time::Duration;

use axum::http::StatusCode;
use controller::ControlError;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::client::{Server, until};
use super::samples;
use crate::console::MAX_CONSOLES;

const EXEC: &str = "/v2/apps/shop/components/web/exec";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The address of a console, for one use.
async fn address(server: &Server) -> String {
    let answer = server.get(EXEC).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["url"].as_str().expect("an address").to_owned()
}

async fn connect(url: &str) -> Socket {
    tokio_tungstenite::connect_async(url).await.expect("every upgrade is accepted").0
}

async fn open(server: &Server) -> Socket {
    connect(&address(server).await).await
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("the connection is open");
}

async fn type_in(socket: &mut Socket, text: &str) {
    send(socket, json!({ "op": "stdin", "data": text })).await;
}

/// The next message with output.
async fn next(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.expect("more").expect("no error") {
            Message::Text(text) => return serde_json::from_str(&text).expect("each message is JSON"),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

/// All text until the end, whether the last message was a failure, and the close frame.
async fn end(socket: &mut Socket) -> (String, bool, Option<CloseFrame>) {
    let (mut text, mut failed, mut close) = (String::new(), false, None);
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(message) => {
                let message: Value = serde_json::from_str(&message).expect("each message is JSON");
                text.push_str(message["data"].as_str().expect("data"));
                failed = message["failed"] == true;
            }
            Message::Close(frame) => close = frame,
            _ => {}
        }
    }
    (text, failed, close)
}

fn code(close: Option<CloseFrame>) -> CloseCode {
    close.expect("a close frame").code
}

/// Waits until the fake shell has noted this.
async fn noted(server: &Server, what: &str) {
    until(what, || server.control.console_notes().iter().any(|it| it == what)).await;
}

#[tokio::test]
async fn the_address_is_that_of_a_websocket_and_names_one_instance() {
    let server = Server::start().await;
    let url = address(&server).await;
    assert!(url.starts_with(&format!("ws://{}/v2/boatyard/console?token=", server.address)), "{url}");
    let of_deployment = "/v2/apps/shop/deployments/2/components/web/exec?instance_name=web-1";
    assert_eq!(server.get(of_deployment).await.status, StatusCode::OK);
    let asked = format!("find_console web Some(\"web-1\") Some(\"{}\")", samples::deployment_id(2));
    assert_eq!(server.control.calls(), ["find_console web None None".to_owned(), asked]);

    let server = Server::at_outside_url("https://api.example.test").await;
    let headers = [("authorization", "Bearer tok"), ("host", "api.example.test")];
    let answer = server.send_with("GET", EXEC, "", &headers).await;
    let url = answer.json()["url"].as_str().expect("an address").to_owned();
    assert!(url.starts_with("wss://api.example.test/v2/boatyard/console?token="), "{url}");
}

#[tokio::test]
async fn a_refusal_comes_before_an_address_is_handed_out() {
    let server = Server::start().await;
    for (error, status) in [
        (ControlError::NotFound("no instance".into()), StatusCode::NOT_FOUND),
        (ControlError::Conflict("none runs".into()), StatusCode::CONFLICT),
        (ControlError::Invalid("no shell".into()), StatusCode::BAD_REQUEST),
    ] {
        let message = error.to_string();
        *server.control.failure.lock().expect("no panic") = Some(error);
        let answer = server.get(EXEC).await;
        assert_eq!((answer.status, answer.message()), (status, message));
    }
    assert_eq!(server.get("/v2/apps/shop/deployments/99/components/web/exec").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/v2/apps/nothing/components/web/exec").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn input_sizes_and_output_pass_until_the_shell_exits() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    // What doctl sends; its order is not fixed.
    type_in(&mut socket, "l").await;
    send(&mut socket, json!({ "op": "resize", "width": 120, "height": 40 })).await;
    send(&mut socket, json!({ "op": "resize", "width": 0, "height": 0 })).await;
    type_in(&mut socket, "").await;
    send(&mut socket, json!({ "op": "unknown" })).await;
    socket.send(Message::text("no JSON")).await.expect("sent");
    socket.send(Message::binary(json!({ "op": "stdin", "data": "s" }).to_string())).await.expect("sent");
    assert_eq!(next(&mut socket).await, json!({ "data": "l" }));
    assert_eq!(next(&mut socket).await, json!({ "data": "s" }));
    type_in(&mut socket, "exit").await;
    let (text, failed, close) = end(&mut socket).await;
    assert_eq!((text.as_str(), failed, code(close)), ("", false, CloseCode::Normal));
    assert_eq!(server.control.console_notes()[..3], ["input l", "size 120x40", "input s"]);
}

#[tokio::test]
async fn a_character_that_the_shell_splits_arrives_whole() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    type_in(&mut socket, "split").await;
    assert_eq!(next(&mut socket).await, json!({ "data": "a" }));
    assert_eq!(next(&mut socket).await, json!({ "data": "é" }));
    type_in(&mut socket, "cut").await;
    let (text, _, close) = end(&mut socket).await;
    assert_eq!((text.as_str(), code(close)), ("\u{fffd}", CloseCode::Normal), "the shell exited within a character");
}

#[tokio::test]
async fn a_console_that_is_lost_ends_with_a_sentence_and_code_1000() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    type_in(&mut socket, "lost").await;
    let (text, failed, close) = end(&mut socket).await;
    assert_eq!((text.as_str(), failed, code(close)), ("\r\nweb-0 has stopped\r\n", true, CloseCode::Normal));

    let url = address(&server).await;
    *server.control.failure.lock().expect("no panic") = Some(ControlError::Conflict("web-0 is gone".into()));
    let (text, failed, close) = end(&mut connect(&url).await).await;
    assert_eq!((text.as_str(), failed, code(close)), ("\r\nweb-0 is gone\r\n", true, CloseCode::Normal));
}

#[tokio::test]
async fn an_address_that_does_not_work_is_explained_in_an_open_websocket() {
    let server = Server::start().await;
    let url = address(&server).await;
    let plain = url.split_once(&server.address.to_string()).expect("its address").1.to_owned();
    let answer = server.send_with("GET", &plain, "", &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "a request without an upgrade does not use the ticket up");
    let mut first = connect(&url).await;
    let logs = server.get("/v2/apps/shop/logs?type=RUN").await.json()["live_url"].as_str().expect("one").to_owned();
    let other_ticket = logs.replacen("http", "ws", 1).replace("/logs", "/console");
    let wrong = format!("ws://{}/v2/boatyard/console?token=wrong", server.address);
    let none = format!("ws://{}/v2/boatyard/console", server.address);
    for refused in [&url, &other_ticket, &wrong, &none] {
        let (text, failed, close) = end(&mut connect(refused).await).await;
        assert!(failed && text.contains("works once and for one minute"), "{refused}: {text}");
        assert_eq!(code(close), CloseCode::Policy);
    }
    type_in(&mut first, "x").await;
    assert_eq!(next(&mut first).await, json!({ "data": "x" }), "the console itself stays open");
}

#[tokio::test]
async fn the_ticket_of_a_console_opens_no_log_stream() {
    let server = Server::start().await;
    let url = address(&server).await.replacen("ws", "http", 1).replace("/console", "/logs");
    let path = url.split_once(&server.address.to_string()).expect("its address").1.to_owned();
    let answer = server.send_with("GET", &path, "", &[]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_client_that_closes_or_disconnects_ends_the_shell() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    socket.close(Some(close)).await.expect("a close frame goes out");
    let (_, _, close) = end(&mut socket).await;
    assert_eq!(code(close), CloseCode::Normal);
    noted(&server, "dropped 1").await;
    drop(open(&server).await);
    noted(&server, "dropped 2").await;
}

#[tokio::test]
async fn consoles_are_limited_until_their_shells_have_ended() {
    let server = Server::start().await;
    let spare = address(&server).await;
    let mut open_ones = Vec::new();
    for _ in 0..MAX_CONSOLES {
        open_ones.push(open(&server).await);
    }
    let answer = server.get(EXEC).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let (text, _, close) = end(&mut connect(&spare).await).await;
    assert!(text.contains("32 consoles are open"), "{text}");
    assert_eq!(code(close), CloseCode::Policy);
    drop(open_ones.pop());
    until_a_console_is_free(&server, "tok").await;
    type_in(&mut connect(&spare).await, "x").await;
    noted(&server, "input x").await;
}

/// Panics after a minute: then there never will be one.
async fn until_a_console_is_free(server: &Server, token: &str) {
    let free = async { while server.send_as(token, "GET", EXEC, "").await.status != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(60), free).await.expect("a console is free");
}

/// The controller tries on: somebody may have deleted `sh` in the instance.
#[tokio::test]
async fn a_shell_that_does_not_end_counts_as_a_console_for_a_short_time_only() {
    let server = Server::start().await;
    let mut open_ones = Vec::new();
    for _ in 0..MAX_CONSOLES {
        open_ones.push(open(&server).await);
    }
    let mut stuck = open_ones.pop().expect("the last one");
    type_in(&mut stuck, "stuck").await;
    noted(&server, "stuck").await;
    drop(stuck);
    noted(&server, "dropped 1").await;
    assert_eq!(server.get(EXEC).await.status, StatusCode::TOO_MANY_REQUESTS);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(15)).await;
    tokio::time::resume();
    assert_eq!(server.get(EXEC).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_leaves_consoles_to_others() {
    let server = Server::start().await;
    let request = async || server.send_as("writer", "GET", EXEC, "").await;
    let address = async || request().await.json()["url"].as_str().expect("an address").to_owned();
    let spare = address().await;
    let mut open_ones = Vec::new();
    for _ in 0..8 {
        open_ones.push(connect(&address().await).await);
    }
    let refused = request().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.message().contains("8 consoles of this token are open"), "{}", refused.text);
    let (text, _, close) = end(&mut connect(&spare).await).await;
    assert!(text.contains("8 consoles of this token are open"), "{text}");
    assert_eq!(code(close), CloseCode::Policy);
    assert_eq!(server.get(EXEC).await.status, StatusCode::OK, "the limit is that of one token");
    drop(open_ones.pop());
    until_a_console_is_free(&server, "writer").await;
    let mut again = connect(&address().await).await;
    type_in(&mut again, "x").await;
    assert_eq!(next(&mut again).await, json!({ "data": "x" }));
}

#[tokio::test]
async fn much_output_arrives_whole_and_waits_for_a_slow_client() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    type_in(&mut socket, "flood").await;
    noted(&server, "flood begins").await;
    // The fake shell can hand over a few pieces; the rest waits for the client.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let handed_over = server.control.console_pieces();
    assert!(handed_over < 256, "{handed_over} of 256 pieces, although the client reads nothing");
    let mut length = 0;
    while length < 16 << 20 {
        length += next(&mut socket).await["data"].as_str().expect("data").len();
    }
    assert_eq!((length, server.control.console_pieces()), (16 << 20, 256));
    type_in(&mut socket, "exit").await;
    assert_eq!(code(end(&mut socket).await.2), CloseCode::Normal);
}

#[tokio::test]
async fn a_shutdown_ends_consoles_with_another_code_and_waits_for_their_shells() {
    let mut server = Server::start().await;
    let mut socket = open(&server).await;
    type_in(&mut socket, "x").await;
    next(&mut socket).await;
    let _ = server.stop.take().expect("not stopped yet").send(());
    let (text, failed, close) = end(&mut socket).await;
    assert!(failed && text.contains("shutting down"), "{text}");
    assert_eq!(code(close), CloseCode::Away);
    server.task.await.expect("no panic").expect("an orderly end");
    assert!(server.control.console_notes().contains(&"dropped 1".to_owned()));
}

#[tokio::test]
async fn a_client_that_answers_no_ping_ends_the_shell() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    type_in(&mut socket, "x").await;
    assert_eq!(next(&mut socket).await, json!({ "data": "x" }));
    // The client keeps its connection and reads nothing more, so it answers no ping.
    tokio::time::pause();
    noted_in_time(&server, "dropped 1").await;
}

/// Waits in paused time.
async fn noted_in_time(server: &Server, what: &str) {
    while !server.control.console_notes().iter().any(|it| it == what) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn the_consoles_of_a_revoked_token_end_and_its_unused_addresses_open_none() {
    let server = Server::start().await;
    let address = async || {
        let answer = server.send_as("writer", "GET", EXEC, "").await;
        answer.json()["url"].as_str().expect("an address").to_owned()
    };
    let unused = address().await;
    let mut socket = connect(&address().await).await;
    type_in(&mut socket, "l").await;
    next(&mut socket).await;
    server.send("DELETE", "/v2/boatyard/tokens/writer", "").await;
    for mut socket in [socket, connect(&unused).await] {
        let (text, failed, close) = end(&mut socket).await;
        assert!(text.contains("was revoked") && failed, "{text}");
        assert_eq!(code(close), CloseCode::Policy);
    }
}
