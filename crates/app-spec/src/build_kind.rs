//! How Boatyard gets the image of a component: it builds with a named Dockerfile, builds what it finds in the source
//! directory, or pulls an image. This module also reports what the table in [`crate::capability`] cannot express, because it depends on that
//! choice.

use crate::capability;
use crate::diagnostic::Diagnostic;
use crate::spec::{Component, RegistryType, Source};

/// How Boatyard gets the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuildKind {
    /// With the Dockerfile that `dockerfile_path` names.
    WithDockerfile,
    /// With the Dockerfile in the source directory, or for a detected language. Only the fetched source shows which.
    Detected,
    /// Nothing is built: the component names an existing image or has no source.
    NotBuilt,
}

pub(crate) fn build_kind(component: Component<'_>) -> BuildKind {
    let names_dockerfile = component.build_fields().is_some_and(|it| it.dockerfile_path.is_some());
    match component.source().repository() {
        None => BuildKind::NotBuilt,
        Some(_) if names_dockerfile => BuildKind::WithDockerfile,
        Some(_) => BuildKind::Detected,
    }
}

/// Errors for what this version cannot do for the component.
pub(crate) fn not_yet(path: &str, component: Component<'_>) -> Vec<Diagnostic> {
    unnamed_registry(path, component).into_iter().collect()
}

/// Reports a DOCR image without `registry`. On the platform each account has one registry; Boatyard does not know it.
fn unnamed_registry(path: &str, component: Component<'_>) -> Option<Diagnostic> {
    let Source::Image(image) = component.source() else { return None };
    let unnamed = image.registry_type == Some(RegistryType::Docr) && image.registry.is_none();
    let reason = "Boatyard does not know the account's registry; write its name as `registry`, and add a login with \
                  `boatyard registries add registry.digitalocean.com`";
    unnamed.then(|| capability::not_yet(&format!("{path}.image.registry_type"), reason))
}

/// Warnings for build fields that have no effect: nothing is built, or the Dockerfile decides how.
pub(crate) fn no_effect(path: &str, component: Component<'_>) -> Vec<Diagnostic> {
    let Some(build) = component.build_fields() else { return Vec::new() };
    let hints = [("build_command", build.build_command), ("environment_slug", build.environment_slug)];
    let places = [("source_dir", build.source_dir), ("dockerfile_path", build.dockerfile_path)];
    let (fields, reason) = match (build_kind(component), component.source()) {
        (BuildKind::WithDockerfile, _) => (hints.to_vec(), "the Dockerfile decides how it is built"),
        (BuildKind::NotBuilt, Source::Image(_)) => {
            ([places, hints].concat(), "nothing is built, because the component uses an image")
        }
        (BuildKind::Detected | BuildKind::NotBuilt, _) => return Vec::new(),
    };
    let given = fields.into_iter().filter(|(_, value)| value.is_some());
    given.map(|(field, _)| capability::no_effect(&format!("{path}.{field}"), reason)).collect()
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
    fn build_hints_have_no_effect_with_a_named_dockerfile_or_an_image() {
        let git = "  git: {repo_clone_url: 'https://example.com/r.git'}\n";
        let image = "  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}\n";
        let hints = "  environment_slug: node-js\n  build_command: npm run build\n";
        let both = |reason: &str| vec![format!("environment_slug: {reason}"), format!("build_command: {reason}")];
        let neither: [Vec<String>; 2] = [vec![], vec![]];
        assert_eq!(said(&format!("{git}{hints}")), neither);
        assert_eq!(said(&format!("{git}  build_command: make\n")), neither);
        let with_dockerfile = format!("{git}{hints}  dockerfile_path: Dockerfile\n");
        assert_eq!(said(&with_dockerfile), [vec![], both("the Dockerfile decides how it is built")]);

        let reason = "nothing is built, because the component uses an image";
        let [not_yet, no_effect] = said(&format!("{image}{hints}  dockerfile_path: Dockerfile\n  source_dir: app\n"));
        assert_eq!(not_yet, Vec::<String>::new());
        let others = vec![format!("dockerfile_path: {reason}"), format!("source_dir: {reason}")];
        assert_eq!(no_effect, [both(reason), others].concat());
    }
}
