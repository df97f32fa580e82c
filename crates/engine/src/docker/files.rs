//! Files of a container, as a tar stream.

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures::StreamExt;

use super::lookup::missing;
use super::{DEADLINE, DockerEngine, STALL_DEADLINE, failure};
use crate::error::EngineError;
use crate::port::TarStream;

impl DockerEngine {
    pub(super) async fn container_directory(&self, name: &str, path: &str) -> Result<Option<TarStream>, EngineError> {
        let container = self.find(name).await?.ok_or_else(|| missing(name))?;
        // With this end, the engine follows a link, and refuses what is not a directory.
        let path = format!("{}/.", path.trim_end_matches('/'));
        let options = DownloadFromContainerOptionsBuilder::default().path(&path).build();
        let socket = self.socket.clone();
        let mut pieces = self.docker.download_from_container(&container.id, Some(options)).boxed();
        // The engine answers with the first piece, or with an error.
        let Ok(first) = tokio::time::timeout(DEADLINE, pieces.next()).await else {
            return Err(EngineError::Timeout { verb: "directory", after: DEADLINE });
        };
        let first = match first.transpose().map_err(|error| failure::translate(&socket, "directory", error)) {
            Ok(first) => first,
            Err(error) if is_no_directory(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let rest = futures::stream::unfold(pieces, move |mut pieces| {
            let socket = socket.clone();
            async move {
                let next = match tokio::time::timeout(STALL_DEADLINE, pieces.next()).await {
                    Ok(next) => next?.map_err(|error| failure::translate(&socket, "directory", error)),
                    Err(_) => Err(EngineError::Timeout { verb: "directory", after: STALL_DEADLINE }),
                };
                Some((next, pieces))
            }
        });
        Ok(Some(futures::stream::iter(first.map(Ok)).chain(rest).boxed()))
    }
}

/// The engine's words for a path that does not exist, and for one that is no directory.
fn is_no_directory(error: &EngineError) -> bool {
    let text = error.to_string().to_lowercase();
    match failure::status(error) {
        Some(404) => text.contains("could not find the file") || text.contains("no such file"),
        Some(400 | 500) => text.contains("not a directory") || text.contains("no such file"),
        _ => false,
    }
}
