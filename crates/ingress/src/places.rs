//! Places for connections, so that one peer cannot keep the others out.
//!
//! While places are free, everybody gets one. When all are taken, a new connection gets the place of an idle one, of the
//! peer that holds the most of those; and where none is idle, that of the peer that holds the most of all, if it holds more
//! than the newcomer's peer would. Otherwise the newcomer is refused.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A number of places, shared by all listeners that give them out.
#[derive(Debug)]
pub struct Places {
    most: usize,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    /// By number: the oldest first.
    places: BTreeMap<u64, Holder>,
}

#[derive(Debug, Clone)]
struct Holder {
    peer: IpAddr,
    work: Arc<AtomicU64>,
    lost: CancellationToken,
}

/// One connection's place; free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    places: Arc<Places>,
    work: Arc<AtomicU64>,
    lost: CancellationToken,
}

/// While one lives, its connection is not idle.
#[derive(Debug)]
pub struct Work(Arc<AtomicU64>);

impl Places {
    /// `most`: connections at once.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), held: Mutex::default(), freed: Notify::new() })
    }

    /// A place for a connection of this peer. `None`: all are taken by connections that have a better right to them.
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = network_of(peer);
        let mut held = self.held();
        if held.places.len() >= self.most {
            let victim = victim(&held.places, peer)?;
            // Its socket closes in a moment; descriptors are kept in reserve for that.
            if let Some(victim) = held.places.remove(&victim) {
                victim.lost.cancel();
            }
        }
        let number = held.next;
        held.next += 1;
        let holder = Holder { peer, work: Arc::default(), lost: CancellationToken::new() };
        held.places.insert(number, holder.clone());
        Some(Place { number, places: Arc::clone(self), work: holder.work, lost: holder.lost })
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.held().places.len()
    }

    /// Returns once all places are free.
    pub async fn all_free(&self) {
        loop {
            let freed = self.freed.notified();
            if self.held().places.is_empty() {
                return;
            }
            freed.await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Work under this lock is plain bookkeeping that cannot stop half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Marks the connection as busy until the mark is dropped.
    pub fn work(&self) -> Work {
        self.work.fetch_add(1, Relaxed);
        Work(Arc::clone(&self.work))
    }

    /// Returns once the place was given to somebody else; the connection has to be closed then.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held().places.remove(&self.number);
        self.places.freed.notify_waiters();
    }
}

impl Drop for Work {
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
fn victim(places: &BTreeMap<u64, Holder>, newcomer: IpAddr) -> Option<u64> {
    let mut all: HashMap<IpAddr, usize> = HashMap::new();
    let mut idle: HashMap<IpAddr, usize> = HashMap::new();
    for holder in places.values() {
        *all.entry(holder.peer).or_default() += 1;
        if holder.is_idle() {
            *idle.entry(holder.peer).or_default() += 1;
        }
    }
    let oldest = |is_one: &dyn Fn(&Holder) -> bool| places.iter().find(|(_, it)| is_one(it)).map(|(number, _)| *number);
    if let Some((peer, _)) = idle.into_iter().max_by_key(|(peer, count)| (*count, *peer)) {
        return oldest(&|it| it.peer == peer && it.is_idle());
    }
    let would_hold = all.get(&newcomer).copied().unwrap_or_default() + 1;
    let (peer, count) = all.into_iter().max_by_key(|(peer, count)| (*count, *peer))?;
    if count > would_hold { oldest(&|it| it.peer == peer) } else { None }
}

impl Holder {
    fn is_idle(&self) -> bool {
        self.work.load(Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Whether this connection lost its place.
    fn is_lost(place: &Place) -> bool {
        place.lost.is_cancelled()
    }

    #[test]
    fn everybody_gets_a_place_while_some_are_free() {
        let places = Places::new(2);
        let one = places.take(peer(1)).unwrap();
        let other = places.take(peer(1)).unwrap();
        assert!(!is_lost(&one) && !is_lost(&other));
        drop(one);
        assert_eq!(places.taken(), 1);
    }

    #[test]
    fn a_newcomer_gets_the_oldest_idle_place_of_the_peer_that_holds_most_of_them() {
        let places = Places::new(4);
        let (flood, guest): (Vec<_>, _) =
            ((0..3).map(|_| places.take(peer(1)).unwrap()).collect(), places.take(peer(2)).unwrap());
        let newcomer = places.take(peer(3)).unwrap();
        assert_eq!(flood.iter().map(is_lost).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_lost(&guest) && !is_lost(&newcomer));
        assert_eq!(places.taken(), 4);
        drop(flood);
        assert_eq!(places.taken(), 2, "a place that was lost is not given back twice");
    }

    #[test]
    fn idle_connections_go_before_busy_ones_whoever_holds_more() {
        let places = Places::new(3);
        let busy: Vec<_> = (0..2).map(|_| places.take(peer(1)).unwrap()).collect();
        let _work: Vec<_> = busy.iter().map(Place::work).collect();
        let idle = places.take(peer(2)).unwrap();
        places.take(peer(3)).unwrap();
        assert!(is_lost(&idle) && !busy.iter().any(is_lost));
    }

    #[test]
    fn where_none_is_idle_the_peer_that_holds_most_gives_one_up_but_only_to_one_that_holds_less() {
        let places = Places::new(3);
        let flood: Vec<_> = (0..2).map(|_| places.take(peer(1)).unwrap()).collect();
        let guest = places.take(peer(2)).unwrap();
        let _work: Vec<_> = flood.iter().chain([&guest]).map(Place::work).collect();
        assert!(places.take(peer(1)).is_none(), "its own would go");
        let newcomer = places.take(peer(3)).unwrap();
        let _newcomers_work = newcomer.work();
        assert_eq!(flood.iter().map(is_lost).collect::<Vec<_>>(), [true, false]);
        assert!(places.take(peer(4)).is_none(), "all hold one");
    }

    #[test]
    fn a_connection_is_idle_again_after_its_work() {
        let places = Places::new(1);
        let first = places.take(peer(1)).unwrap();
        let work = first.work();
        assert!(places.take(peer(2)).is_none());
        drop(work);
        places.take(peer(2)).unwrap();
        assert!(is_lost(&first));
    }

    #[test]
    fn a_host_with_ipv6_is_one_peer() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), peer(1));
    }
}
