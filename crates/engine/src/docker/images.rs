//! Images: find, pull, tag, list tags, remove. Removal never uses force: an image in use stays.

use bollard::auth::DockerCredentials;
use bollard::models::{ErrorDetail, ImageSummary};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptions, RemoveImageOptions, TagImageOptionsBuilder,
};
use futures::StreamExt;

use super::{DEADLINE, DockerEngine, LIST_DEADLINE, STALL_DEADLINE, failure};
use crate::error::EngineError;
use crate::port::{Changed, ImageDefaults, TaggedImage};
use crate::reference;
use crate::secret::RegistryLogin;

impl DockerEngine {
    pub(super) async fn image_id(&self, reference: &str) -> Result<Option<String>, EngineError> {
        match self.call("image", DEADLINE, self.docker.inspect_image(reference)).await {
            Ok(image) => Ok(image.id),
            Err(error) if failure::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn digest_of(&self, reference: &str) -> Result<Option<String>, EngineError> {
        let seen = match self.call("image", DEADLINE, self.docker.inspect_image(reference)).await {
            Err(error) if failure::status(&error) == Some(404) => return Ok(None),
            other => other?,
        };
        // An image has a digest for each repository that it was pulled from or pushed to.
        let repository = reference::short_repository(reference);
        let digests = seen.repo_digests.into_iter().flatten();
        Ok(digests.into_iter().find(|it| reference::short_repository(it) == repository))
    }

    pub(super) async fn digest_in_registry(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<String, EngineError> {
        let failed = |cause: String| EngineError::RegistryQueryFailed { reference: reference.to_owned(), cause };
        let asked = self.docker.inspect_registry_image(reference, login.map(|it| credentials(reference, it)));
        match self.call("registry_digest", STALL_DEADLINE, asked).await {
            Ok(found) => found.descriptor.digest.ok_or_else(|| failed("its answer has no digest".into())),
            // The engine answers for the registry: every status may be the registry's.
            Err(EngineError::Other { message, .. }) => Err(failed(message)),
            Err(other) => Err(other),
        }
    }

    pub(super) async fn defaults_of(&self, image: &str) -> Result<ImageDefaults, EngineError> {
        let seen = match self.call("image", DEADLINE, self.docker.inspect_image(image)).await {
            Err(error) if failure::status(&error) == Some(404) => {
                return Err(EngineError::ImageMissing { reference: image.to_owned() });
            }
            other => other?,
        };
        let config = seen.config.unwrap_or_default();
        let command = config.entrypoint.into_iter().flatten().chain(config.cmd.into_iter().flatten()).collect();
        let working_dir = config.working_dir.unwrap_or_default();
        Ok(ImageDefaults { command, stop_signal: config.stop_signal, working_dir })
    }

    pub(super) async fn pull_image(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<String, EngineError> {
        let (repository, tag) = reference::split(reference);
        let mut options = CreateImageOptionsBuilder::default().from_image(repository);
        if let Some(tag) = tag {
            options = options.tag(tag);
        }
        let credentials = login.map(|it| credentials(reference, it));
        let mut progress = self.docker.create_image(Some(options.build()), None, credentials);
        let failed = |cause: String| failure::pull_failure(reference, cause, login);
        loop {
            let Ok(item) = tokio::time::timeout(STALL_DEADLINE, progress.next()).await else {
                return Err(EngineError::Timeout { verb: "pull", after: STALL_DEADLINE });
            };
            return Err(match item {
                None => break,
                Some(Ok(info)) => match info.error_detail {
                    Some(ErrorDetail { message: Some(message), .. }) => failed(message),
                    _ => continue,
                },
                Some(Err(error)) => match failure::translate(&self.socket, "pull", error) {
                    EngineError::Other { message, .. } => failed(message),
                    other => other,
                },
            });
        }
        self.image_id(reference)
            .await?
            .ok_or_else(|| failed("the engine ended the pull without an error and without the image".into()))
    }

    pub(super) async fn tag_image(&self, image: &str, reference: &str) -> Result<(), EngineError> {
        let (repository, tag) = reference::split(reference);
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag.unwrap_or_default()).build();
        let _alone = self.tagging.lock().await;
        match self.call("tag", DEADLINE, self.docker.tag_image(image, Some(options))).await {
            Err(error) if failure::status(&error) == Some(404) => {
                Err(EngineError::ImageMissing { reference: image.to_owned() })
            }
            other => other,
        }
    }

    pub(super) async fn image_tags(&self, prefix: &str) -> Result<Vec<TaggedImage>, EngineError> {
        let images = self.call("tags", LIST_DEADLINE, self.docker.list_images(None::<ListImagesOptions>)).await?;
        let tagged = |image: ImageSummary| {
            let (size_bytes, created_seconds) = (image.size.max(0).unsigned_abs(), image.created.max(0).unsigned_abs());
            let of = move |reference| TaggedImage { reference, id: image.id.clone(), size_bytes, created_seconds };
            image.repo_tags.into_iter().map(of)
        };
        let mut tags: Vec<_> =
            images.into_iter().flat_map(tagged).filter(|it| it.reference.starts_with(prefix)).collect();
        tags.sort();
        Ok(tags)
    }

    pub(super) async fn delete_image(&self, reference: &str) -> Result<Changed, EngineError> {
        let request = self.docker.remove_image(reference, None::<RemoveImageOptions>, None);
        let _alone = self.tagging.lock().await;
        match self.call("remove_image", DEADLINE, request).await {
            Ok(_) => Ok(Changed::Done),
            Err(error) if failure::status(&error) == Some(404) => Ok(Changed::AlreadySo),
            Err(error) => Err(failure::conflict(&format!("image {reference}"), error)),
        }
    }
}

fn credentials(reference: &str, login: &RegistryLogin) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose().to_owned()),
        serveraddress: Some(reference::host(reference).to_owned()),
        ..DockerCredentials::default()
    }
}
