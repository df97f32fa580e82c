//! Limits how many wrong tokens of an address are logged and answered in detail. A token cannot be guessed, so the right one is
//! accepted in any case: programs behind the same address must not keep a person from signing in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Wrong tokens of one address within the window. Our choice.
const MAX_WRONG: u32 = 10;
/// Addresses to remember. Beyond, all are forgotten: people must be able to sign in during an attack.
const MAX_ADDRESSES: usize = 4096;

/// Wrong tokens by address, with the time of the first one. An IPv6 network (/64) counts as one address.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Attempts {
    /// Whether another wrong token of the address counts.
    pub fn is_allowed(&self, address: IpAddr, now: Instant) -> bool {
        let wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get(&network(address)).is_none_or(|(since, count)| now - *since >= WINDOW || *count < MAX_WRONG)
    }

    /// Counts a wrong token.
    pub fn count(&self, address: IpAddr, now: Instant) {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, (since, _)| now - *since < WINDOW);
        if wrong.len() >= MAX_ADDRESSES {
            wrong.clear();
        }
        wrong.entry(network(address)).or_insert((now, 0)).1 += 1;
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_tries_ten_wrong_tokens_a_minute() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..MAX_WRONG {
            assert!(attempts.is_allowed(ip("2001:db8::1"), now));
            attempts.count(ip("2001:db8::1"), now);
        }
        assert!(!attempts.is_allowed(ip("2001:db8::2"), now), "the same network");
        assert!(attempts.is_allowed(ip("2001:db8:0:1::1"), now) && attempts.is_allowed(ip("192.0.2.1"), now));
        assert!(attempts.is_allowed(ip("2001:db8::1"), now + WINDOW));
    }

    #[test]
    fn many_addresses_use_bounded_memory() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..MAX_ADDRESSES as u32 + 1 {
            attempts.count(IpAddr::V4(number.into()), now);
        }
        assert!(attempts.0.lock().expect("no panic").len() <= MAX_ADDRESSES);
        assert!(attempts.is_allowed(ip("192.0.2.1"), now));
    }
}
