//! The life of a container: create, start, stop, remove, wait.
//!
//! Verbs take the name that a container was made under, find the container, and act on its id: a name that another container
//! took in between is never acted upon.

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

/// Beyond the grace, what the engine may take to kill and clean up.
const STOP_SLACK: Duration = Duration::from_secs(30);
/// A removal kills, unmounts and deletes a file system, which takes a slow disk its time.
const REMOVE_DEADLINE: Duration = Duration::from_secs(60);
/// How often to look again while somebody else creates or removes.
const POLL: Duration = Duration::from_millis(50);

impl DockerEngine {
    pub(super) async fn create_container(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let host = self.host().await?;
        if let Some(mount) = &spec.volume
            && !self.has_volume(&mount.volume).await?
        {
            // The engine would make an empty one without a word, and a database would begin anew on it.
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
        // With its anonymous volumes, which would stay for ever.
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
