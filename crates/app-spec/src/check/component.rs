//! Rules inside one component: sizes, images, schedules, checks.

use crate::diagnostic::{Code, Diagnostic};
use crate::size::{instance_size, near};
use crate::spec::{
    AppSpec, Common, Component, HealthCheck, ImageSource, Job, JobKind, LivenessHealthCheck, RegistryType, Source,
};
use crate::suggest::shown;
use crate::wire::form::unsubstituted;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (path, component) in spec.components_with_paths() {
        if let Some(common) = component.common() {
            size(&path, common, found);
        }
        source(&path, component.source(), found);
        match component {
            Component::Service(service) => {
                health_check(&path, service.health_check.as_ref(), found);
                liveness(&path, service.liveness_health_check.as_ref(), found);
            }
            Component::Worker(worker) => {
                liveness(&path, worker.liveness_health_check.as_ref(), found);
                if worker.liveness_health_check.as_ref().is_some_and(|check| check.port.is_none()) {
                    let path = format!("{path}.liveness_health_check.port");
                    let message = "a worker has no port of its own, so its check must name one";
                    found.push(Diagnostic::error(Code::Missing, path, message));
                }
            }
            Component::Job(job) => schedule(&path, job, found),
            Component::StaticSite(_) | Component::Function(_) => {}
        }
    }
}

fn size(path: &str, common: &Common, found: &mut Vec<Diagnostic>) {
    let Some(slug) = &common.instance_size_slug else { return };
    let path = format!("{path}.instance_size_slug");
    match instance_size(slug) {
        None if unsubstituted(slug).is_err() => {
            let message = format!("`{}` is a placeholder that nothing has replaced", shown(slug));
            found.push(Diagnostic::error(Code::Unsubstituted, path, message).help("replace it, or leave it out"));
        }
        None => {
            let message = format!("there is no instance size `{}`", shown(slug));
            found.push(Diagnostic::error(Code::UnknownValue, path, message).help(near(slug)));
        }
        Some(size) if size.single_instance_only && common.instance_count() > 1 => {
            let message = format!("App Platform runs one instance only of size `{slug}`; here all run");
            found.push(Diagnostic::warning(Code::Doubtful, path, message));
        }
        Some(_) => {}
    }
}

fn source(path: &str, source: &Source, found: &mut Vec<Diagnostic>) {
    match source {
        Source::Image(image) => {
            let path = format!("{path}.image");
            tag_or_digest(&path, image, found);
            pushed_images(&path, image, found);
            capitals(&path, image, found);
        }
        Source::Github(hosted) | Source::Bitbucket(hosted) if hosted.repo.split('/').count() > 2 => {
            let path = format!("{path}.{}.repo", source.field());
            let message = format!("`{}` is not `owner/repo`", shown(&hosted.repo));
            found.push(Diagnostic::error(Code::BadFormat, path, message));
        }
        Source::Github(_) | Source::Bitbucket(_) | Source::Gitlab(_) | Source::Git(_) | Source::Missing => {}
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

/// An engine knows images by small letters only.
fn capitals(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    let named = [("registry", image.registry.as_deref()), ("repository", Some(image.repository.as_str()))];
    for (field, text) in named {
        let Some(text) = text.filter(|text| text.bytes().any(|b| b.is_ascii_uppercase())) else { continue };
        let message =
            format!("names of images have small letters only: `{}` is pulled", shown(&text.to_ascii_lowercase()));
        found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.{field}"), message));
    }
}

/// On the platform only its own registry tells when a tag moves, and a digest never moves.
fn pushed_images(path: &str, image: &ImageSource, found: &mut Vec<Diagnostic>) {
    let wanted = image.deploy_on_push.as_ref().is_some_and(|push| push.enabled);
    let told = image.registry_type == Some(RegistryType::Docr) && image.digest.is_none();
    if wanted && !told {
        let message = "only a tag in a DOCR registry can be watched";
        found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.deploy_on_push"), message));
    }
}

fn health_check(path: &str, check: Option<&HealthCheck>, found: &mut Vec<Diagnostic>) {
    let Some(check) = check else { return };
    let path = format!("{path}.health_check");
    if let (Some(wins), Some(old)) = (&check.http_path, &check.path)
        && wins != old
    {
        let message = format!("`path` is the old name of `http_path`, which wins with `{}`", shown(wins));
        found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.path"), message).help("keep one of them"));
    }
    http_path(&path, check.http_path.as_deref(), found);
}

fn liveness(path: &str, check: Option<&LivenessHealthCheck>, found: &mut Vec<Diagnostic>) {
    let text = check.and_then(|check| check.http_path.as_deref());
    http_path(&format!("{path}.liveness_health_check"), text, found);
}

fn http_path(path: &str, http_path: Option<&str>, found: &mut Vec<Diagnostic>) {
    let Some(text) = http_path.filter(|text| !text.starts_with('/')) else { return };
    let message = format!("the path `{}` does not begin with `/`", shown(text));
    let doubtful = Diagnostic::warning(Code::Doubtful, format!("{path}.http_path"), message);
    found.push(doubtful.help(format!("did you mean `/{}`?", shown(text))));
}

fn schedule(path: &str, job: &Job, found: &mut Vec<Diagnostic>) {
    match (job.kind(), &job.schedule) {
        (JobKind::Scheduled, None) => {
            let path = format!("{path}.schedule");
            found.push(Diagnostic::error(Code::Missing, path, "a SCHEDULED job needs `schedule` with `cron`"));
        }
        (JobKind::Scheduled, Some(_)) | (_, None) => {}
        (kind, Some(_)) => {
            let message = format!("a {kind} job has no schedule");
            let conflict = Diagnostic::error(Code::Conflict, format!("{path}.schedule"), message);
            found.push(conflict.help("`kind: SCHEDULED` runs by schedule"));
        }
    }
}
