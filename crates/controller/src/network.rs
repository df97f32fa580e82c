//! Choosing the network of each app and the addresses in it.
//!
//! The engine's default pools allow only about 30 networks, and the engine immediately reuses the address of a removed
//! container. So the controller chooses both. It reuses an address only after the ingress has acknowledged a table
//! without it: until then the instance is on record, and recorded addresses count as taken.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::config::NetworkPool;

/// The prefix length of an app's network.
pub(crate) const PREFIX: u8 = 24;

/// The network of one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AppNetwork {
    base: u32,
}

impl NetworkPool {
    /// How many networks of apps the pool holds.
    pub fn size(self) -> u32 {
        1 << (PREFIX - self.prefix.clamp(8, PREFIX))
    }

    /// Parses a block such as `10.192.0.0/12`. Errors: a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a block of IPv4 addresses such as 10.192.0.0/12, with a prefix of 8 to 24");
        let (base, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let base: Ipv4Addr = base.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if !(8..=24).contains(&prefix) || !base.is_private() || base.to_bits() << prefix != 0 {
            return Err(wrong());
        }
        Ok(Self { base, prefix })
    }

    pub(crate) fn network(self, number: u32) -> AppNetwork {
        AppNetwork { base: self.base.to_bits() + (number % self.size()) * 256 }
    }
}

impl Default for NetworkPool {
    fn default() -> Self {
        Self { base: Ipv4Addr::new(10, 192, 0, 0), prefix: 12 }
    }
}

impl AppNetwork {
    pub fn subnet(self) -> String {
        format!("{}/{PREFIX}", Ipv4Addr::from_bits(self.base))
    }

    /// The address of the host in this network.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base + 1)
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & 0xffff_ff00 == self.base
    }

    /// The address with the same last octet in this network.
    pub fn at_the_place_of(self, address: Ipv4Addr) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base + (address.to_bits() & 0xff))
    }

    /// Returns a free address: the first one after `last`, so that an address stays unused as long as possible. `None`
    /// if all 253 are taken.
    pub fn free(self, taken: &BTreeSet<Ipv4Addr>, last: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let after = last.filter(|last| self.contains(*last)).map_or(1, |last| last.to_bits() & 0xff);
        (1..=253)
            .map(|step| (after + 251 + step) % 253 + 2)
            .map(|host| Ipv4Addr::from_bits(self.base + host))
            .find(|address| !taken.contains(address))
    }
}

/// The first free network number from `start` on, wrapping around; `None` if all are taken.
pub(crate) fn free_number(pool: NetworkPool, taken: &BTreeSet<u32>, start: u32) -> Option<u32> {
    (0..pool.size()).map(|step| (start + step) % pool.size()).find(|number| !taken.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> AppNetwork {
        NetworkPool::default().network(7)
    }

    #[test]
    fn networks_are_consecutive_in_the_pool() {
        assert_eq!(NetworkPool::default().network(0).subnet(), "10.192.0.0/24");
        assert_eq!(network().subnet(), "10.192.7.0/24");
        assert_eq!(network().gateway(), Ipv4Addr::new(10, 192, 7, 1));
        assert_eq!(NetworkPool::default().network(4095).subnet(), "10.207.255.0/24");
    }

    #[test]
    fn an_address_keeps_its_last_octet_in_another_network() {
        let moved = network().at_the_place_of(Ipv4Addr::new(10, 192, 3, 200));
        assert_eq!(moved, Ipv4Addr::new(10, 192, 7, 200));
        assert!(network().contains(moved));
    }

    #[test]
    fn addresses_wrap_around_and_skip_taken_ones() {
        let at = |host| Ipv4Addr::new(10, 192, 7, host);
        let free =
            |taken: &[u8], last: Option<u8>| network().free(&taken.iter().map(|it| at(*it)).collect(), last.map(at));
        assert_eq!(free(&[], None), Some(at(2)));
        assert_eq!(free(&[2, 3], None), Some(at(4)));
        assert_eq!(free(&[], Some(9)), Some(at(10)));
        assert_eq!(free(&[], Some(254)), Some(at(2)), "the last one is followed by the first");
        assert_eq!(free(&[10], Some(9)), Some(at(11)));
        let all: Vec<u8> = (2..=254).collect();
        assert_eq!(free(&all, None), None);
        assert_eq!(free(&all[..252], Some(100)), Some(at(254)));
    }

    #[test]
    fn an_invalid_pool_is_refused_with_a_sentence() {
        assert_eq!(NetworkPool::parse("10.192.0.0/12"), Ok(NetworkPool::default()));
        for wrong in ["10.192.0.0", "10.192.0.1/12", "8.8.0.0/16", "10.0.0.0/4", "x/12", "10.192.0.0/33"] {
            assert!(NetworkPool::parse(wrong).is_err_and(|why| why.contains(wrong)), "{wrong}");
        }
    }

    #[test]
    fn network_numbers_begin_at_the_given_start_and_wrap_around() {
        let pool = NetworkPool { base: Ipv4Addr::new(10, 0, 0, 0), prefix: 22 };
        assert_eq!(free_number(pool, &BTreeSet::new(), 2), Some(2));
        assert_eq!(free_number(pool, &BTreeSet::from([2, 3]), 2), Some(0));
        assert_eq!(free_number(pool, &BTreeSet::from([0, 1, 2, 3]), 2), None);
    }
}
