//! The network that has an address of this host at which containers reach the public host names of their app.
//!
//! It has no containers. The gateway of an app's network would not do: services of the app are called there, and a call that
//! passes on the host of a client must not be taken for a request to that host.

use std::collections::BTreeSet;

use engine::{Engine, EngineError, NetworkSpec};
use rand::Rng;
use store::Store;
use tracing::warn;

use crate::config::NetworkPool;
use crate::names::Names;
use crate::network::{AppNetwork, free_number};
use crate::reach::identity;

/// Store key of its number in the pool.
const STORED: &str = "public_network";
/// How many subnets are tried. Others on the host may use some of them.
const ATTEMPTS: usize = 16;

/// Creates the network, or finds it. `None`: that is not possible now, so containers do not reach these names.
pub(crate) async fn open(pool: NetworkPool, store: &Store, engine: &dyn Engine, names: &Names) -> Option<AppNetwork> {
    match try_open(pool, store, engine, names).await {
        Ok(network) => Some(network),
        Err(error) => {
            warn!(error, "containers do not reach the public host names of their app until the next start");
            None
        }
    }
}

async fn try_open(pool: NetworkPool, store: &Store, engine: &dyn Engine, names: &Names) -> Result<AppNetwork, String> {
    let said = |error: store::StoreError| error.to_string();
    let stored = store.get_meta(STORED).await.map_err(said)?.and_then(|it| it.parse().ok());
    let mut tried: BTreeSet<u32> = store.networks().await.map_err(said)?;
    let mut next = stored.unwrap_or_else(|| rand::rng().random_range(0..pool.size()));
    for _ in 0..ATTEMPTS {
        let number = free_number(pool, &tried, next).ok_or("every network of the pool is taken")?;
        let network = pool.network(number);
        match engine.ensure_network(&spec(network, names)).await {
            Ok(_) if stored == Some(number) => return Ok(network),
            Ok(_) => {
                store.set_meta(STORED, &number.to_string()).await.map_err(said)?;
                return Ok(network);
            }
            Err(EngineError::SubnetTaken { .. }) => drop(tried.insert(number)),
            // Running containers have its address, and the ingress can listen on an address that this host does not have yet.
            Err(_) if stored == Some(number) => return Ok(network),
            Err(error) => return Err(error.to_string()),
        }
        next = number;
    }
    Err("every subnet that was tried is in use".to_owned())
}

/// What the network is created from.
pub(crate) fn spec(network: AppNetwork, names: &Names) -> NetworkSpec {
    NetworkSpec {
        name: names.public_network(),
        identity: identity(),
        subnet: network.subnet(),
        gateway: network.gateway(),
    }
}
