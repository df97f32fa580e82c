//! Consoles: a WebSocket on one side, a shell on the other.
//!
//! The address contains a ticket (see [`crate::tickets`]), which is the only way to open a console. Every upgrade is
//! accepted, because doctl hangs for ever if its WebSocket does not open: a refusal is a message, and then a close frame.
//! `limit` counts the open consoles, and `message` reads and writes the messages of App Platform's clients.

mod limit;
mod message;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use controller::console::{Console, ConsoleEnd, ConsoleInput, ConsoleOutput, ConsoleTarget, SHUTTING_DOWN};
use controller::{Control, ControlError};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::error;
use web::access::{token_ended, trust};
use web::{ClientConnection, HttpError, Stop};

use crate::state::ApiState;
use crate::web_socket::{NoTicket, TOKEN_ENDED, close, drain, pings, redeem};
use limit::ConsolePermit;
#[cfg(test)]
pub(crate) use limit::MAX_CONSOLES;
pub(crate) use limit::OpenConsoles;
pub use message::Utf8;
use message::{data, failure, parse};

/// A client that sends nothing for this long, not even the answer to a ping, counts as disconnected. Longer than three
/// pings, and than two of the messages that doctl sends every 30 s to stay connected.
const SILENCE: Duration = Duration::from_secs(90);
/// How long a client may take to receive the last messages.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a console counts as open while its shell ends. The controller goes on after that. Longer than a shutdown
/// waits, so that the shutdown reports the shell.
const SHELL_END_TIMEOUT: Duration = Duration::from_secs(12);
/// Largest message of a client. doctl sends single bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Largest buffer for a client. As JSON, a piece of output of 64 KiB has up to 384 KiB: a NUL becomes `\u0000`.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// The request for a console, with a redeemed ticket or the reason why it is refused.
pub(crate) struct Handshake {
    control: Arc<dyn Control>,
    stop: Stop,
    ticket: Result<Ticket, String>,
    upgrade: WebSocketUpgrade,
    connection: Option<ClientConnection>,
}

/// A redeemed ticket, which opens one console.
struct Ticket {
    target: ConsoleTarget,
    /// The id of the created token that requested it.
    token: Option<String>,
    permit: ConsolePermit,
}

impl FromRequestParts<ApiState> for Handshake {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, HttpError> {
        let upgrade: Result<_, WebSocketUpgradeRejection> = WebSocketUpgrade::from_request_parts(parts, state).await;
        // Without an upgrade, the ticket stays valid.
        let upgrade = upgrade.map_err(|_| HttpError::bad_request("this address is that of a WebSocket"))?;
        let ticket = redeemed(parts, state).await;
        if ticket.is_ok() {
            trust(parts);
        }
        let connection = parts.extensions.get::<ClientConnection>().cloned();
        Ok(Self { control: state.control.clone(), stop: state.stop.clone(), ticket, upgrade, connection })
    }
}

/// Errors: for people, why no console opens. At the limit of all consoles the ticket stays valid.
async fn redeemed(parts: &mut Parts, state: &ApiState) -> Result<Ticket, String> {
    let permit = state.consoles.open()?;
    let (target, token) = redeem(parts, state).await.map_err(|why| match why {
        NoTicket::Invalid => "the address of a console works once and for one minute. Request the console again",
        NoTicket::TokenEnded => TOKEN_ENDED,
    })?;
    Ok(Ticket { target, permit: permit.of(token.as_deref())?, token })
}

/// Opens the console, or says why not.
pub(crate) async fn open(handshake: Handshake) -> Response {
    let Handshake { control, stop, ticket, upgrade, connection } = handshake;
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_write_buffer_size(MAX_WAITING_BYTES);
    upgrade.on_upgrade(async move |socket| match ticket {
        Ok(Ticket { target, token, permit }) => {
            let token_ended = token_ended(control.clone(), token);
            run(socket, control, target, token_ended, stop).await;
            drop(permit);
        }
        Err(why) => {
            let (mut sink, mut stream) = socket.split();
            let refused = End::Refused(why);
            // A client without a ticket still counts as a connection without the token, and gives way to others.
            tokio::select! {
                () = finish(&mut sink, &mut stream, &refused) => {}
                () = lost(connection) => {}
            }
        }
    })
}

async fn lost(connection: Option<ClientConnection>) {
    match connection {
        Some(connection) => connection.lost().await,
        None => std::future::pending().await,
    }
}

/// Runs one console to its end. Waits for the end of the shell, but not for ever: a container may be paused or have lost its
/// `sh`.
async fn run(
    socket: WebSocket,
    control: Arc<dyn Control>,
    target: ConsoleTarget,
    token_ended: impl Future<Output = ()>,
    stop: Stop,
) {
    let (mut sink, mut stream) = socket.split();
    tokio::pin!(token_ended);
    let opened = tokio::select! {
        biased;
        () = &mut token_ended => return finish(&mut sink, &mut stream, &End::Refused(TOKEN_ENDED.into())).await,
        opened = control.open_console(target) => opened,
    };
    let console = match opened {
        Ok(console) => console,
        Err(problem) => {
            if let ControlError::Internal { cause, .. } = &problem {
                error!(cause = format!("{cause:#}"), "{problem}");
            }
            return finish(&mut sink, &mut stream, &End::Lost(problem.to_string())).await;
        }
    };
    let Console { input, mut output, ended } = console;
    let end = tokio::select! {
        end = show(&mut sink, &mut output) => end,
        () = listen(&mut stream, input) => End::ClientGone,
        () = token_ended => End::Refused(TOKEN_ENDED.into()),
        () = stop.requested() => End::Stopping,
    };
    // Ends the shell, while the client gets its last messages.
    drop(output);
    let (_, ()) = tokio::join!(timeout(SHELL_END_TIMEOUT, ended), finish(&mut sink, &mut stream, &end));
}

/// Why a console ends.
enum End {
    Exited,
    Lost(String),
    Refused(String),
    Stopping,
    ClientGone,
}

type Sink = SplitSink<WebSocket, Message>;

/// Sends the shell's output until one side ends. It reads no more output while the client does not take it.
async fn show(sink: &mut Sink, output: &mut mpsc::Receiver<ConsoleOutput>) -> End {
    let mut pings = pings();
    let mut text = Utf8::default();
    loop {
        let message = tokio::select! {
            next = output.recv() => match shown(next, &mut text) {
                ControlFlow::Continue(Some(message)) => message,
                ControlFlow::Continue(None) => continue,
                ControlFlow::Break(end) => {
                    if let Some(rest) = text.rest() {
                        let _ = sink.send(Message::text(data(&rest))).await;
                    }
                    return end;
                }
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if sink.send(message).await.is_err() {
            return End::ClientGone;
        }
    }
}

fn shown(next: Option<ConsoleOutput>, text: &mut Utf8) -> ControlFlow<End, Option<Message>> {
    match next {
        Some(ConsoleOutput::Bytes(bytes)) => {
            ControlFlow::Continue(text.push(&bytes).map(|text| Message::text(data(&text))))
        }
        Some(ConsoleOutput::End(ConsoleEnd::Exited)) => ControlFlow::Break(End::Exited),
        Some(ConsoleOutput::End(ConsoleEnd::Lost(why))) => ControlFlow::Break(End::Lost(why)),
        None => {
            ControlFlow::Break(End::Lost("the console ended without a reason. See the log of boatyard serve".into()))
        }
    }
}

/// Passes on what the client sends, until it has gone.
async fn listen(stream: &mut SplitStream<WebSocket>, input: mpsc::Sender<ConsoleInput>) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE, stream.next()).await {
        let parsed = match &message {
            Message::Text(text) => parse(text.as_bytes()),
            Message::Binary(bytes) => parse(bytes),
            Message::Ping(_) | Message::Pong(_) => None,
            Message::Close(_) => return,
        };
        if let Some(parsed) = parsed
            && input.send(parsed).await.is_err()
        {
            // The console has ended, and its output says why.
            return std::future::pending().await;
        }
    }
}

/// Tells the client why the console ends, and closes. Code 1000 for everything that a sentence explains: clients of App
/// Platform print another code as an error of the connection.
async fn finish(sink: &mut Sink, stream: &mut SplitStream<WebSocket>, end: &End) {
    let last: Vec<Message> = match end {
        End::Exited => vec![close(close_code::NORMAL, "")],
        End::Lost(why) => vec![Message::text(failure(why)), close(close_code::NORMAL, "")],
        End::Refused(why) => vec![Message::text(failure(why)), close(close_code::POLICY, why)],
        End::Stopping => vec![Message::text(failure(SHUTTING_DOWN)), close(close_code::AWAY, SHUTTING_DOWN)],
        // Reading on answers the close frame of the client.
        End::ClientGone => Vec::new(),
    };
    let closed = async {
        for message in last {
            sink.send(message).await?;
        }
        drain(stream).await;
        Ok::<_, axum::Error>(())
    };
    let _ = timeout(CLOSE_TIMEOUT, closed).await;
}
