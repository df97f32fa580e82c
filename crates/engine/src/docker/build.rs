//! Builds through BuildKit: the caller streams the context, the engine reports progress as events, and dropping the
//! stream cancels the build.
//!
//! The engine's `pull` flag is never set, because it fails for base images that exist only locally. The engine never
//! receives a URL to fetch. It asks for secrets over the [`Session`], and keeps none.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bollard::Docker;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion};
use futures::{Stream, StreamExt, TryStreamExt};
use http_body_util::BodyDataStream;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, Lines};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

use super::http::{self, Connection};
use super::progress::Progress;
use super::session::Session;
use super::{DockerEngine, STALL_DEADLINE, failure};
use crate::error::EngineError;
use crate::port::{BuildEvent, BuildEvents, BuildSpec, Context};
use crate::reference;

/// Number of events that may wait for a slow reader.
const WAITING_EVENTS: usize = 256;

/// Limit for build arguments. They are part of the request's URL, which the HTTP client limits to 65,534 bytes; the
/// rest of that is for the other options.
const ARGUMENTS_LIMIT: usize = 60_000;

type Sender = mpsc::Sender<Result<BuildEvent, EngineError>>;

impl DockerEngine {
    pub(super) fn build_image(&self, spec: &BuildSpec, context: Context) -> BuildEvents {
        let (events, receiver) = mpsc::channel(WAITING_EVENTS);
        let (docker, socket, tagging) = (self.docker.clone(), self.socket.clone(), self.tagging.clone());
        let build = Build { docker, socket, tagging, spec: spec.clone() };
        if let Err(error) = check_arguments(spec) {
            return futures::stream::iter([Err(error)]).boxed();
        }
        tokio::spawn(async move {
            let reader_gone = events.clone();
            tokio::select! {
                // Dropping the request cancels the build: the engine ends the step and keeps nothing.
                () = reader_gone.closed() => {}
                outcome = build.run(context, &events) => {
                    // The send fails only if the reader was dropped, and then the outcome does not matter.
                    let _ = events.send(outcome.map(|image| BuildEvent::Built { image })).await;
                }
            }
        });
        let next =
            |mut receiver: mpsc::Receiver<_>| async move { receiver.recv().await.map(|event| (event, receiver)) };
        futures::stream::unfold(receiver, next).boxed()
    }
}

struct Build {
    docker: Docker,
    socket: PathBuf,
    /// That of the engine: no tag is removed while an image is tagged.
    tagging: Arc<tokio::sync::Mutex<()>>,
    spec: BuildSpec,
}

/// State of the context stream. The request owns the stream, so the build watches it through this.
#[derive(Default)]
struct ContextWatch {
    bytes: AtomicU64,
    failed: Mutex<Option<io::Error>>,
}

impl ContextWatch {
    fn watch(self: &Arc<Self>, context: Context) -> impl Stream<Item = io::Result<bytes::Bytes>> + Send + use<> {
        let watch = self.clone();
        context.map(move |chunk| match chunk {
            Ok(chunk) => {
                watch.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Ok(chunk)
            }
            Err(error) => {
                // The request fails with a copy; the caller gets the original error.
                let copy = io::Error::new(error.kind(), "the build context ended with an error");
                *watch.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(copy)
            }
        })
    }

    fn failure(&self) -> Option<EngineError> {
        let source = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(EngineError::ContextFailed { source })
    }
}

impl Build {
    /// Builds and tags the image, and returns its id.
    async fn run(self, context: Context, events: &Sender) -> Result<String, EngineError> {
        let id = uuid::Uuid::new_v4().to_string();
        let _session = Session::open(&self.socket, &id, &self.spec).await?;
        let mut connection = Connection::open(&self.socket).await?;
        let watch = Arc::new(ContextWatch::default());
        let body = http::stream_body(watch.watch(context).boxed());
        let request = http::post(&path(&self.spec, &id), &[("content-type", "application/x-tar")], body);
        let response = moving(&watch, connection.send(request)).await?;
        // A context that failed ends the build, whatever the engine did with the part it received.
        if let Some(failure) = watch.failure() {
            return Err(failure);
        }
        let response = response.map_err(|error| failure::broken_connection(&self.socket, &error))?;
        if !response.status().is_success() {
            return Err(self.refused(http::refusal("build", response).await));
        }
        let body = BodyDataStream::new(response.into_body()).map_err(io::Error::other);
        self.follow(StreamReader::new(body).lines(), &watch, events).await
    }

    /// Reads the engine's messages to their end.
    async fn follow<R: AsyncBufRead + Unpin>(
        &self,
        mut messages: Lines<R>,
        watch: &ContextWatch,
        events: &Sender,
    ) -> Result<String, EngineError> {
        let mut progress = Progress::default();
        let mut image = None;
        loop {
            // A step may be silent for long. The caller limits the time of the whole build.
            let line = messages.next_line().await;
            if let Some(failure) = watch.failure() {
                return Err(failure);
            }
            let Some(line) = line.map_err(|error| failure::broken_connection(&self.socket, &error))? else {
                return self.finish(image).await;
            };
            let message: BuildInfo = match serde_json::from_str(&line) {
                Ok(message) => message,
                Err(_) if line.trim().is_empty() => continue,
                Err(error) => {
                    let message = format!("the engine sent a message that cannot be read: {error}");
                    return Err(EngineError::Other { verb: "build", status: None, message });
                }
            };
            if let Some(message) = message.error_detail.and_then(|it| it.message) {
                return Err(progress.failure(&message, &self.spec.logins));
            }
            match message.aux {
                Some(BuildInfoAux::BuildKit(status)) => {
                    for event in progress.apply(status) {
                        // Fails only if the reader was dropped, and then the caller ends this function anyway.
                        let _ = events.send(Ok(event)).await;
                    }
                }
                Some(BuildInfoAux::Default(result)) => image = result.id.or(image),
                None => {}
            }
        }
    }

    /// Old engines report the id before they tag the image, so we tag it too. Tagging twice is harmless.
    async fn finish(&self, image: Option<String>) -> Result<String, EngineError> {
        let Some(id) = image else {
            let message = "the engine ended the build without an error and without an image".to_owned();
            return Err(EngineError::Other { verb: "build", status: None, message });
        };
        let (repository, tag) = reference::split(&self.spec.tag);
        let options = bollard::query_parameters::TagImageOptionsBuilder::default()
            .repo(repository)
            .tag(tag.unwrap_or_default())
            .build();
        let _alone = self.tagging.lock().await;
        match tokio::time::timeout(super::DEADLINE, self.docker.tag_image(&id, Some(options))).await {
            Ok(Ok(())) => Ok(id),
            Ok(Err(error)) => Err(failure::translate(&self.socket, "tag", error)),
            Err(_) => Err(EngineError::Timeout { verb: "tag", after: super::DEADLINE }),
        }
    }

    fn refused(&self, error: EngineError) -> EngineError {
        match error {
            // We choose the tag and it is well-formed. So if the engine refuses before the build begins, the Dockerfile
            // or its path is wrong.
            EngineError::Other { status: Some(400), message, .. } => EngineError::DockerfileInvalid { message },
            other => other,
        }
    }
}

/// What `next` returns. An error if, for the whole stall deadline, it did not end and the engine read no byte of the
/// context.
async fn moving<T>(watch: &ContextWatch, next: impl Future<Output = T>) -> Result<T, EngineError> {
    let mut next = std::pin::pin!(next);
    let mut sent = watch.bytes.load(Ordering::Relaxed);
    loop {
        if let Ok(result) = tokio::time::timeout(STALL_DEADLINE, &mut next).await {
            return Ok(result);
        }
        let now = watch.bytes.load(Ordering::Relaxed);
        if now == sent {
            return Err(EngineError::Timeout { verb: "build", after: STALL_DEADLINE });
        }
        sent = now;
    }
}

/// Refuses arguments that do not fit. Errors: `BuildArgumentsTooLarge`, with their size in the URL.
fn check_arguments(spec: &BuildSpec) -> Result<(), EngineError> {
    // The arguments are JSON inside a URL: quotes and backslashes are escaped twice, control characters become `\u00…`.
    let in_address = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' | b' ' => 1,
        b'"' | b'\\' => 6,
        0..0x20 => 8,
        _ => 3,
    };
    let encoded = |text: &str| -> usize { text.bytes().map(in_address).sum::<usize>() + 6 };
    // Colon and comma of each pair take three bytes each.
    let bytes = spec.args.iter().map(|(key, value)| encoded(key) + encoded(value) + 6).sum();
    match bytes > ARGUMENTS_LIMIT {
        true => Err(EngineError::BuildArgumentsTooLarge { bytes, limit: ARGUMENTS_LIMIT }),
        false => Ok(()),
    }
}

/// The path and query of the request. `session`: the session's id.
fn path(spec: &BuildSpec, session: &str) -> String {
    let owned = |map: &std::collections::BTreeMap<String, String>| -> HashMap<String, String> {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut options: BuildImageOptions = BuildImageOptionsBuilder::default()
        .t(&spec.tag)
        .dockerfile(&spec.dockerfile)
        .nocache(spec.no_cache)
        .buildargs(&owned(&spec.args))
        .labels(&owned(&spec.labels))
        .version(BuilderVersion::BuilderBuildKit)
        .session(session)
        .build();
    // The additional names of hosts are part of every `RUN` step's key in the build cache, and of no image.
    options.extrahosts = spec.cache_key.as_ref().map(|key| format!("{key}.cache-key.invalid:127.0.0.1"));
    let query = serde_urlencoded::to_string(options).expect("the options consist of texts and numbers");
    format!("/build?{query}")
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    fn spec(value: String) -> BuildSpec {
        BuildSpec {
            tag: "a:1".to_owned(),
            dockerfile: "Dockerfile".to_owned(),
            args: [("KEY".to_owned(), value)].into(),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn an_image_is_not_tagged_while_a_tag_is_removed() {
        let folder = tempfile::tempdir().expect("a directory");
        let socket = folder.path().join("engine.sock");
        let _engine = tokio::net::UnixListener::bind(&socket).expect("a socket");
        let docker = Docker::connect_with_unix(&socket.to_string_lossy(), 60, bollard::API_DEFAULT_VERSION);
        let tagging = Arc::new(tokio::sync::Mutex::default());
        let build =
            Build { docker: docker.expect("a client"), socket, tagging: tagging.clone(), spec: spec(String::new()) };
        let removing = tagging.lock().await;
        let mut tagged = Box::pin(build.finish(Some("sha256:1".to_owned())));
        assert!(poll!(&mut tagged).is_pending());
        drop(removing);
        assert!(tagging.try_lock().is_err(), "the build is next");
    }

    #[test]
    fn arguments_that_exceed_the_request_are_refused_with_the_limit() {
        assert!(check_arguments(&spec("a".repeat(50_000))).is_ok());
        let error = check_arguments(&spec("a".repeat(61_000))).expect_err("too long");
        assert!(error.to_string().contains("at most about 60000"), "{error}");
        // A character that a URL escapes counts as three bytes.
        assert!(check_arguments(&spec("%".repeat(25_000))).is_err());
    }
}
