//! Finding containers: list and inspect, and the meaning of their answers.
//!
//! A container is found by the name under which it was created, even after somebody renamed it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerStatsResponse, ContainerSummary,
    ContainerSummaryStateEnum, EndpointSettings, HostConfig, RestartPolicyNameEnum,
};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder, StatsOptionsBuilder};
use futures::StreamExt;

use super::{DEADLINE, DockerEngine, LIST_DEADLINE, failure, published};
use crate::error::EngineError;
use crate::identity::Kind;
use crate::port::*;

/// A container of this installation, with its networks.
pub(super) struct Found {
    pub(super) container: Container,
    pub(super) networks: HashMap<String, EndpointSettings>,
}

impl DockerEngine {
    pub(super) async fn list_containers(&self) -> Result<Vec<Container>, EngineError> {
        let known_before = self.made.ids();
        let summaries = self.summaries(self.installation_filter()).await?;
        let listed = summaries.iter().filter_map(|summary| summary.id.clone()).collect();
        self.made.forget_gone(&known_before, &listed);
        let found = summaries.into_iter().filter_map(|summary| self.recognise(summary));
        Ok(found.map(|found| found.container).collect())
    }

    /// The container of this installation that was created under this name, found through the list.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Container>, EngineError> {
        Ok(self.find_with_networks(name).await?.map(|found| found.container))
    }

    pub(super) async fn find_with_networks(&self, name: &str) -> Result<Option<Found>, EngineError> {
        let is_it = |found: &Found| found.container.name == name;
        let mut filters = self.installation_filter();
        // The engine treats the name as a regular expression and may return too many containers, so the comparison
        // decides.
        filters.insert("name", vec![format!("^/?{name}$")]);
        if let Some(found) = self.found(filters).await?.into_iter().find(is_it) {
            return Ok(Some(found));
        }
        let ids = self.made.ids_of(name);
        if ids.is_empty() {
            return Ok(None);
        }
        let mut filters = self.installation_filter();
        filters.insert("id", ids);
        Ok(self.found(filters).await?.into_iter().find(is_it))
    }

    async fn found(&self, filters: HashMap<&'static str, Vec<String>>) -> Result<Vec<Found>, EngineError> {
        let summaries = self.summaries(filters).await?;
        Ok(summaries.into_iter().filter_map(|summary| self.recognise(summary)).collect())
    }

    pub(super) async fn summaries(
        &self,
        filters: HashMap<&'static str, Vec<String>>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.call("list", LIST_DEADLINE, self.docker.list_containers(Some(options))).await
    }

    pub(super) fn recognise(&self, summary: ContainerSummary) -> Option<Found> {
        let called = called(&summary)?;
        let published = published::of_listed(&summary);
        let id = summary.id?;
        let (name, identity) = self.made.identify(&self.installation, &id, &called, &summary.labels?)?;
        let networks = summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let container = Container {
            id,
            name,
            called,
            identity,
            image: summary.image_id.unwrap_or_default(),
            state: listed_state(summary.state?, summary.status.as_deref().unwrap_or_default()),
            addresses: addresses(&networks),
            published,
        };
        Some(Found { container, networks })
    }

    pub(super) async fn inspect_container(&self, name: &str) -> Result<Option<ContainerDetails>, EngineError> {
        // The engine also accepts an id prefix as a name, and another container may have the name by now.
        for name_or_id in [name.to_owned()].into_iter().chain(self.made.ids_of(name)) {
            let details = self.raw_inspect(&name_or_id).await?.and_then(|answer| self.details(answer));
            if let Some(details) = details.filter(|details| details.container.name == name) {
                return Ok(Some(details));
            }
        }
        Ok(None)
    }

    pub(super) async fn usage_of(&self, id: &str) -> Result<Option<Usage>, EngineError> {
        if !self.host().await?.has_cgroups {
            return Ok(None);
        }
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut answers = pin!(self.docker.stats(id, Some(options)));
        let first = async { answers.next().await.transpose() };
        match self.call("stats", DEADLINE, first).await {
            Ok(answer) => Ok(answer.and_then(usage)),
            Err(error) if failure::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn raw_inspect(&self, name_or_id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        let request = self.docker.inspect_container(name_or_id, None::<InspectContainerOptions>);
        match self.call("inspect", DEADLINE, request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if failure::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn details(&self, answer: ContainerInspectResponse) -> Option<ContainerDetails> {
        let called = answer.name?.trim_start_matches('/').to_owned();
        let id = answer.id?;
        let labels = answer.config?.labels?;
        let (name, identity) = self.made.identify(&self.installation, &id, &called, &labels)?;
        let state = answer.state.unwrap_or_default();
        let exit_code = state.exit_code;
        let network = answer.network_settings.unwrap_or_default();
        let published = published::of_inspected(&labels, network.ports.unwrap_or_default());
        let networks = network.networks.unwrap_or_default();
        let host = answer.host_config.unwrap_or_default();
        let seen = inspected_state(state.status, exit_code);
        Some(ContainerDetails {
            limits: limits(&host),
            aliases: networks.values().filter_map(|endpoint| endpoint.aliases.clone()).flatten().collect(),
            container: Container {
                id,
                name,
                called,
                identity,
                image: answer.image.unwrap_or_default(),
                state: seen,
                addresses: addresses(&networks),
                published,
            },
            started_at: moment(state.started_at),
            finished_at: moment(state.finished_at),
            exit_code: matches!(seen, ContainerState::Exited { .. } | ContainerState::Restarting)
                .then_some(exit_code)
                .flatten(),
            oom_killed: state.oom_killed.unwrap_or_default(),
            restart_count: answer.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
            restart_policy: match host.restart_policy.and_then(|policy| policy.name) {
                Some(RestartPolicyNameEnum::ALWAYS) => RestartPolicy::Always,
                // Boatyard never sets other policies. A policy that somebody set counts as different from `always`, and
                // the controller corrects it.
                _ => RestartPolicy::No,
            },
        })
    }

    /// Containers that mount a volume, from one list of all containers on the engine.
    pub(super) async fn mounting(&self, volume: &str, owner: &str) -> Result<Vec<VolumeUser>, EngineError> {
        // The filter also finds volumes that are mounted at a path of this name, so the comparison decides.
        let listed = self.summaries(HashMap::from([("volume", vec![volume.to_owned()])])).await?;
        let mounts = |summary: &ContainerSummary| {
            summary.mounts.iter().flatten().any(|mount| mount.name.as_deref() == Some(volume))
        };
        Ok(listed.into_iter().filter(mounts).filter_map(|summary| self.volume_user(summary, owner)).collect())
    }

    fn volume_user(&self, summary: ContainerSummary, owner: &str) -> Option<VolumeUser> {
        let (id, called) = (summary.id.clone()?, called(&summary)?);
        let proves_owner = |labels| self.installation.identify(Kind::Container, owner, labels).is_some();
        if summary.labels.as_ref().is_some_and(proves_owner) {
            self.made.learn(id.clone(), owner.to_owned());
        }
        let runs = matches!(
            summary.state,
            Some(
                ContainerSummaryStateEnum::RUNNING
                    | ContainerSummaryStateEnum::STOPPING
                    | ContainerSummaryStateEnum::PAUSED
                    | ContainerSummaryStateEnum::RESTARTING
            )
        );
        let container = self.recognise(summary).map(|found| found.container);
        Some(VolumeUser { id, called, runs, container })
    }
}

pub(super) fn missing(name: &str) -> EngineError {
    EngineError::NotFound { what: format!("container {name}") }
}

fn listed_state(state: ContainerSummaryStateEnum, status: &str) -> ContainerState {
    use ContainerSummaryStateEnum as Listed;
    match state {
        Listed::CREATED | Listed::EMPTY => ContainerState::Created,
        Listed::RUNNING | Listed::STOPPING => ContainerState::Running,
        Listed::PAUSED => ContainerState::Paused,
        Listed::RESTARTING => ContainerState::Restarting,
        Listed::EXITED => ContainerState::Exited { code: code_in(status) },
        Listed::REMOVING | Listed::DEAD => ContainerState::Removing,
    }
}

/// The list contains the exit code only as text: `Exited (137) 3 seconds ago`.
fn code_in(status: &str) -> Option<i64> {
    status.split_once('(')?.1.split_once(')')?.0.parse().ok()
}

fn inspected_state(status: Option<ContainerStateStatusEnum>, code: Option<i64>) -> ContainerState {
    use ContainerStateStatusEnum as Inspected;
    match status {
        Some(Inspected::RUNNING | Inspected::STOPPING) => ContainerState::Running,
        Some(Inspected::PAUSED) => ContainerState::Paused,
        Some(Inspected::RESTARTING) => ContainerState::Restarting,
        Some(Inspected::EXITED) => ContainerState::Exited { code },
        Some(Inspected::REMOVING | Inspected::DEAD) => ContainerState::Removing,
        Some(Inspected::CREATED | Inspected::EMPTY) | None => ContainerState::Created,
    }
}

/// The name that the engine shows. Other entries are link aliases, `/other/alias`.
pub(super) fn called(summary: &ContainerSummary) -> Option<String> {
    let names = summary.names.iter().flatten();
    names.filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/')).map(str::to_owned)
}

/// One address per network; somebody may have connected the container to more networks.
fn addresses(networks: &HashMap<String, EndpointSettings>) -> Vec<Ipv4Addr> {
    let mut addresses: Vec<_> = networks.values().filter_map(address).collect();
    addresses.sort();
    addresses
}

/// Its current address, or the address that it gets at the next start.
pub(super) fn address(endpoint: &EndpointSettings) -> Option<Ipv4Addr> {
    let given = endpoint.ip_address.as_ref().and_then(|address| address.parse().ok());
    let chosen = || endpoint.ipam_config.as_ref()?.ipv4_address.as_ref()?.parse().ok();
    given.or_else(chosen)
}

/// The limits that the engine enforces; a negative limit means none.
fn limits(host: &HostConfig) -> Limits {
    let memory_bytes = host.memory.map_or(0, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
    let cpu_millis = host.nano_cpus.map_or(0, |nanos| u32::try_from(nanos / 1_000_000).unwrap_or(u32::MAX));
    Limits { cpu_millis, memory_bytes }
}

/// The engine writes the year 1 for "never".
fn moment(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && !text.starts_with("0001-"))
}

/// `None` for a container without a process: the engine then reports no CPU time.
fn usage(stats: ContainerStatsResponse) -> Option<Usage> {
    let cpu_time = Duration::from_nanos(stats.cpu_stats?.cpu_usage?.total_usage.filter(|it| *it > 0)?);
    let processes = stats
        .pids_stats
        .and_then(|it| Some(ProcessCount { running: it.current?, limit: it.limit.filter(|it| *it > 0)? }));
    let memory = stats.memory_stats.unwrap_or_default();
    let pages = memory.stats.unwrap_or_default();
    // The kernel can drop these pages of files at any time. cgroup v1 and v2 name them differently.
    let cache = pages.get("total_inactive_file").or_else(|| pages.get("inactive_file")).copied().unwrap_or_default();
    let memory_bytes = memory.usage.unwrap_or_default().saturating_sub(cache);
    Some(Usage { processes, cpu_time, memory_bytes })
}

#[cfg(test)]
mod tests {
    use bollard::models::EndpointIpamConfig;

    use super::*;

    #[test]
    fn the_exit_code_is_read_from_the_lists_status_text() {
        assert_eq!(code_in("Exited (137) 3 seconds ago"), Some(137));
        assert_eq!(code_in("Exited (0) About an hour ago"), Some(0));
        assert_eq!(code_in("Up 3 seconds"), None);
        assert_eq!(code_in("Exited (-1) now"), Some(-1));
    }

    #[test]
    fn the_year_one_means_never() {
        assert_eq!(moment(Some("0001-01-01T00:00:00Z".into())), None);
        assert_eq!(moment(Some("2026-02-03T04:05:06.7Z".into())).as_deref(), Some("2026-02-03T04:05:06.7Z"));
    }

    #[test]
    fn every_network_gives_one_address_and_the_current_one_wins_over_the_configured_one() {
        let endpoint = |given: &str, chosen: Option<[u8; 4]>| EndpointSettings {
            ip_address: Some(given.into()),
            ipam_config: chosen.map(|it| EndpointIpamConfig {
                ipv4_address: Some(Ipv4Addr::from(it).to_string()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let on = |endpoints: Vec<EndpointSettings>| {
            let networks = endpoints.into_iter().enumerate().map(|(at, it)| (at.to_string(), it));
            addresses(&networks.collect())
        };
        let (first, second) = (Ipv4Addr::new(10, 208, 0, 5), Ipv4Addr::new(172, 17, 0, 9));
        assert!(on(vec![]).is_empty());
        assert_eq!(on(vec![endpoint("", Some([10, 208, 0, 5]))]), vec![first], "stopped");
        assert_eq!(
            on(vec![endpoint("10.208.0.5", Some([10, 208, 0, 5])), endpoint("172.17.0.9", None)]),
            vec![first, second]
        );
        assert_eq!(on(vec![endpoint("172.17.0.9", Some([10, 208, 0, 5]))]), vec![second], "the current address counts");
    }

    #[test]
    fn limits_are_read_as_they_were_set() {
        let host = |memory, nano_cpus| limits(&HostConfig { memory, nano_cpus, ..Default::default() });
        let set = Limits { cpu_millis: 500, memory_bytes: 64 << 20 };
        assert_eq!(host(Some(64 << 20), Some(500_000_000)), set);
        assert_eq!(host(None, None), Limits { cpu_millis: 0, memory_bytes: 0 });
        assert_eq!(host(Some(-1), None).memory_bytes, u64::MAX);
    }
}
