//! Networks: one bridge per app, with a subnet that we choose.
//!
//! Old engines silently create a second network of the same name and then refuse both as ambiguous. So creation is
//! serialised within the process and first looks for the network by label, and later calls use its id.

use std::collections::HashMap;

use bollard::models::{EndpointResource, Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};
use tokio::sync::Mutex;

use super::{DEADLINE, DockerEngine, LIST_DEADLINE, failure};
use crate::error::EngineError;
use crate::identity::Kind;
use crate::port::{Changed, Network, NetworkMember, NetworkSpec};

/// Held while a network is looked up and created, across all engines of this process.
static CREATING: Mutex<()> = Mutex::const_new(());

impl DockerEngine {
    pub(super) async fn list_networks(&self) -> Result<Vec<Network>, EngineError> {
        let found = self.raw_networks(self.installation_filter()).await?;
        let networks: Vec<Network> = found.into_iter().filter_map(|network| self.recognise_network(network)).collect();
        self.known_networks.learn(&networks);
        Ok(networks)
    }

    async fn raw_networks(
        &self,
        filters: HashMap<&'static str, Vec<String>>,
    ) -> Result<Vec<bollard::models::Network>, EngineError> {
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        self.call("networks", LIST_DEADLINE, self.docker.list_networks(Some(options))).await
    }

    fn recognise_network(&self, network: bollard::models::Network) -> Option<Network> {
        let name = network.name?;
        let identity = self.installation.identify(Kind::Network, &name, &network.labels?)?;
        let subnet = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default().into_iter().find_map(|c| c.subnet);
        Some(Network { id: network.id?, name, identity, subnet: subnet.unwrap_or_default() })
    }

    pub(super) async fn find_network(&self, name: &str) -> Result<Option<Network>, EngineError> {
        Ok(self.list_networks().await?.into_iter().find(|network| network.name == name))
    }

    pub(super) async fn find_or_create_network(&self, spec: &NetworkSpec) -> Result<Network, EngineError> {
        let _one_at_a_time = CREATING.lock().await;
        if let Some(network) = self.find_network(&spec.name).await? {
            return Ok(network);
        }
        let same_name = self.raw_networks(HashMap::from([("name", vec![spec.name.clone()])])).await?;
        if same_name.iter().any(|network| network.name.as_deref() == Some(&spec.name)) {
            return Err(EngineError::NameTaken { name: spec.name.clone() });
        }
        match self.call("ensure_network", DEADLINE, self.docker.create_network(self.request(spec))).await {
            Ok(answer) => {
                let network = Network {
                    id: answer.id,
                    name: spec.name.clone(),
                    identity: spec.identity.clone(),
                    subnet: spec.subnet.clone(),
                };
                self.known_networks.learn([&network]);
                Ok(network)
            }
            Err(error) => self.after_refusal(spec, error).await,
        }
    }

    /// Another process of this installation may have created it at the same time. If so, uses that network.
    async fn after_refusal(&self, spec: &NetworkSpec, error: EngineError) -> Result<Network, EngineError> {
        let EngineError::Other { status, message, verb } = error else { return Err(error) };
        let lower = message.to_lowercase();
        let overlaps = lower.contains("pool overlaps") || lower.contains("overlaps with");
        if !overlaps && status != Some(409) {
            return Err(EngineError::Other { verb, status, message });
        }
        if let Some(network) = self.find_network(&spec.name).await? {
            return Ok(network);
        }
        Err(if overlaps {
            EngineError::SubnetTaken { subnet: spec.subnet.clone(), detail: message }
        } else {
            EngineError::NameTaken { name: spec.name.clone() }
        })
    }

    fn request(&self, spec: &NetworkSpec) -> NetworkCreateRequest {
        NetworkCreateRequest {
            name: spec.name.clone(),
            driver: Some("bridge".into()),
            enable_ipv6: Some(false),
            ipam: Some(Ipam {
                driver: Some("default".into()),
                config: Some(vec![IpamConfig {
                    subnet: Some(spec.subnet.clone()),
                    gateway: Some(spec.gateway.to_string()),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            labels: Some(self.installation.labels(Kind::Network, &spec.name, &spec.identity)),
            ..Default::default()
        }
    }

    pub(super) async fn delete_network(&self, name: &str) -> Result<Changed, EngineError> {
        let Some(network) = self.find_network(name).await? else { return Ok(Changed::AlreadySo) };
        match self.call("remove_network", DEADLINE, self.docker.remove_network(&network.id)).await {
            Ok(()) => {
                self.known_networks.forget(&network.id);
                Ok(Changed::Done)
            }
            Err(error) if failure::status(&error) == Some(404) => Ok(Changed::AlreadySo),
            Err(error) => match failure::conflict(&format!("network {name}"), error) {
                EngineError::Conflict { what, detail } => {
                    let by: Vec<_> = self.members(&network.id).await?.into_iter().map(|it| it.called).collect();
                    // Containers that were on the network a moment ago may have left.
                    let is_free = by.is_empty();
                    let in_use = EngineError::NetworkInUse { network: name.to_owned(), by };
                    Err(if is_free { EngineError::Conflict { what, detail } } else { in_use })
                }
                error => Err(error),
            },
        }
    }

    /// Every endpoint on a network; empty if there is no such network.
    pub(super) async fn members(&self, id: &str) -> Result<Vec<NetworkMember>, EngineError> {
        let request = self.docker.inspect_network(id, None::<InspectNetworkOptions>);
        let network = match self.call("network_members", DEADLINE, request).await {
            Ok(network) => network,
            Err(error) if failure::status(&error) == Some(404) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let member = |(id, endpoint): (String, EndpointResource)| NetworkMember {
            called: endpoint.name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.clone()),
            address: endpoint.ipv4_address.and_then(|it| it.split('/').next()?.parse().ok()),
            id,
        };
        Ok(network.containers.unwrap_or_default().into_iter().map(member).collect())
    }
}
