//! Rules inside one component: sizes, directories, schedules, checks.

use crate::diagnostic::{Code, Diagnostic};
use crate::interpreter::interpreter;
use crate::size::{instance_size, near};
use crate::spec::{
    AppSpec, Common, Component, ComponentKind, HealthCheck, Job, JobKind, LivenessHealthCheck, Service, Source, Worker,
};
use crate::suggest::{nearest, one_of, shown};
use crate::wire::form::{request_path, unsubstituted};

/// Those that App Platform's client names, and `rust`, which public specs have.
const LANGUAGES: [&str; 12] =
    ["node-js", "php", "ruby", "python", "go", "hugo", "html", "hexo", "ruby-on-rails", "jekyll", "gatsby", "rust"];

/// A hint that never fails, so that a wrong one goes unseen.
fn language(path: &str, component: Component<'_>, found: &mut Vec<Diagnostic>) {
    let slug = match component {
        Component::StaticSite(site) => site.environment_slug.as_deref(),
        _ => component.common().and_then(|common| common.environment_slug.as_deref()),
    };
    let Some(slug) = slug.filter(|slug| !LANGUAGES.contains(slug)) else { return };
    let message = format!("`{}` is no language that App Platform names", shown(slug));
    let help = match nearest(slug, LANGUAGES) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", one_of(LANGUAGES)),
    };
    found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.environment_slug"), message).help(help));
}

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    instances(spec, found);
    for (path, component) in spec.components_with_paths() {
        if let Some(common) = component.common() {
            size(&path, component.kind(), common, found);
            run_command(&path, common, found);
        }
        language(&path, component, found);
        two_parts(&path, component.source(), found);
        directories(&path, component, found);
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

fn size(path: &str, kind: ComponentKind, common: &Common, found: &mut Vec<Diagnostic>) {
    let slug_path = format!("{path}.instance_size_slug");
    let slug = common.instance_size_slug();
    match instance_size(slug) {
        None => found.push(match unsubstituted(slug) {
            Err(complaint) => complaint.into_problem(slug_path).help("replace it, or leave it out"),
            Ok(()) => {
                let message = format!("there is no instance size `{}`", shown(slug));
                Diagnostic::error(Code::UnknownValue, slug_path, message).help(near(slug))
            }
        }),
        Some(size) if size.single_instance_only && common.instance_count() > 1 && kind != ComponentKind::Job => {
            let is_given = common.instance_size_slug.is_some();
            let path = if is_given { slug_path } else { format!("{path}.instance_count") };
            let of_size = if is_given { "of size" } else { "of the default size" };
            let message = format!("App Platform runs one instance only {of_size} `{slug}`; here all run");
            let doubtful = Diagnostic::warning(Code::Doubtful, path, message);
            found.push(doubtful.help("for example `instance_size_slug: apps-s-1vcpu-1gb`"));
        }
        Some(_) => {}
    }
}

/// App Platform's limit.
const MOST_INSTANCES: u32 = 250;

fn instances(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let mut all: u32 = 0;
    for (path, component) in spec.components_with_paths() {
        let Some(common) = component.common().filter(|_| component.kind() != ComponentKind::Job) else { continue };
        let before = all;
        all = all.saturating_add(common.instance_count());
        if before <= MOST_INSTANCES && all > MOST_INSTANCES {
            let message =
                format!("with these, the app has more than the {MOST_INSTANCES} instances of App Platform's limit");
            found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.instance_count"), message));
        }
    }
}

/// If a `#!` line were ignored, another program than the one it names would run the command.
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

/// Only a warning: what has been stored stays readable.
fn directories(path: &str, component: Component<'_>, found: &mut Vec<Diagnostic>) {
    let (source_dir, dockerfile_path) = match component {
        Component::StaticSite(site) => (&site.source_dir, &site.dockerfile_path),
        Component::Function(function) => (&function.source_dir, &None),
        Component::Service(Service { common, .. })
        | Component::Worker(Worker { common, .. })
        | Component::Job(Job { common, .. }) => (&common.source_dir, &common.dockerfile_path),
    };
    for (field, text) in [("source_dir", source_dir), ("dockerfile_path", dockerfile_path)] {
        let left = text.as_deref().and_then(|text| unsubstituted(text).err());
        found.extend(left.map(|complaint| complaint.into_warning(format!("{path}.{field}"))));
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
            found.push(conflict.help("`kind: SCHEDULED` runs by schedule"));
        }
    }
}
