//! Variables: given once, references that name something, a `PORT` that is the port.

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::reference::{Meaning, OF_APP, Part, Reference, meaning, parts};
use crate::spec::{AppSpec, Component, EnvValue, EnvVar, Service};
use crate::suggest::{nearest, one_of, shown};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    list(spec, None, "envs", &spec.envs, found);
    for (path, component) in spec.components_with_paths() {
        list(spec, Some(component), &format!("{path}.envs"), component.envs(), found);
        if let Component::Service(service) = component {
            own_port(spec, &path, service, found);
        }
    }
}

fn list(spec: &AppSpec, holder: Option<Component<'_>>, path: &str, envs: &[EnvVar], found: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (i, env) in envs.iter().enumerate().filter(|(_, env)| !env.key.is_empty()) {
        if let Some(before) = first.insert(&env.key, i) {
            let message = format!("the variable `{}` is given twice; the last one counts", shown(&env.key));
            let twice = Diagnostic::warning(Code::Doubtful, format!("{path}[{i}].key"), message);
            found.push(twice.related(format!("{path}[{before}].key"), None, "given before here"));
        }
        match &env.value {
            EnvValue::Plain(text) => references(spec, holder, &format!("{path}[{i}].value"), env, text, found),
            EnvValue::Missing => {
                let message = format!("the secret `{}` has no value yet", shown(&env.key));
                let warning = Diagnostic::warning(Code::NeedsValue, format!("{path}[{i}].key"), message);
                found.push(warning.help("give it when the app is created, or it is kept from before"));
            }
            EnvValue::Secret(_) | EnvValue::Sealed(_) => {}
        }
    }
}

fn references(
    spec: &AppSpec,
    holder: Option<Component<'_>>,
    path: &str,
    env: &EnvVar,
    text: &str,
    found: &mut Vec<Diagnostic>,
) {
    for part in parts(text) {
        let Part::Reference(reference) = part else { continue };
        if found.len() >= Diagnostics::LIMIT {
            return;
        }
        if reference.owner.is_none() && reference.name == env.key && !OF_APP.contains(&reference.name) {
            let message =
                format!("`{}` is a placeholder for the value of this very variable", shown(reference.written));
            let warning = Diagnostic::warning(Code::NeedsValue, path, message);
            found.push(warning.help("give the value, or let a deploy tool fill it in"));
            continue;
        }
        let Some(help) = complaint(spec, holder, reference) else { continue };
        let message = format!("`{}` names nothing and stays as text", shown(reference.written));
        found.push(Diagnostic::warning(Code::UnknownReference, path, message).help(help));
    }
}

/// Why a reference will stay text, if it will.
fn complaint(spec: &AppSpec, holder: Option<Component<'_>>, reference: Reference<'_>) -> Option<String> {
    match meaning(spec, holder, reference) {
        Meaning::App => None,
        Meaning::Variable => variable(spec, holder, reference.name),
        Meaning::Database(_, known) | Meaning::Component(_, known) if known.contains(&reference.name) => None,
        Meaning::Database(name, known) => Some(format!("database `{name}` has {}", one_of(known.iter().copied()))),
        Meaning::Component(component, known) => {
            let kind = component.kind().as_str();
            Some(format!("{kind} `{}` has {}", component.name(), one_of(known.iter().copied())))
        }
        // Every component has a `_self` of its own.
        Meaning::NoOwner if holder.is_none() && reference.owner == Some("_self") => None,
        Meaning::NoOwner => Some(no_owner(spec, reference.owner.unwrap_or_default())),
    }
}

/// A variable of the app may name one that only some components have.
fn variable(spec: &AppSpec, holder: Option<Component<'_>>, name: &str) -> Option<String> {
    let known = || {
        let of_holder = holder.into_iter().flat_map(|c| c.envs().iter());
        let of_others = spec.components().filter(|_| holder.is_none()).flat_map(|c| c.envs().iter());
        of_holder.chain(&spec.envs).chain(of_others).map(|env| env.key.as_str())
    };
    if known().any(|key| key == name) {
        return None;
    }
    let mut keys: Vec<&str> = known().collect();
    keys.extend(OF_APP);
    Some(match nearest(name, keys) {
        Some(near) => format!("did you mean `${{{near}}}`?"),
        None => "no variable of this component or of the app has that name".to_owned(),
    })
}

fn no_owner(spec: &AppSpec, owner: &str) -> String {
    let databases = spec.databases.iter().map(|d| d.name.as_str());
    let names: Vec<&str> = spec.components().map(Component::name).chain(databases).collect();
    match nearest(owner, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("no component or database is named `{}`", shown(owner)),
    }
}

/// Requests go to `http_port`, whatever `PORT` says.
fn own_port(spec: &AppSpec, path: &str, service: &Service, found: &mut Vec<Diagnostic>) {
    let Some(i) = service.common.envs.iter().rposition(|e| e.key == "PORT" && e.scope().is_run_time()) else { return };
    let EnvValue::Plain(text) = &service.common.envs[i].value else { return };
    let (Ok(own), Some(port)) = (text.trim().parse::<u16>(), spec.http_port(service)) else { return };
    if own != port {
        let message = format!("PORT is {own}, but requests go to port {port}");
        let path = format!("{path}.envs[{i}].value");
        found.push(Diagnostic::warning(Code::Doubtful, path, message).help(format!("set `http_port: {own}`")));
    }
}
