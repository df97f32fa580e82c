//! One-use tickets for log streams and consoles. Clients open these without the token, so their addresses contain a secret:
//! random, short-lived, and valid for one purpose and for one use.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use controller::console::ConsoleTarget;
use controller::view::LogRequest;
use web::sha256;

/// How long an unused ticket is valid.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// Limit of unused tickets. More of them are a mistake, or an attack by a client with the token.
const MAX_UNUSED: usize = 4096;
/// Limit of unused tickets of one created token, so that it leaves some to others.
const MAX_UNUSED_PER_TOKEN: usize = 256;

/// What a ticket opens.
pub(crate) enum Purpose {
    Logs(LogRequest),
    Console(ConsoleTarget),
}

impl From<LogRequest> for Purpose {
    fn from(query: LogRequest) -> Self {
        Self::Logs(query)
    }
}

impl From<ConsoleTarget> for Purpose {
    fn from(target: ConsoleTarget) -> Self {
        Self::Console(target)
    }
}

/// The part of a ticket with one purpose. `None` if the ticket has another one.
pub(crate) trait OfPurpose: Sized {
    fn of(purpose: Purpose) -> Option<Self>;
}

impl OfPurpose for LogRequest {
    fn of(purpose: Purpose) -> Option<Self> {
        match purpose {
            Purpose::Logs(query) => Some(query),
            Purpose::Console(_) => None,
        }
    }
}

impl OfPurpose for ConsoleTarget {
    fn of(purpose: Purpose) -> Option<Self> {
        match purpose {
            Purpose::Console(target) => Some(target),
            Purpose::Logs(_) => None,
        }
    }
}

/// The unused tickets, by the hash of their secret.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

struct Ticket {
    purpose: Purpose,
    token: Option<String>,
    expires: Instant,
}

impl Tickets {
    /// Issues a ticket for one purpose and returns its secret. `token`: the id of the created token that requested it.
    /// `None`: the admin token. Returns `None` if there are too many unused tickets.
    pub fn issue(&self, purpose: impl Into<Purpose>, token: Option<String>, now: Instant) -> Option<String> {
        let mut unused = self.0.lock().expect("no code panics while it holds this lock");
        unused.retain(|_, ticket| ticket.expires > now);
        let of_token = unused.values().filter(|it| token.is_some() && it.token == token).count();
        if unused.len() >= MAX_UNUSED || of_token >= MAX_UNUSED_PER_TOKEN {
            return None;
        }
        let secret = hex::encode(rand::random::<[u8; 32]>());
        unused.insert(sha256(&secret), Ticket { purpose: purpose.into(), token, expires: now + LIFETIME });
        Some(secret)
    }

    /// Redeems the ticket with this secret, for its purpose and the id of the token that requested it. `None`: it is
    /// unknown, used, expired, or has another purpose. In every case it does not work again.
    pub fn redeem<T: OfPurpose>(&self, secret: &str, now: Instant) -> Option<(T, Option<String>)> {
        let mut unused = self.0.lock().expect("no code panics while it holds this lock");
        let ticket = unused.remove(&sha256(secret)).filter(|ticket| ticket.expires > now)?;
        Some((T::of(ticket.purpose)?, ticket.token))
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

    fn target() -> ConsoleTarget {
        let (app_name, component, instance) = ("shop".into(), "web".into(), "by-1-shop-web-0-1".into());
        ConsoleTarget { app: "a".into(), app_name, component, instance, alias: "web-0".into() }
    }

    #[test]
    fn a_ticket_works_once() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let secret = tickets.issue(query(), None, now).expect("below the limit");
        assert!(tickets.redeem::<LogRequest>("something else", now).is_none());
        assert!(tickets.redeem::<LogRequest>(&secret, now).is_some());
        assert!(tickets.redeem::<LogRequest>(&secret, now).is_none());
    }

    #[test]
    fn a_ticket_does_not_open_what_it_was_not_issued_for() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let (logs, console) = (tickets.issue(query(), None, now), tickets.issue(target(), None, now));
        let (logs, console) = (logs.expect("below the limit"), console.expect("below the limit"));
        assert!(tickets.redeem::<ConsoleTarget>(&logs, now).is_none());
        assert!(tickets.redeem::<LogRequest>(&console, now).is_none());
        assert!(tickets.redeem::<LogRequest>(&logs, now).is_none(), "it was used, if only for the wrong purpose");
        let again = tickets.issue(target(), None, now).expect("below the limit");
        assert_eq!(tickets.redeem(&again, now), Some((target(), None)));
    }

    #[test]
    fn a_ticket_expires() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let secret = tickets.issue(query(), None, now).expect("below the limit");
        assert!(tickets.redeem::<LogRequest>(&secret, now + LIFETIME).is_none());
    }

    #[test]
    fn unused_tickets_are_limited_until_they_expire() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        for _ in 0..MAX_UNUSED {
            tickets.issue(query(), None, now).expect("below the limit");
        }
        assert!(tickets.issue(target(), None, now).is_none());
        assert!(tickets.issue(target(), None, now + LIFETIME).is_some());
    }

    #[test]
    fn a_token_does_not_use_up_the_tickets_of_others() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let issue = |token: Option<&str>| tickets.issue(query(), token.map(str::to_owned), now);
        for _ in 0..MAX_UNUSED_PER_TOKEN {
            issue(Some("a")).expect("below the limit");
        }
        assert!(issue(Some("a")).is_none());
        assert!(issue(Some("b")).is_some() && issue(None).is_some());
    }
}
