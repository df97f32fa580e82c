//! What stands around a spec, and files of other tools that only look like one.

use std::rc::Rc;

use crate::diagnostic::{Code, Diagnostic, Place, Remedy};
use crate::suggest::shown;
use crate::tree::{Entry, Kind, Node};
use crate::wire::Object;

/// A mapping with nothing but `spec:` (and `x-…`) is the form of `deploy.template.yaml`.
pub(crate) fn unwrapped(root: &Node) -> &Node {
    match top(root, "spec") {
        Some(spec) if beside_spec(root).next().is_none() => &spec.value,
        _ => root,
    }
}

/// The fields of the spec, and what is wrong when some stand under `spec:` and others beside it. Fields of a spec are then
/// taken from either place.
pub(crate) fn gathered(root: &Node) -> (Node, Option<Diagnostic>) {
    let Some(spec) = top(root, "spec").filter(|spec| matches!(spec.value.kind, Kind::Mapping(_))) else {
        return (unwrapped(root).clone(), None);
    };
    let Some(first) = beside_spec(root).next() else { return (spec.value.clone(), None) };
    let is_field = |entry: &&Entry| super::AppSpec::fields().iter().any(|field| field.name == &*entry.key);
    let own = fields(&spec.value);
    let others = beside_spec(root).filter(is_field).filter(|other| own.iter().all(|own| own.key != other.key));
    let all = own.iter().chain(others).cloned().collect();
    let problem = match beside_spec(root).find(is_field) {
        Some(field) => apart(field, spec.key_place),
        None => not_of_a_spec(first),
    };
    (Node { place: spec.value.place, kind: Kind::Mapping(Rc::new(all)) }, Some(problem.remedied(Remedy::LeftOut)))
}

fn apart(field: &Entry, place: Option<Place>) -> Diagnostic {
    let message = format!("`spec:` has all fields of a spec below it, and here `{}` stands beside it", field.key);
    let problem = Diagnostic::error(Code::UnknownField, "", message).at(place);
    problem.help("move what stands beside it under `spec:`, or leave `spec:` out")
}

fn not_of_a_spec(other: &Entry) -> Diagnostic {
    let message = format!("nothing stands beside `spec:` in a spec, and here is `{}`", shown(&other.key));
    let problem = Diagnostic::error(Code::UnknownField, "", message).at(other.key_place);
    match OF_THE_API.contains(&&*other.key) {
        true => problem.help("this is what the API is sent: give what stands under `spec` alone"),
        false => problem.help("leave it out"),
    }
}

/// What clients send to the API, and get from it, beside a spec.
const OF_THE_API: [&str; 4] = ["project_id", "update_all_source_versions", "app_id", "id"];

fn beside_spec(root: &Node) -> impl Iterator<Item = &Entry> {
    fields(root).iter().filter(|entry| &*entry.key != "spec" && !entry.key.starts_with("x-"))
}

/// Whether the text is a file of another tool. It is told once: its fields mean nothing here.
pub(crate) fn of_another_tool(root: &Node) -> Option<Diagnostic> {
    let top = |name| top(root, name);
    let is_compose = |entry: &&Entry| fields(&entry.value).iter().any(|service| is_compose_service(&service.value));
    let (entry, what, help) = if let (Some(entry), Some(_)) = (top("apiVersion"), top("kind")) {
        (entry, "a Kubernetes file", SERVICES)
    } else if let (Some(_), Some(entry)) = (top("on"), top("jobs").filter(|jobs| !fields(&jobs.value).is_empty())) {
        (entry, "a GitHub workflow", SERVICES)
    } else if let Some(entry) = top("services").filter(is_compose) {
        (entry, "a Docker Compose file", SERVICES)
    } else if let Some(entry) = top("app").filter(|app| fields(&app.value).iter().any(|entry| &*entry.key == "spec")) {
        (entry, "an answer of the API", "give what stands under `spec` in it alone")
    } else {
        return None;
    };
    let message = format!("this looks like {what}, not like an app spec");
    Some(Diagnostic::error(Code::WrongType, "", message).at(entry.key_place).help(help))
}

const SERVICES: &str = "an app spec has `name: …` and a list of `services`, each with its `name` and one of `image`, \
                        `git`, `github`";

fn is_compose_service(node: &Node) -> bool {
    let only_there = ["ports", "build", "depends_on", "volumes", "env_file", "container_name", "restart", "networks"];
    let names = || fields(node).iter().map(|entry| &*entry.key);
    names().any(|name| only_there.contains(&name)) && !names().any(|name| name == "http_port")
}

fn top<'n>(root: &'n Node, name: &str) -> Option<&'n Entry> {
    fields(root).iter().find(|entry| &*entry.key == name)
}

fn fields(node: &Node) -> &[Entry] {
    if let Kind::Mapping(entries) = &node.kind { entries } else { &[] }
}
