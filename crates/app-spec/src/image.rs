//! Turns an image source into the image reference that an engine uses.

use crate::spec::{ImageSource, RegistryType};

const GHCR: &str = "ghcr.io";
const DOCR: &str = "registry.digitalocean.com";

/// The image reference, for example `library/nginx:1.27`, `ghcr.io/acme/web@sha256:…` or
/// `registry.digitalocean.com/acme/web:latest`.
///
/// A Docker Hub reference has no host. An engine first looks for a local image of that name and then asks Docker Hub,
/// so `registry: boatyard-local` with `repository: app` is the local image `boatyard-local/app`. Names are converted to
/// lower case; tags keep their case.
pub fn image_reference(image: &ImageSource) -> String {
    let path = path_in_registry(image);
    let name = host(image).map_or_else(|| path.clone(), |host| format!("{host}/{path}"));
    match &image.digest {
        Some(digest) => format!("{name}@{digest}"),
        None => format!("{name}:{}", image.tag.as_deref().unwrap_or("latest")),
    }
}

/// The owner and the repository inside the registry. The platform expects only the owner in `registry`, but people also
/// write the host there, alone or before the owner. This function removes it.
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

#[cfg(test)]
mod tests {
    use super::*;

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
