//! The ports of 127.0.0.1 that instances publish where this host does not reach their addresses.
//!
//! An instance gets its ports before its container is created and keeps them as long as its row exists, so that no other
//! component gets a port to which the ingress may still send requests: the row is deleted after the ingress has
//! acknowledged a table without the instance. The engine refuses ports that containers of other installations have.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::Mutex;

use rand::Rng;
use rollout::ids::InstanceName;
use store::records::{Instance, Revision};

use crate::supervise::lock;

/// Below the ports that Linux gives to outgoing connections (from 32768).
const PORTS: Range<u16> = 20_000..30_000;

/// The ports of all instances of this installation.
#[derive(Debug)]
pub(crate) struct PublishedPorts(Mutex<Taken>);

#[derive(Debug)]
struct Taken {
    holders: BTreeMap<u16, InstanceName>,
    /// Where to look for the next free port, so that a port stays unused as long as possible. Begins anywhere, so that
    /// installations on one host rarely try the same ports.
    next: u16,
}

impl PublishedPorts {
    /// `instances`: those on record.
    pub fn new<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Self {
        let ports = instances.into_iter().flat_map(|it| it.published.values().map(|port| (*port, it.name.clone())));
        Self(Mutex::new(Taken { holders: ports.collect(), next: rand::rng().random_range(PORTS) }))
    }

    /// Gives an instance of this revision its ports, in place of those that it has. `None` if too few ports are free.
    pub fn give(&self, instance: &InstanceName, revision: &Revision) -> Option<BTreeMap<u16, u16>> {
        lock(&self.0).give(instance, &container_ports(revision), is_free)
    }

    /// Frees the ports of an instance that is no longer on record.
    pub fn free(&self, instance: &InstanceName) {
        lock(&self.0).free(instance);
    }
}

impl Taken {
    fn give(
        &mut self,
        instance: &InstanceName,
        container_ports: &[u16],
        is_free: impl Fn(u16) -> bool,
    ) -> Option<BTreeMap<u16, u16>> {
        self.free(instance);
        let mut given = BTreeMap::new();
        for container_port in container_ports {
            let candidates = (self.next..PORTS.end).chain(PORTS.start..self.next);
            let Some(port) = candidates.into_iter().find(|it| !self.holders.contains_key(it) && is_free(*it)) else {
                self.free(instance);
                return None;
            };
            self.next = if port + 1 < PORTS.end { port + 1 } else { PORTS.start };
            self.holders.insert(port, instance.clone());
            given.insert(*container_port, port);
        }
        Some(given)
    }

    fn free(&mut self, instance: &InstanceName) {
        self.holders.retain(|_, holder| holder != instance);
    }
}

/// The ports of an instance to which the ingress and the health checks connect.
fn container_ports(revision: &Revision) -> Vec<u16> {
    let mut ports: Vec<u16> = revision.port.into_iter().chain(revision.probe.as_ref().map(|it| it.port)).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Whether no program on this host listens on the port. One may begin to until the container starts; then the engine
/// refuses to start it, and the instance gets another port.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(next: u16) -> Taken {
        Taken { holders: BTreeMap::new(), next }
    }

    fn name(text: &str) -> InstanceName {
        InstanceName::new(text)
    }

    #[test]
    fn no_port_is_given_twice_until_its_instance_is_forgotten() {
        let mut ports = taken(PORTS.end - 2);
        assert_eq!(ports.give(&name("a"), &[80, 81], |_| true), Some([(80, 29_998), (81, 29_999)].into()));
        assert_eq!(ports.give(&name("b"), &[80], |_| true), Some([(80, 20_000)].into()), "it wraps around");
        ports.next = PORTS.end - 2;
        assert_eq!(ports.give(&name("c"), &[80], |_| true), Some([(80, 20_001)].into()), "a and b have theirs");
        ports.free(&name("a"));
        ports.next = PORTS.end - 2;
        assert_eq!(ports.give(&name("d"), &[80], |_| true), Some([(80, 29_998)].into()));
    }

    #[test]
    fn an_instance_that_asks_again_gets_other_ports_and_gives_up_the_old_ones() {
        let mut ports = taken(20_000);
        assert_eq!(ports.give(&name("a"), &[80], |_| true), Some([(80, 20_000)].into()));
        assert_eq!(ports.give(&name("a"), &[80], |_| true), Some([(80, 20_001)].into()));
        assert_eq!(ports.holders.len(), 1);
    }

    #[test]
    fn a_port_on_which_a_program_listens_is_skipped() {
        assert_eq!(taken(20_000).give(&name("a"), &[80], |it| it > 20_005), Some([(80, 20_006)].into()));
        let mut ports = taken(20_000);
        assert_eq!(ports.give(&name("a"), &[80, 81], |it| it == 20_000), None);
        assert!(ports.holders.is_empty(), "a half of its ports would be of no use");
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        assert!(!is_free(held.local_addr().expect("an address").port()));
    }
}
