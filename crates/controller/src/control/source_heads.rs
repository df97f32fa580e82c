//! The newest commit of each source, looked up for display. Nothing is built, and no deployment depends on the result.

use std::collections::BTreeMap;
use std::time::Duration;

use app_spec::{AppSpec, Source};
use futures::{StreamExt, stream};
use rollout::ids::{AppId, ComponentName};
use rollout::time::Timestamp;
use source::{GitRef, Resolved};
use tokio::time::Instant;

use super::Controller;
use crate::app::{secret_values, serving_images, written_secrets};
use crate::error::ControlError;
use crate::redact::Secrets;
use crate::view::{CommitView, SourceHeadView, SourceLocation};

/// Time limit of one look-up: a person waits for it.
const WITHIN: Duration = Duration::from_secs(10);

/// How many git workers run at once for one request.
const AT_ONCE: usize = 8;

impl Controller {
    pub(super) async fn heads_of_app(&self, app: &AppId) -> Result<Vec<SourceHeadView>, ControlError> {
        let state = self.state(app).await?;
        let spec = self.read_spec(&state, &state.app.spec)?;
        let serving = serving_images(&state).into_iter();
        let serving = serving.filter_map(|(name, (_, image))| Some((name.clone(), image.commit.clone()?))).collect();
        let secrets = Secrets::new(&[secret_values(&state), written_secrets(&spec)].concat());
        Ok(self.heads(&spec, &serving, &secrets).await)
    }

    pub(super) async fn heads_of_spec(&self, spec: &AppSpec) -> Vec<SourceHeadView> {
        self.heads(spec, &BTreeMap::new(), &Secrets::new(&written_secrets(spec))).await
    }

    /// `serving`: the commit that each component serves.
    async fn heads(
        &self,
        spec: &AppSpec,
        serving: &BTreeMap<ComponentName, String>,
        secrets: &Secrets,
    ) -> Vec<SourceHeadView> {
        let looking = sources(spec).into_iter().map(async |(key, names)| {
            let components = names.into_iter().map(|it| (it.clone(), serving.get(&it).cloned())).collect();
            let location = match key {
                Key::Image { name, version } => SourceLocation::Image { name, version },
                Key::Repository { address, branch } => {
                    let found = self.head(&address, branch.as_deref()).await;
                    let default = found.as_ref().ok().and_then(|it| it.branch.clone());
                    let redacted = |text: String| secrets.redactor().line(&text);
                    let newest = found.map(|it| commit(Resolved { summary: redacted(it.summary), ..it }));
                    let newest = newest.map_err(redacted);
                    SourceLocation::Repository { address, branch: branch.or(default), newest }
                }
            };
            SourceHeadView { components, location }
        });
        stream::iter(looking).buffered(AT_ONCE).collect().await
    }

    async fn head(&self, address: &str, branch: Option<&str>) -> Result<Resolved, String> {
        let builder = &self.0.shared.image_builder;
        let repo = builder.repo_url(address).map_err(|error| error.to_string())?;
        let git_ref = branch.map_or(Ok(GitRef::DefaultBranch), GitRef::branch).map_err(|error| error.to_string())?;
        builder.head(&repo, &git_ref, Instant::now() + WITHIN).await.map_err(|error| error.to_string())
    }
}

fn commit(it: Resolved) -> CommitView {
    CommitView {
        id: it.commit.as_str().to_owned(),
        subject: it.summary,
        authored: Timestamp(u64::try_from(it.author_time).unwrap_or_default().saturating_mul(1000)),
        uncommitted: it.uncommitted,
    }
}

#[derive(PartialEq, Eq)]
enum Key {
    Repository { address: String, branch: Option<String> },
    Image { name: String, version: String },
}

/// The distinct sources of a spec, in its order, each with the components that use it.
fn sources(spec: &AppSpec) -> Vec<(Key, Vec<ComponentName>)> {
    let mut all: Vec<(Key, Vec<ComponentName>)> = Vec::new();
    for component in spec.components() {
        let Some(key) = key(component.source()) else { continue };
        let name = ComponentName::from(component.name());
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, names)) => names.push(name),
            None => all.push((key, vec![name])),
        }
    }
    all
}

fn key(source: &Source) -> Option<Key> {
    if let Some(image) = source.image() {
        let reference = app_spec::image_reference(image);
        let (name, version) = reference.split_once('@').or_else(|| reference.rsplit_once(':'))?;
        return Some(Key::Image { name: name.to_owned(), version: version.to_owned() });
    }
    let (address, branch) = source.repository()?;
    Some(Key::Repository { address, branch: branch.map(str::to_owned) })
}
