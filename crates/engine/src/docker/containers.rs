//! Containers: list, inspect, create, start, stop, remove, wait, and what may be changed of one that exists.
//!
//! Verbs take the name that a container was made under, find the container of ours, whatever it is called by now, and act on
//! its id: a name that somebody else took in between is never acted upon.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum,
    ContainerUpdateBody, EndpointSettings, HostConfig, NetworkConnectRequest, NetworkDisconnectRequest,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions, StatsOptionsBuilder,
    StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::StreamExt;

use super::{DEADLINE, DockerEngine, Host, LIST_DEADLINE, failure, profile};
use crate::error::{EngineError, Holder};
use crate::identity::Kind;
use crate::port::*;

/// Beyond the grace, what the engine may take to kill and clean up (F28).
const STOP_SLACK: Duration = Duration::from_secs(30);
/// A removal kills, unmounts and deletes a file system, which takes a slow disk its time.
const REMOVE_DEADLINE: Duration = Duration::from_secs(60);
/// How often to look again while somebody else creates or removes.
const POLL: Duration = Duration::from_millis(50);

/// A container of ours with the networks it is on.
struct Found {
    container: Container,
    networks: HashMap<String, EndpointSettings>,
}

impl DockerEngine {
    pub(super) async fn list_containers(&self) -> Result<Vec<Container>, EngineError> {
        let known_before = self.made.ids();
        let summaries = self.summaries(self.ours()).await?;
        let listed = summaries.iter().filter_map(|summary| summary.id.clone()).collect();
        self.made.forget_gone(&known_before, &listed);
        let found = summaries.into_iter().filter_map(|summary| self.recognise(summary));
        Ok(found.map(|found| found.container).collect())
    }

    /// The container of ours that was made under this name, by way of the list.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Container>, EngineError> {
        Ok(self.find_with_networks(name).await?.map(|found| found.container))
    }

    async fn find_with_networks(&self, name: &str) -> Result<Option<Found>, EngineError> {
        let is_it = |found: &Found| found.container.name == name;
        let mut filters = self.ours();
        // A regular expression to the engine, so it may find too much: the comparison decides.
        filters.insert("name", vec![format!("^/?{name}$")]);
        if let Some(found) = self.found(filters).await?.into_iter().find(is_it) {
            return Ok(Some(found));
        }
        let ids = self.made.ids_of(name);
        if ids.is_empty() {
            return Ok(None);
        }
        let mut filters = self.ours();
        filters.insert("id", ids);
        Ok(self.found(filters).await?.into_iter().find(is_it))
    }

    async fn found(&self, filters: HashMap<&'static str, Vec<String>>) -> Result<Vec<Found>, EngineError> {
        let summaries = self.summaries(filters).await?;
        Ok(summaries.into_iter().filter_map(|summary| self.recognise(summary)).collect())
    }

    async fn summaries(
        &self,
        filters: HashMap<&'static str, Vec<String>>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.call("list", LIST_DEADLINE, self.docker.list_containers(Some(options))).await
    }

    fn recognise(&self, summary: ContainerSummary) -> Option<Found> {
        let called = called(&summary)?;
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
        };
        Some(Found { container, networks })
    }

    pub(super) async fn inspect_container(&self, name: &str) -> Result<Option<ContainerDetails>, EngineError> {
        // The engine also takes a prefix of an id for a name, and a container may have the name of another by now.
        for name_or_id in [name.to_owned()].into_iter().chain(self.made.ids_of(name)) {
            let details = self.raw_inspect(&name_or_id).await?.and_then(|answer| self.details(answer));
            if let Some(details) = details.filter(|details| details.container.name == name) {
                return Ok(Some(details));
            }
        }
        Ok(None)
    }

    pub(super) async fn count_processes(&self, name: &str) -> Result<Option<ProcessCount>, EngineError> {
        let Some(container) = self.find(name).await? else { return Ok(None) };
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut answers = pin!(self.docker.stats(&container.id, Some(options)));
        let first = async { answers.next().await.transpose() };
        let counted = match self.call("stats", DEADLINE, first).await {
            Ok(answer) => answer.and_then(|it| it.pids_stats),
            Err(error) if failure::status(&error) == Some(404) => None,
            Err(error) => return Err(error),
        };
        Ok(counted.and_then(|it| Some(ProcessCount { running: it.current?, limit: it.limit.filter(|it| *it > 0)? })))
    }

    async fn raw_inspect(&self, name_or_id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
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
        let (name, identity) = self.made.identify(&self.installation, &id, &called, &answer.config?.labels?)?;
        let state = answer.state.unwrap_or_default();
        let exit_code = state.exit_code;
        let networks = answer.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
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
                // Others are never set by us; what somebody set by hand counts as not `always`, and is put right.
                _ => RestartPolicy::No,
            },
        })
    }

    pub(super) async fn create_container(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let host = self.host().await?;
        if let Some(mount) = &spec.volume
            && !self.has_volume(&mount.volume).await?
        {
            // The engine would make an empty one without a word, and a database would begin anew on it (F39).
            return Err(EngineError::NotFound { what: format!("volume {}", mount.volume) });
        }
        // It exists, and somebody renamed it: its name is free, and a second one must not take it.
        if !self.made.ids_of(&spec.name).is_empty()
            && let Some(container) = self.find(&spec.name).await?
        {
            return same_container(spec, container);
        }
        let settled = async {
            loop {
                if let Some(id) = self.try_create(spec, host).await? {
                    return Ok(id);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(DEADLINE, settled).await.unwrap_or_else(|_| {
            let detail = format!("its name has been between two containers for {} s", DEADLINE.as_secs());
            Err(EngineError::Conflict { what: format!("container {}", spec.name), detail })
        })
    }

    /// One try. `None` when the name is taken and nobody is seen to have it: the engine reserves a name before it lists
    /// the container, and frees it after.
    async fn try_create(&self, spec: &ContainerSpec, host: Host) -> Result<Option<String>, EngineError> {
        let options = CreateContainerOptionsBuilder::default().name(&spec.name).build();
        let body = profile::create_body(spec, &self.installation, host);
        let error = match self.call("create", DEADLINE, self.docker.create_container(Some(options), body)).await {
            Ok(answer) => {
                self.made.learn(answer.id.clone(), spec.name.clone());
                return Ok(Some(answer.id));
            }
            Err(error) => error,
        };
        match failure::status(&error) {
            Some(404) if error.to_string().to_lowercase().contains("no such image") => {
                Err(EngineError::ImageMissing { reference: spec.image.clone() })
            }
            Some(409) => self.holder_of_name(spec).await,
            _ => Err(error),
        }
    }

    /// Who has the name: from one list, or a container that appears between two would pass for somebody else's.
    async fn holder_of_name(&self, spec: &ContainerSpec) -> Result<Option<String>, EngineError> {
        let filters = HashMap::from([("name", vec![format!("^/?{}$", spec.name)])]);
        let has_it = |summary: &ContainerSummary| called(summary).as_deref() == Some(&spec.name);
        let Some(holder) = self.summaries(filters).await?.into_iter().find(has_it) else { return Ok(None) };
        match self.recognise(holder).filter(|found| found.container.name == spec.name) {
            Some(ours) => same_container(spec, ours.container).map(Some),
            None => Err(EngineError::NameTaken { name: spec.name.clone() }),
        }
    }

    pub(super) async fn start_container(&self, name: &str) -> Result<Changed, EngineError> {
        let Found { container, networks } = self.find_with_networks(name).await?.ok_or_else(|| missing(name))?;
        let started = match container.state {
            ContainerState::Running | ContainerState::Restarting => return Ok(Changed::AlreadySo),
            // Paused by hand; the engine refuses to start it, while what is asked for is a running process.
            ContainerState::Paused => self.call("start", DEADLINE, self.docker.unpause_container(&container.id)).await,
            ContainerState::Created | ContainerState::Exited { .. } | ContainerState::Removing => {
                let request = self.docker.start_container(&container.id, None::<StartContainerOptions>);
                self.call("start", DEADLINE, request).await
            }
        };
        match started.map_err(|error| failure::start_failure(name, error)) {
            Ok(()) => Ok(Changed::Done),
            Err(EngineError::AddressTaken { name, detail, .. }) => {
                let holder = self.holder(&container.id, &networks).await;
                Err(EngineError::AddressTaken { name, holder, detail })
            }
            Err(error) => Err(error),
        }
    }

    /// Who else has an address that this container was to have. `None` when the engine shows nobody.
    async fn holder(&self, id: &str, networks: &HashMap<String, EndpointSettings>) -> Option<Holder> {
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
        let (memory, nano_cpus) = (profile::memory(wanted), profile::nano_cpus(wanted, host));
        let has = details.limits;
        if memory == profile::memory(has) && nano_cpus == profile::nano_cpus(has, host) {
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
        match self.call(verb, DEADLINE, self.docker.update_container(id, body)).await {
            Ok(_) => Ok(Changed::Done),
            Err(error) if failure::status(&error) == Some(404) => Err(missing(name)),
            Err(error) => Err(failure::conflict(&format!("container {name}"), error)),
        }
    }

    pub(super) async fn stop_container(&self, name: &str, grace: Duration) -> Result<Changed, EngineError> {
        let Some(container) = self.find(name).await? else { return Ok(Changed::AlreadySo) };
        if let ContainerState::Created | ContainerState::Exited { .. } = container.state {
            return Ok(Changed::AlreadySo);
        }
        let seconds = i32::try_from(profile::whole_seconds(grace)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let request = self.docker.stop_container(&container.id, Some(options));
        match self.call("stop", grace + STOP_SLACK, request).await {
            Ok(()) => Ok(Changed::Done),
            Err(error) if failure::status(&error) == Some(404) => Ok(Changed::AlreadySo),
            Err(error) => Err(failure::conflict(&format!("container {name}"), error)),
        }
    }

    pub(super) async fn remove_container(&self, name: &str) -> Result<Changed, EngineError> {
        let Some(container) = self.find(name).await? else { return Ok(Changed::AlreadySo) };
        // With its anonymous volumes, which would stay for ever (M14).
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let request = self.docker.remove_container(&container.id, Some(options));
        match self.call("remove", REMOVE_DEADLINE, request).await {
            Ok(()) => Ok(Changed::Done),
            Err(error) if failure::status(&error) == Some(404) => Ok(Changed::AlreadySo),
            Err(error) if failure::status(&error) == Some(409) && error.to_string().contains("already in progress") => {
                self.await_removal(name, &container.id).await
            }
            Err(error) => Err(failure::conflict(&format!("container {name}"), error)),
        }
    }

    /// Somebody else removes it: done when it is gone.
    async fn await_removal(&self, name: &str, id: &str) -> Result<Changed, EngineError> {
        let gone = async {
            while self.find(name).await?.is_some_and(|container| container.id == id) {
                tokio::time::sleep(POLL).await;
            }
            Ok(Changed::AlreadySo)
        };
        tokio::time::timeout(DEADLINE, gone).await.unwrap_or_else(|_| {
            Err(EngineError::Conflict {
                what: format!("container {name}"),
                detail: format!("its removal has been in progress for {} s", DEADLINE.as_secs()),
            })
        })
    }

    pub(super) async fn wait_for_exit(&self, name: &str) -> Result<i64, EngineError> {
        let container = self.find(name).await?.ok_or_else(|| missing(name))?;
        // The engine would answer 0 at once for one that never ran.
        if container.state == ContainerState::Created {
            return Err(EngineError::Conflict {
                what: format!("container {name}"),
                detail: "it was never started, so it has no exit code".into(),
            });
        }
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        match self.docker.wait_container(&container.id, Some(options)).next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => {
                let error = failure::translate(&self.socket, "wait", error);
                Err(if failure::status(&error) == Some(404) { missing(name) } else { error })
            }
            None => Err(failure::unreachable_at(&self.socket, std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    pub(super) async fn join_network(&self, name: &str, join: &NetworkJoin) -> Result<Changed, EngineError> {
        let container = self.find(name).await?.ok_or_else(|| missing(name))?;
        // The list leaves aliases out.
        let details = self.raw_inspect(&container.id).await?.ok_or_else(|| missing(name))?;
        let network_name = self.network_name(&join.network_id).await?;
        let networks = details.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        // The engine keys them by id until the first start and by name after it. An endpoint of a network that was removed
        // keeps the old id under the name.
        let here = networks.into_iter().filter(|(key, endpoint)| {
            endpoint.network_id.as_deref() == Some(&join.network_id) || *key == join.network_id || *key == network_name
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
                    let network = HashMap::from([(network_name, placed(join))]);
                    let holder = self.holder(&container.id, &network).await;
                    Err(EngineError::AddressTaken { name, holder, detail })
                }
                error => Err(error),
            },
        }
    }

    /// Containers that mount a volume, from one list of all containers that there are.
    pub(super) async fn mounting(&self, volume: &str, owner: &str) -> Result<Vec<VolumeUser>, EngineError> {
        // The filter also finds a volume that is mounted at a path of this name: the comparison decides.
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

/// A name conflict with one of ours is no conflict when it is the very container that was asked for.
fn same_container(spec: &ContainerSpec, holder: Container) -> Result<String, EngineError> {
    if holder.identity != spec.identity {
        return Err(EngineError::NameTaken { name: spec.name.clone() });
    }
    if holder.state == ContainerState::Removing {
        return Err(EngineError::Conflict {
            what: format!("container {}", spec.name),
            detail: "the one of that name is being removed".into(),
        });
    }
    Ok(holder.id)
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

/// The list tells the code in words only: `Exited (137) 3 seconds ago`.
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

/// The name that the engine shows. Other entries of the list are link aliases, `/other/alias`.
fn called(summary: &ContainerSummary) -> Option<String> {
    let names = summary.names.iter().flatten();
    names.filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/')).map(str::to_owned)
}

/// One for each network; somebody may have joined it to more networks by hand.
fn addresses(networks: &HashMap<String, EndpointSettings>) -> Vec<Ipv4Addr> {
    let mut addresses: Vec<_> = networks.values().filter_map(address).collect();
    addresses.sort();
    addresses
}

/// The address that it has, or the one that was chosen for it, to be had from the next start on.
fn address(endpoint: &EndpointSettings) -> Option<Ipv4Addr> {
    let given = endpoint.ip_address.as_ref().and_then(|address| address.parse().ok());
    let chosen = || endpoint.ipam_config.as_ref()?.ipv4_address.as_ref()?.parse().ok();
    given.or_else(chosen)
}

/// Whether an endpoint is what [`profile::endpoint`] asks for. One without a network's id was never started.
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

/// What the engine holds a container to; a negative limit is none at all.
fn limits(host: &HostConfig) -> Limits {
    let memory_bytes = host.memory.map_or(0, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
    let cpu_millis = host.nano_cpus.map_or(0, |nanos| u32::try_from(nanos / 1_000_000).unwrap_or(u32::MAX));
    Limits { cpu_millis, memory_bytes }
}

/// The engine writes the year 1 for "never".
fn moment(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && !text.starts_with("0001-"))
}

#[cfg(test)]
mod tests {
    use bollard::models::EndpointIpamConfig;

    use super::*;

    #[test]
    fn the_exit_code_is_read_from_the_lists_words() {
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
    fn every_network_gives_one_address_and_the_present_one_counts_before_the_chosen_one() {
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
        let (ours, theirs) = (Ipv4Addr::new(10, 208, 0, 5), Ipv4Addr::new(172, 17, 0, 9));
        assert!(on(vec![]).is_empty());
        assert_eq!(on(vec![endpoint("", Some([10, 208, 0, 5]))]), vec![ours], "stopped");
        assert_eq!(
            on(vec![endpoint("10.208.0.5", Some([10, 208, 0, 5])), endpoint("172.17.0.9", None)]),
            vec![ours, theirs]
        );
        assert_eq!(on(vec![endpoint("172.17.0.9", Some([10, 208, 0, 5]))]), vec![theirs], "what it has is what counts");
    }

    #[test]
    fn a_place_is_a_network_an_address_and_the_aliases() {
        let join =
            NetworkJoin { network_id: "n".into(), address: Ipv4Addr::new(10, 208, 0, 5), aliases: vec!["web".into()] };
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

    #[test]
    fn limits_are_read_as_they_were_set() {
        let host = |memory, nano_cpus| limits(&HostConfig { memory, nano_cpus, ..Default::default() });
        let set = Limits { cpu_millis: 500, memory_bytes: 64 << 20 };
        assert_eq!(host(Some(64 << 20), Some(500_000_000)), set);
        assert_eq!(host(None, None), Limits { cpu_millis: 0, memory_bytes: 0 });
        assert_eq!(host(Some(-1), None).memory_bytes, u64::MAX);
    }
}
