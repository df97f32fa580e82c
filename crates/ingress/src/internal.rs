//! Requests of containers.
//!
//! For calls between components of one app, the ingress listens on the address that this host has in the app's network, accepts
//! connections from that network only, and finds the service by the port and the host name. On other listeners, containers of
//! all apps reach the public host names of their own app.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;

use crate::error_response::ProxyError;
use crate::host;
use crate::protocol::{InternalRoutes, Listener, ListenerKind, PathMatch, Rewrite, RouteTable, Rule, Target};
use crate::routing_state::Registry;
use crate::table::{CompiledRule, Table};

/// A listener for containers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InternalListener {
    /// For calls between components of one app.
    Calls(CallListener),
    /// For the public host names of the app that the container belongs to.
    Public(Listener),
}

impl InternalListener {
    pub fn address(&self) -> SocketAddr {
        match self {
            InternalListener::Calls(calls) => (calls.network.gateway, calls.port).into(),
            InternalListener::Public(listener) => listener.address,
        }
    }

    pub fn kind(&self) -> ListenerKind {
        match self {
            InternalListener::Calls(_) => ListenerKind::Http,
            InternalListener::Public(listener) => listener.kind,
        }
    }

    /// Whether connections from this address are accepted.
    pub fn accepts(&self, peer: IpAddr, table: &Table) -> bool {
        match self {
            InternalListener::Calls(calls) => calls.network.contains(peer),
            InternalListener::Public(_) => table.app_of_container(peer).is_some(),
        }
    }
}

/// A listener for the calls of one app on one port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallListener {
    pub app: String,
    pub port: u16,
    network: Network,
}

/// The network of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    gateway: Ipv4Addr,
    /// The prefix length.
    prefix: u8,
}

impl Network {
    pub fn of(routes: &InternalRoutes) -> Self {
        Network { gateway: routes.gateway, prefix: routes.prefix }
    }

    /// Whether this is the address of a container. Connections of programs on this host come from the gateway's address.
    pub fn contains(self, peer: IpAddr) -> bool {
        let IpAddr::V4(peer) = peer.to_canonical() else { return false };
        peer != self.gateway && Ipv4Net::new(self.gateway, self.prefix).is_ok_and(|network| network.contains(&peer))
    }
}

/// The listeners that a table needs.
pub(crate) fn listeners(table: &RouteTable) -> BTreeSet<InternalListener> {
    let of_app = |(app, internal): (&String, &InternalRoutes)| {
        let ports: BTreeSet<u16> = internal.services.iter().flat_map(|it| it.ports.iter().copied()).collect();
        let (app, network) = (app.clone(), Network::of(internal));
        ports.into_iter().map(move |port| InternalListener::Calls(CallListener { app: app.clone(), port, network }))
    };
    let calls = table.apps.iter().filter_map(|it| Some((&it.app, it.internal.as_ref()?))).flat_map(of_app);
    calls.chain(table.for_containers.iter().cloned().map(InternalListener::Public)).collect()
}

/// A service that other components of its app call.
#[derive(Debug)]
pub(crate) struct Service {
    name: String,
    ports: Vec<u16>,
    containers: BTreeSet<Ipv4Addr>,
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
            Ok(rule) => {
                let (ports, containers) = (wanted.ports.clone(), wanted.containers.clone());
                services.push(Service { name: name.into_owned(), ports, containers, rule });
            }
            Err(reason) => refused.push(reason),
        }
    }
    (services, refused)
}

/// The service that a call is for: the one that the host names. With another host, which a component may have passed on
/// from its own client, the only service on this port. If the host names no service, the calling service is excluded.
pub(crate) fn choose(services: &[Service], port: u16, host: &str, peer: IpAddr) -> Result<usize, ProxyError> {
    let on_port = || services.iter().enumerate().filter(|(_, it)| it.ports.contains(&port));
    if let Some((named, _)) = on_port().find(|(_, it)| it.name == host) {
        return Ok(named);
    }
    let others: Vec<_> = on_port().filter(|(_, it)| !it.has_container_at(peer)).collect();
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
    fn has_container_at(&self, peer: IpAddr) -> bool {
        matches!(peer.to_canonical(), IpAddr::V4(peer) if self.containers.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(gateway: [u8; 4], prefix: u8) -> Network {
        Network { gateway: gateway.into(), prefix }
    }

    #[test]
    fn the_gateway_is_no_container_of_the_network() {
        let of_app = network([10, 192, 7, 1], 24);
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
            assert_eq!(of_app.contains(peer.parse().expect("an address")), accepted, "{peer}");
        }
        assert!(network([10, 0, 0, 1], 8).contains("10.255.0.1".parse().expect("an address")));
        assert!(!network([10, 0, 0, 1], 32).contains("10.0.0.2".parse().expect("an address")));
        assert!(network([10, 0, 0, 1], 0).contains("192.0.2.1".parse().expect("an address")));
    }
}
