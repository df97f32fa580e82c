//! `boatyard apps console`: a shell in an instance, on this terminal.

mod socket;
mod terminal;

use std::time::Duration;

use anyhow::{Context, bail};
use api::Utf8;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use self::socket::Socket;
use self::terminal::RawTerminal;
use crate::client::{Client, path_segment};
use crate::exit::{Exit, UsageError};
use crate::output;

/// How often to send a message without effect, as doctl does, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A server that sends nothing for this long counts as gone. It sends a ping every 20 s.
const SILENCE: Duration = Duration::from_secs(90);
/// How long to wait for the server's close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

pub struct ConsoleQuery {
    pub app: String,
    pub component: String,
    pub instance: Option<String>,
    pub deployment: Option<String>,
}

impl ConsoleQuery {
    fn path(&self) -> String {
        let (app, component) = (path_segment(&self.app), path_segment(&self.component));
        let of_deployment =
            self.deployment.as_ref().map(|it| format!("/deployments/{}", path_segment(it))).unwrap_or_default();
        let instance =
            self.instance.as_ref().map(|it| format!("?instance_name={}", path_segment(it))).unwrap_or_default();
        format!("/v2/apps/{app}{of_deployment}/components/{component}/exec{instance}")
    }
}

pub async fn run(client: &Client, query: &ConsoleQuery) -> anyhow::Result<Exit> {
    // Checked first, because the address that the API hands out works only once.
    if !terminal::is_one() {
        let why = "a console needs a terminal as its input and output. To read output: boatyard apps logs";
        return Err(UsageError(why.into()).into());
    }
    let answer = client.get(&query.path()).await?;
    let url = answer["url"].as_str().context("the API did not send the address of the console")?;
    let socket = socket::connect(url, None).await?;
    let alias = answer["boatyard"]["instance_alias"].as_str().unwrap_or(&query.component);
    output::note(&format!("Console of {alias}. It ends with `exit` or Ctrl-D."));
    // Before the terminal changes, so that no signal can end this process without restoring it.
    let signals = EndSignals::listen()?;
    let terminal = RawTerminal::enter().context("the terminal cannot be set to raw mode")?;
    let ended = attach(socket, signals).await;
    drop(terminal);
    ended
}

/// Why a console ends.
#[derive(Debug, PartialEq)]
enum End {
    /// The shell exited.
    Exited,
    /// The server ended the console and sent a sentence, which is on the screen.
    Lost,
    /// The server closed the connection with another code, or did not close it.
    Broken(String),
    /// The terminal has closed, or a signal asks this process to exit.
    Left,
}

/// The signals that ask this process to exit. Keys send none in raw mode, but other processes may.
struct EndSignals([Signal; 3]);

impl EndSignals {
    fn listen() -> std::io::Result<Self> {
        let [terminate, hang_up, interrupt] = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
        Ok(Self([signal(terminate)?, signal(hang_up)?, signal(interrupt)?]))
    }

    async fn received(&mut self) {
        let [terminate, hang_up, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// Connects the terminal with the console until one of them ends.
async fn attach(socket: Socket, mut signals: EndSignals) -> anyhow::Result<Exit> {
    let (mut sink, mut stream) = socket.split();
    let end = tokio::select! {
        end = show(&mut stream) => end,
        end = type_in(&mut sink) => end?,
        () = signals.received() => End::Left,
    };
    if end == End::Left {
        // Ends the shell at once. The server would also notice a broken connection.
        let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let closed = async {
            let sent = sink.send(Message::Close(Some(close))).await;
            while sent.is_ok() && matches!(stream.next().await, Some(Ok(_))) {}
        };
        let _ = timeout(CLOSE_TIMEOUT, closed).await;
    }
    match end {
        End::Exited => Ok(Exit::Done),
        End::Lost | End::Left => Ok(Exit::Failed),
        End::Broken(why) => bail!(
            "the connection to the console broke: {why}. `boatyard serve` ends the shell, or does so when it starts again"
        ),
    }
}

/// Prints what the server sends until the console ends.
async fn show(stream: &mut SplitStream<Socket>) -> End {
    let mut is_lost = false;
    loop {
        let message = match timeout(SILENCE, stream.next()).await {
            Err(_) => return End::Broken(format!("the server has sent nothing for {} s", SILENCE.as_secs())),
            Ok(None) => return End::Broken("the server disconnected".into()),
            Ok(Some(Err(error))) => return End::Broken(error.to_string()),
            Ok(Some(Ok(message))) => message,
        };
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Close(frame) => return closed(frame, is_lost),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let Ok(message) = serde_json::from_slice::<ServerMessage>(&bytes) else { continue };
        is_lost |= message.failed;
        if terminal::print(message.data).await.is_err() {
            return End::Left;
        }
    }
}

#[derive(Deserialize)]
struct ServerMessage {
    #[serde(default)]
    data: String,
    /// The server has ended the console, and `data` says why.
    #[serde(default)]
    failed: bool,
}

fn closed(frame: Option<CloseFrame>, is_lost: bool) -> End {
    match frame {
        _ if is_lost => End::Lost,
        Some(CloseFrame { code: CloseCode::Normal, .. }) => End::Exited,
        Some(CloseFrame { code, reason }) => End::Broken(format!("the server closed it with code {code} {reason}")),
        None => End::Broken("the server closed it without a code".into()),
    }
}

/// Sends keys, sizes of the window, and messages that keep the connection, until the terminal closes. Errors: signals cannot
/// be received.
async fn type_in(sink: &mut SplitSink<Socket, Message>) -> anyhow::Result<End> {
    let (mut keys, mut text) = (terminal::keys(), Utf8::default());
    let mut resized = signal(SignalKind::window_change())?;
    let mut keep_alive = interval(KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    let mut message = size();
    loop {
        if let Some(message) = message
            && sink.send(Message::text(message.to_string())).await.is_err()
        {
            // The console has ended. What the server has sent says why.
            return std::future::pending().await;
        }
        message = tokio::select! {
            bytes = keys.recv() => match bytes {
                Some(bytes) => text.push(&bytes).map(|text| json!({ "op": "stdin", "data": text })),
                None => return Ok(End::Left),
            },
            _ = resized.recv() => size(),
            _ = keep_alive.tick() => Some(json!({ "op": "stdin", "data": "" })),
        };
    }
}

/// The size of the window, if it is known.
fn size() -> Option<Value> {
    terminal::size().map(|(width, height)| json!({ "op": "resize", "width": width, "height": height }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_equals_doctls() {
        let mut query =
            ConsoleQuery { app: "shop".into(), component: "web".into(), instance: None, deployment: Some("41".into()) };
        assert_eq!(query.path(), "/v2/apps/shop/deployments/41/components/web/exec");
        (query.deployment, query.instance) = (None, Some("web-1".into()));
        assert_eq!(query.path(), "/v2/apps/shop/components/web/exec?instance_name=web-1");
    }

    #[test]
    fn the_close_frame_and_the_last_message_decide_how_it_ended() {
        let frame = |code| Some(CloseFrame { code, reason: "why".into() });
        assert_eq!(closed(frame(CloseCode::Normal), false), End::Exited);
        for code in [CloseCode::Normal, CloseCode::Policy, CloseCode::Away] {
            assert_eq!(closed(frame(code), true), End::Lost, "{code}");
        }
        assert!(matches!(closed(frame(CloseCode::Error), false), End::Broken(why) if why.contains("1011 why")));
        assert!(matches!(closed(None, false), End::Broken(_)));
    }

    #[test]
    fn a_message_needs_only_data_and_other_fields_are_ignored() {
        let message: ServerMessage = serde_json::from_str(r#"{"data":"x","more":{}}"#).expect("a message");
        assert_eq!((message.data.as_str(), message.failed), ("x", false));
        let message: ServerMessage = serde_json::from_str(r#"{"failed":true}"#).expect("a message");
        assert_eq!((message.data.as_str(), message.failed), ("", true));
    }
}
