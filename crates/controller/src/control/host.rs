//! The host, its engine, and the images of this installation.

use std::collections::BTreeSet;

use engine::{EngineError, EngineInfo, TaggedImage};
use futures::join;
use rollout::ids::ComponentName;
use rollout::time::Timestamp;
use store::records::AppState;
use tokio::time::timeout;

use super::Controller;
use crate::app::serving_images;
use crate::config::Reach;
use crate::engine_watch::ANSWER_WITHIN;
use crate::error::ControlError;
use crate::names::Names;
use crate::view::{HostEngine, HostImage, HostView};

impl Controller {
    pub(super) async fn describe_host(&self) -> HostView {
        let root = self.0.directory.root().to_owned();
        // A thread of its own, because a network file system may hang.
        let space = tokio::task::spawn_blocking(move || data_dir::disk_space(&root));
        let (engine, images, disk) =
            join!(self.in_time(self.0.shared.engine.info()), self.host_images(), timeout(ANSWER_WITHIN, space));
        HostView {
            version: env!("CARGO_PKG_VERSION"),
            installation_id: self.0.directory.installation().to_owned(),
            engine: engine.map(|it| host_engine(it, self.0.shared.reach)),
            disk: disk.ok().and_then(Result::ok).flatten(),
            images,
        }
    }

    async fn host_images(&self) -> Result<Vec<HostImage>, String> {
        let shared = &self.0.shared;
        let tags = self.in_time(shared.engine.tags("")).await?;
        let states = shared.store.app_states(0, u64::MAX).await;
        let (states, _) = states.map_err(|error| ControlError::from(error).to_string())?;
        Ok(images_of(&shared.names, &states, &tags))
    }

    async fn in_time<T>(&self, question: impl Future<Output = Result<T, EngineError>>) -> Result<T, String> {
        let answer = self.0.shared.watch.answer(ANSWER_WITHIN, question).await;
        answer.map_err(|error| error.to_string())
    }
}

fn host_engine(info: EngineInfo, reach: Reach) -> HostEngine {
    let EngineInfo { version, api_version, cpus, memory_bytes, limits, .. } = info;
    HostEngine { version, api_version, cpus, memory_bytes, reach, missing_limits: limits.missing() }
}

/// For each app the images that serve and those that were built for it, then the built images of apps without a record.
fn images_of(names: &Names, apps: &[AppState], tags: &[TaggedImage]) -> Vec<HostImage> {
    let mut images = Vec::new();
    for state in apps {
        let serving = serving(state, tags);
        let of_app = |tag: &TaggedImage, component, serves| image(tag, Some(state.app.name.clone()), component, serves);
        let shown: BTreeSet<_> = serving.iter().map(|(_, tag)| &tag.reference).collect();
        let prefix = names.repositories_of(&state.app.id);
        let built = tags.iter().filter(|tag| !shown.contains(&tag.reference)).filter_map(|tag| {
            let (component, _) = tag.reference.strip_prefix(&prefix)?.split_once(':')?;
            Some(of_app(tag, Some(component.into()), false))
        });
        images.extend(serving.iter().map(|(component, tag)| of_app(tag, Some(component.clone()), true)));
        images.extend(built);
    }
    let is_on_record =
        |tag: &TaggedImage| apps.iter().any(|state| tag.reference.starts_with(&names.repositories_of(&state.app.id)));
    // The image of connection checks belongs to no app.
    let check = names.connect_check_image();
    let built = tags.iter().filter(|tag| tag.reference.starts_with(&names.repositories()) && tag.reference != check);
    images.extend(built.filter(|tag| !is_on_record(tag)).map(|tag| image(tag, None, None, false)));
    images
}

/// The images that serve and that the engine has, by component.
fn serving<'a>(state: &AppState, tags: &'a [TaggedImage]) -> Vec<(ComponentName, &'a TaggedImage)> {
    let find = |reference: &str| tags.iter().find(|tag| tag.reference == reference);
    let images = serving_images(state).into_iter().filter_map(|(component, (_, image))| {
        // The tag may be gone, or name a newer image by now.
        let tag = find(&image.reference).filter(|tag| tag.id == image.id);
        Some((component.clone(), tag.or_else(|| tags.iter().find(|tag| tag.id == image.id))?))
    });
    let databases = state.databases.iter().filter(|it| it.wanted);
    let databases = databases.filter_map(|it| Some((it.name.clone(), find(&it.image)?)));
    images.chain(databases).collect()
}

fn image(tag: &TaggedImage, app: Option<String>, component: Option<ComponentName>, serves: bool) -> HostImage {
    HostImage {
        reference: tag.reference.clone(),
        size_bytes: tag.size_bytes,
        created: Timestamp(tag.created_seconds.saturating_mul(1000)),
        app,
        component,
        serves,
    }
}
