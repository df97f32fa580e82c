//! Images: the registry, the owner, and the tag or digest.

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
        tag_or_digest(&path, image, found);
        tag_in_the_name(&path, image, found);
        capitals(&path, image, found);
    }
}

fn unnamed_registry(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    if image.registry_type == Some(RegistryType::Unspecified) {
        let message = "no registry is named, so the image is taken from Docker Hub";
        let doubtful = Diagnostic::warning(Code::Doubtful, format!("{path}.registry_type"), message);
        found.push(doubtful.help("write `DOCKER_HUB`, `GHCR` or `DOCR`"));
    }
}

fn unnamed_owner(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    let is_owned = path_in_registry(image).contains('/');
    if image.registry_type == Some(RegistryType::Ghcr) && !image.repository.is_empty() && !is_owned {
        let message = format!("an image of GHCR has an owner, and `{}` names none", shown(&image_reference(image)));
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
        (format!("{path}.registry"), "an official image has `registry: library`; another has its owner there");
    match image.registry.as_deref() {
        None => {
            found.push(Diagnostic::error(Code::Missing, path, "an image of Docker Hub needs `registry`").help(help))
        }
        Some("docker.io" | "index.docker.io") => {
            let message = "`registry` is the owner of the image, not the host of Docker Hub";
            found.push(Diagnostic::error(Code::BadFormat, path, message).help(help));
        }
        Some(_) => {}
    }
}

fn tag_or_digest(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    if image.tag.is_some() && image.digest.is_some() {
        let conflict = Diagnostic::error(
            Code::Conflict,
            format!("{path}.digest"),
            "`tag` and `digest` exclude each other; the digest alone pins the image",
        );
        found.push(conflict.related(format!("{path}.tag"), None, "the tag is given here"));
    }
}

/// Reports a name that contains a tag, such as `nginx:1.27`. No engine accepts a name with two tags; a tag together
/// with a digest is allowed.
fn tag_in_the_name(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    let last = image.repository.rsplit('/').next().unwrap_or_default();
    let Some((_, tag)) = last.split_once(':') else { return };
    let path = format!("{path}.repository");
    let name = shown(&image.repository[..image.repository.len() - tag.len() - 1]);
    let tag = shown(tag);
    found.push(match &image.digest {
        Some(_) => {
            let message = format!("the digest alone pins the image; `:{tag}` says nothing");
            Diagnostic::warning(Code::Doubtful, path, message).help(format!("write `repository: {name}`"))
        }
        None => {
            let message = format!("the tag `{tag}` is no part of the name");
            let problem = Diagnostic::error(Code::BadFormat, path, message);
            problem.help(format!("write `repository: {name}` and `tag: '{tag}'`"))
        }
    });
}

/// Engines accept only lower-case image names.
fn capitals(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    let named = [("registry", image.registry.as_deref()), ("repository", Some(image.repository.as_str()))];
    for (field, text) in named {
        let Some(text) = text.filter(|text| text.bytes().any(|b| b.is_ascii_uppercase())) else { continue };
        let message =
            format!("names of images have small letters only: `{}` is pulled", shown(&text.to_ascii_lowercase()));
        found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.{field}"), message));
    }
}
