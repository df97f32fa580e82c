//! The name by which an engine knows an image source.

use crate::spec::{ImageSource, RegistryType};
use crate::wire::{Meant, texts};

const GHCR: &str = "ghcr.io";
const DOCR: &str = "registry.digitalocean.com";

/// The image's reference, for example `library/nginx:1.27`, `ghcr.io/acme/web@sha256:…` or
/// `registry.digitalocean.com/acme/web:latest`.
///
/// Docker Hub is not written out: an engine takes a name without a host for Docker Hub, and looks for a local image of
/// that very name first. Names have small letters only, tags have both. So `registry: boatyard-local`, `repository: app` is the local image `boatyard-local/app`.
pub fn image_reference(image: &ImageSource) -> String {
    let path = path_in_registry(image);
    let name = host(image).map_or_else(|| path.clone(), |host| format!("{host}/{path}"));
    match &image.digest {
        Some(digest) => format!("{name}@{digest}"),
        None => format!("{name}:{}", image.tag.as_deref().unwrap_or("latest")),
    }
}

/// Owner and repository, as they are known inside the registry. People write the host into `registry` too, alone or
/// before the owner, where the platform wants the owner.
pub(crate) fn path_in_registry(image: &ImageSource) -> String {
    let parts = [image.registry.as_deref(), Some(image.repository.as_str())];
    let path = parts.into_iter().flatten().collect::<Vec<_>>().join("/").to_ascii_lowercase();
    let inside = host(image).and_then(|host| path.strip_prefix(host)?.strip_prefix('/').map(str::to_owned));
    inside.unwrap_or(path)
}

fn host(image: &ImageSource) -> Option<&'static str> {
    match image.registry_type {
        Some(RegistryType::Ghcr) => Some(GHCR),
        Some(RegistryType::Docr) => Some(DOCR),
        Some(RegistryType::DockerHub | RegistryType::Unspecified) | None => None,
    }
}

/// The fields of the image source that a name for engines stands for: `nginx:1.27`, `ghcr.io/acme/web@sha256:…`. `None`
/// for a registry that a spec cannot name.
pub(crate) fn fields_of_reference(text: &str) -> Option<Meant> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let (text, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let (name, tag) = match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    };
    let parts: Vec<&str> = name.split('/').collect();
    if !text.chars().all(is_name) || parts.iter().any(|part| part.is_empty()) || tag == Some("") {
        return None;
    }
    let (host, path) = match &parts[..] {
        [host, path @ ..] if !path.is_empty() && host.contains(['.', ':']) => (*host, path),
        path => ("docker.io", path),
    };
    let registry_type = match host {
        "docker.io" | "index.docker.io" => RegistryType::DockerHub,
        GHCR => RegistryType::Ghcr,
        DOCR => RegistryType::Docr,
        _ => return None,
    };
    let (registry, repository) = match path {
        [only] if registry_type == RegistryType::DockerHub => (Some("library"), (*only).to_owned()),
        [only] => (None, (*only).to_owned()),
        [registry, repository @ ..] => (Some(*registry), repository.join("/")),
        [] => return None,
    };
    let fields = [
        ("registry_type", Some(registry_type.to_string())),
        ("registry", registry.map(str::to_owned)),
        ("repository", Some(repository)),
        // A digest alone pins the image.
        ("tag", tag.filter(|_| digest.is_none()).map(str::to_owned)),
        ("digest", digest.map(str::to_owned)),
    ];
    Some(texts(fields.into_iter().filter_map(|(name, text)| Some((name, text?)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_engines_is_taken_apart() {
        let fields = |text: &str| -> Option<String> {
            let fields = fields_of_reference(text)?;
            Some(fields.iter().map(|(name, scalar)| format!("{name}={}", scalar.text)).collect::<Vec<_>>().join(" "))
        };
        let cases = [
            ("nginx", Some("registry_type=DOCKER_HUB registry=library repository=nginx")),
            ("nginx:1.25", Some("registry_type=DOCKER_HUB registry=library repository=nginx tag=1.25")),
            ("acme/web:v1", Some("registry_type=DOCKER_HUB registry=acme repository=web tag=v1")),
            ("docker.io/acme/web", Some("registry_type=DOCKER_HUB registry=acme repository=web")),
            ("ghcr.io/acme/a/web:1", Some("registry_type=GHCR registry=acme repository=a/web tag=1")),
            ("ghcr.io/acme/web:1@sha256:00", Some("registry_type=GHCR registry=acme repository=web digest=sha256:00")),
            ("registry.digitalocean.com/acme/web:1", Some("registry_type=DOCR registry=acme repository=web tag=1")),
            ("quay.io/acme/web", None),
            ("localhost:5000/web", None),
            ("${IMAGE}", None),
            ("a b", None),
            ("nginx:", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(fields(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn references_follow_registry_tag_and_digest() {
        let image = |registry_type, registry: &str, tag: Option<&str>, digest: Option<&str>| ImageSource {
            registry_type: Some(registry_type),
            registry: Some(registry.to_owned()).filter(|r| !r.is_empty()),
            repository: "app".to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
            ..ImageSource::default()
        };
        let cases = [
            (image(RegistryType::DockerHub, "boatyard-local", Some("v2"), None), "boatyard-local/app:v2"),
            (image(RegistryType::DockerHub, "library", None, None), "library/app:latest"),
            (image(RegistryType::DockerHub, "", None, None), "app:latest"),
            (image(RegistryType::Ghcr, "Acme", Some("RC1"), None), "ghcr.io/acme/app:RC1"),
            (image(RegistryType::Ghcr, "ghcr.io", Some("1"), None), "ghcr.io/app:1"),
            (image(RegistryType::Ghcr, "GHCR.io/acme", Some("1"), None), "ghcr.io/acme/app:1"),
            (image(RegistryType::Ghcr, "ghcr.io.acme", Some("1"), None), "ghcr.io/ghcr.io.acme/app:1"),
            (
                image(RegistryType::Docr, "registry.digitalocean.com/acme", Some("1"), None),
                "registry.digitalocean.com/acme/app:1",
            ),
            (image(RegistryType::Ghcr, "acme", None, Some("sha256:00")), "ghcr.io/acme/app@sha256:00"),
            (image(RegistryType::Docr, "acme", Some("1"), None), "registry.digitalocean.com/acme/app:1"),
        ];
        for (source, wanted) in cases {
            assert_eq!(image_reference(&source), wanted);
        }
    }
}
