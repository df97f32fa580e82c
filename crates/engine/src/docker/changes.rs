//! Changes to an existing container: its network, name, limits and restart policy.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerUpdateBody, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest, RestartPolicyNameEnum,
};
use bollard::query_parameters::RenameContainerOptionsBuilder;
use tokio::time::{Instant, sleep};

use super::lookup::{address, missing};
use super::{DEADLINE, DockerEngine, failure, profile};
use crate::error::{EngineError, Holder};
use crate::port::*;

/// How long the engine may take to process the exit of a container, which is usually a matter of milliseconds.
const EXIT_DEADLINE: Duration = Duration::from_secs(10);
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(50);

impl DockerEngine {
    pub(super) async fn join_network(&self, name: &str, join: &NetworkJoin) -> Result<Changed, EngineError> {
        let container = self.find(name).await?.ok_or_else(|| missing(name))?;
        // The engine's list does not contain aliases.
        let details = self.raw_inspect(&container.id).await?.ok_or_else(|| missing(name))?;
        let networks = details.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        // The engine keys the endpoints by network id until the first start, and by network name afterwards. An
        // endpoint of a removed network keeps the old id under the name.
        let here = networks.into_iter().filter(|(key, endpoint)| {
            endpoint.network_id.as_deref() == Some(&join.network_id)
                || *key == join.network_id
                || *key == join.network_name
        });
        let mut is_there = false;
        for (key, endpoint) in here {
            if has_place(&endpoint, join) {
                is_there = true;
                continue;
            }
            let request = NetworkDisconnectRequest { container: container.id.clone(), force: Some(true) };
            match self.call("connect", DEADLINE, self.docker.disconnect_network(&key, request)).await {
                Ok(()) => {}
                Err(error) if error.to_string().contains("is not connected to") => {}
                Err(error) => return Err(failure::start_failure(name, error)),
            }
        }
        if is_there {
            return Ok(Changed::AlreadySo);
        }
        let body =
            NetworkConnectRequest { container: container.id.clone(), endpoint_config: Some(profile::endpoint(join)) };
        match self.call("connect", DEADLINE, self.docker.connect_network(&join.network_id, body)).await {
            Ok(()) => Ok(Changed::Done),
            Err(error) if error.to_string().contains("already exists in network") => Ok(Changed::AlreadySo),
            Err(error) => match failure::start_failure(name, error) {
                EngineError::AddressTaken { name, detail, .. } => {
                    let network = HashMap::from([(join.network_name.clone(), placed(join))]);
                    let holder = self.holder(&container.id, &network).await;
                    Err(EngineError::AddressTaken { name, holder, detail })
                }
                error => Err(error),
            },
        }
    }

    /// The container that already has an address that this container needs. `None` if the engine shows no such
    /// container.
    pub(super) async fn holder(&self, id: &str, networks: &HashMap<String, EndpointSettings>) -> Option<Holder> {
        for (network, endpoint) in networks {
            let Some(address) = address(endpoint) else { continue };
            let network_id = endpoint.network_id.as_ref().filter(|id| !id.is_empty()).unwrap_or(network);
            if let Ok(members) = self.members(network_id).await
                && let Some(holder) = members.into_iter().find(|it| it.address == Some(address) && it.id != id)
            {
                return Some(Holder { container: holder.called, network: network.clone(), address });
            }
        }
        None
    }

    pub(super) async fn rename_back(&self, name: &str) -> Result<Changed, EngineError> {
        let container = self.find(name).await?.ok_or_else(|| missing(name))?;
        if container.called == name {
            return Ok(Changed::AlreadySo);
        }
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        match self.call("restore_name", DEADLINE, self.docker.rename_container(&container.id, options)).await {
            Ok(()) => Ok(Changed::Done),
            Err(error) if failure::status(&error) == Some(404) => Err(missing(name)),
            Err(error) if failure::status(&error) == Some(409) => Err(EngineError::NameTaken { name: name.to_owned() }),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn update_limits(&self, name: &str, wanted: Limits) -> Result<Changed, EngineError> {
        let host = self.host().await?;
        let details = self.inspect_container(name).await?.ok_or_else(|| missing(name))?;
        let wanted = profile::clamp(wanted, host);
        let (memory, nano_cpus) = (profile::memory(wanted), profile::nano_cpus(wanted));
        let has = details.limits;
        if memory == profile::memory(has) && nano_cpus == profile::nano_cpus(has) {
            return Ok(Changed::AlreadySo);
        }
        let body = ContainerUpdateBody { memory, memory_swap: memory, nano_cpus, ..Default::default() };
        self.update(name, &details.container.id, "set_limits", body).await
    }

    pub(super) async fn update_restart_policy(
        &self,
        name: &str,
        policy: RestartPolicy,
    ) -> Result<Changed, EngineError> {
        let details = self.inspect_container(name).await?.ok_or_else(|| missing(name))?;
        if details.restart_policy == policy {
            return Ok(Changed::AlreadySo);
        }
        let wanted = match policy {
            RestartPolicy::No => RestartPolicyNameEnum::NO,
            RestartPolicy::Always => RestartPolicyNameEnum::ALWAYS,
        };
        let body = ContainerUpdateBody {
            restart_policy: Some(bollard::models::RestartPolicy { name: Some(wanted), maximum_retry_count: None }),
            ..Default::default()
        };
        self.update(name, &details.container.id, "set_restart_policy", body).await
    }

    async fn update(
        &self,
        name: &str,
        id: &str,
        verb: &'static str,
        body: ContainerUpdateBody,
    ) -> Result<Changed, EngineError> {
        let deadline = Instant::now() + EXIT_DEADLINE;
        loop {
            match self.call(verb, DEADLINE, self.docker.update_container(id, body.clone())).await {
                Ok(_) => return Ok(Changed::Done),
                Err(error) if failure::status(&error) == Some(404) => return Err(missing(name)),
                // The engine still takes the container for a running one. Once it has processed the exit, it accepts.
                Err(error) if failure::is_process_gone(&error) && Instant::now() < deadline => {
                    sleep(EXIT_POLL_INTERVAL).await;
                }
                Err(error) => return Err(failure::conflict(&format!("container {name}"), error)),
            }
        }
    }
}

/// Whether an endpoint matches what [`profile::endpoint`] requests. An endpoint without a network id belongs to a
/// container that was never started.
fn has_place(endpoint: &EndpointSettings, join: &NetworkJoin) -> bool {
    let network = endpoint.network_id.as_deref().unwrap_or_default();
    let has_alias = |alias: &String| endpoint.aliases.iter().flatten().any(|it| it == alias);
    (network.is_empty() || network == join.network_id)
        && address(endpoint) == Some(join.address)
        && join.aliases.iter().all(has_alias)
}

fn placed(join: &NetworkJoin) -> EndpointSettings {
    EndpointSettings { network_id: Some(join.network_id.clone()), ..profile::endpoint(join) }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_endpoint_has_a_network_an_address_and_aliases() {
        let join = NetworkJoin {
            network_id: "n".into(),
            network_name: "net".into(),
            address: Ipv4Addr::new(10, 208, 0, 5),
            aliases: vec!["web".into()],
        };
        let right = placed(&join);
        assert!(has_place(&right, &join));
        assert!(has_place(&EndpointSettings { network_id: Some(String::new()), ..right.clone() }, &join));
        for wrong in [
            EndpointSettings { network_id: Some("old".into()), ..right.clone() },
            EndpointSettings { ip_address: Some("10.208.0.6".into()), ..right.clone() },
            EndpointSettings { aliases: Some(vec!["1f2e".into()]), ..right.clone() },
            EndpointSettings { aliases: None, ..right },
        ] {
            assert!(!has_place(&wrong, &join), "{wrong:?}");
        }
    }
}
