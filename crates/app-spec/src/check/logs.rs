//! Log destinations: one provider each, and what that provider needs.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, BasicAuth, Component, LogDestination, OpenSearchDestination};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (path, component) in spec.components_with_paths() {
        for (i, destination) in of(component).iter().enumerate() {
            let path = format!("{path}.log_destinations[{i}]");
            provider(&path, destination, found);
            if let Some(open_search) = &destination.open_search {
                let path = format!("{path}.open_search");
                cluster_or_address(&path, open_search, found);
                scheme(&path, open_search, found);
            }
        }
    }
}

fn of(component: Component<'_>) -> &[LogDestination] {
    match component {
        Component::Service(service) => &service.common.log_destinations,
        Component::Worker(worker) => &worker.common.log_destinations,
        Component::Job(job) => &job.common.log_destinations,
        Component::StaticSite(site) => &site.log_destinations,
        Component::Function(function) => &function.log_destinations,
    }
}

fn provider(path: &str, destination: &LogDestination, found: &mut Vec<Diagnostic>) {
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
        let diagnostic = Diagnostic::error(code, path, message);
        found.push(diagnostic.help("one of `papertrail`, `datadog`, `logtail`, `open_search`"));
    }
}

/// Examples of the platform's own documentation give both, so that this is no error.
fn cluster_or_address(path: &str, open_search: &OpenSearchDestination, found: &mut Vec<Diagnostic>) {
    match (&open_search.endpoint, &open_search.cluster_name) {
        (None, None) => {
            let message = "an OpenSearch destination needs `endpoint` or `cluster_name`";
            found.push(Diagnostic::error(Code::Missing, path, message));
        }
        (Some(_), Some(_)) => {
            let message = "`endpoint` and `cluster_name` exclude each other";
            let doubtful = Diagnostic::warning(Code::Doubtful, format!("{path}.cluster_name"), message);
            found.push(doubtful.related(format!("{path}.endpoint"), None, "the address is given here"));
        }
        (Some(_), None) => user_and_password(path, open_search.basic_auth.as_ref(), found),
        (None, Some(_)) => {
            if open_search.basic_auth.as_ref().is_some_and(|auth| auth.password.is_some()) {
                let message = "the password of a cluster is known: `cluster_name` and `password` exclude each other";
                found.push(Diagnostic::error(Code::Conflict, format!("{path}.basic_auth.password"), message));
            }
        }
    }
}

/// An example of the platform's own documentation has no scheme, so that this is no error.
fn scheme(path: &str, open_search: &OpenSearchDestination, found: &mut Vec<Diagnostic>) {
    if open_search.endpoint.as_ref().is_some_and(|it| !it.starts_with("https://")) {
        let message = "an OpenSearch destination is reached by `https://HOST:PORT`";
        found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.endpoint"), message));
    }
}

fn user_and_password(path: &str, auth: Option<&BasicAuth>, found: &mut Vec<Diagnostic>) {
    if auth.is_none() {
        let message = "an OpenSearch destination with an `endpoint` needs `basic_auth` with `user` and `password`";
        found.push(Diagnostic::error(Code::Missing, format!("{path}.basic_auth"), message));
        return;
    }
    let is_missing = [
        ("user", auth.is_none_or(|auth| auth.user.is_none())),
        ("password", auth.is_none_or(|auth| auth.password.is_none())),
    ];
    for (field, _) in is_missing.into_iter().filter(|(_, is_missing)| *is_missing) {
        let message = format!("an OpenSearch destination with an `endpoint` needs `basic_auth` with `{field}`");
        found.push(Diagnostic::error(Code::Missing, format!("{path}.basic_auth.{field}"), message));
    }
}
