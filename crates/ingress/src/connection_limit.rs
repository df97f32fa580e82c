//! Limits the number of connections so that one peer cannot keep the others out.
//!
//! Below the limit every connection is accepted. At the limit a new connection replaces an idle one, of the peer with
//! the most idle connections. If none is idle it replaces one of the peer with the most connections, provided that peer
//! has more than the new connection's peer would have. Otherwise the new connection is refused.
//!
//! A connection of HTTP/2 carries several requests, and each may need a connection to an instance. So each request beyond
//! the first of a connection counts like a connection.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A limit shared by several listeners.
#[derive(Debug)]
pub struct ConnectionLimit {
    max: usize,
    slots: Mutex<Slots>,
    /// Requests beyond the first of their connection.
    further: Arc<AtomicUsize>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    next: u64,
    /// By number, so the oldest comes first.
    open: BTreeMap<u64, SlotState>,
}

impl Slots {
    /// The socket closes shortly after this. File descriptors are kept in reserve for that.
    fn evict(&mut self, number: u64) {
        if let Some(slot) = self.open.remove(&number) {
            slot.evicted.cancel();
        }
    }
}

#[derive(Debug, Clone)]
struct SlotState {
    peer: IpAddr,
    activity: Arc<Activity>,
    evicted: CancellationToken,
}

/// The open requests of a connection.
#[derive(Debug)]
struct Activity {
    requests: AtomicUsize,
    further: Arc<AtomicUsize>,
}

/// One accepted connection. Dropping it frees its slot.
#[derive(Debug)]
pub struct ConnectionSlot {
    number: u64,
    limit: Arc<ConnectionLimit>,
    activity: Arc<Activity>,
    evicted: CancellationToken,
}

/// While one of these exists, its connection is not idle.
#[derive(Debug)]
pub struct BusyGuard(Arc<Activity>);

impl ConnectionLimit {
    /// `max`: simultaneous connections.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), slots: Mutex::default(), further: Arc::default(), released: Notify::new() })
    }

    /// Accepts a connection of this peer. `None`: the limit is reached and no other connection may be closed for it.
    pub fn acquire(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionSlot> {
        let peer = network_of(peer);
        let mut slots = self.slots();
        if self.is_reached(&slots) {
            let number = slot_to_evict(&slots.open, peer)?;
            slots.evict(number);
        }
        let number = slots.next;
        slots.next += 1;
        let activity = Activity { requests: AtomicUsize::new(0), further: Arc::clone(&self.further) };
        let slot = SlotState { peer, activity: Arc::new(activity), evicted: CancellationToken::new() };
        slots.open.insert(number, slot.clone());
        Some(ConnectionSlot { number, limit: Arc::clone(self), activity: slot.activity, evicted: slot.evicted })
    }

    fn is_reached(&self, slots: &Slots) -> bool {
        slots.open.len() + self.further.load(Relaxed) >= self.max
    }

    /// Connections that are open.
    pub fn in_use(&self) -> usize {
        self.slots().open.len()
    }

    /// Returns once all connections are closed.
    pub async fn all_released(&self) {
        loop {
            let released = self.released.notified();
            if self.slots().open.is_empty() {
                return;
            }
            released.await;
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Code under this lock only updates maps, so a panic elsewhere cannot have left it half done.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Marks the connection as busy until the returned value is dropped.
    pub fn busy(&self) -> BusyGuard {
        if self.activity.requests.fetch_add(1, Relaxed) > 0 {
            self.activity.further.fetch_add(1, Relaxed);
        }
        BusyGuard(Arc::clone(&self.activity))
    }

    /// Whether the limit allows a further request on this connection. At the limit, the request replaces an idle connection.
    pub fn has_place_for_stream(&self) -> bool {
        if self.activity.requests.load(Relaxed) == 0 {
            return true;
        }
        let mut slots = self.limit.slots();
        if !self.limit.is_reached(&slots) {
            return true;
        }
        let idle = idle_to_evict(&slots.open);
        idle.into_iter().for_each(|number| slots.evict(number));
        idle.is_some()
    }

    /// Counts the connection as one of this peer from now on.
    pub fn belongs_to(&self, peer: IpAddr) {
        if let Some(slot) = self.limit.slots().open.get_mut(&self.number) {
            slot.peer = network_of(peer);
        }
    }

    /// Returns once another connection has taken this slot. The caller must close this connection.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.limit.slots().open.remove(&self.number);
        self.limit.released.notify_waiters();
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Relaxed) > 1 {
            self.0.further.fetch_sub(1, Relaxed);
        }
    }
}

/// Identifies a peer: an IPv4 address, or the /64 network that an IPv6 host has to itself.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The connection that a new one of peer `newcomer` replaces.
fn slot_to_evict(slots: &BTreeMap<u64, SlotState>, newcomer: IpAddr) -> Option<u64> {
    if let Some(number) = idle_to_evict(slots) {
        return Some(number);
    }
    let mut all: HashMap<IpAddr, usize> = HashMap::new();
    for slot in slots.values() {
        *all.entry(slot.peer).or_default() += slot.requests().max(1);
    }
    let would_hold = all.get(&newcomer).copied().unwrap_or_default() + 1;
    let (peer, count) = all.into_iter().max_by_key(|(peer, count)| (*count, *peer))?;
    let oldest = || slots.iter().find(|(_, it)| it.peer == peer).map(|(number, _)| *number);
    if count > would_hold { oldest() } else { None }
}

/// The oldest idle connection of the peer with the most of them.
fn idle_to_evict(slots: &BTreeMap<u64, SlotState>) -> Option<u64> {
    let mut idle: HashMap<IpAddr, usize> = HashMap::new();
    for slot in slots.values().filter(|slot| slot.is_idle()) {
        *idle.entry(slot.peer).or_default() += 1;
    }
    let (peer, _) = idle.into_iter().max_by_key(|(peer, count)| (*count, *peer))?;
    slots.iter().find(|(_, it)| it.peer == peer && it.is_idle()).map(|(number, _)| *number)
}

impl SlotState {
    fn is_idle(&self) -> bool {
        self.requests() == 0
    }

    fn requests(&self) -> usize {
        self.activity.requests.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Whether this connection was evicted.
    fn is_evicted(place: &ConnectionSlot) -> bool {
        place.evicted.is_cancelled()
    }

    #[test]
    fn connections_are_accepted_below_the_limit() {
        let slots = ConnectionLimit::new(2);
        let one = slots.acquire(peer(1)).unwrap();
        let other = slots.acquire(peer(1)).unwrap();
        assert!(!is_evicted(&one) && !is_evicted(&other));
        drop(one);
        assert_eq!(slots.in_use(), 1);
    }

    #[test]
    fn a_new_connection_replaces_the_oldest_idle_one_of_the_peer_with_the_most_idle_ones() {
        let slots = ConnectionLimit::new(4);
        let (flood, guest): (Vec<_>, _) =
            ((0..3).map(|_| slots.acquire(peer(1)).unwrap()).collect(), slots.acquire(peer(2)).unwrap());
        let newcomer = slots.acquire(peer(3)).unwrap();
        assert_eq!(flood.iter().map(is_evicted).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_evicted(&guest) && !is_evicted(&newcomer));
        assert_eq!(slots.in_use(), 4);
        drop(flood);
        assert_eq!(slots.in_use(), 2, "an evicted slot is released once");
    }

    #[test]
    fn idle_connections_are_evicted_before_busy_ones() {
        let slots = ConnectionLimit::new(3);
        let busy: Vec<_> = (0..2).map(|_| slots.acquire(peer(1)).unwrap()).collect();
        let _work: Vec<_> = busy.iter().map(ConnectionSlot::busy).collect();
        let idle = slots.acquire(peer(2)).unwrap();
        slots.acquire(peer(3)).unwrap();
        assert!(is_evicted(&idle) && !busy.iter().any(is_evicted));
    }

    #[test]
    fn if_none_is_idle_the_peer_with_the_most_connections_loses_one_to_a_peer_with_fewer() {
        let slots = ConnectionLimit::new(3);
        let flood: Vec<_> = (0..2).map(|_| slots.acquire(peer(1)).unwrap()).collect();
        let guest = slots.acquire(peer(2)).unwrap();
        let _work: Vec<_> = flood.iter().chain([&guest]).map(ConnectionSlot::busy).collect();
        assert!(slots.acquire(peer(1)).is_none(), "it would replace a connection of the same peer");
        let newcomer = slots.acquire(peer(3)).unwrap();
        let _newcomers_work = newcomer.busy();
        assert_eq!(flood.iter().map(is_evicted).collect::<Vec<_>>(), [true, false]);
        assert!(slots.acquire(peer(4)).is_none(), "all have one");
    }

    #[test]
    fn a_connection_is_idle_again_after_its_request() {
        let slots = ConnectionLimit::new(1);
        let first = slots.acquire(peer(1)).unwrap();
        let busy = first.busy();
        assert!(slots.acquire(peer(2)).is_none());
        drop(busy);
        slots.acquire(peer(2)).unwrap();
        assert!(is_evicted(&first));
    }

    #[test]
    fn further_requests_of_a_connection_count_like_connections() {
        let slots = ConnectionLimit::new(4);
        let (many, one) = (slots.acquire(peer(1)).unwrap(), slots.acquire(peer(2)).unwrap());
        let _one = one.busy();
        let mut streams: Vec<_> = (0..3).map(|_| many.busy()).collect();
        assert!(!many.has_place_for_stream(), "two connections, and two further requests");
        drop(streams.pop());
        assert!(many.has_place_for_stream());
        streams.push(many.busy());
        // A new peer replaces the connection with the most requests.
        slots.acquire(peer(3)).unwrap();
        assert!(is_evicted(&many) && !is_evicted(&one));
        drop((streams, many));
        assert_eq!(slots.further.load(Relaxed), 0);
    }

    #[test]
    fn a_further_request_replaces_an_idle_connection() {
        let slots = ConnectionLimit::new(2);
        let (busy, idle) = (slots.acquire(peer(1)).unwrap(), slots.acquire(peer(2)).unwrap());
        let _first = busy.busy();
        assert!(busy.has_place_for_stream() && is_evicted(&idle));
        let _second = busy.busy();
        assert!(!busy.has_place_for_stream() && !is_evicted(&busy));
    }

    #[test]
    fn a_connection_counts_as_one_of_the_peer_that_it_was_given_to() {
        let slots = ConnectionLimit::new(3);
        let all: Vec<_> = (0..3).map(|_| slots.acquire(peer(1)).unwrap()).collect();
        let _work: Vec<_> = all.iter().map(ConnectionSlot::busy).collect();
        all.iter().zip([2, 3, 3]).for_each(|(slot, last)| slot.belongs_to(peer(last)));
        slots.acquire(peer(1)).unwrap();
        assert_eq!(all.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn an_ipv6_64_network_is_one_peer() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), peer(1));
    }
}
