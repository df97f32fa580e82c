//! How the task requests an app's containers from the engine: what they run, their place on the network, and how they
//! are created.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use engine::{ContainerSpec, Engine, EngineError, Identity, Limits, NetworkJoin, NetworkSpec, PublishedPort, Role};
use rollout::ids::{InstanceName, RevisionId};
use store::records::Revision;
use tracing::warn;

use super::calls::{Calls, reach_ingress};
use super::drift::Expected;
use super::records::Records;
use super::{Shared, databases};
use crate::process::{Process, process};
use crate::public_network;

impl Records {
    /// The expected state of a container, from its record. `host`: CPUs and memory of the engine's host.
    pub fn expected(&self, name: &InstanceName, host: Limits) -> Option<Expected> {
        let limits = |revision: &RevisionId| {
            let revision = self.revision(revision)?;
            let limits = Limits { cpu_millis: revision.cpu_millis, memory_bytes: revision.memory_bytes };
            Some(limits.at_most(host))
        };
        let expected = |address, aliases, limits, kept_alive| Expected {
            name: name.to_string(),
            address,
            aliases,
            limits,
            kept_alive,
        };
        if let Some(row) = self.instance(name) {
            return Some(expected(row.address, vec![row.component.to_string()], limits(&row.revision), row.kept_alive));
        }
        if let Some(row) = self.databases.iter().find(|it| it.container == *name) {
            let limits = databases::LIMITS.at_most(host);
            return Some(expected(row.address, vec![row.name.to_string()], Some(limits), true));
        }
        let run = self.job_run(name)?;
        Some(expected(run.address, Vec::new(), limits(&run.revision), false))
    }
}

/// The app's network.
pub(super) fn network_spec(shared: &Shared, records: &Records) -> NetworkSpec {
    let network = shared.config.network_pool.network(records.app.network);
    NetworkSpec {
        name: shared.names.network(&records.app.id),
        identity: Identity {
            role: Role::Network,
            app: records.app.id.to_string(),
            component: String::new(),
            slot: 0,
            revision: String::new(),
            generation: 0,
            deployment: String::new(),
        },
        subnet: network.subnet(),
        gateway: network.gateway(),
    }
}

/// The spec of a container that runs a revision. [`create_process`] asks the engine and fills in the network's id, the
/// command and the stop signal.
pub(super) fn container_spec(
    revision: &Revision,
    name: &InstanceName,
    address: Ipv4Addr,
    published: &BTreeMap<u16, u16>,
    identity: Identity,
    grace: Duration,
) -> ContainerSpec {
    let aliases = if identity.role == Role::Instance { vec![identity.component.clone()] } else { Vec::new() };
    ContainerSpec {
        name: name.to_string(),
        identity,
        image: revision.image.clone(),
        command: revision.command.clone(),
        env: revision.env.clone(),
        network: Some(NetworkJoin { network_id: String::new(), network_name: String::new(), address, aliases }),
        hosts: Vec::new(),
        published: published.iter().map(|(port, host)| PublishedPort { container: *port, host: Some(*host) }).collect(),
        volume: None,
        limits: Limits { cpu_millis: revision.cpu_millis, memory_bytes: revision.memory_bytes },
        stop_grace: grace,
        stop_signal: None,
    }
}

/// Like [`create_in_network`], for a container that runs an app's image: its command forwards the stop signal, and it calls
/// services by way of the ingress if it reaches the ingress.
pub(super) async fn create_process(
    shared: &Shared,
    network: NetworkSpec,
    mut spec: ContainerSpec,
    calls: Calls,
) -> Result<String, EngineError> {
    // Without services to call, there is no check: if a firewall drops its connections, a request to the app's own host name
    // ends after a while instead of at once.
    if calls.hosts.is_empty() || reach_ingress(shared, &network, &spec, &calls.addresses).await? {
        spec.hosts = calls.hosts;
        if !calls.public.is_empty() && has_public_network(shared).await {
            spec.hosts.extend(calls.public);
        }
    }
    let defaults = shared.engine.image_defaults(&spec.image).await?;
    let Process { command, stop_signal } = process(spec.command.as_deref(), &defaults);
    create_in_network(shared, network, ContainerSpec { command, stop_signal: Some(stop_signal.full_name()), ..spec })
        .await
}

/// Whether the network of the address of public host names exists. A person may have removed it, because no container is on it.
async fn has_public_network(shared: &Shared) -> bool {
    let Some(network) = shared.public_network else { return false };
    let ensured = shared.engine.ensure_network(&public_network::spec(network, &shared.names)).await;
    if let Err(error) = &ensured {
        warn!(%error, "a new container does not reach the public host names of its app");
    }
    ensured.is_ok()
}

/// Creates the network if it is missing, then the container in it.
pub(super) async fn create_in_network(
    shared: &Shared,
    network: NetworkSpec,
    mut spec: ContainerSpec,
) -> Result<String, EngineError> {
    let network = shared.engine.ensure_network(&network).await?;
    if let Some(join) = &mut spec.network {
        (join.network_id, join.network_name) = (network.id, network.name);
    }
    shared.engine.create(&spec).await
}

/// The place of a container: a network, an address there, and the names under which other containers find it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub network: NetworkSpec,
    pub address: Ipv4Addr,
    pub aliases: Vec<String>,
}

impl Place {
    pub fn of(shared: &Shared, records: &Records, expected: &Expected) -> Self {
        Self { network: network_spec(shared, records), address: expected.address, aliases: expected.aliases.clone() }
    }

    /// Creates the network if it is missing, and connects the container at its address there.
    pub async fn take(&self, engine: &dyn Engine, name: &str) -> Result<(), EngineError> {
        let network = engine.ensure_network(&self.network).await?;
        let join = NetworkJoin {
            network_id: network.id,
            network_name: network.name,
            address: self.address,
            aliases: self.aliases.clone(),
        };
        engine.connect(name, &join).await.map(drop)
    }
}

/// Creates a container again that was created with other ports than its record has by now. It has not run yet.
pub(super) async fn create_again_if_other_ports(
    shared: &Shared,
    network: NetworkSpec,
    spec: ContainerSpec,
) -> Result<(), EngineError> {
    let Some(details) = shared.engine.inspect(&spec.name).await? else { return Ok(()) };
    let has = &details.container.published;
    if spec.published.iter().all(|it| has.contains(it)) {
        return Ok(());
    }
    shared.engine.remove(&spec.name).await?;
    // Where instances publish ports, calls do not pass the ingress.
    create_process(shared, network, spec, Calls::default()).await.map(drop)
}

/// Starts a container, which may run already. Connects it at `place` first, if one is given.
pub(super) async fn start_at(engine: &dyn Engine, name: &str, place: Option<Place>) -> Result<(), EngineError> {
    if let Some(place) = place {
        place.take(engine, name).await?;
    }
    engine.start(name).await.map(drop)
}

/// Whether the kernel killed the container's process because it ran out of memory, as far as the engine knows.
pub(super) async fn ran_out_of_memory(engine: &dyn Engine, name: &str) -> bool {
    matches!(engine.inspect(name).await, Ok(Some(details)) if details.oom_killed)
}
