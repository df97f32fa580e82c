//! Prebuilt images: found on the engine, or pulled from a registry.

use app_spec::{ImageSource, image_reference};
use builder::LogSink;
use engine::{EngineError, RegistryLogin};
use futures::future::BoxFuture;
use rollout::queue::Build;
use store::records::Image;

use super::actions::ImageReady;
use super::images::chain;
use super::serving_images::{KeptFrom, Sourcing};
use super::{STORE_PAUSE, Shared};

/// When to pull an image although the engine has one with its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Never.
    IfMissing,
    /// If that image is from a registry. An image that was built on this host is used as it is.
    IfFromRegistry,
    /// Always.
    Always,
}

impl Pull {
    /// A deployment that takes the newest sources asks the registry whether the tag of a running image has moved. The
    /// local image of a tag that is new in the spec counts as the newest.
    pub fn of(build: Build, sourcing: &Sourcing) -> Self {
        match build {
            Build::Force | Build::ForceWithoutCache => Self::Always,
            Build::Reuse if sourcing.previous.is_some() => Self::IfFromRegistry,
            Build::Frozen | Build::KeepSources | Build::Recorded | Build::Reuse => Self::IfMissing,
        }
    }
}

/// The source of a prebuilt image, with the login for its registry.
pub(crate) struct PulledFrom {
    pub source: ImageSource,
    pub login: Option<RegistryLogin>,
}

/// The image that a tag or digest names. If the registry does not answer, the local image is used, and the log and the
/// deployment's notes say so.
pub(super) async fn find_or_pull(
    shared: &Shared,
    from: &PulledFrom,
    pull: Pull,
    sink: &LogSink,
) -> Result<ImageReady, String> {
    let PulledFrom { source, login } = from;
    let reference = image_reference(source);
    let engine = &shared.engine;
    let local = patiently(|| engine.image(&reference), sink).await.map_err(|error| error.to_string())?;
    let pulls = match pull {
        Pull::Always => true,
        // A digest never moves.
        Pull::IfFromRegistry => source.digest.is_none() && digest(shared, &reference).await.is_some(),
        Pull::IfMissing => false,
    };
    let mut remark = None;
    let (id, note) = match local {
        Some(id) if !pulls => (id, "the local image".to_owned()),
        local => match (patiently(|| engine.pull(&reference, login.as_ref()), sink).await, local) {
            (Ok(id), _) => (id, "pulled".to_owned()),
            (Err(error), Some(id)) => {
                let note = format!("the registry could not be asked ({error}); the local image is used");
                remark = (pull == Pull::IfFromRegistry).then(|| format!("{reference}: {note}"));
                (id, note)
            }
            (Err(error), None) => return Err(chain(&error)),
        },
    };
    sink(&format!("{reference}: {note}"));
    let digest = digest(shared, &reference).await;
    let image = Image { id, reference, note, digest, ..Image::default() };
    Ok(ImageReady { image, built: None, remark })
}

/// The image that serves, or that a rollback returns to. If the engine no longer has it, pulls it by its digest. Without
/// a digest, pulls its tag, which may name a newer image by now. An update does so too if the digest cannot be pulled; a
/// rollback would return to another version then, and fails.
pub(super) async fn keep(
    shared: &Shared,
    kept: Image,
    pulled_from: &PulledFrom,
    from: KeptFrom,
    sink: &LogSink,
) -> Result<ImageReady, String> {
    let engine = &shared.engine;
    let is_local = patiently(|| engine.image(&kept.id), sink).await.map_err(|error| error.to_string())?.is_some();
    if is_local {
        sink(&format!("{}: the image {from}", kept.reference));
        let image = Image { built: false, note: format!("the image {from}"), ..kept };
        return Ok(ImageReady { image, built: None, remark: None });
    }
    let mut gone = format!("the image {} {from} is no longer on the engine", kept.id);
    sink(&gone);
    if let Some(digest) = &kept.digest {
        match patiently(|| engine.pull(digest, pulled_from.login.as_ref()), sink).await {
            Ok(id) => {
                sink(&format!("{digest}: pulled"));
                let note = format!("pulled again: the image {from}");
                return Ok(ImageReady { image: Image { id, built: false, note, ..kept }, built: None, remark: None });
            }
            Err(error) => gone = format!("{gone}, and {digest} could not be pulled ({error})"),
        }
        if from != KeptFrom::Serving {
            return Err(gone);
        }
    }
    let ready = find_or_pull(shared, pulled_from, Pull::Always, sink).await.map_err(|why| format!("{gone}; {why}"))?;
    let remark = format!("{gone}; its tag {} was resolved again, and may name a newer image", ready.image.reference);
    Ok(ImageReady { remark: Some(remark), ..ready })
}

/// The digest is only needed if the image disappears, so a failure to read it does not matter.
async fn digest(shared: &Shared, reference: &str) -> Option<String> {
    if reference.contains('@') {
        return Some(reference.to_owned());
    }
    shared.engine.image_digest(reference).await.ok().flatten()
}

/// Asks the engine, and asks again while the engine is briefly unavailable, so that the deployment does not fail. The
/// deployment's deadline limits the wait.
pub(super) async fn patiently<'a, T>(
    ask: impl Fn() -> BoxFuture<'a, Result<T, EngineError>>,
    sink: &LogSink,
) -> Result<T, EngineError> {
    loop {
        match ask().await {
            Err(error) if error.is_transient() => sink(&format!("{error}; trying again")),
            answer => return answer,
        }
        tokio::time::sleep(STORE_PAUSE).await;
    }
}
