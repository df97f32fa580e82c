//! Log streams: WebSocket messages for doctl, chunked plain text for other clients.
//!
//! The address contains a ticket (see [`crate::tickets`]), which is the only way to open a stream.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use controller::ControlError;
use controller::console::SHUTTING_DOWN;
use controller::view::{LogEntry, LogRequest};
use futures::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use web::access::{token_ended, trust};
use web::{HttpError, Stop};

use crate::state::ApiState;
use crate::web_socket::{NoTicket, TOKEN_ENDED, close, cut, drain, pings, redeem};
use controller::{Control, LogLines};

/// A client that accepts no data for this long counts as disconnected.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// doctl cannot read lines of more than 64 KiB. The controller already cuts log lines and marks where.
const MAX_LINE_BYTES: usize = 62 * 1024;
/// Clients only send control frames.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;

/// A redeemed ticket, which opens one stream.
pub(crate) struct Ticket {
    query: LogRequest,
    control: Arc<dyn Control>,
    token: Option<String>,
    stop: Stop,
    permit: OwnedSemaphorePermit,
}

impl FromRequestParts<ApiState> for Ticket {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, HttpError> {
        let busy = || HttpError::too_many("too many log streams are open. Close one of them first");
        let permit = state.log_streams.clone().try_acquire_owned().map_err(|_| busy())?;
        let (query, token) = redeem(parts, state).await.map_err(invalid_ticket)?;
        trust(parts);
        Ok(Self { query, control: state.control.clone(), token, stop: state.stop.clone(), permit })
    }
}

fn invalid_ticket(why: NoTicket) -> HttpError {
    let mut error = HttpError::unauthorized();
    error.message = match why {
        NoTicket::Invalid => "the address of a log stream works once and for one minute. Request the logs again".into(),
        NoTicket::TokenEnded => TOKEN_ENDED.into(),
    };
    error
}

/// Streams the lines in the way that the client requests.
pub(crate) async fn open(
    ticket: Ticket,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, HttpError> {
    let Ticket { query, control, token, stop, permit } = ticket;
    let lines = control.logs(query).await?;
    let lines = until_token_ends(lines, token_ended(control, token)).boxed();
    Ok(match upgrade {
        Ok(upgrade) => upgrade.max_message_size(MAX_MESSAGE_BYTES).on_upgrade(move |socket| async move {
            send_messages(socket, lines, stop).await;
            drop(permit);
        }),
        Err(_) => plain(lines, stop, permit),
    })
}

/// The lines until the token ends, then an error.
fn until_token_ends(
    lines: LogLines,
    token_ended: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = Result<LogEntry, ControlError>> + Send {
    let open = Some((lines, Box::pin(token_ended)));
    futures::stream::unfold(open, |open| async move {
        let (mut lines, mut ended) = open?;
        tokio::select! {
            biased;
            () = &mut ended => Some((Err(ControlError::Invalid(TOKEN_ENDED.into())), None)),
            next = lines.next() => Some((next?, Some((lines, ended)))),
        }
    })
}

/// `web 2026-03-01T10:00:00Z text` with a line break: the format from which doctl's `--no-prefix` removes two words.
fn line(entry: &LogEntry) -> String {
    format!("{} {} {}\n", entry.component, entry.timestamp, cut(&entry.text, MAX_LINE_BYTES))
}

fn plain(lines: LogLines, stop: Stop, permit: OwnedSemaphorePermit) -> Response {
    // An error aborts the body, so that the client can distinguish it from the end.
    let body = lines.take_until(async move { stop.requested().await }).map(move |entry| {
        let _permit = &permit;
        entry.map(|entry| Bytes::from(line(&entry)))
    });
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::REFERRER_POLICY, "no-referrer")];
    (headers, Body::from_stream(body)).into_response()
}

/// Closes with code 1000 after the last line. Clients treat any other code as an error.
async fn send_messages(mut socket: WebSocket, mut lines: LogLines, stop: Stop) {
    let end = match pump(&mut socket, &mut lines, stop).await {
        End::Complete => Some((close_code::NORMAL, String::new())),
        End::Failed(why) => Some((close_code::ERROR, why)),
        End::Stopping => Some((close_code::AWAY, SHUTTING_DOWN.into())),
        End::ClientGone => None,
    };
    if let Some((code, reason)) = end {
        let _ = timeout(SEND_TIMEOUT, socket.send(close(code, &reason))).await;
    }
    let _ = timeout(Duration::from_secs(5), drain(&mut socket)).await;
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
    stop: Stop,
) -> End {
    let mut pings = pings();
    let stop = stop.requested();
    tokio::pin!(stop);
    loop {
        let message = tokio::select! {
            entry = lines.next() => match entry {
                None => return End::Complete,
                Some(Err(error)) => return End::Failed(error.to_string()),
                Some(Ok(entry)) => Message::text(serde_json::json!({ "data": line(&entry) }).to_string()),
            },
            received = socket.recv() => match received {
                // After a close frame, the next read returns the end of the stream.
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return End::ClientGone,
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
            () = &mut stop => return End::Stopping,
        };
        match timeout(SEND_TIMEOUT, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return End::ClientGone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_component_time_and_text_and_stays_below_64_kib() {
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
