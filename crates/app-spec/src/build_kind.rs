//! How Boatyard gets the image of a component: it builds with a Dockerfile, builds for a detected language, or pulls an
//! image. This module also reports what the table in [`crate::capability`] cannot express, because it depends on that
//! choice.

use crate::address::RepoAddress;
use crate::capability;
use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{Common, Component, RegistryType, Source};

/// How Boatyard gets the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuildKind {
    /// With the Dockerfile that `dockerfile_path` names, or with the one in the source directory.
    WithDockerfile,
    /// For a detected language, with `environment_slug` as a hint.
    ForLanguage,
    /// Nothing is built: the component names an existing image or has no source.
    NotBuilt,
}

pub(crate) fn build_kind(component: Component<'_>) -> BuildKind {
    if component.source().repository().is_none() {
        return BuildKind::NotBuilt;
    }
    let for_language = match component {
        Component::StaticSite(site) => site.dockerfile_path.is_none(),
        Component::Function(_) => true,
        Component::Service(_) | Component::Worker(_) | Component::Job(_) => component
            .common()
            .is_some_and(|common| common.dockerfile_path.is_none() && common.environment_slug.is_some()),
    };
    if for_language { BuildKind::ForLanguage } else { BuildKind::WithDockerfile }
}

/// Errors for what this version cannot do for the component.
pub(crate) fn not_yet(path: &str, component: Component<'_>) -> Vec<Diagnostic> {
    let by_ssh = by_ssh(path, component);
    undetected_language(path, component).into_iter().chain(unnamed_registry(path, component)).chain(by_ssh).collect()
}

/// Reports ssh addresses. Boatyard has no setting yet for trusted host keys or for a login key.
fn by_ssh(path: &str, component: Component<'_>) -> Option<Diagnostic> {
    let Source::Git(git) = component.source() else { return None };
    let is_ssh = matches!(RepoAddress::parse(&git.repo_clone_url), Ok(RepoAddress::Ssh { .. }));
    let reason = "repositories are not fetched by ssh; use https://, or the path of a clone on this host";
    is_ssh.then(|| capability::not_yet(&format!("{path}.git.repo_clone_url"), reason))
}

/// Reports a language slug without a Dockerfile, because Boatyard does not detect languages yet.
fn undetected_language(path: &str, component: Component<'_>) -> Option<Diagnostic> {
    component.common().filter(|_| build_kind(component) == BuildKind::ForLanguage)?;
    let reason = "languages are not detected; add a Dockerfile, and give its path as `dockerfile_path`";
    Some(capability::not_yet(&format!("{path}.environment_slug"), reason))
}

/// Warns that the build needs a Dockerfile when the spec names none. Only the fetched source shows whether it is there.
pub(crate) fn needs_dockerfile(path: &str, component: Component<'_>) -> Option<Diagnostic> {
    component
        .common()
        .filter(|common| common.dockerfile_path.is_none() && build_kind(component) == BuildKind::WithDockerfile)?;
    let message = "this component is built with the Dockerfile in its directory; without one the build fails, because languages are not detected";
    let path = format!("{path}.{}", component.source().field());
    Some(
        Diagnostic::warning(Code::Doubtful, path, message).help("give the path of the Dockerfile as `dockerfile_path`"),
    )
}

/// Reports a DOCR image without `registry`. On the platform each account has one registry; Boatyard does not know it.
fn unnamed_registry(path: &str, component: Component<'_>) -> Option<Diagnostic> {
    let Source::Image(image) = component.source() else { return None };
    let unnamed = image.registry_type == Some(RegistryType::Docr) && image.registry.is_none();
    let reason = "Boatyard does not know the account's registry, and images are pulled without logging in; push the image to \
                  a public registry, or build it from git";
    unnamed.then(|| capability::not_yet(&format!("{path}.image.registry_type"), reason))
}

/// Warnings for build fields of a component that is not built.
pub(crate) fn no_effect(path: &str, component: Component<'_>) -> Vec<Diagnostic> {
    let (Source::Image(_), Some(common)) = (component.source(), component.common()) else { return Vec::new() };
    let reason = "nothing is built, because the component uses an image";
    given(common).into_iter().map(|field| capability::no_effect(&format!("{path}.{field}"), reason)).collect()
}

/// The build fields that have a value.
fn given(common: &Common) -> Vec<&'static str> {
    let fields = [
        ("source_dir", &common.source_dir),
        ("dockerfile_path", &common.dockerfile_path),
        ("build_command", &common.build_command),
        ("environment_slug", &common.environment_slug),
    ];
    fields.into_iter().filter(|(_, value)| value.is_some()).map(|(field, _)| field).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{AppSpec, Diagnostics};

    /// The paths of the "not yet" fields and of the fields without effect, for a service with the lines `more` added.
    fn said(more: &str) -> [Vec<String>; 2] {
        let text = format!("name: shop\nservices:\n- name: web\n{more}");
        let parsed = AppSpec::from_yaml(&text).unwrap();
        let fields = |found: Diagnostics| -> Vec<String> {
            let line = |it: &crate::Diagnostic| {
                format!("{}: {}", it.path.replace("services[0].", ""), it.message.split_once(": ").unwrap().1)
            };
            found.iter().map(line).collect()
        };
        [fields(parsed.not_yet()), fields(parsed.no_effect())]
    }

    #[test]
    fn build_hints_need_language_detection_and_have_no_effect_with_a_dockerfile_or_an_image() {
        let git = "  git: {repo_clone_url: 'https://example.com/r.git'}\n";
        let image = "  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}\n";
        let hints = "  environment_slug: node-js\n  build_command: npm run build\n";
        let both = |reason: &str| vec![format!("environment_slug: {reason}"), format!("build_command: {reason}")];
        let undetected =
            "environment_slug: languages are not detected; add a Dockerfile, and give its path as `dockerfile_path`";
        let ignored = "build_command: the Dockerfile decides how it is built";
        assert_eq!(said(&format!("{git}{hints}")), [vec![undetected.to_owned()], vec![ignored.to_owned()]]);
        // Boatyard uses a Dockerfile that exists, whatever `build_command` says.
        assert_eq!(said(&format!("{git}  build_command: make\n")), [vec![], vec![ignored.to_owned()]]);
        let with_dockerfile = format!("{git}{hints}  dockerfile_path: Dockerfile\n");
        assert_eq!(said(&with_dockerfile), [vec![], both("the Dockerfile decides how it is built")]);

        let reason = "nothing is built, because the component uses an image";
        let [not_yet, no_effect] = said(&format!("{image}{hints}  dockerfile_path: Dockerfile\n  source_dir: app\n"));
        assert_eq!(not_yet, Vec::<String>::new());
        let others = [format!("dockerfile_path: {reason}"), format!("source_dir: {reason}")];
        assert_eq!(no_effect, [both(reason), others.to_vec()].concat());
    }
}
