//! Named volumes of databases. Only [`crate::Engine::remove_volume`] removes a volume.

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};

use super::{DEADLINE, DockerEngine, LIST_DEADLINE, failure};
use crate::error::EngineError;
use crate::identity::Kind;
use crate::port::{Changed, Identity, Volume};

impl DockerEngine {
    pub(super) async fn list_volumes(&self) -> Result<Vec<Volume>, EngineError> {
        let options = ListVolumesOptionsBuilder::default().filters(&self.installation_filter()).build();
        let answer = self.call("volumes", LIST_DEADLINE, self.docker.list_volumes(Some(options))).await?;
        let volumes = answer.volumes.unwrap_or_default();
        Ok(volumes.into_iter().filter_map(|volume| self.recognise_volume(volume)).collect())
    }

    /// Whether this installation has a volume of this name.
    pub(super) async fn has_volume(&self, name: &str) -> Result<bool, EngineError> {
        Ok(self.list_volumes().await?.iter().any(|volume| volume.name == name))
    }

    fn recognise_volume(&self, volume: bollard::models::Volume) -> Option<Volume> {
        let identity = self.installation.identify(Kind::Volume, &volume.name, &volume.labels)?;
        Some(Volume { name: volume.name, identity })
    }

    pub(super) async fn find_or_create_volume(&self, name: &str, identity: &Identity) -> Result<Changed, EngineError> {
        if self.has_volume(name).await? {
            return Ok(Changed::AlreadySo);
        }
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(self.installation.labels(Kind::Volume, name, identity)),
            ..Default::default()
        };
        // The engine returns any existing volume of that name, so the labels show whether it belongs to this
        // installation.
        let made = match self.call("ensure_volume", DEADLINE, self.docker.create_volume(request)).await {
            Ok(volume) => self.recognise_volume(volume),
            Err(error) if failure::status(&error) == Some(409) => None,
            Err(error) => return Err(error),
        };
        match made {
            Some(_) => Ok(Changed::Done),
            None => Err(EngineError::NameTaken { name: name.to_owned() }),
        }
    }

    pub(super) async fn delete_volume(&self, name: &str) -> Result<Changed, EngineError> {
        if !self.has_volume(name).await? {
            return Ok(Changed::AlreadySo);
        }
        match self.call("remove_volume", DEADLINE, self.docker.remove_volume(name, None::<RemoveVolumeOptions>)).await {
            Ok(()) => Ok(Changed::Done),
            Err(error) if failure::status(&error) == Some(404) => Ok(Changed::AlreadySo),
            Err(error) => Err(failure::conflict(&format!("volume {name}"), error)),
        }
    }
}
