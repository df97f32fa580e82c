//! How this host connects to instances and databases: at their addresses in the engine's networks, or at published ports.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};

use engine::{Engine, EngineError, Identity, NetworkSpec, Role};
use rand::Rng;
use store::{Store, StoreError};
use tracing::{info, warn};

use crate::config::{Config, NetworkPool, Reach, ReachChoice};
use crate::error::StartError;
use crate::names::Names;
use crate::network::free_number;

/// Store key of the choice that later starts keep.
const STORED: &str = "reach";
/// How many subnets a trial tries before it gives up. Others on the host may use some of them.
const ATTEMPTS: usize = 16;

impl Reach {
    /// The value of `serve --reach`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reach::Direct => "direct",
            Reach::Published => "published",
        }
    }

    /// Says for people how this host connects to instances.
    pub fn sentence(self) -> &'static str {
        match self {
            Reach::Direct => "at their addresses in the engine's networks",
            Reach::Published => "at ports that they publish on 127.0.0.1",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Reach::Direct, Reach::Published].into_iter().find(|it| it.as_str() == text)
    }
}

/// Returns what `serve --reach` says, else what an earlier start stored, else what a trial finds. Stores the result.
pub(crate) async fn choose(
    config: &Config,
    store: &Store,
    engine: &dyn Engine,
    names: &Names,
) -> Result<Reach, StartError> {
    let failed = |error: StoreError| StartError::Store(error.to_string());
    let stored = store.get_meta(STORED).await.map_err(failed)?.and_then(|it| Reach::parse(&it));
    let (reach, why) = match (config.reach, stored) {
        (Some(ReachChoice::Fixed(reach)), _) => (reach, "--reach"),
        (None, Some(reach)) => (reach, "an earlier start found it"),
        (None | Some(ReachChoice::Auto), _) => match try_out(config.network_pool, engine, names).await {
            Ok(reach) => (reach, "a trial network showed it"),
            Err(error) => {
                let reach = of_kind(engine).await;
                warn!(%error, reach = reach.as_str(), "no trial showed how instances are reached; the kind of engine decides");
                // Not stored: the next start tries again.
                return Ok(reach);
            }
        },
    };
    info!(reach = reach.as_str(), why, "this host reaches instances {}", reach.sentence());
    if stored != Some(reach)
        && let Err(error) = store.set_meta(STORED, reach.as_str()).await
    {
        // A full disk must not keep `serve` from starting. The next start chooses again.
        warn!(%error, "could not store how instances are reached");
    }
    Ok(reach)
}

/// Creates a network and looks whether its gateway is an address of this host. Only then are the engine's bridges on this
/// host. Errors: why there was no trial.
async fn try_out(pool: NetworkPool, engine: &dyn Engine, names: &Names) -> Result<Reach, String> {
    let start = rand::rng().random_range(0..pool.size());
    match try_networks(pool, engine, names, start, is_local).await {
        Ok(Some(reach)) => Ok(reach),
        Ok(None) => Err("every subnet that was tried is in use".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What the engine's kind suggests.
async fn of_kind(engine: &dyn Engine) -> Reach {
    let elsewhere = engine.info().await.is_ok_and(|it| it.rootless || it.desktop);
    if elsewhere { Reach::Published } else { Reach::Direct }
}

/// `None`: no subnet was free. `is_local`: whether an address is one of this host.
async fn try_networks(
    pool: NetworkPool,
    engine: &dyn Engine,
    names: &Names,
    start: u32,
    is_local: impl Fn(Ipv4Addr) -> bool,
) -> Result<Option<Reach>, EngineError> {
    let name = names.trial_network();
    // A start that was killed may have left one.
    engine.remove_network(&name).await?;
    let mut tried = BTreeSet::new();
    for _ in 0..ATTEMPTS {
        let Some(number) = free_number(pool, &tried, start) else { return Ok(None) };
        tried.insert(number);
        let network = pool.network(number);
        // Another engine on this host may have the same subnet. Its bridge says nothing about this engine.
        if is_local(network.gateway()) {
            continue;
        }
        let spec = NetworkSpec {
            name: name.clone(),
            identity: identity(),
            subnet: network.subnet(),
            gateway: network.gateway(),
        };
        match engine.ensure_network(&spec).await {
            Ok(_) => {}
            Err(EngineError::SubnetTaken { .. }) => continue,
            Err(error) => return Err(error),
        }
        let reach = if is_local(network.gateway()) { Reach::Direct } else { Reach::Published };
        if let Err(error) = engine.remove_network(&name).await {
            warn!(%error, network = name, "the trial network could not be removed; the next start removes it");
        }
        return Ok(Some(reach));
    }
    Ok(None)
}

/// The identity of a network that belongs to no app.
pub(crate) fn identity() -> Identity {
    Identity {
        role: Role::Network,
        app: String::new(),
        component: String::new(),
        slot: 0,
        revision: String::new(),
        generation: 0,
        deployment: String::new(),
    }
}

/// Whether an address is one of this host: only then would a packet to it have it as its source as well. Sends nothing.
fn is_local(address: Ipv4Addr) -> bool {
    let connected = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // The discard port; a connected UDP socket only chooses its route.
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    connected.is_ok_and(|it| it.ip() == address)
}

#[cfg(test)]
mod tests {
    use engine_fake::FakeEngine;

    use super::*;

    const POOL: NetworkPool = NetworkPool { base: Ipv4Addr::new(10, 0, 0, 0), prefix: 22 };

    async fn tried(engine: &FakeEngine, is_local: impl Fn(Ipv4Addr) -> bool) -> Option<Reach> {
        let reach = try_networks(POOL, engine, &Names::new("i"), 0, is_local).await.expect("the engine answers");
        assert!(engine.networks().await.expect("the engine answers").is_empty(), "the trial leaves no network");
        reach
    }

    #[tokio::test]
    async fn a_gateway_that_appears_on_this_host_means_that_instances_are_reached_directly() {
        let engine = FakeEngine::new();
        let calls = std::cell::Cell::new(0);
        let appears = |_| {
            calls.set(calls.get() + 1);
            calls.get() > 1
        };
        assert_eq!(tried(&engine, appears).await, Some(Reach::Direct));
        assert_eq!(tried(&engine, |_| false).await, Some(Reach::Published));
    }

    #[tokio::test]
    async fn a_gateway_of_another_engine_on_this_host_proves_nothing() {
        let other = |it: Ipv4Addr| it == Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(tried(&FakeEngine::new(), other).await, Some(Reach::Published));
        assert_eq!(tried(&FakeEngine::new(), |_| true).await, None);
    }

    #[tokio::test]
    async fn a_taken_subnet_is_skipped() {
        let engine = FakeEngine::new();
        engine.add_foreign_subnet("10.0.0.0/24");
        assert_eq!(tried(&engine, |_| false).await, Some(Reach::Published));
        (1..4).for_each(|it| engine.add_foreign_subnet(&format!("10.0.{it}.0/24")));
        assert_eq!(tried(&engine, |_| false).await, None);
    }

    #[test]
    fn only_addresses_of_this_host_are_local() {
        assert!(is_local(Ipv4Addr::LOCALHOST));
        assert!(!is_local(Ipv4Addr::new(192, 0, 2, 1)));
    }

    #[test]
    fn the_stored_value_is_the_value_of_the_flag() {
        for reach in [Reach::Direct, Reach::Published] {
            assert_eq!(Reach::parse(reach.as_str()), Some(reach));
        }
        assert_eq!(Reach::parse("auto"), None);
    }
}
