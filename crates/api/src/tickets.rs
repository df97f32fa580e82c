//! One-use tickets for log streams. Clients open a stream without the token, so its address contains a secret: random,
//! short-lived, valid for one query and for one use.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use controller::view::LogRequest;

use crate::state::sha256;

/// How long an unused ticket is valid.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// Limit of unused tickets. More of them are a mistake, or an attack by a client with the token.
const MAX_UNUSED: usize = 4096;

/// The unused tickets, by the hash of their secret.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

struct Ticket {
    query: LogRequest,
    token: Option<String>,
    expires: Instant,
}

impl Tickets {
    /// Issues a ticket for one query and returns its secret. `token`: the id of the created token that requested it.
    /// `None`: there are too many unused tickets.
    pub fn issue(&self, query: LogRequest, token: Option<String>, now: Instant) -> Option<String> {
        let mut unused = self.0.lock().expect("no code panics while it holds this lock");
        unused.retain(|_, ticket| ticket.expires > now);
        if unused.len() >= MAX_UNUSED {
            return None;
        }
        let secret = hex::encode(rand::random::<[u8; 32]>());
        unused.insert(sha256(&secret), Ticket { query, token, expires: now + LIFETIME });
        Some(secret)
    }

    /// Redeems the ticket with this secret, for its query and the id of the token that requested it. `None`: it is
    /// unknown, used or expired.
    pub fn redeem(&self, secret: &str, now: Instant) -> Option<(LogRequest, Option<String>)> {
        let mut unused = self.0.lock().expect("no code panics while it holds this lock");
        let ticket = unused.remove(&sha256(secret))?;
        (ticket.expires > now).then_some((ticket.query, ticket.token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controller::view::LogKind;

    fn query() -> LogRequest {
        let kind = LogKind::Run;
        LogRequest { app: "a".into(), deployment: None, component: None, kind, follow: false, tail: None }
    }

    #[test]
    fn a_ticket_works_once() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let secret = tickets.issue(query(), None, now).expect("below the limit");
        assert!(tickets.redeem("something else", now).is_none());
        assert!(tickets.redeem(&secret, now).is_some());
        assert!(tickets.redeem(&secret, now).is_none());
    }

    #[test]
    fn a_ticket_expires() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let secret = tickets.issue(query(), None, now).expect("below the limit");
        assert!(tickets.redeem(&secret, now + LIFETIME).is_none());
    }

    #[test]
    fn unused_tickets_are_limited_until_they_expire() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        for _ in 0..MAX_UNUSED {
            tickets.issue(query(), None, now).expect("below the limit");
        }
        assert!(tickets.issue(query(), None, now).is_none());
        assert!(tickets.issue(query(), None, now + LIFETIME).is_some());
    }
}
