//! Images: the registry, the owner, and the tag or digest.

use super::not_both;
use crate::diagnostic::{Code, Diagnostic};
use crate::image::{image_reference, path_in_registry};
use crate::spec::{AppSpec, ImageSource, RegistryType, Source};
use crate::suggest::shown;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (path, component) in spec.components_with_paths() {
        let Source::Image(image) = component.source() else { continue };
        let path = format!("{path}.image");
        unnamed_registry(&path, image, found);
        unnamed_owner(&path, image, found);
        owner_on_docker_hub(&path, image, found);
        not_both(&path, ("tag", image.tag.is_some()), ("digest", image.digest.is_some()), found);
        tag_in_the_name(&path, image, found);
        upper_case(&path, image, found);
    }
}

fn unnamed_registry(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    if image.registry_type == Some(RegistryType::Unspecified) {
        let message = "no registry is given, so the image is pulled from Docker Hub";
        let doubtful = Diagnostic::warning(Code::Doubtful, format!("{path}.registry_type"), message);
        found.push(doubtful.help("write `DOCKER_HUB`, `GHCR` or `DOCR`"));
    }
}

fn unnamed_owner(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    let is_owned = path_in_registry(image).contains('/');
    if image.registry_type == Some(RegistryType::Ghcr) && !image.repository.is_empty() && !is_owned {
        let message = format!("a GHCR image needs an owner, and `{}` has none", shown(&image_reference(image)));
        let doubtful = Diagnostic::warning(Code::Doubtful, format!("{path}.registry"), message);
        found.push(doubtful.help("give the owner as `registry`"));
    }
}

/// The platform refuses a Docker Hub image without an owner.
fn owner_on_docker_hub(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    if image.registry_type != Some(RegistryType::DockerHub) || image.repository.is_empty() {
        return;
    }
    let (path, help) =
        (format!("{path}.registry"), "write `registry: library` for an official image, else the owner of the image");
    match image.registry.as_deref() {
        None => found.push(Diagnostic::error(Code::Missing, path, "a Docker Hub image needs `registry`").help(help)),
        Some("docker.io" | "index.docker.io") => {
            let message = "`registry` is the owner of the image, not the host of Docker Hub";
            found.push(Diagnostic::error(Code::BadFormat, path, message).help(help));
        }
        Some(_) => {}
    }
}

/// Reports a name that contains a tag, such as `nginx:1.27`. No engine accepts a name with two tags; a tag together
/// with a digest is allowed.
fn tag_in_the_name(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    let Some((name, tag)) = image.repository.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) else { return };
    let (path, name, tag) = (format!("{path}.repository"), shown(name), shown(tag));
    let message = format!("`repository` contains the tag `{tag}`");
    found.push(match &image.digest {
        Some(_) => Diagnostic::warning(Code::Doubtful, path, format!("{message}, and the digest overrides it"))
            .help(format!("write `repository: {name}`")),
        None => Diagnostic::error(Code::BadFormat, path, message)
            .help(format!("write `repository: {name}` and `tag: '{tag}'`")),
    });
}

/// Engines accept only lower-case image names.
fn upper_case(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    let named = [("registry", image.registry.as_deref()), ("repository", Some(image.repository.as_str()))];
    for (field, text) in named {
        let Some(text) = text.filter(|text| text.bytes().any(|b| b.is_ascii_uppercase())) else { continue };
        let message = format!("image names are lower case, so `{}` is pulled", shown(&text.to_ascii_lowercase()));
        found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.{field}"), message));
    }
}
