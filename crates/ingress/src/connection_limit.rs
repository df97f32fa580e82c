//! ConnectionLimit for connections, so that one peer cannot keep the others out.
//!
//! While slots are free, everybody gets one. When all are in_use, a new connection gets the place of an idle one, of the
//! peer that holds the max of those; and where none is idle, that of the peer that holds the max of all, if it holds more
//! than the newcomer's peer would. Otherwise the newcomer is refused.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A number of slots, shared by all listeners that give them out.
#[derive(Debug)]
pub struct ConnectionLimit {
    max: usize,
    slots: Mutex<Slots>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    next: u64,
    /// By number: the oldest first.
    slots: BTreeMap<u64, SlotState>,
}

#[derive(Debug, Clone)]
struct SlotState {
    peer: IpAddr,
    busy: Arc<AtomicU64>,
    evicted: CancellationToken,
}

/// One connection's place; free again when this is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    number: u64,
    slots: Arc<ConnectionLimit>,
    busy: Arc<AtomicU64>,
    evicted: CancellationToken,
}

/// While one lives, its connection is not idle.
#[derive(Debug)]
pub struct BusyGuard(Arc<AtomicU64>);

impl ConnectionLimit {
    /// `max`: connections at once.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), slots: Mutex::default(), released: Notify::new() })
    }

    /// A place for a connection of this peer. `None`: all are in_use by connections that have a better right to them.
    pub fn acquire(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionSlot> {
        let peer = network_of(peer);
        let mut slots = self.slots();
        if slots.slots.len() >= self.max {
            let slot_to_evict = slot_to_evict(&slots.slots, peer)?;
            // Its socket closes in a moment; descriptors are kept in reserve for that.
            if let Some(slot_to_evict) = slots.slots.remove(&slot_to_evict) {
                slot_to_evict.evicted.cancel();
            }
        }
        let number = slots.next;
        slots.next += 1;
        let slot = SlotState { peer, busy: Arc::default(), evicted: CancellationToken::new() };
        slots.slots.insert(number, slot.clone());
        Some(ConnectionSlot { number, slots: Arc::clone(self), busy: slot.busy, evicted: slot.evicted })
    }

    /// ConnectionLimit that are in_use.
    pub fn in_use(&self) -> usize {
        self.slots().slots.len()
    }

    /// Returns once all slots are free.
    pub async fn all_released(&self) {
        loop {
            let released = self.released.notified();
            if self.slots().slots.is_empty() {
                return;
            }
            released.await;
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // BusyGuard under this lock is plain bookkeeping that cannot stop half-way.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Marks the connection as busy until the mark is dropped.
    pub fn busy(&self) -> BusyGuard {
        self.busy.fetch_add(1, Relaxed);
        BusyGuard(Arc::clone(&self.busy))
    }

    /// Returns once the place was given to somebody else; the connection has to be closed then.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.slots().slots.remove(&self.number);
        self.slots.released.notify_waiters();
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What one peer is: an IPv4 address, or the /64 that a host with IPv6 has for itself.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whose place a newcomer gets.
fn slot_to_evict(slots: &BTreeMap<u64, SlotState>, newcomer: IpAddr) -> Option<u64> {
    let mut all: HashMap<IpAddr, usize> = HashMap::new();
    let mut idle: HashMap<IpAddr, usize> = HashMap::new();
    for slot in slots.values() {
        *all.entry(slot.peer).or_default() += 1;
        if slot.is_idle() {
            *idle.entry(slot.peer).or_default() += 1;
        }
    }
    let oldest =
        |is_one: &dyn Fn(&SlotState) -> bool| slots.iter().find(|(_, it)| is_one(it)).map(|(number, _)| *number);
    if let Some((peer, _)) = idle.into_iter().max_by_key(|(peer, count)| (*count, *peer)) {
        return oldest(&|it| it.peer == peer && it.is_idle());
    }
    let would_hold = all.get(&newcomer).copied().unwrap_or_default() + 1;
    let (peer, count) = all.into_iter().max_by_key(|(peer, count)| (*count, *peer))?;
    if count > would_hold { oldest(&|it| it.peer == peer) } else { None }
}

impl SlotState {
    fn is_idle(&self) -> bool {
        self.busy.load(Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Whether this connection evicted its place.
    fn is_evicted(place: &ConnectionSlot) -> bool {
        place.evicted.is_cancelled()
    }

    #[test]
    fn everybody_gets_a_place_while_some_are_free() {
        let slots = ConnectionLimit::new(2);
        let one = slots.acquire(peer(1)).unwrap();
        let other = slots.acquire(peer(1)).unwrap();
        assert!(!is_evicted(&one) && !is_evicted(&other));
        drop(one);
        assert_eq!(slots.in_use(), 1);
    }

    #[test]
    fn a_newcomer_gets_the_oldest_idle_place_of_the_peer_that_holds_most_of_them() {
        let slots = ConnectionLimit::new(4);
        let (flood, guest): (Vec<_>, _) =
            ((0..3).map(|_| slots.acquire(peer(1)).unwrap()).collect(), slots.acquire(peer(2)).unwrap());
        let newcomer = slots.acquire(peer(3)).unwrap();
        assert_eq!(flood.iter().map(is_evicted).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_evicted(&guest) && !is_evicted(&newcomer));
        assert_eq!(slots.in_use(), 4);
        drop(flood);
        assert_eq!(slots.in_use(), 2, "a place that was evicted is not given back twice");
    }

    #[test]
    fn idle_connections_go_before_busy_ones_whoever_holds_more() {
        let slots = ConnectionLimit::new(3);
        let busy: Vec<_> = (0..2).map(|_| slots.acquire(peer(1)).unwrap()).collect();
        let _work: Vec<_> = busy.iter().map(ConnectionSlot::busy).collect();
        let idle = slots.acquire(peer(2)).unwrap();
        slots.acquire(peer(3)).unwrap();
        assert!(is_evicted(&idle) && !busy.iter().any(is_evicted));
    }

    #[test]
    fn where_none_is_idle_the_peer_that_holds_most_gives_one_up_but_only_to_one_that_holds_less() {
        let slots = ConnectionLimit::new(3);
        let flood: Vec<_> = (0..2).map(|_| slots.acquire(peer(1)).unwrap()).collect();
        let guest = slots.acquire(peer(2)).unwrap();
        let _work: Vec<_> = flood.iter().chain([&guest]).map(ConnectionSlot::busy).collect();
        assert!(slots.acquire(peer(1)).is_none(), "its own would go");
        let newcomer = slots.acquire(peer(3)).unwrap();
        let _newcomers_work = newcomer.busy();
        assert_eq!(flood.iter().map(is_evicted).collect::<Vec<_>>(), [true, false]);
        assert!(slots.acquire(peer(4)).is_none(), "all hold one");
    }

    #[test]
    fn a_connection_is_idle_again_after_its_work() {
        let slots = ConnectionLimit::new(1);
        let first = slots.acquire(peer(1)).unwrap();
        let busy = first.busy();
        assert!(slots.acquire(peer(2)).is_none());
        drop(busy);
        slots.acquire(peer(2)).unwrap();
        assert!(is_evicted(&first));
    }

    #[test]
    fn a_host_with_ipv6_is_one_peer() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), peer(1));
    }
}
