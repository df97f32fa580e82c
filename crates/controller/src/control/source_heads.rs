//! The newest commit of each source, looked up for display. Nothing is built, and no deployment depends on the result.

use std::collections::BTreeMap;
use std::time::Duration;

use app_spec::{AppSpec, Component, Source};
use builder::BuildPlan;
use futures::{StreamExt, stream};
use rollout::ids::{AppId, ComponentName};
use rollout::time::Timestamp;
use source::{CommitId, GitRef, RepoUrl, Resolved};
use tokio::time::{Instant, timeout_at};

use super::Controller;
use crate::app::{secret_values, serving_images, written_secrets};
use crate::build_hints::build_choice;
use crate::error::ControlError;
use crate::redact::Secrets;
use crate::view::{BuildPlanView, BuiltWith, CommitView, SourceHeadView, SourceLocation};

/// Time limit of a whole request: a person waits for it.
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
        let sources = sources(spec).into_iter();
        let deadline = Instant::now() + WITHIN;
        let head = |(key, users)| self.source_head(spec, key, users, serving, secrets, deadline);
        let looking: Vec<_> = sources.map(head).collect();
        stream::iter(looking).buffered(AT_ONCE).collect().await
    }

    /// `users`: the components that use the source.
    async fn source_head(
        &self,
        spec: &AppSpec,
        key: Key,
        users: Vec<Component<'_>>,
        serving: &BTreeMap<ComponentName, String>,
        secrets: &Secrets,
        deadline: Instant,
    ) -> SourceHeadView {
        let components = users.iter().map(|it| ComponentName::from(it.name()));
        let components = components.map(|it| (it.clone(), serving.get(&it).cloned())).collect();
        let (address, branch) = match key {
            Key::Image { name, version } => {
                let location = SourceLocation::Image { name, version };
                return SourceHeadView { components, location, builds: Vec::new(), problems: Vec::new() };
            }
            Key::Repository { address, branch } => (address, branch),
        };
        let redacted = |text: String| secrets.redactor().line(&text);
        let late = || format!("{address} could not be looked up within {} s", WITHIN.as_secs());
        let found = timeout_at(deadline, self.head(&address, branch.as_deref())).await;
        match found.unwrap_or_else(|_| Err(late())) {
            Ok((repo, found)) => {
                let (builds, problems) = self.builds(spec, &repo, &found.commit, &users, deadline).await;
                let problems = problems.into_iter().map(redacted).collect();
                let branch = branch.or(found.branch.clone());
                let newest = Ok(commit(Resolved { summary: redacted(found.summary.clone()), ..found }));
                let location = SourceLocation::Repository { address, branch, newest };
                SourceHeadView { components, location, builds, problems }
            }
            Err(why) => {
                let location = SourceLocation::Repository { address, branch, newest: Err(redacted(why)) };
                SourceHeadView { components, location, builds: Vec::new(), problems: Vec::new() }
            }
        }
    }

    /// The newest commit of a branch. Errors: sentences for people.
    pub(super) async fn head(&self, address: &str, branch: Option<&str>) -> Result<(RepoUrl, Resolved), String> {
        let builder = &self.0.shared.image_builder;
        let repo = builder.repo_url(address).map_err(|error| error.to_string())?;
        let git_ref = branch.map_or(Ok(GitRef::DefaultBranch), GitRef::branch).map_err(|error| error.to_string())?;
        let found = builder.head(&repo, &git_ref).await.map_err(|error| error.to_string())?;
        Ok((repo, found))
    }

    /// What components are built with at a commit, and why some cannot be built, as far as that is known in time.
    async fn builds(
        &self,
        spec: &AppSpec,
        repo: &RepoUrl,
        commit: &CommitId,
        users: &[Component<'_>],
        deadline: Instant,
    ) -> (Vec<BuildPlanView>, Vec<String>) {
        let (mut builds, mut problems) = (Vec::new(), Vec::new());
        for component in users {
            let planned = timeout_at(deadline, self.build(spec, repo, commit, *component)).await;
            match planned {
                Ok(Ok(plan)) => builds.extend(plan),
                Ok(Err(why)) => problems.push(format!("{}: {why}", component.name())),
                Err(_) => break,
            }
        }
        (builds, problems)
    }

    /// `None`: the component is not built.
    async fn build(
        &self,
        spec: &AppSpec,
        repo: &RepoUrl,
        commit: &CommitId,
        component: Component<'_>,
    ) -> Result<Option<BuildPlanView>, String> {
        let Some((selection, hints)) = build_choice(spec, component)? else { return Ok(None) };
        let plan = self.0.shared.image_builder.plan(repo, commit, &selection, &hints).await;
        let with = built_with(plan.map_err(|error| error.to_string())?);
        let source_dir = selection.source_dir.as_str().to_owned();
        Ok(Some(BuildPlanView { component: component.name().into(), source_dir, with }))
    }
}

fn built_with(plan: BuildPlan) -> BuiltWith {
    match plan {
        BuildPlan::Dockerfile { path, undetected } => {
            BuiltWith::Dockerfile { path, undetected: undetected.map(|why| why.to_string()) }
        }
        BuildPlan::Detected(detected) => BuiltWith::Generated {
            language: detected.language.to_string(),
            slug: detected.language.slug().map(str::to_owned),
            findings: detected.findings.iter().map(ToString::to_string).collect(),
            start: detected.start,
            dockerfile: detected.dockerfile,
        },
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
fn sources(spec: &AppSpec) -> Vec<(Key, Vec<Component<'_>>)> {
    let mut all: Vec<(Key, Vec<Component<'_>>)> = Vec::new();
    for component in spec.components() {
        let Some(key) = key(component.source()) else { continue };
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, users)) => users.push(component),
            None => all.push((key, vec![component])),
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
