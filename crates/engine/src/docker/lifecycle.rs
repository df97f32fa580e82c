//! The life of a container: create, start, stop, remove, wait.
//!
//! Verbs take the name under which a container was created, find the container, and act on its id. So they never act on
//! another container that took the name in between.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures::StreamExt;

use super::lookup::{Found, called, missing};
use super::{DEADLINE, DockerEngine, Host, failure, profile};
use crate::error::EngineError;
use crate::port::*;

/// How long the engine may take to kill and clean up after the grace.
const STOP_SLACK: Duration = Duration::from_secs(30);
/// A removal kills the process, unmounts, and deletes a file system, which takes time on a slow disk.
const REMOVE_DEADLINE: Duration = Duration::from_secs(60);
/// How often to check while another client creates or removes the container.
const POLL: Duration = Duration::from_millis(50);

impl DockerEngine {
    pub(super) async fn create_container(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let host = self.host().await?;
        if let Some(mount) = &spec.volume
            && !self.has_volume(&mount.volume).await?
        {
            // The engine would silently create an empty volume, and a database would start without its data.
            return Err(EngineError::NotFound { what: format!("volume {}", mount.volume) });
        }
        // The container exists under another name, because a user renamed it. Its name is free, but a second
        // container must not take it.
        if !self.made.ids_of(&spec.name).is_empty()
            && let Some(container) = self.find(&spec.name).await?
        {
            return same_container(spec, container);
        }
        self.check_ports(spec).await?;
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

    /// One attempt. `None` if the name is taken and the list shows no container with it: the engine reserves a name
    /// before it lists the container, and frees the name after it stops listing the container.
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

    /// The container that has the name. Uses a single list: if it used two, a container that appears between them would
    /// look like another owner's.
    async fn holder_of_name(&self, spec: &ContainerSpec) -> Result<Option<String>, EngineError> {
        let filters = HashMap::from([("name", vec![format!("^/?{}$", spec.name)])]);
        let has_it = |summary: &ContainerSummary| called(summary).as_deref() == Some(&spec.name);
        let Some(holder) = self.summaries(filters).await?.into_iter().find(has_it) else { return Ok(None) };
        match self.recognise(holder).filter(|found| found.container.name == spec.name) {
            Some(found) => same_container(spec, found.container).map(Some),
            None => Err(EngineError::NameTaken { name: spec.name.clone() }),
        }
    }

    pub(super) async fn start_container(&self, name: &str) -> Result<Changed, EngineError> {
        let Found { container, networks } = self.find_with_networks(name).await?.ok_or_else(|| missing(name))?;
        let started = match container.state {
            ContainerState::Running | ContainerState::Restarting => return Ok(Changed::AlreadySo),
            // A user paused it. The engine refuses to start a paused container, and the caller asks for a running
            // process.
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
        // Also removes its anonymous volumes, which would otherwise stay for ever.
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

    /// Another client is removing it: wait until it no longer exists.
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
        // For a container that never ran, the engine would return 0 immediately.
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
}

/// If the existing container is the requested one, the name conflict is not an error.
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
