//! One-use addresses for log streams. Clients open them without a token, so the address itself is the secret: random,
//! short-lived, bound to one question, and gone once used.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use controller::view::LogQuestion;

use crate::state::{hex, sha256};

/// How long a ticket waits to be used.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// More unused tickets than this are a mistake or an attack by a holder of the token.
const MOST: usize = 4096;

/// The tickets that wait to be used, by the hash of their secret.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

struct Ticket {
    question: LogQuestion,
    until: Instant,
}

impl Tickets {
    /// A secret that opens the answer to `question` once. `None`: too many wait already.
    pub fn issue(&self, question: LogQuestion, now: Instant) -> Option<String> {
        let mut waiting = self.0.lock().expect("no code panics while it holds this lock");
        waiting.retain(|_, ticket| ticket.until > now);
        if waiting.len() >= MOST {
            return None;
        }
        let secret = hex(&rand::random::<[u8; 32]>());
        waiting.insert(sha256(&secret), Ticket { question, until: now + LIFETIME });
        Some(secret)
    }

    /// Takes the ticket of this secret. `None`: unknown, used, or too old.
    pub fn redeem(&self, secret: &str, now: Instant) -> Option<LogQuestion> {
        let mut waiting = self.0.lock().expect("no code panics while it holds this lock");
        let ticket = waiting.remove(&sha256(secret))?;
        (ticket.until > now).then_some(ticket.question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controller::view::LogKind;

    fn question() -> LogQuestion {
        let kind = LogKind::Run;
        LogQuestion { app: "a".into(), deployment: None, component: None, kind, follow: false, tail: None }
    }

    #[test]
    fn a_ticket_opens_once() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let secret = tickets.issue(question(), now).expect("room");
        assert!(tickets.redeem("something else", now).is_none());
        assert!(tickets.redeem(&secret, now).is_some());
        assert!(tickets.redeem(&secret, now).is_none());
    }

    #[test]
    fn a_ticket_does_not_wait_for_ever() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let secret = tickets.issue(question(), now).expect("room");
        assert!(tickets.redeem(&secret, now + LIFETIME).is_none());
    }

    #[test]
    fn unused_tickets_are_bounded_and_make_room_when_they_are_old() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        for _ in 0..MOST {
            tickets.issue(question(), now).expect("room");
        }
        assert!(tickets.issue(question(), now).is_none());
        assert!(tickets.issue(question(), now + LIFETIME).is_some());
    }
}
