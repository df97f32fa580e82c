//! The WebSocket of a console's page: keys and sizes from the page, changed rows to the page.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use controller::console::TerminalSize;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::emulator::{Row, Screen};
use super::open::{OpenConsole, Viewer};

/// Largest message of a page. The script splits what is pasted.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Largest buffer for a page.
pub(super) const MAX_WAITING_BYTES: usize = 2 * 1024 * 1024;
/// Keeps proxies from closing an idle connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A page that sends nothing for this long, not even the answer to a ping, counts as left.
const SILENCE: Duration = Duration::from_secs(60);
/// A page that does not take a message within this time counts as left.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a page may take to receive the last message.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A message of a page.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromPage {
    /// Bytes for the shell, as text.
    Keys(String),
    /// Columns and rows that the page has room for.
    Resize(u16, u16),
    /// Asks for the rows that have left the screen.
    History,
}

/// Tells the page why it cannot show the console.
pub(super) async fn refuse(socket: WebSocket, why: &str) {
    let (mut sink, mut stream) = socket.split();
    close(&mut sink, &mut stream, close_code::POLICY, why).await;
}

/// Shows the console to one page until the page is left or the console has ended.
pub(super) async fn serve(socket: WebSocket, viewer: Viewer) {
    let (mut sink, mut stream) = socket.split();
    // One request at a time is enough.
    let (ask, asked) = mpsc::channel(1);
    let has_ended = tokio::select! {
        has_ended = show(&mut sink, &viewer.console, asked) => has_ended,
        () = listen(&mut stream, &viewer.console, ask) => false,
    };
    if has_ended {
        close(&mut sink, &mut stream, close_code::NORMAL, "").await;
    }
}

/// `reason`: at most 123 bytes (RFC 6455, 5.5).
async fn close(sink: &mut Sink, stream: &mut SplitStream<WebSocket>, code: u16, reason: &str) {
    let closed = async {
        let _ = sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
        while let Some(Ok(_)) = stream.next().await {}
    };
    let _ = timeout(CLOSE_TIMEOUT, closed).await;
}

type Sink = SplitSink<WebSocket, Message>;

/// Sends what changes. A slow page gets fewer states, and always the latest one. Returns whether the console has ended.
async fn show(sink: &mut Sink, console: &OpenConsole, mut asked: mpsc::Receiver<()>) -> bool {
    let mut screen = console.screen.clone();
    screen.mark_changed();
    let mut sent = None::<Arc<Screen>>;
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            changed = screen.changed() => {
                // The last state was sent.
                let Ok(()) = changed else { return true };
                let now = screen.borrow_and_update().clone();
                let message = changes(sent.as_deref(), &now);
                sent = Some(now);
                Message::text(message.to_string())
            }
            Some(()) = asked.recv() => Message::text(history(&console.history().await).to_string()),
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if !matches!(timeout(SEND_TIMEOUT, sink.send(message)).await, Ok(Ok(()))) {
            return false;
        }
        if sent.as_ref().is_some_and(|it| it.ended.is_some()) {
            return true;
        }
    }
}

/// Passes on what the page sends, until it is left.
async fn listen(stream: &mut SplitStream<WebSocket>, console: &OpenConsole, ask: mpsc::Sender<()>) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE, stream.next()).await {
        match message {
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(FromPage::Keys(keys)) => {
                    // While the shell does not read, no message shows whether the page was left.
                    if timeout(SILENCE, console.type_in(keys)).await.is_err() {
                        return;
                    }
                }
                Ok(FromPage::Resize(width, height)) => console.resize(TerminalSize { width, height }).await,
                Ok(FromPage::History) => drop(ask.try_send(())),
                // Of a page that another version has sent.
                Err(_) => {}
            },
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return,
        }
    }
}

/// What a page needs to show `now` after `before`: the rows that differ, as pieces `[text, classes]`, and the rest if it
/// differs.
fn changes(before: Option<&Screen>, now: &Screen) -> Value {
    let mut message = Map::new();
    let differs = |index: usize, row: &Row| before.and_then(|it| it.rows.get(index)) != Some(row);
    let rows = now.rows.iter().enumerate().filter(|(index, row)| differs(*index, row));
    let rows: Map<_, _> = rows.map(|(index, row)| (index.to_string(), pieces(row))).collect();
    message.insert("rows".into(), rows.into());
    message.insert("height".into(), now.rows.len().into());
    message.insert("history".into(), now.history.into());
    message.insert("application_cursor".into(), now.application_cursor.into());
    message.insert("bracketed_paste".into(), now.bracketed_paste.into());
    message.insert("ended".into(), json!(now.ended));
    message.into()
}

fn history(rows: &[Row]) -> Value {
    json!({ "above": rows.iter().map(pieces).collect::<Vec<_>>() })
}

fn pieces(row: &Row) -> Value {
    row.iter().map(|run| json!([run.text, run.class()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::log::Run;

    fn row(text: &str) -> Row {
        vec![Run { text: text.into(), foreground: Some(1), ..Run::default() }]
    }

    #[test]
    fn messages_of_pages_are_read_and_others_ignored() {
        let parse = |text: &str| serde_json::from_str::<FromPage>(text).ok();
        for (message, expected) in [
            (r#"{"keys":"ls\r"}"#, Some(FromPage::Keys("ls\r".into()))),
            (r#"{"keys":"\u001b[A"}"#, Some(FromPage::Keys("\x1b[A".into()))),
            (r#"{"resize":[120,40]}"#, Some(FromPage::Resize(120, 40))),
            (r#""history""#, Some(FromPage::History)),
            (r#"{"resize":[-1,40]}"#, None),
            (r#"{"resize":[70000,40]}"#, None),
            (r#"{"op":"stdin"}"#, None),
            ("", None),
        ] {
            assert_eq!(parse(message), expected, "{message}");
        }
    }

    #[test]
    fn a_page_gets_the_rows_that_changed_as_text() {
        let before = Screen { rows: vec![row("a"), row("b"), row("c")], ..Screen::default() };
        let now = Screen { rows: vec![row("a"), row("<b>"), row("c"), row("d")], history: 7, ..Screen::default() };
        let message = changes(Some(&before), &now);
        assert_eq!(message["rows"], json!({ "1": [["<b>", "fg-1"]], "3": [["d", "fg-1"]] }));
        assert_eq!((&message["height"], &message["history"]), (&json!(4), &json!(7)));
        assert_eq!(changes(Some(&now), &now)["rows"], json!({}));
        assert_eq!(changes(None, &now)["rows"].as_object().map(Map::len), Some(4));
        let fewer = Screen { rows: vec![row("a")], ended: Some("The shell has exited.".into()), ..Screen::default() };
        let message = changes(Some(&now), &fewer);
        assert_eq!((&message["rows"], &message["height"]), (&json!({}), &json!(1)));
        assert_eq!(message["ended"], "The shell has exited.");
    }
}
