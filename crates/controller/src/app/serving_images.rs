//! The images that serve, where they come from, and which of them a deployment keeps. A rollback of the app keeps those
//! of an earlier deployment in their place.

use std::collections::BTreeMap;

use app_spec::AppSpec;
use rollout::ids::ComponentName;
use rollout::queue::Build;
use rollout::sources::{Origin, Version, version};
use rollout::target::Target;
use store::records::{AppRollback, AppState, Deployment, Image};

use super::active;
use crate::specs::Specs;

/// What a component's image has to do with the image that serves, or that a rollback returns to.
#[derive(Debug, Clone)]
pub(crate) struct Sourcing {
    /// The version that the component gets.
    pub version: Version,
    /// The image that serves, or that a rollback returns to, with its origin. `None` if it comes from another source.
    pub previous: Option<Image>,
    /// Which deployment that image is from.
    pub kept_from: KeptFrom,
    /// The origin of the component's new image.
    pub origin: Option<Origin>,
}

/// Which image a component keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptFrom {
    /// The one that serves.
    Serving,
    /// The one of the deployment with this number, to which a rollback returns.
    Deployment(u64),
}

impl std::fmt::Display for KeptFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Serving => f.write_str("that serves"),
            Self::Deployment(number) => write!(f, "of deployment {number}"),
        }
    }
}

/// How a deployment gets a component's image. `build`: what the deployment was asked for. `rollback`: the rollback of
/// the app that it carries out.
pub(crate) fn sourcing(
    state: &AppState,
    specs: &Specs<'_>,
    build: Build,
    rollback: Option<&AppRollback>,
    spec: &AppSpec,
    component: &ComponentName,
) -> Sourcing {
    let wanted = specs.origin(spec, component);
    let rollback = rollback.filter(|_| build == Build::Recorded);
    if let Some((rollback, to)) = rollback.and_then(|it| Some((it, it.to.as_ref()?))) {
        let image = to.images.get(component);
        let origin = image.and_then(|it| it.origin.as_ref());
        let version = match image {
            // Exactly this spec served with this image.
            Some(_) if rollback.is_exact => Version::KeptImage,
            _ => version(build, origin, wanted.as_ref()),
        };
        let previous = image.filter(|_| version != Version::Newest).cloned();
        return Sourcing { version, previous, kept_from: KeptFrom::Deployment(to.number), origin: wanted };
    }
    let serving = serving_images(state).remove(component);
    let served = serving.and_then(|(deployment, image)| {
        // Images of older versions have no origin.
        let of_spec = || specs.origin(&specs.open(&deployment.spec)?, component);
        Some((image, image.origin.clone().or_else(of_spec)?))
    });
    let version = version(build, served.as_ref().map(|(_, origin)| origin), wanted.as_ref());
    let is_same = |origin: &Origin| wanted.as_ref().is_some_and(|it| it.source == origin.source);
    let previous = served.filter(|(_, origin)| is_same(origin));
    let previous = previous.map(|(image, origin)| Image { origin: Some(origin), ..image.clone() });
    Sourcing { version, previous, kept_from: KeptFrom::Serving, origin: wanted }
}

/// The image that each component runs, with the deployment that brought it: the active one, or after an abandoned
/// rollback a failed one.
pub(crate) fn serving_images(state: &AppState) -> BTreeMap<&ComponentName, (&Deployment, &Image)> {
    let active =
        active(state).into_iter().flat_map(|it| it.images.iter().map(move |(name, image)| (name, (it, image))));
    let kept = state.app.kept.iter();
    let kept = kept.flat_map(|kept| kept.targets.iter().map(move |target| (target, &kept.deployments)));
    let kept = kept.filter_map(|(target, deployments)| {
        let mut from = state.deployments.iter().filter(|it| deployments.contains(&it.id) && brings(it, target));
        let from = from.next()?;
        let (name, image) = from.images.get_key_value(&target.component)?;
        Some((name, (from, image)))
    });
    active.chain(kept).collect()
}

fn brings(deployment: &Deployment, target: &Target) -> bool {
    let mut targets = deployment.targets.iter().flatten();
    targets.any(|it| it.component == target.component && it.revision == target.revision)
}
