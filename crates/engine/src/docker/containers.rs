//! Containers: list, inspect, create, start, stop, remove, wait, and the restart policy.
//!
//! Verbs take a name, find the container of ours that has it, and act on its id: a name that somebody else took in between
//! is never acted upon.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum,
    ContainerUpdateBody, EndpointSettings, NetworkConnectRequest, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::StreamExt;

use super::{DEADLINE, DockerEngine, Host, LIST_DEADLINE, failure, profile};
use crate::error::EngineError;
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
        let filters = self.ours();
        Ok(self.found(filters).await?.into_iter().map(|found| found.container).collect())
    }

    /// The container of ours with exactly this name, by way of the list.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Container>, EngineError> {
        Ok(self.find_with_networks(name).await?.map(|found| found.container))
    }

    async fn find_with_networks(&self, name: &str) -> Result<Option<Found>, EngineError> {
        let mut filters = self.ours();
        // A regular expression to the engine, so it may find too much: the comparison decides.
        filters.insert("name", vec![format!("^/?{name}$")]);
        Ok(self.found(filters).await?.into_iter().find(|found| found.container.name == name))
    }

    async fn found(&self, filters: HashMap<&'static str, Vec<String>>) -> Result<Vec<Found>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let summaries = self.call("list", LIST_DEADLINE, self.docker.list_containers(Some(options))).await?;
        Ok(summaries.into_iter().filter_map(|summary| self.recognise(summary)).collect())
    }

    fn recognise(&self, summary: ContainerSummary) -> Option<Found> {
        let names = summary.names.unwrap_or_default();
        // Other entries are link aliases, `/other/alias`.
        let name = names.iter().filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/'))?.to_owned();
        let identity = self.installation.identify(Kind::Container, &name, &summary.labels?)?;
        let networks = summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let container = Container {
            id: summary.id?,
            name,
            identity,
            image: summary.image_id.unwrap_or_default(),
            state: listed_state(summary.state?, summary.status.as_deref().unwrap_or_default()),
            address: address(&networks),
        };
        Some(Found { container, networks })
    }

    pub(super) async fn inspect_container(&self, name: &str) -> Result<Option<ContainerDetails>, EngineError> {
        let request = self.docker.inspect_container(name, None::<InspectContainerOptions>);
        match self.call("inspect", DEADLINE, request).await {
            Ok(answer) => Ok(self.details(name, answer)),
            Err(error) if failure::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn details(&self, wanted: &str, answer: ContainerInspectResponse) -> Option<ContainerDetails> {
        let name = answer.name?.trim_start_matches('/').to_owned();
        // The engine also takes a prefix of an id for a name.
        if name != wanted {
            return None;
        }
        let identity = self.installation.identify(Kind::Container, &name, &answer.config?.labels?)?;
        let state = answer.state.unwrap_or_default();
        let exit_code = state.exit_code;
        let networks = answer.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let policy = answer.host_config.and_then(|host| host.restart_policy).and_then(|policy| policy.name);
        let seen = inspected_state(state.status, exit_code);
        Some(ContainerDetails {
            container: Container {
                id: answer.id?,
                name,
                identity,
                image: answer.image.unwrap_or_default(),
                state: seen,
                address: address(&networks),
            },
            started_at: moment(state.started_at),
            finished_at: moment(state.finished_at),
            exit_code: matches!(seen, ContainerState::Exited { .. } | ContainerState::Restarting)
                .then_some(exit_code)
                .flatten(),
            oom_killed: state.oom_killed.unwrap_or_default(),
            restart_count: answer.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
            restart_policy: match policy {
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
            Ok(answer) => return Ok(Some(answer.id)),
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
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.call("list", LIST_DEADLINE, self.docker.list_containers(Some(options))).await?;
        let has_it = |summary: &ContainerSummary| {
            summary.names.iter().flatten().any(|listed| listed.strip_prefix('/') == Some(&spec.name))
        };
        let Some(holder) = listed.into_iter().find(has_it) else { return Ok(None) };
        match self.recognise(holder) {
            Some(ours) => same_container(spec, ours.container).map(Some),
            None => Err(EngineError::NameTaken { name: spec.name.clone() }),
        }
    }

    pub(super) async fn start_container(&self, name: &str) -> Result<Changed, EngineError> {
        let container = self.find(name).await?.ok_or_else(|| missing(name))?;
        let started = match container.state {
            ContainerState::Running | ContainerState::Restarting => return Ok(Changed::AlreadySo),
            // Paused by hand; the engine refuses to start it, while what is asked for is a running process.
            ContainerState::Paused => self.call("start", DEADLINE, self.docker.unpause_container(&container.id)).await,
            ContainerState::Created | ContainerState::Exited { .. } | ContainerState::Removing => {
                let request = self.docker.start_container(&container.id, None::<StartContainerOptions>);
                self.call("start", DEADLINE, request).await
            }
        };
        started.map(|()| Changed::Done).map_err(|error| failure::start_failure(name, error))
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
        let request = self.docker.update_container(&details.container.id, body);
        match self.call("set_restart_policy", DEADLINE, request).await {
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
        let found = self.find_with_networks(name).await?.ok_or_else(|| missing(name))?;
        let joined = |endpoint: &EndpointSettings| endpoint.network_id.as_deref() == Some(&join.network_id);
        if found.networks.values().any(joined) {
            return Ok(Changed::AlreadySo);
        }
        let body =
            NetworkConnectRequest { container: found.container.id, endpoint_config: Some(profile::endpoint(join)) };
        match self.call("connect", DEADLINE, self.docker.connect_network(&join.network_id, body)).await {
            Ok(()) => Ok(Changed::Done),
            Err(error) if error.to_string().contains("already exists in network") => Ok(Changed::AlreadySo),
            Err(error) => Err(failure::start_failure(name, error)),
        }
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

/// The address we chose, or the one it has. Somebody may have joined it to more networks by hand: ours is the one with a
/// chosen address.
fn address(networks: &HashMap<String, EndpointSettings>) -> Option<Ipv4Addr> {
    let chosen = |endpoint: &EndpointSettings| endpoint.ipam_config.as_ref()?.ipv4_address.as_ref()?.parse().ok();
    let given = |endpoint: &EndpointSettings| endpoint.ip_address.as_ref()?.parse().ok();
    networks.values().find_map(chosen).or_else(|| networks.values().find_map(given))
}

/// The engine writes the year 1 for "never".
fn moment(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && !text.starts_with("0001-"))
}

#[cfg(test)]
mod tests {
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
    fn the_chosen_address_wins_over_networks_joined_by_hand() {
        let by_hand = EndpointSettings { ip_address: Some("172.17.0.9".into()), ..Default::default() };
        let ours = profile::endpoint(&NetworkJoin {
            network_id: "n".into(),
            address: Ipv4Addr::new(10, 208, 0, 5),
            aliases: vec![],
        });
        let both = HashMap::from([("bridge".to_owned(), by_hand.clone()), ("ours".to_owned(), ours)]);
        assert_eq!(address(&both), Some(Ipv4Addr::new(10, 208, 0, 5)));
        assert_eq!(address(&HashMap::from([("bridge".to_owned(), by_hand)])), Some(Ipv4Addr::new(172, 17, 0, 9)));
        assert_eq!(address(&HashMap::new()), None);
    }
}
