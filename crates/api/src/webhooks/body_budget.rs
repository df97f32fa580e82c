//! Limits the memory for bodies of deliveries. Anybody can send a body, and the signature can be checked only when the
//! whole body has arrived, so each sender gets a share: a slow or greedy sender fills its own share and no other.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a delivery costs beside its body: its connection and its task. It also limits the number of deliveries.
const PER_DELIVERY: usize = 16 * 1024;
/// For all deliveries of one sender: three of the largest, or a thousand small ones. Our choice.
const PER_SENDER: usize = 16 * 1024 * 1024;
/// For all deliveries. Our choice.
const ALL: usize = 128 * 1024 * 1024;

/// The memory that deliveries use now.
#[derive(Debug, Default)]
pub(super) struct BodyBudget(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    all: usize,
    by_sender: HashMap<Sender, usize>,
}

/// Who sends a delivery: an IPv4 address, or the first 64 bits of an IPv6 address, because a client usually has all
/// addresses of such a network. Senders without an address share one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sender(Option<IpAddr>);

/// The memory of one delivery. It is free again when this value is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<BodyBudget>,
    sender: Sender,
    bytes: usize,
}

impl Sender {
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|it| match it.to_canonical() {
            IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        }))
    }
}

impl BodyBudget {
    /// Reserves memory for a delivery without its body. `None`: there is none left for this sender or for all.
    pub fn reserve(self: &Arc<Self>, sender: Sender) -> Option<Reservation> {
        let mut reservation = Reservation { budget: Arc::clone(self), sender, bytes: 0 };
        reservation.grow(PER_DELIVERY).then_some(reservation)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // Code under this lock only changes numbers, so a panic cannot leave them half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Reserves as much more. Returns whether there was enough left.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let mut used = self.budget.used();
        let of_sender = used.by_sender.get(&self.sender).copied().unwrap_or_default() + bytes;
        if of_sender > PER_SENDER || used.all + bytes > ALL {
            return false;
        }
        used.all += bytes;
        used.by_sender.insert(self.sender, of_sender);
        self.bytes += bytes;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut used = self.budget.used();
        used.all -= self.bytes;
        if let Some(of_sender) = used.by_sender.get_mut(&self.sender) {
            *of_sender -= self.bytes;
            if *of_sender == 0 {
                used.by_sender.remove(&self.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(address: &str) -> Sender {
        Sender::of(address.parse().ok())
    }

    #[test]
    fn a_sender_that_used_up_its_share_leaves_the_shares_of_others() {
        let budget = Arc::new(BodyBudget::default());
        let mut greedy = budget.reserve(sender("192.0.2.1")).expect("the budget is unused");
        assert!(greedy.grow(PER_SENDER - PER_DELIVERY));
        assert!(!greedy.grow(1));
        assert!(budget.reserve(sender("192.0.2.1")).is_none());
        let mut other = budget.reserve(sender("192.0.2.2")).expect("another sender");
        assert!(other.grow(5 * 1024 * 1024));
        drop(greedy);
        assert!(budget.reserve(sender("192.0.2.1")).is_some());
    }

    #[test]
    fn all_senders_together_use_no_more_than_the_whole_budget() {
        let budget = Arc::new(BodyBudget::default());
        let mut held = Vec::new();
        for number in 0..ALL / PER_SENDER {
            let mut one = budget.reserve(sender(&format!("192.0.2.{number}"))).expect("a share");
            assert!(one.grow(PER_SENDER - PER_DELIVERY));
            held.push(one);
        }
        assert!(budget.reserve(sender("198.51.100.1")).is_none());
        held.clear();
        let used = budget.used();
        assert_eq!((used.all, used.by_sender.len()), (0, 0));
    }

    #[test]
    fn addresses_of_one_sender_share_its_budget() {
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("unknown", "", true),
        ] {
            assert_eq!(sender(one) == sender(other), is_same, "{one} and {other}");
        }
    }
}
