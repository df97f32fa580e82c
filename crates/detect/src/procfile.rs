//! Start commands from a `Procfile`: lines of the form `name: command`.

use crate::project::Project;
use crate::request::{Kind, Request};

/// The command for a component: the line with its name, else `web` for a service and `worker` for a worker.
pub(crate) fn command<'a>(project: &'a Project, request: &Request<'_>) -> Option<&'a str> {
    let lines = || project.text("Procfile").into_iter().flat_map(str::lines).filter_map(|line| line.split_once(':'));
    let of = |wanted: &str| lines().find(|(name, _)| name.trim() == wanted).map(|(_, command)| command.trim());
    let by_kind = match request.kind {
        Kind::Service => Some("web"),
        Kind::Worker => Some("worker"),
        Kind::Job | Kind::StaticSite => None,
    };
    of(request.component).or_else(|| of(by_kind?)).filter(|command| !command.is_empty())
}
