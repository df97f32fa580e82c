//! Builds through BuildKit: the caller streams the context, the engine reports progress as events, and dropping the
//! stream cancels the build.
//!
//! The engine's `pull` flag is never set, because it fails for base images that exist only locally. The engine never
//! receives a URL to fetch, and never a secret: build arguments are part of the image's history.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion};
use bollard::{Docker, body_try_stream};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::progress::Progress;
use super::{DockerEngine, STALL_DEADLINE, failure};
use crate::error::EngineError;
use crate::port::{BuildEvent, BuildEvents, BuildSpec, Context};
use crate::reference;

/// Number of events that may wait for a slow reader.
const WAITING_EVENTS: usize = 256;
/// How long the session with the engine may take to end once the image's id is known; normally milliseconds.
const SETTLE_DEADLINE: Duration = Duration::from_secs(5);

/// Limit for build arguments. They are part of the request's URL, which the HTTP client limits to 65,534 bytes; the
/// rest of that is for the other options.
const ARGUMENTS_LIMIT: usize = 60_000;

type Sender = mpsc::Sender<Result<BuildEvent, EngineError>>;

impl DockerEngine {
    pub(super) fn build_image(&self, spec: &BuildSpec, context: Context) -> BuildEvents {
        let (events, receiver) = mpsc::channel(WAITING_EVENTS);
        let build = Build { docker: self.docker.clone(), socket: self.socket.clone(), tag: spec.tag.clone() };
        if let Err(error) = check_arguments(spec) {
            return futures::stream::iter([Err(error)]).boxed();
        }
        let options = options(spec);
        tokio::spawn(async move {
            let reader_gone = events.clone();
            tokio::select! {
                // Dropping the request cancels the build: the engine ends the step and keeps nothing.
                () = reader_gone.closed() => {}
                outcome = build.run(options, context, &events) => {
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
    tag: String,
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
    async fn run(self, options: BuildImageOptions, context: Context, events: &Sender) -> Result<String, EngineError> {
        let watch = Arc::new(ContextWatch::default());
        let body = body_try_stream(watch.watch(context));
        let mut messages = std::pin::pin!(self.docker.build_image(options, None, Some(body)));
        let mut progress = Progress::default();
        let mut image = None;
        loop {
            // The id may arrive before the last progress events.
            let message = match &image {
                None => next_message(&mut messages, &watch).await?,
                Some(_) => tokio::time::timeout(SETTLE_DEADLINE, messages.next()).await.unwrap_or(None),
            };
            // A context that failed ends the build, whatever the engine did with the part it received.
            if let Some(failure) = watch.failure() {
                return Err(failure);
            }
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(bollard::errors::Error::DockerStreamError { error })) => return Err(progress.failure(&error)),
                Some(Err(error)) => return Err(self.refused(error)),
                None => return self.finish(image).await,
            };
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
        let (repository, tag) = reference::split(&self.tag);
        let options = bollard::query_parameters::TagImageOptionsBuilder::default()
            .repo(repository)
            .tag(tag.unwrap_or_default())
            .build();
        match tokio::time::timeout(super::DEADLINE, self.docker.tag_image(&id, Some(options))).await {
            Ok(Ok(())) => Ok(id),
            Ok(Err(error)) => Err(failure::translate(&self.socket, "tag", error)),
            Err(_) => Err(EngineError::Timeout { verb: "tag", after: super::DEADLINE }),
        }
    }

    fn refused(&self, error: bollard::errors::Error) -> EngineError {
        match failure::translate(&self.socket, "build", error) {
            // We choose the tag and it is well-formed. So if the engine refuses before the build begins, the Dockerfile
            // or its path is wrong.
            EngineError::Other { status: Some(400), message, .. } => EngineError::DockerfileInvalid { message },
            other => other,
        }
    }
}

/// The next message. An error if, for the whole stall deadline, no message arrived and the engine read no byte of the
/// context.
async fn next_message<S>(messages: &mut S, watch: &ContextWatch) -> Result<Option<S::Item>, EngineError>
where
    S: Stream<Item = Result<BuildInfo, bollard::errors::Error>> + Unpin,
{
    let mut sent = watch.bytes.load(Ordering::Relaxed);
    loop {
        if let Ok(message) = tokio::time::timeout(STALL_DEADLINE, messages.next()).await {
            return Ok(message);
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

fn options(spec: &BuildSpec) -> BuildImageOptions {
    let owned = |map: &std::collections::BTreeMap<String, String>| -> HashMap<String, String> {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    BuildImageOptionsBuilder::default()
        .t(&spec.tag)
        .dockerfile(&spec.dockerfile)
        .nocache(spec.no_cache)
        .buildargs(&owned(&spec.args))
        .labels(&owned(&spec.labels))
        .version(BuilderVersion::BuilderBuildKit)
        // Must be unique, or two builds would share one session with the engine.
        .session(&uuid::Uuid::new_v4().to_string())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: String) -> BuildSpec {
        BuildSpec {
            tag: "a:1".to_owned(),
            dockerfile: "Dockerfile".to_owned(),
            args: [("KEY".to_owned(), value)].into(),
            no_cache: false,
            labels: Default::default(),
        }
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
