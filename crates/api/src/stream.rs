//! Log streams: the same lines as WebSocket messages, for doctl, and as plain chunked text, for everything else.
//!
//! The address carries a ticket (see [`crate::tickets`]); there is no other way in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Query};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use controller::ControlError;
use controller::view::{LogEntry, LogQuestion};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::control::{Control, LogLines};
use crate::error::ApiError;
use crate::state::ApiState;

/// Keeps proxies from ending a quiet stream.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A client that takes nothing for so long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// doctl reads no line beyond 64 KiB; lines of logs come shorter, with a mark where they were cut.
const LONGEST_LINE: usize = 62 * 1024;
/// Clients say nothing but control frames here.
const LARGEST_MESSAGE: usize = 4 * 1024;

/// A redeemed ticket: the right to one answer.
pub(crate) struct Ticket {
    question: LogQuestion,
    control: Arc<dyn Control>,
    stop: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl FromRequestParts<ApiState> for Ticket {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let Query(Token { token }) =
            Query::from_request_parts(parts, state).await.map_err(|_| ApiError::unauthorized())?;
        let busy = || ApiError::too_many("too many log streams are open; end one of them");
        let permit = state.log_streams.clone().try_acquire_owned().map_err(|_| busy())?;
        let question = state.tickets.redeem(&token, Instant::now()).ok_or_else(used)?;
        Ok(Self { question, control: state.control.clone(), stop: state.stop.subscribe(), permit })
    }
}

fn used() -> ApiError {
    let mut error = ApiError::unauthorized();
    error.message = "this address opens once and within a minute; ask for the logs again".into();
    error
}

/// Serves the answer to the ticket's question in the way the client asks for.
pub(crate) async fn open(
    ticket: Ticket,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Ticket { question, control, stop, permit } = ticket;
    let lines = control.logs(question).await?;
    Ok(match upgrade {
        Ok(upgrade) => upgrade.max_message_size(LARGEST_MESSAGE).on_upgrade(move |socket| async move {
            send_messages(socket, lines, stop).await;
            drop(permit);
        }),
        Err(_) => plain(lines, stop, permit),
    })
}

/// `web 2026-03-01T10:00:00Z text` and its end: the form that `--no-prefix` of doctl cuts.
fn line(entry: &LogEntry) -> String {
    let mut cut = entry.text.len().min(LONGEST_LINE);
    while !entry.text.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{} {} {}\n", entry.component, entry.timestamp, &entry.text[..cut])
}

fn plain(lines: LogLines, stop: watch::Receiver<bool>, permit: OwnedSemaphorePermit) -> Response {
    // A failure breaks the body off, so that the reader can tell it from the end.
    let body = lines.take_until(stopped(stop)).map(move |entry| {
        let _held = &permit;
        entry.map(|entry| Bytes::from(line(&entry)))
    });
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::REFERRER_POLICY, "no-referrer")];
    (headers, Body::from_stream(body)).into_response()
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Ends with close 1000 after the last line; any other code is an error to clients.
async fn send_messages(mut socket: WebSocket, mut lines: LogLines, stop: watch::Receiver<bool>) {
    let end = match pump(&mut socket, &mut lines, stop).await {
        End::Complete => Some((close_code::NORMAL, String::new())),
        End::Failed(why) => Some((close_code::ERROR, why)),
        End::Stopping => Some((close_code::AWAY, "boatyard serve ends".into())),
        End::ClientGone => None,
    };
    if let Some((code, mut reason)) = end {
        // A close frame has room for 123 bytes.
        while reason.len() > 120 {
            reason.pop();
        }
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = timeout(SEND_WITHIN, socket.send(close)).await;
    }
    // Whatever is still on its way is read, so that the close frame arrives before the connection goes.
    let _ = timeout(Duration::from_secs(5), async { while let Some(Ok(_)) = socket.recv().await {} }).await;
}

enum End {
    Complete,
    Failed(String),
    Stopping,
    ClientGone,
}

async fn pump(
    socket: &mut WebSocket,
    lines: &mut (impl Stream<Item = Result<LogEntry, ControlError>> + Unpin),
    stop: watch::Receiver<bool>,
) -> End {
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    let stop = stopped(stop);
    tokio::pin!(stop);
    loop {
        let message = tokio::select! {
            entry = lines.next() => match entry {
                None => return End::Complete,
                Some(Err(error)) => return End::Failed(error.to_string()),
                Some(Ok(entry)) => Message::text(serde_json::json!({ "data": line(&entry) }).to_string()),
            },
            said = socket.recv() => match said {
                // A close frame is answered by the next read, which ends here.
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return End::ClientGone,
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
            () = &mut stop => return End::Stopping,
        };
        match timeout(SEND_WITHIN, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return End::ClientGone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_component_time_text_and_an_end_and_stays_below_64_kib() {
        let entry = |text: &str| LogEntry {
            component: "web".into(),
            timestamp: "2026-03-01T10:00:00Z".into(),
            text: text.into(),
        };
        assert_eq!(line(&entry("GET / 200")), "web 2026-03-01T10:00:00Z GET / 200\n");
        let long = line(&entry(&"é".repeat(60_000)));
        assert!(long.len() < 65_536 && long.ends_with("é\n"));
    }
}
