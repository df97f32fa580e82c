//! Calls between components of one app. The ingress listens on the address that this host has in the app's network, accepts
//! connections from that network only, and finds the service by the port and the host name.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::error_response::ProxyError;
use crate::host;
use crate::protocol::{Address, InternalRoutes, PathMatch, Rewrite, RouteTable, Rule, Target};
use crate::routing_state::Registry;
use crate::table::CompiledRule;

/// A listener for the calls of one app on one port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InternalListener {
    pub app: String,
    pub gateway: Ipv4Addr,
    pub port: u16,
    /// The prefix length of the app's network.
    prefix: u8,
}

impl InternalListener {
    pub fn address(&self) -> SocketAddr {
        (self.gateway, self.port).into()
    }

    /// Whether connections from this address are accepted: those of the app's containers. Connections of programs on this
    /// host come from the gateway's address.
    pub fn accepts(&self, peer: IpAddr) -> bool {
        let IpAddr::V4(peer) = peer.to_canonical() else { return false };
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        peer != self.gateway && peer.to_bits() & mask == self.gateway.to_bits() & mask
    }
}

/// The listeners that a table needs.
pub(crate) fn listeners(table: &RouteTable) -> BTreeSet<InternalListener> {
    let of_app = |(app, internal): (&String, &InternalRoutes)| {
        let ports: BTreeSet<u16> = internal.services.iter().flat_map(|it| it.ports.iter().copied()).collect();
        let (app, gateway, prefix) = (app.clone(), internal.gateway, internal.prefix);
        ports.into_iter().map(move |port| InternalListener { app: app.clone(), gateway, port, prefix })
    };
    table.apps.iter().filter_map(|it| Some((&it.app, it.internal.as_ref()?))).flat_map(of_app).collect()
}

/// A service that other components of its app call.
#[derive(Debug)]
pub(crate) struct Service {
    name: String,
    ports: Vec<u16>,
    pub rule: CompiledRule,
}

/// Errors: sentences, one for each service that cannot be used.
pub(crate) fn compile(app: &str, routes: &InternalRoutes, registry: &mut Registry) -> (Vec<Service>, Vec<String>) {
    let (mut services, mut refused) = (Vec::new(), Vec::new());
    for wanted in &routes.services {
        let Some(name) = host::normal(&wanted.name) else {
            refused.push(format!("{:?} is not a host name", wanted.name));
            continue;
        };
        let rule = Rule {
            authority: None,
            path: PathMatch::Prefix("/".to_owned()),
            rewrite: Rewrite::Keep,
            component: wanted.name.clone(),
            cors: None,
            target: Target::Instances { upstreams: wanted.upstreams.clone() },
        };
        match CompiledRule::compile(app, &rule, registry) {
            Ok(rule) => services.push(Service { name: name.into_owned(), ports: wanted.ports.clone(), rule }),
            Err(reason) => refused.push(reason),
        }
    }
    (services, refused)
}

/// The service that a call is for: the one that the host names. With another host, which a component may have passed on
/// from its own client, the only service on this port. A service that calls with another host does not mean itself.
pub(crate) fn choose(services: &[Service], port: u16, host: &str, peer: IpAddr) -> Result<usize, ProxyError> {
    let on_port = || services.iter().enumerate().filter(|(_, it)| it.ports.contains(&port));
    if let Some((named, _)) = on_port().find(|(_, it)| it.name == host) {
        return Ok(named);
    }
    let others: Vec<_> = on_port().filter(|(_, it)| !it.has_instance_at(peer)).collect();
    match others[..] {
        [(only, _)] => Ok(only),
        [] => match on_port().next() {
            Some((own, _)) => Ok(own),
            None => Err(ProxyError::NoService { port }),
        },
        _ => {
            let names: Vec<&str> = others.iter().map(|(_, it)| it.name.as_str()).collect();
            Err(ProxyError::AmbiguousService { port, services: names.join(", ") })
        }
    }
}

impl Service {
    fn has_instance_at(&self, peer: IpAddr) -> bool {
        let is_at = |address: &Address| matches!(address, Address::Tcp(at) if at.ip() == peer.to_canonical());
        self.rule.upstreams.iter().any(|it| is_at(&it.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(gateway: [u8; 4], prefix: u8) -> InternalListener {
        InternalListener { app: "shop".to_owned(), gateway: gateway.into(), port: 8080, prefix }
    }

    #[test]
    fn only_containers_of_the_apps_network_may_connect() {
        let of_app = listener([10, 192, 7, 1], 24);
        for (peer, accepted) in [
            ("10.192.7.2", true),
            ("10.192.7.254", true),
            ("::ffff:10.192.7.9", true),
            ("10.192.7.1", false),
            ("10.192.8.2", false),
            ("10.192.6.255", false),
            ("127.0.0.1", false),
            ("192.0.2.1", false),
            ("::1", false),
        ] {
            assert_eq!(of_app.accepts(peer.parse().expect("an address")), accepted, "{peer}");
        }
        assert!(listener([10, 0, 0, 1], 8).accepts("10.255.0.1".parse().expect("an address")));
        assert!(!listener([10, 0, 0, 1], 32).accepts("10.0.0.2".parse().expect("an address")));
        assert!(listener([10, 0, 0, 1], 0).accepts("192.0.2.1".parse().expect("an address")));
    }
}
