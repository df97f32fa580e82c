//! Rules inside one component: sizes, counts, images, schedules, checks.

use crate::diagnostic::{Code, Diagnostic};
use crate::size::{instance_size, near};
use crate::spec::{AppSpec, Autoscaling, Common, Component, ImageSource, Job, JobKind, LogDestination, Source};
use crate::suggest::shown;
use crate::wire::form::unsubstituted;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (path, component) in spec.components_with_paths() {
        if let Some(common) = component.common() {
            size(&path, common, found);
            log_destinations(&path, &common.log_destinations, found);
        }
        source(&path, component.source(), found);
        match component {
            Component::Service(service) => scaling(&path, &service.common, service.autoscaling.as_ref(), found),
            Component::Worker(worker) => {
                scaling(&path, &worker.common, worker.autoscaling.as_ref(), found);
                if worker.liveness_health_check.as_ref().is_some_and(|check| check.port.is_none()) {
                    let path = format!("{path}.liveness_health_check.port");
                    let message = "a worker has no port of its own, so its check must name one";
                    found.push(Diagnostic::error(Code::Missing, path, message));
                }
            }
            Component::Job(job) => schedule(&path, job, found),
            Component::StaticSite(site) => log_destinations(&path, &site.log_destinations, found),
            Component::Function(function) => log_destinations(&path, &function.log_destinations, found),
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

fn scaling(path: &str, common: &Common, autoscaling: Option<&Autoscaling>, found: &mut Vec<Diagnostic>) {
    let Some(autoscaling) = autoscaling else { return };
    if common.instance_count.is_some() {
        let message = "`instance_count` and `autoscaling` exclude each other";
        let conflict = Diagnostic::error(Code::Conflict, format!("{path}.instance_count"), message);
        found.push(conflict.related(format!("{path}.autoscaling"), None, "autoscaling is given here"));
    }
    if let (Some(min), Some(max)) = (autoscaling.min_instance_count, autoscaling.max_instance_count)
        && min > max
    {
        let path = format!("{path}.autoscaling.min_instance_count");
        found.push(Diagnostic::error(Code::OutOfRange, path, format!("{min} is more than the maximum, {max}")));
    }
}

fn source(path: &str, source: &Source, found: &mut Vec<Diagnostic>) {
    match source {
        Source::Image(image) => tag_or_digest(&format!("{path}.image"), image, found),
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

fn log_destinations(path: &str, list: &[LogDestination], found: &mut Vec<Diagnostic>) {
    for (i, destination) in list.iter().enumerate() {
        let given = [
            destination.papertrail.is_some(),
            destination.datadog.is_some(),
            destination.logtail.is_some(),
            destination.open_search.is_some(),
            destination.endpoint.is_some(),
        ];
        let count = given.iter().filter(|given| **given).count();
        if count != 1 {
            let code = if count == 0 { Code::Missing } else { Code::Conflict };
            let message = format!("a log destination has exactly one provider, here are {count}");
            let diagnostic = Diagnostic::error(code, format!("{path}.log_destinations[{i}]"), message);
            found.push(diagnostic.help("one of `papertrail`, `datadog`, `logtail`, `open_search`"));
        }
    }
}
