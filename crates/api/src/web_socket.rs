//! What log streams and consoles have in common: the ticket in their address, pings, and how their WebSockets close.

use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use futures::{FutureExt, Stream, StreamExt};
use serde::Deserialize;
use tokio::time::{Interval, MissedTickBehavior, interval};
use web::access::token_ended;

use crate::state::ApiState;
use crate::tickets::OfPurpose;

pub(crate) const TOKEN_ENDED: &str = "the token that opened this was revoked or has expired";
/// Keeps proxies from closing an idle connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A control frame has at most 125 bytes, and the code of a close frame takes 2 of them (RFC 6455, 5.5).
const MAX_REASON_BYTES: usize = 123;

/// Why a request has no valid ticket.
pub(crate) enum NoTicket {
    /// It is missing, unknown, used, or has another purpose. `redeem` does not tell which, so that a client cannot probe.
    Invalid,
    /// The token that requested it has ended.
    TokenEnded,
}

#[derive(Deserialize)]
struct TicketParam {
    token: String,
}

/// Redeems the ticket in the query. Returns its purpose and the id of the created token that requested it.
pub(crate) async fn redeem<T: OfPurpose>(parts: &mut Parts, state: &ApiState) -> Result<(T, Option<String>), NoTicket> {
    let query = Query::<TicketParam>::from_request_parts(parts, state).await;
    let Query(TicketParam { token: secret }) = query.map_err(|_| NoTicket::Invalid)?;
    let (purpose, token) = state.tickets.redeem(&secret, Instant::now()).ok_or(NoTicket::Invalid)?;
    match token_ended(state.control.clone(), token.clone()).now_or_never() {
        Some(()) => Err(NoTicket::TokenEnded),
        None => Ok((purpose, token)),
    }
}

/// Ticks when a ping is due.
pub(crate) fn pings() -> Interval {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    pings
}

/// A close frame, with as much of the reason as fits.
pub(crate) fn close(code: u16, reason: &str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: cut(reason, MAX_REASON_BYTES).into() }))
}

/// The beginning of a text, with at most so many bytes and no split character.
pub(crate) fn cut(text: &str, max_bytes: usize) -> &str {
    let mut length = text.len().min(max_bytes);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    &text[..length]
}

/// Reads what the client still sends, so that a close frame arrives before the connection closes.
pub(crate) async fn drain(stream: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin)) {
    while let Some(Ok(_)) = stream.next().await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        let Message::Close(Some(frame)) = close(1000, text) else { panic!("a close frame") };
        frame.reason.to_string()
    }

    #[test]
    fn a_close_frame_has_as_much_of_its_reason_as_fits() {
        assert_eq!(reason(TOKEN_ENDED), TOKEN_ENDED);
        assert_eq!(reason(&"x".repeat(200)).len(), 123);
        assert_eq!(reason(&"é".repeat(100)).len(), 122, "no character is split");
    }
}
