//! Rules inside one component: sizes, directories, schedules, health checks.

use super::not_both;
use crate::diagnostic::{Code, Diagnostic};
use crate::interpreter::interpreter;
use crate::size::{instance_size, near};
use crate::spec::{AppSpec, Common, Component, HealthCheck, Job, JobKind, LivenessHealthCheck, Source};
use crate::suggest::shown;
use crate::value::form::{request_path, unsubstituted};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (path, component) in spec.components_with_paths() {
        if let Some(common) = component.common() {
            size(&path, common, found);
            run_command(&path, common, found);
        }
        two_parts(&path, component.source(), found);
        match component {
            Component::Service(service) => {
                health_check(&path, service.health_check.as_ref(), found);
                liveness(&path, service.liveness_health_check.as_ref(), found);
            }
            Component::Worker(worker) => {
                liveness(&path, worker.liveness_health_check.as_ref(), found);
                if worker.liveness_health_check.as_ref().is_some_and(|check| check.port.is_none()) {
                    let path = format!("{path}.liveness_health_check.port");
                    let message = "a worker has no HTTP port, so its check must name a port";
                    found.push(Diagnostic::error(Code::Missing, path, message));
                }
            }
            Component::Job(job) => schedule(&path, job, found),
            Component::StaticSite(site) => {
                let error = ("error_document", site.error_document.is_some());
                not_both(&path, error, ("catchall_document", site.catchall_document.is_some()), found);
                refuse_image(&path, component, found);
            }
            Component::Function(_) => refuse_image(&path, component, found),
        }
    }
}

fn refuse_image(path: &str, component: Component<'_>, found: &mut Vec<Diagnostic>) {
    if component.source().image().is_some() {
        let message = format!("a {} is built from a repository, not an image", component.kind().as_str());
        found.push(Diagnostic::error(Code::Conflict, format!("{path}.image"), message));
    }
}

fn size(path: &str, common: &Common, found: &mut Vec<Diagnostic>) {
    let path = format!("{path}.instance_size_slug");
    let slug = common.instance_size_slug();
    if instance_size(slug).is_none() {
        found.push(match unsubstituted(slug) {
            Err(complaint) => complaint.into_problem(path).help("replace it, or leave it out"),
            Ok(()) => {
                let message = format!("there is no instance size `{}`", shown(slug));
                Diagnostic::error(Code::UnknownValue, path, message).help(near(slug))
            }
        });
    }
}

/// Without the interpreter that `#!` names, a different program would run the command.
fn run_command(path: &str, common: &Common, found: &mut Vec<Diagnostic>) {
    let Some(Err(message)) = common.run_command.as_deref().and_then(interpreter) else { return };
    let wrong = Diagnostic::error(Code::BadFormat, format!("{path}.run_command"), message);
    found.push(wrong.help("put the script into the image, and give its path as the `run_command`"));
}

fn two_parts(path: &str, source: &Source, found: &mut Vec<Diagnostic>) {
    if let Source::Github(hosted) = source
        && hosted.repo.split('/').count() > 2
    {
        let message = format!("`{}` is not `owner/repo`", shown(&hosted.repo));
        found.push(Diagnostic::error(Code::BadFormat, format!("{path}.github.repo"), message));
    }
}

fn health_check(path: &str, check: Option<&HealthCheck>, found: &mut Vec<Diagnostic>) {
    let Some(check) = check else { return };
    let path = format!("{path}.health_check");
    if let (Some(new), Some(old)) = (&check.http_path, &check.path)
        && new != old
    {
        let message = "`path` is the old name of `http_path`; both are given, and `http_path` takes precedence";
        found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.path"), message).help("keep one of them"));
    }
    http_path(format!("{path}.http_path"), check.http_path.as_deref(), found);
    http_path(format!("{path}.path"), check.path.as_deref(), found);
}

fn liveness(path: &str, check: Option<&LivenessHealthCheck>, found: &mut Vec<Diagnostic>) {
    let text = check.and_then(|check| check.http_path.as_deref());
    http_path(format!("{path}.liveness_health_check.http_path"), text, found);
}

fn http_path(path: String, http_path: Option<&str>, found: &mut Vec<Diagnostic>) {
    let Some(text) = http_path else { return };
    if let Err(complaint) = unsubstituted(text) {
        found.push(complaint.into_warning(path));
    } else if let Err(complaint) = request_path(text) {
        found.push(Diagnostic { code: Code::Doubtful, ..complaint.into_warning(path) });
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
            let conflict = conflict.related(format!("{path}.kind"), None, "the kind is given here");
            found.push(conflict.help("write `kind: SCHEDULED` to run the job on a schedule"));
        }
    }
}
